"""Reliability: what a run computes, how it stores so that later runs and people keep what is theirs, whom it tells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, frames_xcom, is_live, open_documents, run_name
from wattline_operators.finish import FinishOperator
from wattline_operators.store import StoreOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

SPAN = "span"
"""Name of the frame that says what the run computes."""


class PlanSpanOperator(PipelineOperator):
    """Stage as `span` what the run computes: its window, and what a live run goes back to.

    Args:
        mongo_conn_id: Airflow connection id of the MongoDB that keeps how far all is computed.
    """

    template_fields: Sequence[str] = ("mongo_conn_id",)

    def __init__(self, *, mongo_conn_id: str = "solar_mongo", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mongo_conn_id = mongo_conn_id

    def run_step(self, context: Context) -> dict[str, dict[str, Any]]:
        """Plan, stage, and return the reference with the row count."""
        from wattline.solar.history_command import history_command
        from wattline.solar.reliability_check import require_length
        from wattline.solar.reliability_span import plan

        window = self.window(context)
        require_length(window)
        with open_documents(self.mongo_conn_id) as database:
            span, left = plan(database, window, live=is_live(context))
        if left:
            remedy = history_command([context["dag"].dag_id], left.start, left.end)
            self.log.warning("States of %s are not computed again, it is too long ago. If need be: %s", left, remedy)
        self.log.info("Computing %s", span.window)
        return frames_xcom({SPAN: self.staging(context).write(SPAN, span.frame)}, {SPAN: span.frame})


class StoreSpanOperator(StoreOperator):
    """Write a staged frame to MongoDB by natural key; of events, what people and later runs did to them stays.

    If another run has begun since this one planned, the next live run goes back to its span: it may be newer.
    """

    def run_step(self, context: Context) -> dict[str, int]:
        """Write, and return how many rows were inserted, updated, unchanged; of events how many are new or changed."""
        from wattline.solar.events import store_events
        from wattline.solar.reliability_span import Span, hold

        staging = self.staging(context)
        span = Span.of(staging.read(SPAN))
        with open_documents(self.conn_id) as database:
            hold(database, span)
            if self.frame == "event":
                return {"changed": store_events(database, staging.read(self.frame), span.end)}
        return super().run_step(context)


class QueueMessagesOperator(PipelineOperator):
    """Put the messages of the staged `actions` into the outbox, and those that runs of the last day have missed.

    Only live runs do, of times that ended lately and behind which nothing is computed yet: a run of last week that is
    cleared has no news, and after one of an hour ago the next live run tells what lasts. Any run gives up what still
    waits for events that others took the place of, and moves messages with their incident. The outbox knows what it
    has already.

    Args:
        mongo_conn_id: Airflow connection id of the MongoDB that keeps the outbox, event types and recipients.
    """

    template_fields: Sequence[str] = ("mongo_conn_id",)

    def __init__(self, *, mongo_conn_id: str = "solar_mongo", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mongo_conn_id = mongo_conn_id

    def run_step(self, context: Context) -> int:
        """Queue; return how many messages are new."""
        from wattline.solar.event_messages import NEWS, tell
        from wattline.solar.reliability_span import Span

        staging = self.staging(context)
        span, actions, moves = Span.of(staging.read(SPAN)), staging.read("actions"), staging.read("moved")
        live = is_live(context) and not span.behind and span.end >= datetime.now(UTC) - NEWS
        with open_documents(self.mongo_conn_id) as database:
            queued = tell(database, actions, moves, span.end, live=live, run=run_name(context))
        self.log.info("%d changes, %d messages, %d missed before", actions.height, queued.found, queued.missed)
        return queued.found + queued.missed


class FinishSpanOperator(FinishOperator):
    """Finish the run, and write down up to when all is right now. What was gone back to is complete as well."""

    def run_step(self, context: Context) -> None:
        """Settle, then what every run does at its end."""
        from wattline.solar.reliability_span import Span, finish
        from wattline.storage.coverage import covered, record

        staging = self.staging(context)
        if staging.holds(SPAN):  # else a try before was killed while it cleared staging
            span = Span.of(staging.read(SPAN))
            with open_documents(self.mongo_conn_id) as database:
                finish(database, span, settled=staging.read("settled").item())
                # Where rows were missing when they were read, whoever waits for this goes on waiting.
                if covered(database, "inverterlog", span.window):
                    for table in self.covers:
                        record(database, table, span.window)
        super().run_step(context)
