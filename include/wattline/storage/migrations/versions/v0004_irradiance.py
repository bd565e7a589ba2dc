"""Irradiance, from plants that have a sensor in the plane of their panels."""

from alembic import op
from sqlalchemy.dialects.mysql.base import MySQLDialect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NOW = "DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"


def upgrade() -> None:
    """Create the table if it is missing."""
    server = op.get_bind().dialect
    is_mariadb = isinstance(server, MySQLDialect) and server.is_mariadb
    collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
    op.execute(f"""CREATE TABLE IF NOT EXISTS irradiance (
    mcno INT NOT NULL,
    `at` DATETIME(6) NOT NULL,
    poa_kw_m2 DOUBLE NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno, `at`),
    KEY irradiance_at (`at`),
    KEY irradiance_updated_at (updated_at)
) ENGINE = InnoDB COLLATE {collation}""")


def downgrade() -> None:
    """A way back that drops what gateways wrote is not offered."""
    raise NotImplementedError("restore a backup instead")
