"""### What
Says every five minutes whether the platform works: disk, memory and load of the machine, both databases, how fresh
every pipeline's result and every gateway's word is, and whether messages leave. Administrators are told once when
something goes down, and once when it is back. `wattline watchdog`, outside Airflow, tells when heartbeat itself is
silent, and when messages do not leave.

### Inputs
The machine; MySQL; MongoDB `migration_state` (newest complete windows), `inverter`, `client_status`, `power_station`,
`users`, `outbox`, and the `server_status` of the run before.

### Outputs
MongoDB `server_status` (one document a run), `event` and `event_log` (301), `outbox`.

### If it fails
Nobody is told of anything but by the watchdog. The next run measures anew and tells what is still down: leave the old
run alone. Window and interval do not matter; a run by hand only measures. Runbook: `docs/runbooks/platform.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline.settings import settings
from wattline_operators.collect import CollectOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.platform import (
    NewestFinishOperator,
    QueueStatusOperator,
    ServerStatusOperator,
    StoreStatusOperator,
)

DONE = Asset("x-wattline://platform/heartbeat")

with pipeline(
    "heartbeat",
    doc=__doc__,
    cron=f"*/{settings().heartbeat_minutes} * * * *",
    tags=["solar", "platform", "mysql", "mongo"],
    late_after=timedelta(minutes=10),
    in_order=True,
    task_timeout=timedelta(minutes=5),
    step=timedelta(minutes=settings().heartbeat_minutes),
):
    server = ServerStatusOperator(task_id="collect_server_status")
    collected = [
        CollectOperator(
            task_id=f"collect_{module.rpartition('.')[2]}",
            collector=f"wattline.{module}:freshness",
            conn_id="solar_mongo",
        )
        for module in ("platform.pipelines", "solar.gateways", "platform.messages")
    ]
    store = StoreStatusOperator(task_id="store_server_status")
    queue = QueueStatusOperator(task_id="queue_messages")
    [server, *collected] >> store >> queue
    queue >> NewestFinishOperator(task_id="finish", covers=["heartbeat"], outlets=[DONE])
