"""The other tables of the legacy database, and `updated_at` where a table of the first version lacks it.

Every table that grows has `updated_at` and a key on it, by which migrations find what has changed; in InnoDB that key
ends with the primary key. Their types are as mixed as those of a database that has grown for years: ENUM, BIT, JSON,
BIGINT UNSIGNED, TIMESTAMP, and one table in euckr.

Like the first version it can be run again after it was stopped half-way: tables, columns and keys are made only where
they are missing. MySQL has no `ADD COLUMN IF NOT EXISTS`, so information_schema is asked.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql.base import MySQLDialect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NOW = "DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"
_EUCKR = "CHARACTER SET euckr COLLATE euckr_bin"

TABLES = {
    "timegeneration": f"""
    mcno INT NOT NULL,
    invno INT NOT NULL,
    start DATETIME(6) NOT NULL,
    timekw DECIMAL(18,6) NOT NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno, invno, start),
    KEY timegeneration_start (start),
    KEY timegeneration_updated_at (updated_at)""",
    "event": f"""
    mcno INT NOT NULL,
    invno INT NOT NULL,
    type INT NOT NULL,
    raised_at DATETIME(6) NOT NULL,
    level ENUM('notice', 'fault') NOT NULL,
    message TEXT NULL,
    cleared_at DATETIME(6) NULL,
    checked TINYINT(1) NOT NULL DEFAULT 0,
    checked_at DATETIME(6) NULL,
    checked_by VARCHAR(64) NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno, invno, type, raised_at),
    KEY event_raised_at (raised_at),
    KEY event_updated_at (updated_at)""",
    "event_log": f"""
    mcno INT NOT NULL,
    invno INT NOT NULL,
    type INT NOT NULL,
    `at` DATETIME(6) NOT NULL,
    action VARCHAR(16) NOT NULL,
    message TEXT NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno, invno, type, `at`, action),
    KEY event_log_at (`at`),
    KEY event_log_updated_at (updated_at)""",
    "conn_box": f"""
    mcno INT NOT NULL,
    boxno INT NOT NULL,
    invno INT NULL,
    channels INT NOT NULL,
    serial_no VARCHAR(255) NULL,
    installed_at DATETIME(6) NOT NULL,
    removed_at DATETIME(6) NULL,
    `at` DATETIME(6) NULL,
    voltage DOUBLE NULL,
    `current` DOUBLE NULL,
    status INT NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno, boxno)""",
    "conn_box_log": f"""
    mcno INT NOT NULL,
    boxno INT NOT NULL,
    channel INT NOT NULL,
    `at` DATETIME(6) NOT NULL,
    voltage DOUBLE NULL,
    `current` DOUBLE NULL,
    status INT NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno, boxno, channel, `at`),
    KEY conn_box_log_at (`at`),
    KEY conn_box_log_updated_at (updated_at)""",
    "connboxvoltage": f"""
    mcno INT NOT NULL,
    boxno INT NOT NULL,
    channel INT NOT NULL,
    `at` DATETIME(6) NOT NULL,
    voltage DOUBLE NULL,
    `current` DOUBLE NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno, boxno, channel)""",
    "client_status": f"""
    mcno INT NOT NULL,
    said_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    firmware VARCHAR(64) NULL,
    online BIT(1) NOT NULL DEFAULT b'0',
    alarms BIT(8) NOT NULL DEFAULT b'0',
    detail JSON NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno)""",
    "remoteip": f"""
    mcno INT NOT NULL,
    ip VARCHAR(45) NOT NULL,
    port INT NULL,
    called_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    bytes_received BIGINT UNSIGNED NOT NULL DEFAULT 0,
    updated_at {_NOW},
    PRIMARY KEY (mcno)""",
    "users": f"""
    user_id VARCHAR(64) NOT NULL,
    name VARCHAR(255) NOT NULL,
    password VARCHAR(255) NOT NULL DEFAULT '',
    authority ENUM('administrator', 'manager', 'owner') NOT NULL,
    phone VARCHAR(32) NULL,
    mail VARCHAR(255) NULL,
    language CHAR(2) NOT NULL DEFAULT 'ko',
    created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    last_login_at DATETIME(6) NULL,
    updated_at {_NOW},
    PRIMARY KEY (user_id)""",
    "sensor_name": """
    mcno INT NOT NULL,
    sensorno INT NOT NULL,
    name VARCHAR(255) NOT NULL,
    type INT NOT NULL,
    in_use BIT(1) NOT NULL DEFAULT b'1',
    PRIMARY KEY (mcno, sensorno)""",
    "sensor_type": """
    type INT NOT NULL,
    name VARCHAR(255) NOT NULL,
    unit VARCHAR(16) NOT NULL,
    PRIMARY KEY (type)""",
    "temperature": f"""
    mcno INT NOT NULL,
    sensorno INT NOT NULL,
    `at` DATETIME(6) NOT NULL,
    temperature DECIMAL(6,2) NOT NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno, sensorno, `at`),
    KEY temperature_at (`at`),
    KEY temperature_updated_at (updated_at)""",
    "zipaddress": """
    zipcode CHAR(5) NOT NULL,
    seq INT NOT NULL,
    sido VARCHAR(40) NOT NULL,
    sigungu VARCHAR(40) NOT NULL,
    road VARCHAR(80) NOT NULL,
    building VARCHAR(80) NULL,
    PRIMARY KEY (zipcode, seq)""",
}
"""Name → columns and keys."""

CHARSETS = {"zipaddress": _EUCKR}
"""Tables that are not in utf8mb4."""

COLUMNS = {
    "customer": {
        "owner_id": "VARCHAR(64) NULL",
        "owner_phone": "VARCHAR(32) NULL",
        "owner_mail": "VARCHAR(255) NULL",
        "manager_id": "VARCHAR(64) NULL",
    },
    **{name: {"updated_at": _NOW} for name in ("daygeneration", "daytotalgeneration", "smslog")},
}
"""What tables of the first version get; an `updated_at` gets a key as well."""


def upgrade() -> None:
    """Create the tables that are missing, then add the columns that are."""
    server = op.get_bind().dialect
    is_mariadb = isinstance(server, MySQLDialect) and server.is_mariadb
    unicode = f"COLLATE {'utf8mb4_nopad_bin' if is_mariadb else 'utf8mb4_0900_bin'}"
    for name, columns in TABLES.items():
        charset = CHARSETS.get(name, unicode)
        op.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}\n) ENGINE = InnoDB {charset}")
    # Rows that are there get the time of this session as their `updated_at`.
    op.execute("SET SESSION time_zone = '+00:00'")
    for name, added in COLUMNS.items():
        _complete(name, added)


def _complete(table: str, columns: dict[str, str]) -> None:
    """Add those of `columns`, and the key on `updated_at`, that `table` lacks, in one statement."""
    known = _names("columns", "column_name", table)
    changes = [f"ADD COLUMN {name} {kind}" for name, kind in columns.items() if name not in known]
    key = f"{table}_updated_at"
    if "updated_at" in columns and key not in _names("statistics", "index_name", table):
        changes.append(f"ADD KEY {key} (updated_at)")
    if changes:
        op.execute(f"ALTER TABLE {table} {', '.join(changes)}")


def _names(view: str, column: str, table: str) -> set[str]:
    """What information_schema knows of `table`."""
    query = f"SELECT {column} FROM information_schema.{view} WHERE table_schema = DATABASE() AND table_name = :name"  # noqa: S608 - names of this module
    return set(op.get_bind().execute(sa.text(query), {"name": table}).scalars())


def downgrade() -> None:
    """A way back that drops what gateways and people wrote is not offered."""
    raise NotImplementedError("restore a backup instead")
