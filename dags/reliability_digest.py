"""### What
Says every day how reliable each inverter and plant was on the local day that ended: ticks of the daylight expected and
received, availability, faults, mean time to repair. Every plant manager gets a mail of their plants.

### Inputs
MySQL `inverter`, `customer` (targets, coordinates, time zones); MongoDB `inverterlog_YYYYMM` (tick rows that are not
stale), `event` (201 to 203, the platform's own), `power_station`, `users`. Waits for `reliability_inverter` of the day;
takes earlier days along that `inverterlog` and `reliability_inverter` have marked in `recompute`.

### Outputs
MongoDB `reliability_day`; the digest mails in `outbox`, by live runs only and once a manager and day.

### If it fails
No mail goes out before the figures are stored. Clear the run, or run any window again (`from`/`to`): the same rows come
out, and no mail. Runbook: `docs/runbooks/platform.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.plan import ScopeOperator
from wattline_operators.platform import QueueDigestsOperator
from wattline_operators.process import ProcessOperator
from wattline_operators.store import StoreOperator
from wattline_operators.wait import CoverageSensor

MYSQL = {"conn_id": "solar_mysql", "pool": "mysql_solar"}
MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
COLLECT, MODULE = "wattline.solar.collect_availability", "wattline.solar.availability"
READ = ["days", "targets", "good_ticks", "events"]
DONE = Asset("x-wattline://solar/reliability_digest")

with pipeline(
    "reliability_digest",
    doc=__doc__,
    cron="0 0 * * *",
    tags=["solar", "reliability", "mysql", "mongo"],
    late_after=timedelta(hours=1),
    in_order=True,
    step=timedelta(days=1),
):
    wait = CoverageSensor(task_id="wait_for_reliability_inverter", table="reliability_inverter", in_order=True)
    plan = ScopeOperator(task_id="plan")
    targets = CollectOperator(task_id="collect_targets", collector=f"{COLLECT}:targets", inputs=["scope"], **MYSQL)
    logs, events = (
        CollectOperator(task_id=f"collect_{name}", collector=f"{COLLECT}:{name}", inputs=["days"], **MONGO)
        for name in ("ticks", "events")
    )
    gate = GateOperator(task_id="gate", suite=f"{MODULE}:FRESH_TICKS", frame="ticks")
    process = ProcessOperator(task_id="process", processor=f"{MODULE}:reliability", inputs=READ)
    store = StoreOperator(task_id="store_days", table=f"{MODULE}:RELIABILITY_DAY", frame="reliability_day", **MONGO)
    queue = QueueDigestsOperator(task_id="queue_digests", pool="mongo_solar")
    finish = FinishOperator(task_id="finish", covers=["reliability_digest"], outlets=[DONE])
    wait >> plan >> targets >> [logs, events] >> gate >> process >> store >> queue >> finish
