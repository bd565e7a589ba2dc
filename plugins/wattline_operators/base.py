"""What every Wattline operator does: know its window, stage frames, open stores, say why it failed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Connection, ObjectStoragePath
from airflow.sdk.exceptions import AirflowTaskTimeout

from wattline.errors import TerminalError
from wattline.settings import settings
from wattline.window import Window, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    from airflow.providers.mongo.hooks.mongo import MongoHook
    from airflow.sdk import Context
    from pymongo.database import Database

    from wattline.storage.staging import Staging
    from wattline.storage.store import Store

_GRID = timedelta(minutes=10)
"""The ends of windows lie on its multiples, or on those of the DAG's own step where that is shorter."""
ERROR_KEY = "error"
"""XCom key under which a failing step leaves one line on why, for the on-call message."""


class PipelineOperator(BaseOperator):
    """Base of the steps of a pipeline.

    A step names frames; they are staged per run, so that a rerun of one task finds what earlier tasks left.

    Args:
        step: the distance of two runs' windows in minutes, for a manual run without any interval.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8f1e4"

    def __init__(self, *, step: int = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step

    def execute(self, context: Context) -> Any:
        """Run the step; on an error leave its last line in XCom before it goes on."""
        try:
            return self.run_step(context)
        except (Exception, AirflowTaskTimeout) as error:
            leave_error(context, error)
            raise

    @abstractmethod
    def run_step(self, context: Context) -> Any:
        """What the step does."""

    def window(self, context: Context) -> Window:
        """The half-open UTC window of this run: parameters, else data interval, else the last closed step."""
        return window_of(context, timedelta(minutes=self.step))

    def staging(self, context: Context) -> Staging:
        """The frames of this run."""
        return staging_of(context)


def leave_error(context: Context, error: BaseException) -> None:
    """Push `Type: message`, one line, for the on-call message."""
    line = f"{type(error).__name__}: {' '.join(str(error).split())}"
    context["ti"].xcom_push(key=ERROR_KEY, value=line[:500])


def window_of(context: Context | Mapping[str, Any], step: timedelta) -> Window:
    """The half-open UTC window of the run behind `context`."""
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    interval = (_plain(start), _plain(end)) if start and end else None
    run_after = interval[1] if interval else _plain(context["dag_run"].run_after)
    window = resolve(context.get("params") or {}, interval, run_after, step)
    window.require_past("to")
    window.require_grid(min(_GRID, step), "from/to")
    return window


def is_live(context: Context | Mapping[str, Any]) -> bool:
    """Whether a run follows the source: the scheduler's own, without `from` and `to`."""
    params = context.get("params") or {}
    return context["dag_run"].run_type == "scheduled" and not (params.get("from") or params.get("to"))


def run_name(context: Context | Mapping[str, Any]) -> str:
    """The run behind `context`, `dag_id/run_id`."""
    return f"{context['dag'].dag_id}/{context['run_id']}"


def staging_of(context: Context) -> Staging:
    """The frames of the run behind `context`, below the staging folder (local, or an object store by URL)."""
    from wattline.storage.staging import Staging

    return Staging(ObjectStoragePath(settings().staging_url), f"{context['dag'].dag_id}/{context['run_id']}")


@contextmanager
def open_store(conn_id: str) -> Iterator[Store]:
    """The store behind an Airflow connection, closed at the end; the connection's type says which database it is."""
    store = _mysql(conn_id) if Connection.get(conn_id).conn_type == "mysql" else _mongo(conn_id)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def open_documents(mongo_conn_id: str) -> Iterator[Database[dict[str, Any]]]:
    """The MongoDB database behind a connection, closed at the end."""
    from airflow.providers.mongo.hooks.mongo import MongoHook

    with MongoHook(mongo_conn_id=mongo_conn_id) as hook:
        yield hook.get_conn().get_database(_database_name(hook))


def frames_xcom(references: Mapping[str, str], frames: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, Any]]:
    """What a step returns through XCom: per frame its staged reference and row count, never rows."""
    return {name: {"reference": references[name], "rows": frame.height} for name, frame in frames.items()}


def _mysql(conn_id: str) -> Store:
    from airflow.providers.mysql.hooks.mysql import MySqlHook

    from wattline.storage.mysql import MySQLStore

    hook = MySqlHook(mysql_conn_id=conn_id, local_infile=True)
    return MySQLStore(hook.get_conn, hook.get_uri())


def _mongo(conn_id: str) -> Store:
    from airflow.providers.mongo.hooks.mongo import MongoHook

    from wattline.storage.mongo import MongoStore

    hook = MongoHook(mongo_conn_id=conn_id)
    return MongoStore(hook.get_conn(), _database_name(hook))


def _database_name(hook: MongoHook) -> str:
    name = hook.connection.schema
    if not name:
        raise TerminalError(f"the Airflow connection {hook.mongo_conn_id!r} names no database: fill in its schema")
    return name


def _plain(moment: Any) -> datetime:
    """A pendulum DateTime as a plain datetime."""
    return datetime.fromisoformat(moment.isoformat())
