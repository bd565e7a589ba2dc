"""Version 2 of the MySQL schema on a real server, and the simulator's rows in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
import pytest
from alembic import command, op
from sqlalchemy import make_url
from typer.testing import CliRunner

from wattline.cli import app
from wattline.migrate.entry import Entry
from wattline.migrate.run import migrate
from wattline.migrate.source import Source
from wattline.settings import settings
from wattline.solar import legacy, legacy_register, legacy_store
from wattline.solar.contracts import ALL_TABLES
from wattline.solar.faults import Kind, default_faults
from wattline.solar.fleet import plants
from wattline.solar.migrations import ENTRIES
from wattline.solar.migrations import entry as entry_called
from wattline.storage import schema
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import connect
from wattline.window import Window

pytestmark = pytest.mark.integration

START = datetime(2026, 11, 20, tzinfo=UTC)
END = START + timedelta(hours=26)
FAULTS = default_faults(7, Window(START, END), plants(3, 7, START))
MIDDLE = next(fault.end for fault in FAULTS if fault.kind is Kind.BLACKOUT and fault.start > START) - timedelta(
    minutes=9
)
"""While an event lasts."""
ALL = [entry for entries in ENTRIES.values() for entry in entries]


class Server:
    """The owner's view of one database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, statement: str) -> list[dict[str, Any]]:
        with closing(connect(make_url(self.url))) as connection:
            connection.autocommit(True)
            cursor = connection.cursor()
            cursor.execute("SET SESSION time_zone = '+00:00'")
            cursor.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        return sorted((tuple(row.values()) for row in self.run(f"SELECT * FROM {table}")), key=repr)

    def tables(self) -> list[str]:
        query = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()"
        return [row["name"] for row in self.run(query) if row["name"] != "alembic_version"]

    def made(self) -> dict[str, str]:
        return {table: self.run(f"SHOW CREATE TABLE {table}")[0]["Create Table"] for table in self.tables()}

    def upgrade(self, version: str) -> None:
        with schema._engine(make_url(self.url)).begin() as connection:
            command.upgrade(schema._alembic(connection), version)


@pytest.fixture
def first(fresh_mysql: str) -> Server:
    """A database of version 1 with a row in each table that gets columns."""
    server = Server(fresh_mysql)
    server.upgrade("0001")
    server.run("INSERT INTO daygeneration VALUES (1, 0, '2026-11-01', 5)")
    server.run("INSERT INTO daytotalgeneration VALUES (1, 0, '2026-11-01', 50)")
    server.run("INSERT INTO smslog (sent_at, sender, receiver, message) VALUES ('2026-11-01', '1', '2', '3')")
    server.run("INSERT INTO customer (mcno, name, latitude, longitude, updated_at) VALUES (1, 'n', 1, 2, '2026-01-01')")
    return server


@pytest.fixture(scope="module")
def whole(module_mysql: str) -> dict[str, str]:
    """How every table is made, of a database that went to the newest version in one go."""
    schema.upgrade_mysql(module_mysql)
    return Server(module_mysql).made()


def test_rows_of_version_1_stay_and_count_as_changed_now(first: Server) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    (zone,) = first.run("SELECT @@GLOBAL.time_zone AS zone")
    first.run("SET GLOBAL time_zone = '+09:00'")
    try:
        first.upgrade("head")
    finally:
        first.run(f"SET GLOBAL time_zone = '{zone['zone']}'")
    for table in ("daygeneration", "daytotalgeneration", "smslog"):
        (row,) = first.run(f"SELECT * FROM {table}")
        assert timedelta(0) <= row["updated_at"] - before < timedelta(minutes=5), table
    (customer,) = first.run("SELECT * FROM customer")
    assert customer["updated_at"] == datetime(2026, 1, 1)  # noqa: DTZ001 - as the driver gives it
    assert customer["owner_id"] is None


