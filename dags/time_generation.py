"""### What
Says every hour how much energy each inverter and plant made in the clock hour before, from the growth of the lifetime
counter. Nothing is guessed: what appears after an outage is in the hour in which it was reported, with `spans_gap`.

### Inputs
MongoDB `inverterlog_YYYYMM` (tick rows), MySQL `inverter` and `customer` (time zones), the hours that are stored
already. Waits for `inverterlog` of the hour; takes earlier hours along that `inverterlog` has marked in `recompute`.

### Outputs
MongoDB `time_generation` and MySQL `timegeneration` (with plant rows, `invno` 0): `timekw`, `spans_gap`,
`counter_reset`, `fresh_ticks` (0: no data; then what the old system said stays). The gate in `quality_result`; marks
for `generation_summary`.

### If it fails
The hour is not complete, and marks stay until a run has dealt with them. Clear the run, or run the window again
(`from`/`to`): the same rows come out. Runbook: `docs/runbooks/solar.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.plan import MarkOperator, ScopeOperator
from wattline_operators.process import ProcessOperator
from wattline_operators.store import SharedStoreOperator
from wattline_operators.wait import CoverageSensor

MYSQL = {"conn_id": "solar_mysql", "pool": "mysql_solar"}
MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
PLANNED = ["scope", "inverters"]
COLLECT, PROCESS = "wattline.solar.collect_generation", "wattline.solar.generation:time_generation"
ROWS = {"table": "wattline.solar.legacy_tables:TIME_GENERATION", "frame": "time_generation"}
DONE = Asset("x-wattline://solar/time_generation")

with pipeline(
    "time_generation",
    doc=__doc__,
    cron="0 * * * *",
    tags=["solar", "generation", "mysql", "mongo"],
    late_after=timedelta(minutes=50),
    in_order=True,
    step=timedelta(hours=1),
):
    wait = CoverageSensor(task_id="wait_for_inverterlog", table="inverterlog", in_order=True)
    plan = ScopeOperator(task_id="plan", most_days=3)
    plants = CollectOperator(task_id="collect_inverters", collector=f"{COLLECT}:inverters", **MYSQL)
    logs = CollectOperator(task_id="collect_logs", collector=f"{COLLECT}:hour_logs", inputs=PLANNED, **MONGO)
    hours = CollectOperator(task_id="collect_hours", collector=f"{COLLECT}:stored_hours", inputs=PLANNED, **MONGO)
    gate = GateOperator(task_id="gate", suite="wattline.solar.checks:LOG_ROWS", frame="logs")
    process = ProcessOperator(task_id="process", processor=PROCESS, inputs=[*PLANNED, "good_logs", "hours"])
    mark = MarkOperator(task_id="mark", readers="wattline.solar.scope:HOUR_READERS")
    mongo = SharedStoreOperator(task_id="store_time_generation", **ROWS, **MONGO)
    mysql = SharedStoreOperator(task_id="store_mysql_time_generation", **ROWS, **MYSQL)
    wait >> plan >> plants >> [logs, hours] >> gate >> process >> mark >> [mongo, mysql]
    [mongo, mysql] >> FinishOperator(task_id="finish", covers=["time_generation"], outlets=[DONE])
