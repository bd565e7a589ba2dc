"""### What
Brings the registers of the old screens from MySQL to MongoDB once a day: plants, owners, users, clients, sensors,
addresses; and the temperatures.

### Inputs
MySQL `solar`: `client_status`, `remoteip`, `users`, `customer`, `sensor_name`, `sensor_type`, `zipaddress` whole,
deletions included; `temperature` as far as it was written since the watermark.

### Outputs
MongoDB `client_status`, `remote_ip`, `users` (without passwords), `customer` (owners), `power_station` (plants, from
`customer`), `sensor_name`, `sensor_type`, `temperature`, `zipaddress`, compared with MySQL by count and checksum. A
document whose row is gone is marked with `deleted_at`.

### If it fails
A rerun of the run (clear it) brings the tables as they are then. Keys that differ are mended by `wattline migrate
repair`. Runbook: `docs/runbooks/migration.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.finish import FinishOperator
from wattline_operators.migrate import migrate_table
from wattline_operators.pipeline import pipeline

PLANTS = ("client_status", "remoteip", "users", "customer", "power_station")
TABLES = (*PLANTS, "sensor_name", "sensor_type", "temperature", "zipaddress")

with pipeline(
    "migration_day_1",
    doc=__doc__,
    cron="0 0 * * *",
    tags=["solar", "migration", "mysql", "mongo"],
    in_order=True,
    late_after=timedelta(hours=1),
    step=timedelta(days=1),
):
    finish = FinishOperator(task_id="finish", covers=["temperature"], outlets=[Asset("x-wattline://solar/registers")])
    [migrate_table(table, "wattline.solar.migrations:entry") for table in TABLES] >> finish
