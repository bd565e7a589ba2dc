"""### What
Says every ten minutes in which state each inverter is (running, stopped, blackout, comm_error, not_generating), raises
and clears events when that changes, one for a plant whose inverters share a fault, and queues their messages.

### Inputs
MySQL `inverter`, `customer` (targets, places); MongoDB `inverterlog_YYYYMM` (tick rows), `run_alert` and its log (the
states before), `event_type`, `users`, `power_station` (who is told). Waits for `inverterlog` of the interval.

### Outputs
MongoDB `event`, `event_log`, `run_alert`, `run_alert_log_YYYYMM`; in `outbox` messages, of live runs only.

### If it fails
The next run goes on from the states before, and tells what lasts. Clear the run, or run from there to now (`wattline
history`): no event is doubled, the next live run tells what is missing. Runbook: `docs/runbooks/events.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.process import ProcessOperator
from wattline_operators.reliability import QueueMessagesOperator, StoreEventsOperator
from wattline_operators.store import StoreOperator
from wattline_operators.wait import CoverageSensor

MYSQL = {"conn_id": "solar_mysql", "pool": "mysql_solar"}
MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
COLLECT, STATES = "wattline.solar.collect_reliability", "wattline.solar.reliability_state"
FRAMES = ["targets", "good_ticks", "states", "earlier", "later"]
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
    targets = CollectOperator(task_id="collect_targets", collector=f"{COLLECT}:targets", **MYSQL)
    logs = CollectOperator(task_id="collect_logs", collector=f"{COLLECT}:ticks", inputs=["targets"], **MONGO)
    states = CollectOperator(task_id="collect_states", collector=f"{COLLECT}:states", **MONGO)
    gate = GateOperator(task_id="gate", suite="wattline.solar.reliability_ticks:STATE_ROWS", frame="ticks")
    check = ProcessOperator(task_id="check", processor="wattline.solar.reliability_check:check", inputs=FRAMES)
    storers = [
        StoreEventsOperator(task_id="store_event", pool="mongo_solar"),
        StoreOperator(
            task_id="store_event_log", table="wattline.solar.legacy_tables:EVENT_LOG", frame="event_log", **MONGO
        ),
        StoreOperator(task_id="store_run_alert", table=f"{STATES}:RUN_ALERT", frame="run_alert", **MONGO),
        StoreOperator(task_id="store_run_alert_log", table=f"{STATES}:RUN_ALERT_LOG", frame="run_alert_log", **MONGO),
    ]
    queue = QueueMessagesOperator(task_id="queue_messages", pool="mongo_solar")
    wait >> targets >> [logs, states] >> gate >> check >> storers >> queue
    queue >> FinishOperator(task_id="finish", covers=["reliability_inverter"], outlets=[DONE])
