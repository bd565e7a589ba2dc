"""### What
Takes resets that gateways have carried out from the queue of commands, keeps them in the history, and tells the number
that each names that it is done, by SMS, once.

### Inputs
MongoDB `command_queue` (commands `reset` with `finished_at`), `users` (language of a number).

### Outputs
MongoDB `command_history`, `outbox`; the commands leave `command_queue`.

### If it fails
Commands stay in the queue until all is done; the next run takes them. One that cannot be told is kept and logged, and
stops no other. Window and interval do not matter.
Runbook: `docs/runbooks/platform.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.pipeline import pipeline
from wattline_operators.platform import CompleteCommandsOperator, NewestFinishOperator

DONE = Asset("x-wattline://solar/command_complete")

with pipeline(
    "command_complete",
    doc=__doc__,
    cron="* * * * *",
    tags=["solar", "commands", "mongo"],
    late_after=timedelta(minutes=10),
    in_order=True,
    task_timeout=timedelta(minutes=5),
    step=timedelta(minutes=1),
):
    complete = CompleteCommandsOperator(task_id="complete_commands", pool="mongo_solar")
    complete >> NewestFinishOperator(task_id="finish", covers=["command_complete"], outlets=[DONE])
