"""Tell the on-call of failed and late runs, by the callbacks that every DAG is wired with, and of drift.

`notify_failure` runs in the DAG processor, `late_run` in the triggerer; both are told little by Airflow and find the
rest through the execution API. `tell_drift` is called by a task that goes on. What was said last is kept in the Airflow
Variable `wattline_oncall`, because MySQL and MongoDB may be the very thing that is down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from airflow.sdk import (  # type: ignore[attr-defined]  # the stub of airflow.sdk lacks the first three
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
    Variable,
    conf,
)

from wattline_operators.base import ERROR_KEY, PipelineOperator, open_documents, window_of

if TYPE_CHECKING:
    from airflow.sdk import DAG, Context

    from wattline.alerts.duty import Delivery
    from wattline.alerts.oncall import Failure, Language
    from wattline.window import Window

LOG_PIPELINES = frozenset({"inverterlog", "migration_inverter_m10"})
"""DAGs whose failed steps are also kept in `inverterlog_fail`."""
MONGO_CONN_ID = "solar_mongo"
WATCHED_RUNS = frozenset({"scheduled", "asset_triggered"})
"""Run types that must be in time; a backfill waits for its turn by design, and a manual run has somebody watching."""
TIMED_OUT = "timed_out"
"""Airflow's `reason` of a callback after dagrun_timeout."""

_DEFAULT_STEP = timedelta(minutes=10)
_Found = TypeVar("_Found")
log = logging.getLogger(__name__)


def notify_failure(context: Context) -> None:
    """The DAG-level `on_failure_callback` of every DAG: one message per failed run, folded per task.

    Raises:
        NotificationError: a channel did not take the message; what happened is recorded before.
    """
    _tell(_failures(context))


async def late_run(context: Mapping[str, Any]) -> None:
    """The callback of `deadline_alert`.

    Args:
        context: `dag_run` (the REST API's form of it) and `deadline` (id and deadline_time).

    Raises:
        NotificationError: as `notify_failure`.
    """
    run = context["dag_run"]
    # A failed run was told of when it failed; its deadline fires all the same.
    if run["run_type"] in WATCHED_RUNS and run["state"] != "failed":
        # The triggerer's loop serves every other trigger: mail and SMS wait in a thread of their own.
        await asyncio.to_thread(lambda: _tell([_lateness(run, context["deadline"])]))


def tell_drift(context: Context, table: str, lines: Sequence[str]) -> None:
    """Tell of what a task found in the source that the migration of `table` does not know; folded by table.

    The copy goes on, so nothing is raised: what goes wrong is logged.
    """
    _attempt("tell of drift", lambda: _tell([_drift(context, table, lines)]), None)


