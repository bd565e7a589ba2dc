"""### What
Copies the inverter register and the readings that field gateways wrote from MySQL to MongoDB, every ten minutes.

### Inputs
MySQL `solar.inverter` (whole) and `solar.inverterlog`: rows measured in the interval, and rows that arrived in it late.

### Outputs
MongoDB `inverter` and `inverter_reading_YYYYMM`; rows without a usable key in `quarantine`; the gates' results in
`quality_result`; the finished interval in `migration_state`, for which `inverterlog` waits.

### If it fails
A rerun of the run (clear it) or any window (`from`/`to`) gives the same rows. Runbook: `docs/runbooks/solar.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.store import StoreOperator

TABLES = {
    "inverters": ("wattline.solar.checks:MIGRATION_INVERTERS", "wattline.solar.tables:INVERTER"),
    "readings": ("wattline.solar.checks:MIGRATION_READINGS", "wattline.solar.tables:READING"),
}

with pipeline(
    "migration_inverter_m10",
    doc=__doc__,
    cron="*/10 * * * *",
    tags=["solar", "migration", "mysql", "mongo"],
    late_after=timedelta(minutes=20),
):
    finish = FinishOperator(task_id="finish", covers=["reading"], outlets=[Asset("x-wattline://solar/reading")])
    for name, (suite, table) in TABLES.items():
        extract = CollectOperator(
            task_id=f"extract_{name}",
            collector=f"wattline.solar.migrate:{name}",
            conn_id="solar_mysql_source",
            pool="mysql_solar",
        )
        gate = GateOperator(task_id=f"gate_{name}", suite=suite, frame=name)
        load = StoreOperator(
            task_id=f"load_{name}", table=table, frame=f"good_{name}", conn_id="solar_mongo", pool="mongo_solar"
        )
        extract >> gate >> load >> finish
