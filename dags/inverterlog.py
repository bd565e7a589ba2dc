"""### What
Says every ten minutes, for every inverter in use, how it stands: power now, energy of the day, lifetime energy that
never falls, whether the reading is stale, whether the counter was reset; and the energy of the plants' local days.

### Inputs
MySQL `inverter`, `customer` (register, time zones); MongoDB `inverter_reading_YYYYMM` (readings of the interval, and
earlier ones that arrived in it late) and the tick rows before. Waits for `migration_inverter_m10` of the interval.

### Outputs
MongoDB `inverterlog_YYYYMM`, MySQL `inverterlog_tick` (a row an inverter and tick); `day_generation`, with plant rows
(`invno` 0), `day_total_generation`; `quarantine`, `quality_result`; in `recompute` marks for readers of changed rows.

### If it fails
Nothing of the window is complete; `inverterlog_fail` says which step and why. Clear the run, and those after it, or run
the window again (`from`/`to`): the same rows come out. Runbook: `docs/runbooks/solar.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.plan import MarkOperator
from wattline_operators.process import ProcessOperator
from wattline_operators.store import SharedStoreOperator, StoreOperator
from wattline_operators.wait import CoverageSensor

MYSQL = {"conn_id": "solar_mysql", "pool": "mysql_solar"}
MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
COLLECT, FRAMES = "wattline.solar.collect", ["inverters", "good_readings", "state", "later", "starts"]
TICKS = {"table": "wattline.solar.tables:TICK_ROW", "frame": "inverterlog"}
DONE = Asset("x-wattline://solar/inverterlog")

with pipeline(
    "inverterlog",
    doc=__doc__,
    cron="*/10 * * * *",
    tags=["solar", "inverterlog", "mysql", "mongo"],
    late_after=timedelta(minutes=40),
    in_order=True,
):
    wait = CoverageSensor(task_id="wait_for_readings", table="reading", in_order=True)
    plants = CollectOperator(task_id="collect_inverters", collector=f"{COLLECT}:inverters", **MYSQL)
    log = CollectOperator(task_id="collect_readings", collector=f"{COLLECT}:readings", inputs=["inverters"], **MONGO)
    gate = GateOperator(task_id="gate", suite="wattline.solar.checks:READINGS", frame="readings")
    process = ProcessOperator(task_id="process", processor="wattline.solar.process:inverter_log", inputs=FRAMES)
    mark = MarkOperator(task_id="mark", readers="wattline.solar.scope:TICK_READERS")
    storers = [
        StoreOperator(task_id="store_inverter_log", **TICKS, **MONGO),
        *(
            SharedStoreOperator(task_id=f"store_{name}", table=f"wattline.solar.tables:{table}", frame=name, **MONGO)
            for name, table in (("day_generation", "DAY_GENERATION"), ("day_total_generation", "DAY_TOTAL_GENERATION"))
        ),
        StoreOperator(task_id="store_mysql_inverter_log", **TICKS, **MYSQL),
    ]
    finish = FinishOperator(task_id="finish", covers=["inverterlog"], outlets=[DONE])
    wait >> plants >> log >> gate >> process >> mark >> storers >> finish
