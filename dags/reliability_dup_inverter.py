"""### What
Reports every day the inverters that are in the register twice: with the same serial number, or with the same number
behind the same address and port of a gateway. Administrators are told once of each that lasts, and again when a pair
that was gone is back.

### Inputs
MongoDB `inverter` (those in use at the end of the window) and `remote_ip` (where gateways call from), as they are now.

### Outputs
MongoDB `duplicate_inverter` (one document a pair, with when it was found, seen, gone, and queued to be told), `event`
and `event_log` (302); by live runs `outbox`.

### If it fails
The next run, or this one when cleared, brings report and events up to date, and the next live run tells what nobody was
told of. A run that is older than the report changes nothing. Runbook: `docs/runbooks/platform.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.platform import QueueDuplicatesOperator, StoreDuplicatesOperator
from wattline_operators.process import ProcessOperator

MODULE = "wattline.solar.duplicates"
MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
DONE = Asset("x-wattline://solar/reliability_dup_inverter")

with pipeline(
    "reliability_dup_inverter",
    doc=__doc__,
    cron="0 0 * * *",
    tags=["solar", "reliability", "mongo"],
    late_after=timedelta(hours=1),
    in_order=True,
    step=timedelta(days=1),
):
    register = CollectOperator(task_id="collect_register", collector=f"{MODULE}:register", **MONGO)
    process = ProcessOperator(task_id="process", processor=f"{MODULE}:duplicates", inputs=["inverters", "gateways"])
    store = StoreDuplicatesOperator(task_id="store_duplicates", pool="mongo_solar")
    queue = QueueDuplicatesOperator(task_id="queue_messages", pool="mongo_solar")
    finish = FinishOperator(task_id="finish", covers=["reliability_dup_inverter"], outlets=[DONE])
    register >> process >> store >> queue >> finish
