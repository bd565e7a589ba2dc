"""Fixtures that every test can use: throw-away database servers on free ports, in a short-lived folder.

A server starts with the first test that asks for it and serves the whole session; each test gets its own empty
database.
"""

from __future__ import annotations

import tests.airflow_environment  # isort: skip  # noqa: F401 - before anything imports Airflow

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import MySQLdb
import pytest
from pymongo import MongoClient
from xdist.scheduler import LoadFileScheduling

from local.servers import HOST, OWNER, MariaDB, MongoDB, PostgreSQL, Server, free_port
from tests.servers import RunningServer

# No test is timed: a slow machine makes no bug. A long run looks a hundred times as far.
_EXAMPLES = {"max_examples": 10_000} if os.environ.get("LONG_TESTS") == "1" else {}
hypothesis.settings.register_profile("wattline", hypothesis.settings(), deadline=None, **_EXAMPLES)
hypothesis.settings.load_profile("wattline")


class _Files(LoadFileScheduling):  # type: ignore[misc] # xdist is not typed
    """Sends whole files to a worker, and all end-to-end tests, with their one platform, to the same."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "tests/e2e" if file.startswith("tests/e2e/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Files:
    """How `make test` shares the tests among workers."""
    return _Files(config, log)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short folder for the session's servers."""
    folder = Path(tempfile.mkdtemp(prefix="wattline-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _serving(server: Server) -> Iterator[RunningServer]:
    running = RunningServer(server)
    running.start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="session")
def _mariadb(server_folder: Path) -> Iterator[RunningServer]:
    with _serving(MariaDB(server_folder / "mariadb", free_port())) as running:
        yield running


@pytest.fixture(scope="session")
def _mongo(server_folder: Path) -> Iterator[RunningServer]:
    with _serving(MongoDB(server_folder / "mongo", free_port())) as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[RunningServer]:
    """PostgreSQL for Airflow's metadata, with the database `solar` not in it; see `PostgreSQL.create`."""
    with _serving(PostgreSQL(server_folder / "postgres", free_port())) as running:
        yield running


@pytest.fixture
def mariadb_server(_mariadb: RunningServer) -> Iterator[RunningServer]:
    """MariaDB, running; started again after a test that ended it."""
    _mariadb.start()
    yield _mariadb
    _mariadb.start()


@pytest.fixture
def mongo_server(_mongo: RunningServer) -> Iterator[RunningServer]:
    """mongod, running; started again after a test that ended it."""
    _mongo.start()
    yield _mongo
    _mongo.start()


@pytest.fixture(scope="session")
def mariadb_url(_mariadb: RunningServer) -> str:
    """The owner's URL of the database `solar`, which is created."""
    _execute(_mariadb, "CREATE DATABASE IF NOT EXISTS solar")
    return _mariadb.url


@pytest.fixture(scope="session")
def mongo_url(_mongo: RunningServer) -> str:
    """The owner's URL of the database `solar`."""
    return _mongo.url


@contextmanager
def _empty_mysql(running: RunningServer) -> Iterator[str]:
    name = f"solar_{uuid4().hex[:8]}"
    _execute(running, f"CREATE DATABASE {name}")
    yield running.server.url(name)
    running.start()
    _execute(running, f"DROP DATABASE {name}")


@contextmanager
def _empty_mongo(running: RunningServer) -> Iterator[str]:
    name = f"solar_{uuid4().hex[:8]}"
    yield running.server.url(name)
    running.start()
    client: MongoClient[dict[str, object]] = MongoClient(running.url)
    with client:
        client.drop_database(name)


@pytest.fixture
def fresh_mysql(mariadb_server: RunningServer) -> Iterator[str]:
    """The owner's URL of an empty MySQL database, dropped after the test."""
    with _empty_mysql(mariadb_server) as url:
        yield url


@pytest.fixture(scope="module")
def module_mysql(_mariadb: RunningServer) -> Iterator[str]:
    """The owner's URL of a MySQL database that is empty when the module's first test starts."""
    with _empty_mysql(_mariadb) as url:
        yield url


@pytest.fixture
def fresh_mongo(mongo_server: RunningServer) -> Iterator[str]:
    """The owner's URL of an empty MongoDB database, dropped after the test."""
    with _empty_mongo(mongo_server) as url:
        yield url


@pytest.fixture(scope="module")
def module_mongo(_mongo: RunningServer) -> Iterator[str]:
    """The owner's URL of a MongoDB database that is empty when the module's first test starts."""
    with _empty_mongo(_mongo) as url:
        yield url


def _execute(running: RunningServer, statement: str) -> None:
    connection = MySQLdb.connect(host=HOST, port=running.server.port, user=OWNER, passwd=running.server.password)
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()
