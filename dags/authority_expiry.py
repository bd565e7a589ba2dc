"""### What
Lets sessions of the API's users expire that nobody has used for 40 minutes.

### Inputs
MongoDB `login_history` (logins that are neither ended nor expired).

### Outputs
`expired_at` in `login_history`: 40 minutes after the last use, whenever the run comes.

### If it fails
Sessions stay open until the next run, which finds them all. Running it again changes nothing.
Runbook: `docs/runbooks/platform.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.pipeline import pipeline
from wattline_operators.platform import ExpireSessionsOperator, NewestFinishOperator

DONE = Asset("x-wattline://platform/authority_expiry")

with pipeline(
    "authority_expiry",
    doc=__doc__,
    cron="*/10 * * * *",
    tags=["solar", "platform", "mongo"],
    late_after=timedelta(minutes=20),
    in_order=True,
):
    expire = ExpireSessionsOperator(task_id="expire_sessions", pool="mongo_solar")
    expire >> NewestFinishOperator(task_id="finish", covers=["authority_expiry"], outlets=[DONE])
