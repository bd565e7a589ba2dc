"""The local servers start, ask for a password, survive a kill, and leave no process behind."""

from __future__ import annotations

import MySQLdb
import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from local.servers import HOST, PostgreSQL, listening
from tests.servers import RunningServer

pytestmark = pytest.mark.integration


@pytest.fixture(params=["mariadb_server", "mongo_server", "postgres_server"])
def server(request: pytest.FixtureRequest) -> RunningServer:
    running: RunningServer = request.getfixturevalue(request.param)
    return running


def test_stop_kill_and_start_again(server: RunningServer) -> None:
    for end in (server.stop, server.kill):
        end()
        assert not listening(server.server.port)
        assert _processes_of(server) == []
        server.start()
        assert server.server.ready()


def test_each_start_file_is_private(server: RunningServer) -> None:
    assert (server.server.folder / "password").stat().st_mode & 0o077 == 0
    assert server.server.password not in " ".join(server.server.command)


def test_mariadb_wants_a_password_and_runs_in_utc(mariadb_server: RunningServer, fresh_mysql: str) -> None:
    with pytest.raises(MySQLdb.OperationalError, match="Access denied"):
        MySQLdb.connect(host=HOST, port=mariadb_server.server.port, user="root")
    name = fresh_mysql.rsplit("/", 1)[1]
    connection = MySQLdb.connect(
        host=HOST, port=mariadb_server.server.port, user="owner", passwd=mariadb_server.server.password, database=name
    )
    cursor = connection.cursor()
    cursor.execute("SELECT @@time_zone, @@local_infile, @@character_set_database")
    assert cursor.fetchone() == ("+00:00", 1, "utf8mb4")
    connection.close()


def test_mongod_wants_a_password(mongo_server: RunningServer, fresh_mongo: str) -> None:
    with MongoClient(HOST, mongo_server.server.port) as client, pytest.raises(OperationFailure, match="requires auth"):
        client.solar.inverter.insert_one({})
    with MongoClient(fresh_mongo) as client:
        assert client.get_default_database().list_collection_names() == []


def test_postgres_makes_a_database_once(postgres_server: RunningServer) -> None:
    assert isinstance(postgres_server.server, PostgreSQL)
    postgres_server.server.create("airflow")
    postgres_server.server.create("airflow")


def _processes_of(running: RunningServer) -> list[int]:
    folder = str(running.server.folder)
    return [p.pid for p in psutil.process_iter(["cmdline"]) if folder in " ".join(p.info["cmdline"] or [])]
