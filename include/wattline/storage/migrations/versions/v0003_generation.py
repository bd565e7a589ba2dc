"""What `time_generation` says of an hour beside its energy; null in rows of the old system."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = {
    "spans_gap": "TINYINT(1) NULL AFTER timekw",
    "estimated": "TINYINT(1) NULL AFTER spans_gap",
    "counter_reset": "TINYINT(1) NULL AFTER estimated",
    "fresh_ticks": "INT NULL AFTER counter_reset",
}


def upgrade() -> None:
    """Add the columns that `timegeneration` lacks."""
    query = (
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = 'timegeneration'"
    )
    known = set(op.get_bind().execute(sa.text(query)).scalars())
    changes = [f"ADD COLUMN {name} {kind}" for name, kind in COLUMNS.items() if name not in known]
    if changes:
        op.execute(f"ALTER TABLE timegeneration {', '.join(changes)}")


def downgrade() -> None:
    """A way back that drops what pipelines computed is not offered."""
    raise NotImplementedError("restore a backup instead")
