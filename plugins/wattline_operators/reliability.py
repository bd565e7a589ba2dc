"""Reliability: events are written so that what people did to them stays, and live runs queue messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, is_live, open_documents, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

NEWS = timedelta(hours=6)
"""A run of a window that is over for longer records, and tells nobody, even where it is the scheduler's own."""


class StoreEventsOperator(PipelineOperator):
    """Write the staged frame `event` to MongoDB by natural key.

    Args:
        mongo_conn_id: Airflow connection id of the MongoDB that keeps events.
    """

    template_fields: Sequence[str] = ("mongo_conn_id",)

    def __init__(self, *, mongo_conn_id: str = "solar_mongo", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mongo_conn_id = mongo_conn_id

    def run_step(self, context: Context) -> int:
        """Write; return how many events are new or changed."""
        from wattline.solar.events import store_events

        rows = self.staging(context).read("event")
        with open_documents(self.mongo_conn_id) as database:
            return store_events(database, rows, self.window(context).end)


class QueueMessagesOperator(PipelineOperator):
    """Put the messages of the staged `actions` into the outbox, and those that runs of the last day have missed.

    Only live runs do, and only of windows that ended lately: a run of last week that is cleared has no news. What
    still waits for events that others took the place of is given up by any run. The outbox knows what it has already.

    Args:
        mongo_conn_id: Airflow connection id of the MongoDB that keeps the outbox, event types and recipients.
    """

    template_fields: Sequence[str] = ("mongo_conn_id",)

    def __init__(self, *, mongo_conn_id: str = "solar_mongo", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mongo_conn_id = mongo_conn_id

    def run_step(self, context: Context) -> int:
        """Queue; return how many messages are new."""
        from wattline.solar.event_messages import tell

        actions, end = self.staging(context).read("actions"), self.window(context).end
        live = is_live(context) and end >= datetime.now(UTC) - NEWS
        with open_documents(self.mongo_conn_id) as database:
            queued = tell(database, actions, end, live=live, run=run_name(context))
        self.log.info("%d changes, %d messages, %d missed before", actions.height, queued.found, queued.missed)
        return queued.found + queued.missed
