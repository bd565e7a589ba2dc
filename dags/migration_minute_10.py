"""### What
Copies events, the SMS log, the log of connection boxes, and irradiance from MySQL to MongoDB, every ten minutes.

### Inputs
MySQL `solar`: `event`, `event_log`, `smslog`, `conn_box_log`, `irradiance` as far as they were written since the
watermark (a window of the past also takes the rows that speak of it); `conn_box` and `connboxvoltage` whole, deletions
included.

### Outputs
MongoDB `event`, `event_log`, `sms_log` (beside documents of the platform's own, which are left alone), `conn_box`,
`connboxvoltage`, `conn_box_log_YYYYMM`, `irradiance`, compared with MySQL by count and checksum; rows that cannot
travel in `quarantine`; watermarks in `migration_state`.

### If it fails
A rerun of the run (clear it) or any window (`from`/`to`) gives the same rows. Keys that differ are mended by `wattline
migrate repair`. Runbook: `docs/runbooks/migration.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.finish import FinishOperator
from wattline_operators.migrate import migrate_table
from wattline_operators.pipeline import pipeline

TABLES = ("event", "event_log", "smslog", "conn_box", "connboxvoltage", "conn_box_log", "irradiance")
COVERS = ["event", "event_log", "sms_log", "conn_box", "connboxvoltage", "conn_box_log", "irradiance"]

with pipeline(
    "migration_minute_10",
    doc=__doc__,
    cron="*/10 * * * *",
    tags=["solar", "migration", "mysql", "mongo"],
    in_order=True,
    late_after=timedelta(minutes=20),
):
    finish = FinishOperator(task_id="finish", covers=COVERS, outlets=[Asset("x-wattline://solar/events_and_boxes")])
    [migrate_table(table, "wattline.solar.migrations:entry") for table in TABLES] >> finish
