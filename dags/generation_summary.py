"""### What
Says every hour how inverters and plants did on their local days (yield, running hours, performance ratio, deviation
from the peers), sums up months and years, and checks that the figures of days that are over agree.

### Inputs
MongoDB `day_generation`, `time_generation`, `inverterlog_YYYYMM`, `irradiance`; MySQL `customer`, `inverter`. Waits for
`time_generation` of the hour; takes earlier days along that it has marked in `recompute`, or whose light has changed.

### Outputs
MongoDB `day_performance`, `period_generation`, `generation_check`; nonsense of sensors in `quarantine`.

### If it fails
The next run computes the day and its month again; for earlier days clear the run, or run the window again
(`from`/`to`). Days that do not agree fail nothing: `wattline generation check`. Runbook: `docs/runbooks/solar.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.plan import ScopeOperator
from wattline_operators.process import ProcessOperator
from wattline_operators.store import StoreOperator
from wattline_operators.wait import CoverageSensor

MYSQL = {"conn_id": "solar_mysql", "pool": "mysql_solar"}
MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
COLLECT, TABLES = "wattline.solar.collect_summary", "wattline.solar.summary_tables"
PROCESS, LIGHT = "wattline.solar.summary:summarise", "good_irradiance"
READ = ["plants", "inverters", "days", LIGHT, "energy", "hours", "running", "totals", "month_days", "months"]
DONE = Asset("x-wattline://solar/generation_summary")

with pipeline(
    "generation_summary",
    doc=__doc__,
    cron="0 * * * *",
    tags=["solar", "generation", "mysql", "mongo"],
    late_after=timedelta(minutes=55),
    in_order=True,
    step=timedelta(hours=1),
):
    wait = CoverageSensor(task_id="wait_for_time_generation", table="time_generation", in_order=True)
    plan = ScopeOperator(task_id="plan")
    plants = CollectOperator(task_id="collect_plants", collector=f"{COLLECT}:plants", **MYSQL)
    light, days, sums = (
        CollectOperator(task_id=f"collect_{name}", collector=f"{COLLECT}:{name}", inputs=inputs, **MONGO)
        for name, inputs in (("irradiance", ["scope", "plants"]), ("days", ["days"]), ("periods", ["days"]))
    )
    gate = GateOperator(task_id="gate", suite="wattline.solar.irradiance:CHECKED", frame="irradiance", max_bad_share=1)
    process = ProcessOperator(task_id="process", processor=PROCESS, inputs=READ)
    storers = [
        StoreOperator(task_id=f"store_{name.lower()}", table=f"{TABLES}:{name}", frame=name.lower(), **MONGO)
        for name in ("DAY_PERFORMANCE", "PERIOD_GENERATION", "GENERATION_CHECK")
    ]
    wait >> plan >> plants >> light >> [days, sums] >> gate >> process >> storers
    storers >> FinishOperator(task_id="finish", covers=["generation_summary"], outlets=[DONE])
