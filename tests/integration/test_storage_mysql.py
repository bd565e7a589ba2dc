"""What only MySQL can do wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import connectorx
import MySQLdb
import polars as pl
import pytest
import sqlalchemy as sa
from MySQLdb.constants import CLIENT

from tests.storage_sample import SAMPLE, sample
from wattline.errors import TerminalError, TransientError
from wattline.storage import sql
from wattline.storage.mysql import MySQLStore, connect
from wattline.storage.store import Condition, WriteResult

pytestmark = pytest.mark.integration


@pytest.fixture
def owner(module_mysql: str) -> Iterator[Any]:
    """A plain connection to a database that holds the table `sample`, empty."""
    with closing(connect(sa.make_url(module_mysql))) as connection:
        connection.autocommit(True)
        definition = sa.schema.CreateTable(sql.sql_table(SAMPLE)).compile(dialect=sql.DIALECT)
        connection.cursor().execute("DROP TABLE IF EXISTS sample")
        connection.cursor().execute(f"{definition} COLLATE utf8mb4_nopad_bin")
        yield connection


@pytest.fixture
def store(owner: Any, module_mysql: str) -> Iterator[MySQLStore]:
    with closing(MySQLStore.from_url(module_mysql)) as opened:
        yield opened


def opened_with(url: str, **options: Any) -> MySQLStore:
    """A store whose connections have other options than `from_url` gives them."""
    parsed = sa.make_url(url)
    place = {"host": parsed.host, "port": parsed.port, "user": parsed.username, "passwd": parsed.password}
    return MySQLStore(lambda: MySQLdb.connect(**place, db=parsed.database, **options), f"{url}?charset=utf8mb4")


@pytest.mark.parametrize("forbidden_by", ["client", "server"])
def test_without_local_infile_the_same_is_written(owner: Any, module_mysql: str, forbidden_by: str) -> None:
    owner.cursor().execute(f"SET GLOBAL local_infile = {int(forbidden_by == 'client')}")
    try:
        with closing(opened_with(module_mysql, local_infile=int(forbidden_by == "server"), charset="latin1")) as store:
            frame = sample(30, note="\\N\t\n'\"\\%s 한글🙂", kwh=Decimal("-999999999999.999999"))
            assert store.upsert(SAMPLE, frame) == WriteResult(30, 0, 0)
            assert store.upsert(SAMPLE, frame) == WriteResult(0, 0, 30)
            assert store.read(SAMPLE).equals(frame)
    finally:
        owner.cursor().execute("SET GLOBAL local_infile = 1")


@pytest.mark.parametrize("local_infile", [0, 1])
def test_what_does_not_fit_is_refused_whole(owner: Any, module_mysql: str, local_infile: int) -> None:
    frame = pl.concat([sample(5), sample(1, n=2, note="x" * 256)])
    with closing(opened_with(module_mysql, local_infile=local_infile)) as store:
        with pytest.raises(TerminalError, match="note"):
            store.upsert(SAMPLE, frame)
        assert store.count(SAMPLE) == 0
        assert store.upsert(SAMPLE, sample(5)).inserted == 5


def test_a_connection_that_hides_changes_is_refused(owner: Any, module_mysql: str) -> None:
    with (
        closing(opened_with(module_mysql, client_flag=CLIENT.FOUND_ROWS)) as store,
        pytest.raises(TerminalError, match="FOUND_ROWS"),
    ):
        store.upsert(SAMPLE, sample(1))


def test_a_date_that_is_none_reads_as_null(owner: Any, store: MySQLStore) -> None:
    store.upsert(SAMPLE, sample(3))
    cursor = owner.cursor()
    cursor.execute("SET SESSION sql_mode = ''")
    cursor.execute("UPDATE sample SET day = '0000-00-00', seen = '2026-11-31 25:00' WHERE kw = 0")
    cursor.execute("UPDATE sample SET day = '2026-00-01', seen = '0000-00-00' WHERE big = -4")
    cursor.execute("UPDATE sample SET at = '0000-00-00' WHERE big = -3")
    found = store.read(SAMPLE).sort("big")
    assert found["day"].is_null().to_list() == [True, True, False]
    assert found["seen"].is_null().to_list() == [True, True, False]
    assert found["at"].is_null().to_list() == [False, False, True]


def test_times_are_utc_whatever_the_server_thinks(owner: Any, store: MySQLStore) -> None:
    owner.cursor().execute("SET GLOBAL time_zone = '+09:00'")
    try:
        moment = datetime(2026, 11, 1, 0, 0, 0, 123456, UTC)
        with closing(MySQLStore(store._connect, store._url)) as elsewhere:
            elsewhere.upsert(SAMPLE, sample(1, at=moment, seen=moment))
            assert elsewhere.read(SAMPLE, [Condition("at", "=", moment)])["seen"].to_list() == [moment]
            cursor = elsewhere._connection.cursor()
            cursor.execute("SELECT ABS(TIMESTAMPDIFF(SECOND, NOW(), UTC_TIMESTAMP())) < 2")
            assert cursor.fetchone() == (1,)
        with closing(owner.cursor()) as cursor:
            cursor.execute("SELECT CAST(at AS CHAR) FROM sample")
            assert cursor.fetchall() == (("2026-11-01 00:00:00.123456",),)
    finally:
        owner.cursor().execute("SET GLOBAL time_zone = '+00:00'")


def test_a_locked_row_is_a_transient_error(owner: Any, store: MySQLStore) -> None:
    store.upsert(SAMPLE, sample(2))
    store._connection.cursor().execute("SET SESSION innodb_lock_wait_timeout = 1")
    owner.begin()
    owner.cursor().execute("UPDATE sample SET kw = 1")
    with pytest.raises(TransientError, match="1205"):
        store.upsert(SAMPLE, sample(3))
    owner.rollback()
    assert store.upsert(SAMPLE, sample(3)) == WriteResult(1, 0, 2)


def test_a_read_that_breaks_off_gives_no_part_of_the_rows(owner: Any, store: MySQLStore) -> None:
    store.upsert(SAMPLE, sample(20_000))
    endless = "SELECT a.* FROM sample a CROSS JOIN (SELECT kw FROM sample LIMIT 500) b"
    ended = threading.Event()

    def end() -> None:
        with closing(owner.cursor()) as cursor:
            while not ended.wait(0.05):
                cursor.execute(
                    "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT a.*%LIMIT 500) b'"
                )
                for (connection,) in cursor.fetchall():
                    cursor.execute(f"KILL {connection}")

    killer = threading.Thread(target=end)
    killer.start()
    try:
        with pytest.raises(TransientError):
            store._query(endless)
    finally:
        ended.set()
        killer.join()
    assert store.count(SAMPLE) == 20_000


def test_errors_of_the_server_are_terminal_and_say_what(owner: Any, store: MySQLStore, module_mysql: str) -> None:
    owner.cursor().execute("DROP TABLE sample")
    password = sa.make_url(module_mysql).password
    for attempt in (lambda: store.read(SAMPLE), lambda: store.upsert(SAMPLE, sample(1))):
        with pytest.raises(TerminalError, match=r"sample.* doesn't exist") as caught:
            attempt()
        assert str(password) not in str(caught.value)


def test_connectorx_hands_decimals_over_exactly(owner: Any, module_mysql: str) -> None:
    """The store builds on this; a version that goes through float would show here first."""
    query = "SELECT CAST('999999999999.999999' AS DECIMAL(18,6)) AS a, CAST('-0.000001' AS DECIMAL(18,6)) AS b"
    frame = pl.DataFrame(pl.from_arrow(connectorx.read_sql(module_mysql, query, return_type="arrow_stream")))
    assert frame.row(0) == (Decimal("999999999999.999999"), Decimal("-0.000001"))
