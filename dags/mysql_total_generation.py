"""### What
Writes the energy of the plants' local days and their lifetime energy to MySQL every hour, for the screens that read
there: what the newest tick row of each inverter says of the days that the hour, or a late reading, touched.

### Inputs
MongoDB `inverterlog_YYYYMM` (tick rows), MySQL `inverter` and `customer` (time zones). Waits for `inverterlog` of the
hour; takes earlier days along that `inverterlog` has marked in `recompute`.

### Outputs
MySQL `daygeneration` and `daytotalgeneration`, with plant rows (`invno` 0); the gate in `quality_result`. A row that is
there stays where no reading of the day is known.

### If it fails
MySQL keeps what the hour before wrote; marks stay until a run has dealt with them. Clear the run, or run the window
again (`from`/`to`): days come out as they are known now. Runbook: `docs/runbooks/solar.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.plan import ScopeOperator
from wattline_operators.process import ProcessOperator
from wattline_operators.store import SharedStoreOperator
from wattline_operators.wait import CoverageSensor

MYSQL = {"conn_id": "solar_mysql", "pool": "mysql_solar"}
MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
PLANNED = ["scope", "inverters"]
COLLECT, PROCESS = "wattline.solar.collect_generation", "wattline.solar.generation:total_generation"
DAY = {"table": "wattline.solar.tables:DAY_GENERATION", "frame": "day_generation"}
TOTAL = {"table": "wattline.solar.tables:DAY_TOTAL_GENERATION", "frame": "day_total_generation"}
DONE = Asset("x-wattline://solar/mysql_total_generation")

with pipeline(
    "mysql_total_generation",
    doc=__doc__,
    cron="0 * * * *",
    tags=["solar", "generation", "mysql", "mongo"],
    late_after=timedelta(minutes=50),
    in_order=True,
    step=timedelta(hours=1),
):
    wait = CoverageSensor(task_id="wait_for_inverterlog", table="inverterlog", in_order=True)
    plan = ScopeOperator(task_id="plan")
    plants = CollectOperator(task_id="collect_inverters", collector=f"{COLLECT}:inverters", **MYSQL)
    logs = CollectOperator(task_id="collect_logs", collector=f"{COLLECT}:day_logs", inputs=PLANNED, **MONGO)
    gate = GateOperator(task_id="gate", suite="wattline.solar.checks:LOG_ROWS", frame="logs")
    process = ProcessOperator(task_id="process", processor=PROCESS, inputs=[*PLANNED, "good_logs"])
    day = SharedStoreOperator(task_id="store_mysql_day_generation", **DAY, **MYSQL)
    total = SharedStoreOperator(task_id="store_mysql_day_total_generation", **TOTAL, **MYSQL)
    wait >> plan >> plants >> logs >> gate >> process >> [day, total]
    [day, total] >> FinishOperator(task_id="finish", covers=["mysql_total_generation"], outlets=[DONE])
