"""A MySQL transaction of the store: everything in it is committed, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from tests.storage_sample import SAMPLE, sample
from wattline.errors import TerminalError, TransientError
from wattline.storage import sql
from wattline.storage.mysql import MySQLStore

pytestmark = pytest.mark.integration


@pytest.fixture
def store(module_mysql: str) -> Iterator[MySQLStore]:
    """A store with the table `sample`, which holds three rows."""
    with closing(MySQLStore.from_url(module_mysql)) as opened:
        with opened._cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS sample")
            cursor.execute(f"{sa.schema.CreateTable(sql.sql_table(SAMPLE)).compile(dialect=sql.DIALECT)}")
        opened.upsert(SAMPLE, sample(3))
        yield opened


class Killed(BaseException):
    pass


@pytest.mark.parametrize("local_infile", [True, False])
def test_statements_and_upserts_count_together(store: MySQLStore, local_infile: bool) -> None:
    store._local_infile = local_infile
    with store.transaction() as cursor:
        cursor.execute("DELETE FROM sample")
        store.upsert(SAMPLE, sample(5))
        assert store.count(SAMPLE) == 3
    assert store.count(SAMPLE) == 5


def replace_all(store: MySQLStore, then: Callable[[Any], None]) -> None:
    """Remove the rows, do something, write five."""
    with store.transaction() as cursor:
        cursor.execute("DELETE FROM sample")
        then(cursor)
        store.upsert(SAMPLE, sample(5))
        then(cursor)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("error", [Killed, TerminalError])
def test_an_error_takes_everything_back(store: MySQLStore, error: type[BaseException], nth: int) -> None:
    calls = iter([1, 2])

    def fail(_: Any) -> None:
        if next(calls) == nth:
            raise error

    with pytest.raises(error):
        replace_all(store, fail)
    assert store.read(SAMPLE).equals(sample(3))
    assert store.upsert(SAMPLE, sample(5)).inserted == 2
    assert store.count(SAMPLE) == 5


def test_a_connection_that_breaks_is_not_replaced_within_the_transaction(store: MySQLStore) -> None:
    def kill(cursor: Any) -> None:
        cursor.execute("SELECT CONNECTION_ID()")
        with closing(store._connect()) as other:
            other.cursor().execute(f"KILL {cursor.fetchone()[0]}")

    with pytest.raises(TransientError, match="broke within a transaction"):
        replace_all(store, kill)
    assert store.read(SAMPLE).equals(sample(3))


def test_a_transaction_within_another_is_refused(store: MySQLStore) -> None:
    def again(_: Any) -> None:
        replace_all(store, again)

    with pytest.raises(TerminalError, match="within another"):
        replace_all(store, again)
    assert store.count(SAMPLE) == 3
