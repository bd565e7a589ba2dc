"""### What
Says every ten minutes in which state each inverter is (running, stopped, blackout, comm_error, not_generating), raises
and clears events when that changes, one for a plant whose inverters share a fault, and queues their messages.

### Inputs
MySQL `inverter`, `customer` (targets); MongoDB `inverterlog_YYYYMM` (tick rows), `run_alert` and its log (the states
before), `event`, `event_type`, `users`, `power_station`. Waits for `inverterlog` of the interval.

### Outputs
MongoDB `event`, `event_log`, `run_alert` and its log; `migration_state`, marks in `recompute`; by live runs `outbox`.

### If it fails
The next live run goes back to what is not right, a day at the most, and tells what lasts. Nothing must be cleared;
clearing, or `wattline history`, doubles no event. Runbook: `docs/runbooks/events.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators import reliability
from wattline_operators.collect import CollectOperator
from wattline_operators.gate import GateOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.process import ProcessOperator
from wattline_operators.wait import CoverageSensor

MYSQL = {"conn_id": "solar_mysql", "pool": "mysql_solar"}
MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
COLLECT = "wattline.solar.collect_reliability"
READ = ["span", "targets", "good_ticks", "states", "earlier", "later", "raised"]
STORED = {"run_alert_log": "reliability_state:RUN_ALERT_LOG", "run_alert": "reliability_state:RUN_ALERT"}
STORED |= {"event": "legacy_tables:EVENT", "event_log": "legacy_tables:EVENT_LOG"}
DONE = Asset("x-wattline://solar/reliability_inverter")

with pipeline(
    "reliability_inverter",
    doc=__doc__,
    cron="*/10 * * * *",
    tags=["solar", "reliability", "mysql", "mongo"],
    late_after=timedelta(minutes=50),
    in_order=True,
):
    wait = CoverageSensor(task_id="wait_for_inverterlog", table="inverterlog", in_order=True)
    plan = reliability.PlanSpanOperator(task_id="plan")
    targets = CollectOperator(task_id="collect_targets", collector=f"{COLLECT}:targets", **MYSQL)
    logs, states, events = (
        CollectOperator(task_id=f"collect_{name}", collector=f"{COLLECT}:{name}", inputs=["targets", "span"], **MONGO)
        for name in ("logs", "states", "events")
    )
    gate = GateOperator(task_id="gate", suite="wattline.solar.reliability_ticks:STATE_ROWS", frame="ticks")
    check = ProcessOperator(task_id="check", processor="wattline.solar.reliability_check:check", inputs=READ)
    log, newest, event, event_log = (
        reliability.StoreSpanOperator(task_id=f"store_{frame}", frame=frame, table=f"wattline.solar.{table}", **MONGO)
        for frame, table in STORED.items()
    )
    queue = reliability.QueueMessagesOperator(task_id="queue_messages", pool="mongo_solar")
    finish = reliability.FinishSpanOperator(task_id="finish", covers=["reliability_inverter"], outlets=[DONE])
    wait >> plan >> targets >> [logs, states, events] >> gate >> check >> log
    log >> newest >> event >> event_log >> queue >> finish
