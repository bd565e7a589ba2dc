"""One whole platform for all end-to-end tests: the local stack, in a throw-away folder, on free ports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import MySQLdb
import psutil
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from local.environment import DATABASE
from local.servers import HOST, OWNER, free_port
from local.settings import LocalSettings
from local.stack import WATTLINE, Stack
from wattline.airflow_api import AirflowApi
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

SETTINGS = {"WATTLINE_RETRY_SECONDS": "2", "WATTLINE_HEARTBEAT_MINUTES": "1", "WATTLINE_WATCHDOG_MINUTES": "3"}
"""What is shorter here than elsewhere, so that tests need not wait."""
PATIENCE = 280
"""Seconds; far more than a slow and busy machine needs. What does not come by then does not come."""
PORTS = [name for name in LocalSettings.model_fields if name.startswith("port_")]


@dataclass
class Platform:
    """The stack, and what a test does with it."""

    stack: Stack
    api: AirflowApi
    mysql: MySQLStore
    mongo: Database[dict[str, Any]]
    mongo_store: MongoStore

    def wattline(self, *arguments: str) -> str:
        """Run the command line as a user would."""
        done = subprocess.run(
            [WATTLINE, *arguments], env=self.stack.environment.process(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def trigger(self, dag_id: str, window: Window) -> str:
        """Queue a run for a window; the id of the run."""
        run_id = f"test__{uuid4().hex[:8]}"
        self.api.trigger(dag_id, run_id, window, window.end)
        self.api.unpause(dag_id)
        return run_id

    def get(self, path: str) -> dict[str, Any]:
        """The answer of Airflow's REST API."""
        return self.api.get(path)

    def state(self, dag_id: str, run_id: str) -> str:
        """The state of a run."""
        return str(self.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """The task instances of a run, by task."""
        found = self.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def finished(self, dag_id: str, run_id: str, seconds: float = PATIENCE) -> str:
        """The final state of a run, once it has one."""
        until(lambda: self.state(dag_id, run_id) in ("success", "failed"), f"{dag_id} {run_id} done", seconds=seconds)
        return self.state(dag_id, run_id)

    def run(self, dag_id: str, window: Window) -> str:
        """Run a window to its end; the final state."""
        return self.finished(dag_id, self.trigger(dag_id, window))

    def mysql_rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a query of the solar database gives."""
        with self.mysql.transaction() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def received(self, kind: str) -> list[dict[str, Any]]:
        """What the sink of `mail` or `sms` took."""
        file = self.stack.settings.sink_folder / f"{kind}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def kill(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Kill the process that runs the code of a task, as soon as there is one."""
        task = self.tasks(dag_id, run_id)[task_id]["id"]

        def killed() -> bool:
            titles = (
                (process, " ".join(process.info["cmdline"] or ())) for process in psutil.process_iter(["cmdline"])
            )
            found = [process for process, title in titles if title == f"airflow worker -- {task}"]
            for process in found:
                process.kill()
            return bool(found)

        until(killed, f"a process of {dag_id}.{task_id}", pause=0.05)

    @contextmanager
    def locked(self, table: str, database: str = DATABASE) -> Iterator[None]:
        """No other session reads or writes a MySQL table meanwhile."""
        server = self.stack.environment.mariadb
        connection = MySQLdb.connect(host=HOST, port=server.port, user=OWNER, passwd=server.password, database=database)
        try:
            connection.cursor().execute(f"LOCK TABLES {table} WRITE")
            yield
        finally:
            connection.close()


def until(condition: Callable[[], bool], what: str, *, seconds: float = PATIENCE, pause: float = 0.5) -> None:
    """Wait for something that comes by itself."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not after {seconds:.0f} s: {what}"
        time.sleep(pause)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    folder = Path(tempfile.mkdtemp(prefix="wattline-e2e-"))
    os.environ.update(SETTINGS)
    stack = Stack(LocalSettings(data_dir=folder, **{name: free_port() for name in PORTS}))
    lines: list[str] = []
    try:
        stack.up(lines.append)
        environment = stack.environment
        client: MongoClient[dict[str, Any]] = MongoClient(environment.mongodb.url(DATABASE), tz_aware=True)
        mysql = MySQLStore.from_url(environment.mariadb.url(DATABASE))
        with client, stack.airflow() as api:
            store = MongoStore(client, DATABASE)
            yield Platform(stack, api, mysql, client[DATABASE], store)
        mysql.close()
    finally:
        stack.down(lines.append)
        for name in SETTINGS:
            del os.environ[name]
        if os.environ.get("WATTLINE_KEEP_E2E") is None:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def pauses(platform: Platform) -> Iterator[None]:
    """After each module all DAGs are paused: their live runs slow down the tests of others, and help none."""
    yield
    platform.api.patch("/api/v2/dags?dag_id_pattern=~", {"is_paused": True})
