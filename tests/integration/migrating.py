"""A small table of its own for the tests of migrations: as awkward as the tables of old systems are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import MySQLdb
import polars as pl
import sqlalchemy as sa
from pymongo import MongoClient

from wattline.migrate.entry import Entry
from wattline.migrate.run import migrate
from wattline.migrate.source import Source
from wattline.storage.contract import ENERGY, UTC_TIME, Column, Table
from wattline.storage.mongo import MongoStore
from wattline.window import Window

ROWS = Table(
    name="row",
    key=("unit", "at"),
    columns=(
        Column("unit", pl.Int32(), "unit", minimum=1),
        Column("at", UTC_TIME, "time of the row"),
        Column("energy", ENERGY, "energy", "kWh", nullable=True),
        Column("power", pl.Float64(), "power", "kW", nullable=True),
        Column("note", pl.String(), "text", nullable=True),
        Column("updated_at", UTC_TIME, "last change of the row"),
    ),
    mongo="row",
    month_column="at",
    indexes=(("at",), ("updated_at",)),
)
LOG = Entry("row", "log", ROWS, changed="updated_at", measured="at")
"""A growing log."""
REGISTER = Entry("register", "log", ROWS, stamp="updated_at", deletions="soft")
"""The same table, reconciled as a whole."""
CREATE_LOG = """CREATE TABLE log (
    unit INT NOT NULL, `at` DATETIME(6) NOT NULL, energy DECIMAL(18,6), power DOUBLE, note VARCHAR(100),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (unit, `at`), KEY log_at (`at`), KEY log_updated_at (updated_at))"""
START = datetime(2026, 10, 31, 23, tzinfo=UTC)
HOUR = Window(START, START + timedelta(hours=1))
LATER = Window(START, START + timedelta(hours=3))


@dataclass
class Bench:
    """A source, a target, and a folder between them."""

    mysql_url: str
    mongo_url: str
    folder: Path

    def connection(self) -> Any:
        """A connection with the source, in UTC, that commits by itself; the caller closes it."""
        url = sa.make_url(self.mysql_url)
        parts = {"host": url.host, "port": url.port, "user": url.username, "passwd": url.password, "db": url.database}
        connection = MySQLdb.connect(**parts, charset="utf8mb4")
        connection.autocommit(True)
        connection.cursor().execute("SET SESSION time_zone = '+00:00', sql_mode = ''")
        return connection

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements on the source; what the last one found."""
        with closing(self.connection()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    @contextmanager
    def open(self, seconds: float = 2.0) -> Iterator[tuple[Source, MongoStore]]:
        """Both sides, as migrations see them."""
        source, store = Source.from_url(self.mysql_url, seconds), MongoStore.from_url(self.mongo_url)
        try:
            yield source, store
        finally:
            source.close()
            store.close()

    def migrate(
        self, entry: Entry, window: Window = LATER, *, live: bool = False, share: float = 1.0
    ) -> dict[str, int]:
        """One run in this process; what it counted, without zeros."""
        with self.open() as (source, store):
            counts = migrate(entry, source, store, self.folder, window, live=live, share=share)
        return {name: count for name, count in counts.items() if count}

    def documents(self, entry: Entry) -> pl.DataFrame:
        """Every document, in key order."""
        with self.open() as (_, store):
            return store.read(entry.documents)

    def raw(self, name: str) -> list[dict[str, Any]]:
        """The documents of a collection."""
        client: MongoClient[dict[str, Any]] = MongoClient(self.mongo_url, tz_aware=True)
        with client:
            return list(client.get_default_database()[name].find())


def fill(bench: Bench, rows: int, units: int = 4, start: datetime = START) -> None:
    """`rows` rows of the log, a unit after the other each second; each written a second after it speaks of."""
    bench.sql(
        f"""INSERT INTO log SELECT (seq - 1) MOD {units} + 1, {_time(start)} + INTERVAL (seq - 1) DIV {units} SECOND,
            seq / 3, seq / 7, CONCAT('줄 ', seq), {_time(start)} + INTERVAL (seq - 1) DIV {units} + 1 SECOND
            FROM seq_1_to_{rows}"""
    )


def _time(moment: datetime) -> str:
    return f"TIMESTAMP'{moment:%Y-%m-%d %H:%M:%S}'"
