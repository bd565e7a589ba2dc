"""`wattline schema` on real servers; the tables cannot drift from the contracts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import MySQLdb
import polars as pl
import pytest
import sqlalchemy as sa
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from typer.testing import CliRunner

from tests.servers import RunningServer
from wattline import settings as settings_module
from wattline.cli import app
from wattline.errors import TerminalError
from wattline.solar.contracts import ALL_TABLES
from wattline.solar.migrations import ENTRIES
from wattline.solar.tables import DAY_GENERATION, READING, TICK_ROW
from wattline.storage import sql
from wattline.storage.contract import Table
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore, connect
from wattline.storage.store import Condition

pytestmark = pytest.mark.integration
IN_MYSQL = [table for table in ALL_TABLES if table.mysql]
MIGRATIONS = [entry for entries in ENTRIES.values() for entry in entries]
OTHER_KINDS = {
    ("event", "level"): "enum",
    ("event", "message"): "text",
    ("event_log", "message"): "text",
    ("zipaddress", "zipcode"): "char",
}
"""Columns that take and give the contract's text, and are of another type."""


@pytest.fixture(scope="module")
def urls(_mariadb: RunningServer, _mongo: RunningServer) -> Iterator[dict[str, str]]:
    """Settings for databases that do not exist yet, and users that do not either."""
    name = f"solar_{uuid4().hex[:8]}"
    mysql, mongo = f"127.0.0.1:{_mariadb.server.port}/{name}", f"127.0.0.1:{_mongo.server.port}/{name}"
    yield {
        "MYSQL_OWNER": _mariadb.server.url(name),
        "MYSQL_GATEWAY": f"mysql://gate_{name}:g%40%2F%25te@{mysql}",
        "MYSQL": f"mysql://pipe_{name}:p%40%3Ass'%22%5C@{mysql}",
        "MYSQL_SOURCE": f"mysql://read_{name}:r@{mysql}",
        "MONGO_OWNER": _mongo.server.url(name),
        "MONGO": f"mongodb://pipe:p%40ss@{mongo}",
    }
    owner = sa.make_url(_mariadb.server.url(name))
    with closing(connect(owner)) as connection:
        connection.cursor().execute(f"DROP DATABASE {name}")
    client: MongoClient[dict[str, Any]] = MongoClient(_mongo.url)
    with client:
        client.drop_database(name)