@pytest.mark.parametrize("statements", [1, 7, 13, 15, 17])
def test_an_upgrade_that_was_stopped_half_way_is_run_again(
    first: Server, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    done, execute = [], op.execute

    def stopped(statement: str) -> None:
        if len(done) == statements:
            raise KeyboardInterrupt
        done.append(statement)
        execute(statement)

    with monkeypatch.context() as patched:
        patched.setattr(op, "execute", stopped)
        with pytest.raises(KeyboardInterrupt):
            first.upgrade("head")
    first.upgrade("head")
    assert schema.mysql_version(first.url) == ("0004", "0004")
    assert _without_counters(first.made()) == _without_counters(whole)


def test_a_column_without_its_key_gets_the_key_only(first: Server, whole: dict[str, str]) -> None:
    stamp = "DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"
    first.run(f"ALTER TABLE smslog ADD COLUMN updated_at {stamp}")
    first.run("ALTER TABLE customer ADD COLUMN owner_id VARCHAR(64) NULL")
    first.upgrade("head")
    assert _without_counters(first.made()) == _without_counters(whole)


def test_running_a_finished_version_again_changes_nothing(first: Server, whole: dict[str, str]) -> None:
    first.upgrade("head")
    rows = {table: first.rows(table) for table in first.tables()}
    first.run("UPDATE alembic_version SET version_num = '0001'")
    first.upgrade("head")
    assert _without_counters(first.made()) == _without_counters(whole)
    assert {table: first.rows(table) for table in first.tables()} == rows


def _without_counters(made: dict[str, str]) -> dict[str, str]:
    """Without `AUTO_INCREMENT=…`, which comes with rows."""
    return {
        table: " ".join(part for part in text.split(" ") if not part.startswith("AUTO_INCREMENT="))
        for table, text in made.items()
    }


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_an_entry_speaks_of_every_column(whole: dict[str, str], module_mysql: str, entry: Entry) -> None:
    columns = {row["Field"] for row in Server(module_mysql).run(f"SHOW COLUMNS FROM {entry.source}")}
    assert columns == {*entry.sources.values(), *entry.ignored}


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_the_documents_key_is_the_tables_primary_key(whole: dict[str, str], module_mysql: str, entry: Entry) -> None:
    keys = Server(module_mysql).run(f"SHOW KEYS FROM {entry.source}")
    primary = [key["Column_name"] for key in keys if key["Key_name"] == "PRIMARY"]
    assert primary == [entry.sources[name] for name in entry.target.key]
    first_of_keys = {key["Column_name"] for key in keys if key["Seq_in_index"] == 1}
    assert {entry.changed, entry.measured} - {None} <= first_of_keys, "the watermark and the event time have keys"


@pytest.fixture
def world(fresh_mysql: str) -> Iterator[Any]:
    """Runs `wattline simulate` as the gateways' user, on an upgraded database."""
    schema.upgrade_mysql(fresh_mysql)
    owner = make_url(fresh_mysql)
    gateway = owner.set(username=f"gw_{owner.database}", password="g").render_as_string(hide_password=False)
    schema.grant_mysql(fresh_mysql, gateway, "gateway")
    server = Server(fresh_mysql)

    def simulate(start: datetime, end: datetime) -> Server:
        settings.cache_clear()
        window = ["--from", start.isoformat(), "--to", end.isoformat()]
        environment = {"WATTLINE_MYSQL_GATEWAY_URL": gateway}
        result = CliRunner().invoke(app, ["simulate", "--plants", "3", *window], env=environment)
        settings.cache_clear()
        assert result.exit_code == 0, result.output
        return server

    yield simulate
    with closing(connect(owner)) as connection:
        connection.cursor().execute("DROP USER %s@'%%'", [f"gw_{owner.database}"])


def test_simulating_again_or_in_parts_changes_nothing(world: Any) -> None:
    world(START, MIDDLE)
    server = world(MIDDLE, END)
    in_parts = {table: server.rows(table) for table in server.tables()}
    assert [table for table, rows in in_parts.items() if not rows] == ["inverterlog_tick"]
    for window in ((START, END), (START, MIDDLE), (MIDDLE, END)):
        world(*window)
        for table, rows in in_parts.items():
            assert server.rows(table) == rows, table


def test_what_people_changed_stays(world: Any) -> None:
    server = world(START, MIDDLE)
    assert server.run("SELECT * FROM event WHERE cleared_at IS NULL"), "an event lasts"
    server.run("UPDATE users SET name = 'Somebody', password = 'x' WHERE user_id = 'owner1001'")
    server.run("UPDATE event SET checked = 1, checked_by = 'admin'")
    server.run("UPDATE sensor_name SET name = 'Roof' WHERE sensorno = 1")
    server.run("UPDATE customer SET owner_phone = '010-0000-9999' WHERE mcno = 1001")
    kept = {table: server.rows(table) for table in ("users", "event", "sensor_name", "customer")}
    world(START, MIDDLE)
    assert {table: server.rows(table) for table in kept} == kept


@pytest.mark.parametrize("local_infile", [1, 0])
def test_mysql_holds_what_the_simulation_says(world: Any, fresh_mysql: str, local_infile: int) -> None:
    Server(fresh_mysql).run(f"SET GLOBAL local_infile = {local_infile}")
    try:
        server = world(START, END)
    finally:
        Server(fresh_mysql).run("SET GLOBAL local_infile = 1")
    fleet, window = plants(3, 7, START), Window(START, END)
    frames = legacy.arrivals(fleet, window, 7, FAULTS)
    frames |= {name: frame for name, frame in legacy_register.registers(fleet, 7).items() if name != "conn_box"}
    for name, frame in frames.items():
        bits = legacy_store.BITS.get(name, ())
        shown = [f"{column} + 0 AS {column}" if column in bits else f"`{column}`" for column in frame.columns]
        stored = server.run(f"SELECT {', '.join(shown)} FROM {name}")
        # The driver gives times without a zone, and booleans as numbers.
        said = frame.with_columns(cs.datetime().dt.replace_time_zone(None), cs.boolean().cast(pl.Int8)).to_dicts()
        assert sorted(map(repr, stored)) == sorted(map(repr, said)), name


def test_every_entry_moves_what_the_simulation_wrote(
    world: Any, fresh_mysql: str, fresh_mongo: str, tmp_path: Path
) -> None:
    server = world(START, END)
    server.run("INSERT INTO users (user_id, name, authority, password) VALUES ('with', 'Password', 'owner', 'hunter2')")
    schema.upgrade_mongo(fresh_mongo, ALL_TABLES)
    with closing(Source.from_url(fresh_mysql)) as source, closing(MongoStore.from_url(fresh_mongo)) as store:
        for entry in ALL:
            moved = migrate(entry, source, store, tmp_path, Window(START, END), live=True)
            again = migrate(entry, source, store, tmp_path, Window(START, END), live=True)
            (count,) = server.run(f"SELECT COUNT(*) AS n FROM {entry.source}")
            # Nonsense of gateways is copied, where only the key counts.
            assert moved["inserted"] == count["n"] == store.count(entry.documents), entry.name
            assert {again[name] for name in ("inserted", "updated", "deleted")} <= {0}, entry.name
        users = store.database["users"].find_one({"user_id": "with"})
        assert "hunter2" not in str(users)
        wide = store.read(entry_called("remoteip").documents)["bytes_received"]
        assert sorted(wide) == [row["bytes_received"] for row in server.run("SELECT * FROM remoteip ORDER BY 5")]
        addresses = store.read(entry_called("zipaddress").documents)
        assert addresses["sido"].str.contains("^[가-힣]+$").all()
        statuses = store.read(entry_called("client_status").documents)
        bits = server.run("SELECT online + 0 AS online, alarms + 0 AS alarms FROM client_status ORDER BY mcno")
        assert statuses.select(pl.col("online").cast(pl.Int8), "alarms").to_dicts() == bits
