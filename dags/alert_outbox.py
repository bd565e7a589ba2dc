"""### What
Sends, every minute, the messages that pipelines have queued for people: mail and SMS on events, each at most once.
Faults that nobody has checked in time are told to the plant's manager, then to the administrators.

### Inputs
MongoDB `outbox`, `event` (what is over or checked is not told any more), `event_type`, `users`, `power_station`,
`customer`; the settings `WATTLINE_MAIL_URL` and `WATTLINE_SMS_URL`.

### Outputs
Mail and SMS; in `outbox` what became of each message; MongoDB `sms_log` and MySQL `smslog`, a row an SMS.

### If it fails
No message is lost or doubled: what is not sent waits until a day after it was due. Leave failed runs alone, the next
one goes on. Sending waits neither for escalation nor for the SMS log, and SMS are logged although sending failed.
What may or may not have been sent is `unknown`, is told to the administrators, and is never sent again.
Runbook: `docs/runbooks/alerts.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset, TriggerRule

from wattline_operators.alerts import DrainOperator, EscalateOperator, LogSmsOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.platform import NewestFinishOperator

DONE = Asset("x-wattline://solar/alert_outbox")

with pipeline(
    "alert_outbox",
    doc=__doc__,
    cron="* * * * *",
    tags=["solar", "alerts", "mysql", "mongo"],
    late_after=timedelta(minutes=10),
    in_order=True,
    task_timeout=timedelta(minutes=5),
    step=timedelta(minutes=1),
):
    # Sending waits for nothing. What fails beside it is done by the next run: retries would hold that up.
    escalate = EscalateOperator(task_id="escalate", pool="mongo_solar", retries=0)
    send = DrainOperator(task_id="send")
    # What one channel has sent is logged although the other made `send` fail.
    log_sms = LogSmsOperator(task_id="log_sms", pool="mysql_solar", retries=0, trigger_rule=TriggerRule.ALL_DONE)
    finish = NewestFinishOperator(task_id="finish", covers=["alert_outbox"], outlets=[DONE])
    send >> log_sms
    [escalate, send, log_sms] >> finish
