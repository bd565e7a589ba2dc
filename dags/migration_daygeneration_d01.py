"""### What
Copies the energy of hours and days that the old system kept from MySQL to MongoDB, once a day.

### Inputs
MySQL `solar`: `daygeneration`, `daytotalgeneration`, `timegeneration`, as far as they were written since the watermark;
a window of the past takes what was written in it, and the hours in it.

### Outputs
MongoDB `day_generation`, `day_total_generation`, `time_generation`, marked `origin: mysql`. What the platform has
computed itself is left alone. Compared with MySQL by count and checksum.

### If it fails
A rerun of the run (clear it) or any window (`from`/`to`) gives the same rows. Keys that differ are mended by `wattline
migrate repair`. Runbook: `docs/runbooks/migration.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.finish import FinishOperator
from wattline_operators.migrate import migrate_table
from wattline_operators.pipeline import pipeline

TABLES = ("daygeneration", "daytotalgeneration", "timegeneration")
COVERS = ["mysql_day_generation", "mysql_day_total_generation", "mysql_time_generation"]

with pipeline(
    "migration_daygeneration_d01",
    doc=__doc__,
    cron="0 0 * * *",
    tags=["solar", "migration", "mysql", "mongo"],
    in_order=True,
    late_after=timedelta(hours=1),
    step=timedelta(days=1),
):
    finish = FinishOperator(task_id="finish", covers=COVERS, outlets=[Asset("x-wattline://solar/mysql_generation")])
    [migrate_table(table, "wattline.solar.migrations:entry") for table in TABLES] >> finish
