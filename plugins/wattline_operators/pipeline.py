"""The one way a Wattline DAG is made: intervals, retries, timeouts, alerts and parameters alike for all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, ExceptionRetryPolicy, Param, RetryAction, RetryRule

from wattline.errors import TerminalError
from wattline.settings import settings
from wattline_operators.oncall import deadline_alert, notify_failure

FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
"""Before any plant: backfills may reach back to here."""


def pipeline(
    dag_id: str,
    *,
    doc: str | None,
    cron: str,
    tags: Sequence[str],
    late_after: timedelta,
    task_timeout: timedelta = timedelta(minutes=30),
    in_order: bool = False,
    step: timedelta = timedelta(minutes=10),
) -> DAG:
    """A DAG whose runs compute closed, half-open UTC intervals.

    Args:
        dag_id: the DAG's name, and its file's.
        doc: What / Inputs / Outputs / If it fails, as Markdown.
        cron: when intervals end, in UTC.
        tags: the system first.
        late_after: the on-call is told when a run is not done this long after it was queued.
        task_timeout: the longest one try of a task may take.
        in_order: one run after the other, oldest first, because each builds on the one before.
        step: the distance of two runs' windows.
    """
    return DAG(
        dag_id,
        doc_md=doc,
        schedule=CronDataIntervalTimetable(cron, timezone="UTC"),
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1 if in_order else 4,
        tags=set(tags),
        params={name: _time_param(title) for name, title in (("from", "From (inclusive)"), ("to", "To (exclusive)"))},
        on_failure_callback=notify_failure,
        deadline=deadline_alert(late_after),
        default_args={
            "owner": "wattline",
            "retries": 3,
            "retry_delay": timedelta(seconds=settings().retry_seconds),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(minutes=10),
            "retry_policy": ExceptionRetryPolicy(rules=[RetryRule(TerminalError, action=RetryAction.FAIL)]),
            "execution_timeout": task_timeout,
            "step": int(step.total_seconds() // 60),
        },
    )


def _time_param(title: str) -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="date-time",
        title=title,
        description="Time with offset: 2026-11-01T00:00:00Z. Give both to compute any past window; else the interval.",
    )
