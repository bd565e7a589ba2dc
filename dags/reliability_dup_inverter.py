"""### What
Reports every day the inverters that are in the register twice: with the same serial number, or with the same number
behind the same gateway address. Administrators are told of each once.

### Inputs
MongoDB `inverter` (those in use), `remote_ip` (where gateways call from).

### Outputs
MongoDB `duplicate_inverter` (one document a pair, with when it was found, seen and gone), `event` and `event_log`
(302), `outbox`.

### If it fails
The report stays as it was; the next run, or this one when cleared, brings it up to date. Nobody is told twice.
Runbook: `docs/runbooks/platform.md`.
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
