"""### What
Copies the inverter register and the readings that field gateways wrote from MySQL to MongoDB, every ten minutes.

### Inputs
MySQL `solar.inverter` (whole, deletions included) and `solar.inverterlog`: what was written since the watermark; a
window of the past also takes the rows that were measured in it.

### Outputs
MongoDB `inverter` and `inverter_reading_YYYYMM`, compared with MySQL by count and checksum; rows without a usable key
in `quarantine`; the gates' results in `quality_result`; watermarks and the finished interval, for which `inverterlog`
waits, in `migration_state`.

### If it fails
A rerun of the run (clear it) or any window (`from`/`to`) gives the same rows. Keys that differ are mended by `wattline
migrate repair`. Runbook: `docs/runbooks/migration.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.finish import FinishOperator
from wattline_operators.migrate import migrate_table
from wattline_operators.pipeline import pipeline

TABLES = ("inverter", "inverterlog")

with pipeline(
    "migration_inverter_m10",
    doc=__doc__,
    cron="*/10 * * * *",
    tags=["solar", "migration", "mysql", "mongo"],
    in_order=True,
    late_after=timedelta(minutes=20),
):
    finish = FinishOperator(task_id="finish", covers=["reading"], outlets=[Asset("x-wattline://solar/reading")])
    [migrate_table(table, "wattline.solar.migrations:entry") for table in TABLES] >> finish
