"""The tables of the solar system: what gateways write, what pipelines write back, the log of SMS.

Times are UTC. `updated_at` and `received_at` are set by the server from the session's clock, so sessions that write
these tables run in time zone +00:00. Tables are made only where they are missing: DDL of MySQL is not transactional,
and a version that was stopped half-way is simply run again.
"""

from alembic import op
from sqlalchemy.dialects.mysql.base import MySQLDialect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NOW = "DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"
_MEASURED = """
    ackw DOUBLE NULL,
    dckw DOUBLE NULL,
    daykw DECIMAL(18,6) NULL,
    totkw DECIMAL(18,6) NULL,
    status INT NULL"""

TABLES = {
    "customer": f"""
    mcno INT NOT NULL,
    name VARCHAR(255) NOT NULL,
    owner VARCHAR(255) NULL,
    address VARCHAR(255) NULL,
    latitude DOUBLE NOT NULL,
    longitude DOUBLE NOT NULL,
    timezone VARCHAR(255) NOT NULL DEFAULT 'Asia/Seoul',
    status VARCHAR(255) NOT NULL DEFAULT 'in_use',
    capacity_kw DOUBLE NULL,
    updated_at {_NOW},
    PRIMARY KEY (mcno),
    KEY customer_updated_at (updated_at)""",
    "inverter": f"""
    mcno INT NOT NULL,
    invno INT NOT NULL,
    capacity_kw DOUBLE NULL,
    serial_no VARCHAR(255) NULL,
    installed_at DATETIME(6) NOT NULL,
    removed_at DATETIME(6) NULL,
    `at` DATETIME(6) NULL,{_MEASURED},
    updated_at {_NOW},
    PRIMARY KEY (mcno, invno),
    KEY inverter_updated_at (updated_at)""",
    "inverterlog": f"""
    mcno INT NOT NULL,
    invno INT NOT NULL,
    `at` DATETIME(6) NOT NULL,{_MEASURED},
    received_at {_NOW},
    PRIMARY KEY (mcno, invno, `at`),
    KEY inverterlog_at (`at`),
    KEY inverterlog_received_at (received_at)""",
    "inverterlog_tick": """
    mcno INT NOT NULL,
    invno INT NOT NULL,
    `at` DATETIME(6) NOT NULL,
    ackw DOUBLE NOT NULL,
    dckw DOUBLE NOT NULL,
    daykw DECIMAL(18,6) NOT NULL,
    totkw DECIMAL(18,6) NOT NULL,
    status INT NULL,
    stale TINYINT(1) NOT NULL,
    counter_reset TINYINT(1) NOT NULL,
    daykw_carried TINYINT(1) NOT NULL,
    reading_at DATETIME(6) NULL,
    reading_daykw DECIMAL(18,6) NULL,
    reading_totkw DECIMAL(18,6) NULL,
    day_peak DECIMAL(18,6) NOT NULL,
    segment_offset DECIMAL(18,6) NOT NULL,
    previous_offset DECIMAL(18,6) NULL,
    previous_at DATETIME(6) NULL,
    PRIMARY KEY (mcno, invno, `at`),
    KEY inverterlog_tick_at (`at`)""",
    "daygeneration": """
    mcno INT NOT NULL,
    invno INT NOT NULL,
    day DATE NOT NULL,
    daykw DECIMAL(18,6) NOT NULL,
    PRIMARY KEY (mcno, invno, day),
    KEY daygeneration_day (day)""",
    "daytotalgeneration": """
    mcno INT NOT NULL,
    invno INT NOT NULL,
    day DATE NOT NULL,
    totkw DECIMAL(18,6) NOT NULL,
    PRIMARY KEY (mcno, invno, day),
    KEY daytotalgeneration_day (day)""",
    "smslog": """
    id BIGINT NOT NULL AUTO_INCREMENT,
    sent_at DATETIME(6) NOT NULL,
    sender VARCHAR(32) NOT NULL,
    receiver VARCHAR(32) NOT NULL,
    mcno INT NULL,
    message TEXT NOT NULL,
    provider_message_id VARCHAR(255) NULL,
    result VARCHAR(255) NULL,
    PRIMARY KEY (id),
    KEY smslog_sent_at (sent_at)""",
}


def upgrade() -> None:
    """Create the tables that are missing; text differs where any byte differs, a blank at its end included."""
    server = op.get_bind().dialect
    is_mariadb = isinstance(server, MySQLDialect) and server.is_mariadb
    collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}\n) ENGINE = InnoDB COLLATE {collation}")


def downgrade() -> None:
    """There is nothing before the first version; a way back that drops measurements is not offered."""
    raise NotImplementedError("restore a backup instead")
