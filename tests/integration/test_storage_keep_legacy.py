"""A write that leaves the old system's rows as they are: what each database knows of them, and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import polars as pl
import pytest

from tests.integration.test_storage_conformance import clear_mysql
from tests.memory_store import MemoryStore
from tests.storage_sample import SAMPLE, sample
from wattline.storage.contract import Table
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore
from wattline.storage.store import WriteResult

pytestmark = pytest.mark.integration

WITH_OWN = replace(SAMPLE, own_column="flag")
"""Rows of the platform say yes or no; those of the old system do not."""


@pytest.fixture(params=["mysql", "mongo"])
def store(request: pytest.FixtureRequest) -> Iterator[MySQLStore | MongoStore]:
    url = request.getfixturevalue(f"fresh_{request.param}")
    if request.param == "mysql":
        clear_mysql(url)
    with closing((MySQLStore if request.param == "mysql" else MongoStore).from_url(url)) as opened:
        yield opened


def both_systems(store: MySQLStore | MongoStore | MemoryStore, table: Table) -> None:
    """Ten rows of the old system, behind them ten of the platform."""
    old = sample(10, flag=None, note="old")
    if isinstance(store, MemoryStore):
        store.migrate(table, old)
    else:
        store.upsert(table, old)
    if isinstance(store, MongoStore):
        store.database["sample_202612"].update_many({}, {"$set": {"origin": "mysql"}})
        store.database["sample_202701"].update_many({}, {"$set": {"origin": "mysql"}})
    store.upsert(table, sample(20, flag=True, note="own")[10:])


@pytest.mark.parametrize(
    ("table", "mysql"),
    [(SAMPLE, WriteResult(10, 0, 0, kept=20)), (WITH_OWN, WriteResult(10, 10, 0, kept=10))],
    ids=["without", "with own column"],
)
def test_rows_of_the_old_system_are_kept(store: MySQLStore | MongoStore, table: Table, mysql: WriteResult) -> None:
    reference = MemoryStore(knows_origin=store.capabilities.knows_origin)
    for each in (store, reference):
        both_systems(each, table)
    silent = sample(30, flag=False, note="silent")
    expected = mysql if isinstance(store, MySQLStore) else WriteResult(10, 10, 0, kept=10)
    assert store.upsert(table, silent, keep_legacy=True) == expected
    assert reference.upsert(table, silent, keep_legacy=True) == expected
    assert store.read(table).equals(reference.read(table))
    assert store.read(table)["note"].to_list()[:10] == ["old"] * 10
    again = store.upsert(table, silent, keep_legacy=True)
    assert again == reference.upsert(table, silent, keep_legacy=True)
    assert (again.inserted, again.updated, again.kept) == (0, 0, expected.kept)
    assert store.read(table).equals(reference.read(table))


def test_what_is_made_of_readings_takes_their_place_for_good(store: MySQLStore | MongoStore) -> None:
    both_systems(store, WITH_OWN)
    read = sample(10, flag=True, note="read")
    assert store.upsert(WITH_OWN, read) == WriteResult(0, 10, 0)
    assert store.upsert(WITH_OWN, sample(10, flag=False, note="silent"), keep_legacy=True) == WriteResult(0, 10, 0)
    assert store.read(WITH_OWN)["note"].to_list() == ["silent"] * 10 + ["own"] * 10


def test_a_value_that_is_the_same_is_not_kept_but_unchanged(store: MySQLStore | MongoStore) -> None:
    rows = sample(5, kwh=None, note=None)
    store.upsert(SAMPLE, rows)
    assert store.upsert(SAMPLE, rows, keep_legacy=True) == WriteResult(0, 0, 5)
    assert store.upsert(SAMPLE, rows.clear(), keep_legacy=True) == WriteResult(0, 0, 0)
    assert store.read(SAMPLE).select(pl.col("kwh", "note").is_null().all()).row(0) == (True, True)