@pytest.fixture
def run(urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs `wattline schema …` with these settings."""
    for name, url in urls.items():
        monkeypatch.setenv(f"WATTLINE_{name}_URL", url)
    monkeypatch.delenv("WATTLINE_ENV_FILE", raising=False)
    settings_module.settings.cache_clear()
    yield lambda command: CliRunner().invoke(app, ["schema", command])
    settings_module.settings.cache_clear()


@pytest.fixture
def owner(urls: dict[str, str], run: Any) -> Iterator[Any]:
    """The owner's connection to the upgraded database."""
    assert run("upgrade").exit_code == 0
    with closing(connect(sa.make_url(urls["MYSQL_OWNER"]))) as connection:
        yield connection


def rows(connection: Any, query: str, *values: Any) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.execute(query, values)
    return list(cursor.fetchall())


def test_upgrade_makes_everything_and_then_nothing_more(run: Any) -> None:
    before = run("status")
    assert before.exit_code == 1
    assert "version none" in before.output
    first, second = run("upgrade"), run("upgrade")
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert first.output == second.output
    after = run("status")
    assert after.exit_code == 0
    assert "up to date" in after.output


def test_status_sees_another_validator_and_upgrade_mends_it(run: Any, urls: dict[str, str], owner: Any) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(urls["MONGO_OWNER"])
    with client, closing(MongoStore.from_url(urls["MONGO"])) as store:
        store.upsert(READING, pl.DataFrame(_reading(), schema=READING.schema))
        database = client.get_default_database()
        for name in ("inverter_reading_202611", "inverter"):
            database.command("collMod", name, validator={})
        assert "to be upgraded: inverter, inverter_reading_202611" in run("status").output
        assert run("upgrade").exit_code == 0
        assert run("status").exit_code == 0
        with pytest.raises(OperationFailure, match="validation"):
            database.inverter.insert_one({"mcno": 1})


def beyond_the_contract(table: Table) -> set[str]:
    """Columns that only migrations know."""
    known = [{*entry.sources.values(), *entry.ignored} for entry in MIGRATIONS if entry.source == table.mysql]
    return set().union(*known) - set(table.schema.names())


@pytest.mark.parametrize("table", IN_MYSQL, ids=lambda table: table.name)
def test_tables_are_what_the_contracts_say(owner: Any, table: Table) -> None:
    found = rows(
        owner,
        """SELECT column_name, data_type, numeric_precision, numeric_scale, datetime_precision, is_nullable,
                  collation_name FROM information_schema.columns
           WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position""",
        table.mysql,
    )
    names, more = [row[0] for row in found], beyond_the_contract(table)
    assert names[: len(table.columns)] == table.schema.names()
    assert set(names[len(table.columns) :]) == more
    own = found[: len(table.columns)]
    for column, (_, kind, precision, scale, fraction, nullable, collation) in zip(table.columns, own, strict=True):
        wanted = sql.mysql_type(column.dtype).compile(dialect=sql.DIALECT).lower().replace(" ", "")
        wanted = OTHER_KINDS.get((table.name, column.name), wanted)
        exact = {"decimal": f"({precision},{scale})", "datetime": f"({fraction})"}.get(kind, "")
        assert wanted.startswith(kind + exact), column.name
        assert (nullable == "YES") == column.nullable, column.name
        unicode = (None, "utf8mb4_nopad_bin", "utf8mb4_0900_bin")
        assert collation in ((None, "euckr_bin") if table.name == "zipaddress" else unicode), column.name


@pytest.mark.parametrize("table", IN_MYSQL, ids=lambda table: table.name)
def test_keys_and_indexes_are_what_the_contracts_say(owner: Any, table: Table) -> None:
    found = rows(
        owner,
        """SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics
           WHERE table_schema = DATABASE() AND table_name = %s GROUP BY index_name""",
        table.mysql,
    )
    keys = {name: tuple(columns.split(",")) for name, columns in found}
    assert keys.pop("PRIMARY") == table.key
    watermark = [("updated_at",)] if "updated_at" in beyond_the_contract(table) else []
    assert sorted(keys.values()) == sorted([*table.indexes, *watermark])


def test_no_table_lacks_a_contract(owner: Any) -> None:
    found = rows(owner, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
    known = {table.mysql for table in IN_MYSQL} | {entry.source for entry in MIGRATIONS}
    assert {name for (name,) in found} == known | {"alembic_version"}


@pytest.mark.parametrize(
    ("table", "column"),
    sorted(
        {(entry.source, entry.changed or "updated_at") for entry in MIGRATIONS if "updated_at" in entry.sources}
        | {("inverterlog", "received_at")}
    ),
)
def test_the_server_notes_each_change(owner: Any, table: str, column: str) -> None:
    ((default, extra),) = rows(
        owner,
        """SELECT column_default, extra FROM information_schema.columns
           WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s""",
        table,
        column,
    )
    assert default.lower() == "current_timestamp(6)"
    assert "on update current_timestamp(6)" in extra.lower()


def _reading() -> dict[str, list[Any]]:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    values = {"mcno": 1, "invno": 1, "at": at, "ackw": 1.0, "dckw": 1.0, "received_at": at}
    return {name: [values.get(name)] for name in READING.schema}


@pytest.mark.parametrize(
    ("user", "statement", "allowed"),
    [
        ("MYSQL_GATEWAY", "INSERT INTO inverterlog (mcno, invno, at) VALUES (1, 1, '2026-11-01')", True),
        ("MYSQL_GATEWAY", "UPDATE inverter SET ackw = 0", True),
        ("MYSQL_GATEWAY", "DELETE FROM inverterlog", False),
        ("MYSQL_GATEWAY", "SELECT * FROM inverterlog_tick", False),
        ("MYSQL_GATEWAY", "UPDATE event SET checked = 1", True),
        ("MYSQL_GATEWAY", "INSERT INTO conn_box_log (mcno, boxno, channel, at) VALUES (1, 1, 1, '2026-11-01')", True),
        ("MYSQL_GATEWAY", "UPDATE users SET last_login_at = NOW(6)", True),
        ("MYSQL_GATEWAY", "DELETE FROM users", False),
        ("MYSQL", "SELECT * FROM customer", True),
        ("MYSQL", "UPDATE daygeneration SET daykw = 0", True),
        ("MYSQL", "INSERT INTO smslog (sent_at, sender, receiver, message) VALUES (NOW(), '1', '2', '3')", True),
        ("MYSQL", "UPDATE timegeneration SET timekw = 0", True),
        ("MYSQL", "UPDATE event SET cleared_at = NOW(6)", True),
        ("MYSQL", "INSERT INTO event_log (mcno, invno, type, at, action) VALUES (1, 1, 201, NOW(6), 'raised')", True),
        ("MYSQL", "UPDATE users SET name = 'x'", False),
        ("MYSQL", "UPDATE conn_box SET status = 0", False),
        ("MYSQL", "UPDATE inverterlog SET ackw = 0", False),
        ("MYSQL", "DELETE FROM inverterlog_tick", False),
        ("MYSQL", "DROP TABLE smslog", False),
        ("MYSQL_SOURCE", "SELECT * FROM inverterlog", True),
        (
            "MYSQL_SOURCE",
            "INSERT INTO smslog (sent_at, sender, receiver, message) VALUES (NOW(), '1', '2', '3')",
            False,
        ),
    ],
)
def test_each_user_may_do_its_work_and_no_more(
    owner: Any, urls: dict[str, str], user: str, statement: str, *, allowed: bool
) -> None:
    with closing(connect(sa.make_url(urls[user]))) as connection:
        if allowed:
            connection.cursor().execute(statement)
        else:
            with pytest.raises(MySQLdb.OperationalError, match="command denied"):
                connection.cursor().execute(statement)


def test_gateways_write_readings_that_pipelines_move(owner: Any, urls: dict[str, str]) -> None:
    reading = pl.DataFrame(_reading(), schema=READING.schema)
    day = pl.DataFrame({"mcno": 1, "invno": 0, "day": date(2026, 11, 1), "daykw": 5}, schema=DAY_GENERATION.schema)
    with closing(MySQLStore.from_url(urls["MYSQL_GATEWAY"])) as gateway:
        gateway.upsert(READING, reading)
        with pytest.raises(TerminalError, match="denied"):
            gateway.read(TICK_ROW)
    with closing(MySQLStore.from_url(urls["MYSQL"])) as mysql, closing(MongoStore.from_url(urls["MONGO"])) as mongo:
        mongo.upsert(READING, mysql.read(READING, [Condition("mcno", "=", 1)]))
        assert mongo.read(READING).equals(reading)
        for store in (mysql, mongo):
            assert store.upsert(DAY_GENERATION, day).rows == 1
            assert store.read(DAY_GENERATION).equals(day)
        with pytest.raises(TerminalError, match="denied"):
            mysql.upsert(READING, reading)


def test_without_an_owner_it_says_what_to_set(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLINE_MYSQL_OWNER_URL", "")
    settings_module.settings.cache_clear()
    result = run("upgrade")
    assert result.exit_code == 1
    assert "WATTLINE_MYSQL_OWNER_URL" in result.output + result.stderr


@pytest.mark.parametrize("name", ["MYSQL_OWNER", "MONGO_OWNER"])
def test_an_unreadable_url_is_not_shown(run: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"WATTLINE_{name}_URL", "nonsense://hunter2")
    settings_module.settings.cache_clear()
    result = run("upgrade")
    assert result.exit_code == 1
    assert "cannot be read" in result.output + result.stderr
    assert "hunter2" not in result.output + result.stderr
