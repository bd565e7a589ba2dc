"""Runs of the DAGs in this process: every task's own step, against real servers, without a scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from local.settings import CHECKOUT
from wattline.solar.contracts import ALL_TABLES
from wattline.storage import schema
from wattline.storage.coverage import record
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore
from wattline.window import Window
from wattline_operators import base, collect, finish, gate, parts, plan, store, wait
from wattline_operators.base import PipelineOperator
from wattline_operators.wait import CoverageSensor


class Killed(Exception):  # noqa: N818 - what happens to a run
    """The run ended before its time."""


class Platform:
    """Both databases with their schema, and the DAGs that run on them."""

    def __init__(self, mysql_url: str, mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        schema.upgrade_mysql(mysql_url)
        schema.upgrade_mongo(mongo_url, ALL_TABLES)
        self.mysql, self.mongo = MySQLStore.from_url(mysql_url), MongoStore.from_url(mongo_url)
        self.database = self.mongo.database

        @contextmanager
        def open_store(conn_id: str) -> Iterator[Any]:
            yield self.mysql if "mysql" in conn_id else self.mongo

        @contextmanager
        def open_documents(_: str) -> Iterator[Any]:
            yield self.database

        def folder(url: str) -> Path:
            return Path(url.removeprefix("file://"))

        for module in (base, gate):  # Airflow's own paths look for plugins of lineage first
            monkeypatch.setattr(module, "ObjectStoragePath", folder)
        for module in (collect, parts, store):
            monkeypatch.setattr(module, "open_store", open_store)
        for module in (plan, finish, gate, wait):
            monkeypatch.setattr(module, "open_documents", open_documents)
        self._runs = 0

    def read_until(self, end: datetime) -> None:
        """Say that the readings up to `end` were copied."""
        record(self.database, "reading", Window(datetime(2020, 1, 1, tzinfo=end.tzinfo), end))

    def start(
        self,
        dag_id: str,
        window: Window,
        *,
        live: bool = True,
        before: str | None = None,
        run: str | None = None,
        since: str | None = None,
    ) -> dict[str, Any]:
        """One run of a DAG; what its tasks returned.

        Args:
            dag_id: the DAG.
            window: what it computes.
            live: whether it is the scheduler's own run, or one by hand with `from` and `to`.
            before: the task before which it is killed.
            run: name of a run that is done again, or goes on.
            since: the task with which it goes on.
        """
        self._runs += 1
        context = _context(dags()[dag_id], window, run or f"run {self._runs}", live=live)
        returned = {}
        tasks = [*dags()[dag_id].topological_sort()]
        for task in tasks[[task.task_id for task in tasks].index(since) if since else 0 :]:
            if task.task_id == before:
                raise Killed
            context["ti"].task_id = task.task_id
            if isinstance(task, CoverageSensor):
                assert task.poke(context), f"{dag_id} waits for {task.table}"
            else:
                assert isinstance(task, PipelineOperator)
                returned[task.task_id] = task.run_step(context)
        return returned

    def close(self) -> None:
        """Give the connections back."""
        self.mysql.close()
        self.mongo.close()


@cache
def dags() -> dict[str, DAG]:
    """Every DAG by its name."""
    return dict(DagBag(CHECKOUT / "dags").dags)


def _context(dag: DAG, window: Window, run: str, *, live: bool) -> Any:
    interval = {"data_interval_start": window.start, "data_interval_end": window.end}
    given = {"from": window.start.isoformat(), "to": window.end.isoformat()}
    ti = SimpleNamespace(
        dag_id=dag.dag_id, run_id=run, map_index=-1, xcom_push=lambda **_: None, get_previous_dagrun=lambda: None
    )
    return {
        "dag": dag,
        "run_id": run,
        "ti": ti,
        "dag_run": SimpleNamespace(run_type="scheduled" if live else "manual", run_after=window.end),
        "params": {} if live else given,
        **(interval if live else {}),
    }
