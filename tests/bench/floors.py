"""What no migration of `inverterlog` can beat: its rows read to nowhere, its documents inserted from nowhere.

`python -m tests.bench.floors read MYSQL_URL` and `… insert MYSQL_URL MONGO_URL` print seconds, rows and peak memory as
JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from tests.bench.memory import peak_mb
from wattline.solar.tables import CUSTOMER, READING
from wattline.storage.bson_frames import encode, validator
from wattline.storage.documents import create_collection
from wattline.storage.mysql import MySQLStore, connect
from wattline.storage.schema import mysql_url
from wattline.storage.store import Condition

COLLECTION = "floor"
_BATCH = 10_000
_LINES = """
    SELECT CONCAT_WS('\\t', mcno, invno, at, IFNULL(ackw, '\\\\N'), IFNULL(dckw, '\\\\N'), IFNULL(daykw, '\\\\N'),
        IFNULL(totkw, '\\\\N'), IFNULL(status, '\\\\N'), received_at)
    FROM inverterlog {where} ORDER BY mcno, invno, at LIMIT 50000"""
_AFTER = "WHERE mcno > %s OR (mcno = %s AND invno > %s) OR (mcno = %s AND invno = %s AND at > %s)"
"""The rows behind a key. Written out: MariaDB does not look up `(mcno, invno, at) > (…)` in the index."""

Measured = dict[str, float]
"""`seconds`, `rows`, `peak_mb`."""


def read(mysql: str) -> Measured:
    """Every row, page by page in key order, as one string each, dropped as it arrives; connecting is not counted."""
    rows = 0
    last: list[str] = []
    with closing(connect(mysql_url(mysql))) as connection:
        cursor = connection.cursor()
        started = time.perf_counter()
        while page := _page(cursor, last):
            rows += len(page)
            last = page[-1][0].split("\t", 3)[:3]
        return {"seconds": time.perf_counter() - started, "rows": rows}


def insert(mysql: str, mongo: str) -> Measured:
    """As many documents as there are rows, in key order, into an empty collection without validator or index.

    Only the inserts are timed. The documents are encoded batch by batch between them, which leaves the server time to
    write to disk; so the time is a bound that a migration can come near to, never reach.
    """
    return _insert(mysql, mongo, lambda database: database.drop_collection(COLLECTION))


def insert_indexed(mysql: str, mongo: str) -> Measured:
    """As `insert`, into a collection that the server checks and indexes as the contract says."""
    return _insert(mysql, mongo, lambda database: make_target(database, COLLECTION))


def make_target(database: Database[Any], name: str) -> None:
    """An empty collection with the validator and the indexes of readings, in place of any other."""
    database.drop_collection(name)
    create_collection(database, name, validator(READING), READING.indexes)


def _page(cursor: Any, last: list[str]) -> list[tuple[str]]:
    """The rows behind the key `last` (mcno, invno, at); the first ones where it is empty."""
    if not last:
        cursor.execute(_LINES.format(where=""))
    else:
        mcno, invno, at = last
        cursor.execute(_LINES.format(where=_AFTER), (mcno, mcno, invno, mcno, invno, at))
    page: list[tuple[str]] = cursor.fetchall()
    return page


def _insert(mysql: str, mongo: str, prepare: Callable[[Database[Any]], object]) -> Measured:
    seconds, rows = 0.0, 0
    client: MongoClient[Any] = MongoClient(mongo)
    with client, closing(MySQLStore.from_url(mysql)) as source:
        database = client.get_default_database()
        prepare(database)
        for batch in _batches(source):
            started = time.perf_counter()
            database[COLLECTION].insert_many(batch, ordered=False)
            seconds += time.perf_counter() - started
            rows += len(batch)
        database.drop_collection(COLLECTION)
    return {"seconds": seconds, "rows": rows}


def _batches(source: MySQLStore) -> Iterator[list[RawBSONDocument]]:
    """The table's documents, plant by plant, which bounds the memory."""
    for plant in source.read(CUSTOMER, columns=["mcno"])["mcno"]:
        for part in source.read(READING, [Condition("mcno", "=", plant)]).iter_slices(_BATCH):
            yield [RawBSONDocument(document) for document in encode(READING, part)]


FLOORS: dict[str, Callable[..., Measured]] = {"read": read, "insert": insert, "insert_indexed": insert_indexed}
"""Floor → what measures it; `read` takes the URL of MySQL, the others also that of MongoDB."""


def main(name: str, *urls: str) -> None:
    """Measure one floor and print how it went."""
    print(json.dumps(FLOORS[name](*urls) | {"peak_mb": peak_mb()}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
