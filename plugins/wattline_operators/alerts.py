"""Alerts: escalate what nobody checks, send what the outbox holds, log every SMS. All of it is about now."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from wattline_operators.base import PipelineOperator, is_live, open_documents, open_store, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

MONGO_CONN_ID, MYSQL_CONN_ID = "solar_mongo", "solar_mysql"


class EscalateOperator(PipelineOperator):
    """Queue messages on faults that nobody has checked in time; a run by hand queues nothing."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Queue; return how many messages are new."""
        from wattline.alerts.escalation import escalate
        from wattline.solar import event_types

        if not is_live(context):
            return {"queued": 0}
        with open_documents(MONGO_CONN_ID) as database:
            return {"queued": escalate(database, event_types.load(database), datetime.now(UTC))}


class DrainOperator(PipelineOperator):
    """Send what is due in the outbox, by WATTLINE_MAIL_URL and WATTLINE_SMS_URL.

    Args:
        limit: about so many messages; the next run goes on.
        budget: no message is taken up later than this; keep it well below the task's timeout.
    """

    def __init__(self, *, limit: int = 5_000, budget: timedelta = timedelta(minutes=3), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limit, self.budget = limit, budget

    def run_step(self, context: Context) -> dict[str, int]:
        """Send; return what became of the messages."""
        from wattline.alerts.deliver import Channels, drain
        from wattline.settings import settings

        given = settings()
        channels = Channels(given.mail_url.get_secret_value(), given.sms_url.get_secret_value())
        with open_documents(MONGO_CONN_ID) as database:
            run = run_name(context)
            counts = asdict(drain(database, channels, datetime.now(UTC), self.limit, self.budget, run=run))
        self.log.info("Outbox: %s", counts)
        return counts


class LogSmsOperator(PipelineOperator):
    """Write every SMS that was sent to MySQL `smslog` and MongoDB `sms_log`."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Write; return how many SMS."""
        from wattline.alerts import sms_log

        with open_documents(MONGO_CONN_ID) as database, open_store(MYSQL_CONN_ID) as store:
            return {"logged": sms_log.write(database, cast("sms_log.Statements", store))}