def deadline_alert(after: timedelta) -> DeadlineAlert:
    """An alert for runs that are not finished `after` they were queued."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=after, callback=AsyncCallback(late_run), name="late"
    )


def _tell(failures: Sequence[Failure]) -> None:
    from wattline.alerts.channels import NotificationError
    from wattline.alerts.duty import VARIABLE, dump_memory, load_memory, tell
    from wattline.settings import settings

    options, now = settings(), datetime.now(UTC)
    memory = load_memory(_attempt("read what was said last", lambda: Variable.get(VARIABLE, default=None), None))
    memory, deliveries = tell(
        failures,
        memory,
        options.oncall_urls.get_secret_value().split(),
        now=now,
        window=timedelta(minutes=options.oncall_fold_minutes),
        language=options.oncall_language,
    )
    _attempt("keep what was said", lambda: Variable.set(VARIABLE, dump_memory(memory)), None)
    _attempt("record the notice", lambda: _record(failures, deliveries, now, options.oncall_language), None)
    results = [delivery.result for delivery in deliveries]
    log.info("On-call: %s", results or "folded")
    if not all(result.ok for result in results):
        raise NotificationError(results)


def _record(failures: Sequence[Failure], deliveries: Sequence[Delivery], now: datetime, language: Language) -> None:
    from wattline.alerts.duty import log_failure_documents, notice_documents, sms_documents
    from wattline.storage.documents import documents, put

    steps = [each for each in failures if each.dag_id in LOG_PIPELINES and each.kind == "failed"]
    with open_documents(MONGO_CONN_ID) as database:
        for name, entries in {
            "oncall_notice": notice_documents(failures, deliveries, now, language),
            "sms_log": sms_documents(deliveries, now),
            "inverterlog_fail": log_failure_documents(steps, now),
        }.items():
            for entry in entries:
                put(documents(database, name), entry)


def _failures(context: Context) -> list[Failure]:
    """What failed in the run, in the order of its tasks; the task Airflow names, where nothing else can be found."""
    dag, run_id, reason = context["dag"], context["run_id"], str(context.get("reason") or "")
    last = context.get("ti")
    window = _attempt("find the interval", lambda: _window(context), None)
    if reason == TIMED_OUT:
        error = f"TimeoutError: the run took longer than its dagrun_timeout of {dag.dagrun_timeout}"
        return [_failure(context, last.task_id if last else "", window, error)]
    named = [_name(last)] if last else []
    failed = _attempt("find the failed tasks", lambda: _tasks(dag.dag_id, run_id, {"failed"}), named) or named
    if not failed:
        return [_failure(context, "", window, f"the run failed: {reason}")]
    task_ids = list(dag.task_ids)
    failed.sort(key=lambda name: (task_ids.index(_split(name, task_ids)[0]), name))
    return [_failure(context, name, window, _error(dag, run_id, *_split(name, task_ids))) for name in failed]


def _failure(context: Context, name: str, window: Window | None, error: str) -> Failure:
    from wattline.alerts.oncall import Failure, last_line

    dag_id, run_id, last = context["dag"].dag_id, context["run_id"], context.get("ti")
    attempt = last.try_number if last and _name(last) == name else 0
    task_id, map_index = _split(name, context["dag"].task_ids)
    url = _run_url(dag_id, run_id) + (f"/tasks/{task_id}" if task_id else "")
    url += (f"/mapped/{map_index}" if map_index >= 0 else "") + (f"?try_number={attempt}" if attempt else "")
    return Failure(dag_id, name, run_id, window, attempt, last_line(error), url)


def _lateness(run: Mapping[str, Any], deadline: Mapping[str, Any]) -> Failure:
    from wattline.alerts.oncall import Failure
    from wattline.window import Window

    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    start, end = (run[f"data_interval_{side}"] for side in ("start", "end"))
    window = Window(_moment(start), _moment(end)) if start and end and start != end else None
    nothing: list[str] = []
    busy = _attempt("find the tasks at work", lambda: _tasks(dag_id, run_id, {"running", "up_for_retry"}), nothing)
    due = f"{run['state']}, was due at {_moment(deadline['deadline_time']):%Y-%m-%d %H:%M} UTC"
    state = f"{due}; at work: {', '.join(busy)}" if busy else due
    return Failure(dag_id, "", run_id, window, 0, state, _run_url(dag_id, run_id), kind="late")


def _drift(context: Context, table: str, lines: Sequence[str]) -> Failure:
    from wattline.alerts.oncall import last_line

    window = _attempt("find the interval", lambda: _window(context), None)
    told = tuple(last_line(" ".join(line.split())) for line in lines)
    failure = _failure(context, _name(context["ti"]), window, "; ".join(told))
    return replace(failure, kind="drift", table=table, lines=told)


def _window(context: Context) -> Window:
    step = getattr(context.get("task"), "step", None)
    return window_of(context, timedelta(minutes=step) if isinstance(step, int) else _DEFAULT_STEP)


def _tasks(dag_id: str, run_id: str, states: set[str]) -> list[str]:
    """Task instances of the run that are in `states`; a mapped one is called `task_index`."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    found = RuntimeTaskInstance.get_task_states(dag_id=dag_id, run_ids=[run_id]).get(run_id, {})
    return [name for name, state in found.items() if state in states]


def _error(dag: DAG, run_id: str, task_id: str, map_index: int) -> str:
    """The line that the task left on its error; empty where a step was killed before it could."""
    from airflow.sdk.execution_time.xcom import XCom

    key = {"key": ERROR_KEY, "dag_id": dag.dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    left = _attempt("read the error", lambda: XCom.get_one(**key), None)
    task = dag.get_task(task_id)
    if left is None and not issubclass(getattr(task, "operator_class", type(task)), PipelineOperator):
        return f"{task.task_type} leaves no error line; its log says why"
    return str(left or "")


def _name(ti: Any) -> str:
    return f"{ti.task_id}_{ti.map_index}" if ti.map_index is not None and ti.map_index >= 0 else str(ti.task_id)


def _split(name: str, task_ids: Any) -> tuple[str, int]:
    """Task id and map index (-1 where it is not mapped) behind a name of `_tasks`."""
    if not name or name in task_ids:
        return name, -1
    task_id, _, index = name.rpartition("_")
    return task_id, int(index)


def _run_url(dag_id: str, run_id: str) -> str:
    return f"{conf.get('api', 'base_url', fallback='http://localhost:8080').rstrip('/')}/dags/{dag_id}/runs/{quote(run_id)}"


def _moment(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else value.astimezone(UTC)


def _attempt(purpose: str, action: Callable[[], _Found], default: _Found) -> _Found:
    """The result of `action`; a message with less detail is better than none, so an error is logged, not raised."""
    try:
        return action()
    except Exception:
        log.exception("On-call: could not %s", purpose)
        return default
