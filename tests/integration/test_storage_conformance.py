"""Every rule of the storage protocol, run over both adapters on real servers; the memory store says what is right."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from tests.memory_store import MemoryStore
from tests.servers import RunningServer
from tests.storage_sample import CONDITIONS, SAMPLE, rows, sample
from wattline.errors import TerminalError, TransientError
from wattline.storage import sql
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore, connect
from wattline.storage.store import Condition, Store, WriteResult, between

pytestmark = pytest.mark.integration
PROPERTY = settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes where each example asks a server
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
START = datetime(2026, 12, 31, 23, tzinfo=UTC)


@dataclass
class Place:
    """One database of the tests: where it is, how to open a store on it, how to empty it."""

    url: str
    server: RunningServer
    open: Callable[[str], Store]
    clear: Callable[[str], None]


def clear_mysql(url: str) -> None:
    with closing(connect(sa.make_url(url))) as connection:
        definition = sa.schema.CreateTable(sql.sql_table(SAMPLE)).compile(dialect=sql.DIALECT)
        connection.cursor().execute("DROP TABLE IF EXISTS sample")
        connection.cursor().execute(f"{definition} COLLATE utf8mb4_nopad_bin")


def clear_mongo(url: str) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    with client:
        client.drop_database(client.get_default_database().name)


@pytest.fixture(params=["mysql", "mongo"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "mysql":
        url, server = request.getfixturevalue("module_mysql"), request.getfixturevalue("mariadb_server")
        place = Place(url, server, MySQLStore.from_url, clear_mysql)
    else:
        url, server = request.getfixturevalue("module_mongo"), request.getfixturevalue("mongo_server")
        place = Place(url, server, MongoStore.from_url, clear_mongo)
    place.clear(place.url)
    return place


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with closing(place.open(place.url)) as opened:
        yield opened


def test_writing_twice_changes_nothing(store: Store) -> None:
    assert store.upsert(SAMPLE, sample(50)) == WriteResult(inserted=50, updated=0, unchanged=0)
    assert store.upsert(SAMPLE, sample(50)) == WriteResult(inserted=0, updated=0, unchanged=50)
    assert store.read(SAMPLE).equals(sample(50))


def test_a_write_counts_new_changed_and_same_rows(store: Store) -> None:
    store.upsert(SAMPLE, sample(50))
    changed = pl.concat([sample(20), sample(90, note="changed", kwh=None)[40:]])
    assert store.upsert(SAMPLE, changed) == WriteResult(inserted=40, updated=10, unchanged=20)
    assert store.read(SAMPLE).equals(pl.concat([sample(40), changed[20:]]))


@pytest.mark.parametrize("change", [{"note": "a "}, {"note": ""}, {"kwh": Decimal("999999999.000002")}, {"flag": None}])
def test_the_smallest_change_is_a_change(store: Store, change: dict[str, Any]) -> None:
    store.upsert(SAMPLE, sample(1, note="a"))
    assert store.upsert(SAMPLE, sample(1, **{"note": "a"} | change)).updated == 1
    assert store.read(SAMPLE).equals(sample(1, **{"note": "a"} | change))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: pl.concat([frame, frame[3:4]]), "share a key"),
        (lambda frame: frame.drop("kw"), "lacks kw"),
        (lambda frame: frame.with_columns(pl.lit(None, pl.Int32).alias("n")), "null in n"),
        (lambda frame: frame.with_columns(pl.lit(float("nan")).alias("kw")), "NaN or infinity in kw"),
        (lambda frame: frame.with_columns(pl.lit("x").alias("big")), "does not fit"),
    ],
)
def test_a_bad_frame_is_refused_whole(
    store: Store, spoil: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    with pytest.raises(TerminalError, match=message):
        store.upsert(SAMPLE, spoil(sample(10)))
    assert store.count(SAMPLE) == 0


@PROPERTY
@given(first=rows(), second=rows())
def test_what_is_written_is_read(place: Place, store: Store, first: pl.DataFrame, second: pl.DataFrame) -> None:
    reference = MemoryStore()
    place.clear(place.url)
    for batch in (first, second, second, first):
        assert store.upsert(SAMPLE, batch) == reference.upsert(SAMPLE, store.capabilities.kept(batch))
        assert store.read(SAMPLE).equals(reference.read(SAMPLE))


@PROPERTY
@given(frame=rows(4), where=st.lists(CONDITIONS, max_size=2), data=st.data())
def test_conditions_mean_the_same_everywhere(
    place: Place, store: Store, frame: pl.DataFrame, where: list[Condition], data: st.DataObject
) -> None:
    reference = MemoryStore()
    place.clear(place.url)
    store.upsert(SAMPLE, frame)
    reference.upsert(SAMPLE, store.capabilities.kept(frame))
    found = data.draw(st.sampled_from(reference.read(SAMPLE).drop("flag").to_dicts()))
    near = data.draw(st.sampled_from([name for name, value in found.items() if value is not None]))
    where.append(Condition(near, data.draw(st.sampled_from(["=", "<", "<=", ">", ">="])), found[near]))
    expected = reference.read(SAMPLE, where)
    assert store.read(SAMPLE, where).equals(expected)
    assert store.count(SAMPLE, where) == expected.height
    for column in ("at", "day", "kwh", "big", "note"):
        assert store.maximum(SAMPLE, column, where) == expected[column].max()
    last = expected.drop_nulls("seen").sort("seen", *SAMPLE.key).unique("n", keep="last").sort(SAMPLE.key)
    assert store.newest(SAMPLE, ["n"], "seen", where).equals(last)


def test_microseconds_are_kept_or_cut_as_the_capabilities_say(store: Store) -> None:
    exact = START + timedelta(microseconds=1999)
    store.upsert(SAMPLE, sample(1, at=exact, seen=exact))
    assert store.read(SAMPLE).equals(store.capabilities.kept(sample(1, at=exact, seen=exact)))
    for start, end, count in ((0, 1, 0), (1, 2, 1), (2, 3, 0)):
        span = between("at", START + timedelta(milliseconds=start), START + timedelta(milliseconds=end))
        assert store.count(SAMPLE, span) == count
    assert store.count(SAMPLE, [Condition("at", "=", exact)]) == 1
    assert store.count(SAMPLE, [Condition("at", "<=", exact)]) == 1
    assert store.count(SAMPLE, [Condition("at", "<", START + timedelta(microseconds=2001))]) == 1


def test_a_condition_takes_many_values(store: Store) -> None:
    store.upsert(SAMPLE, pl.concat([sample(1, n=number) for number in (1, 2, 30_001)]))
    assert store.read(SAMPLE, [Condition("n", "in", range(2, 20_002))]).equals(sample(1, n=2))
    assert store.read(SAMPLE, [Condition("site", "in", ["서울", "o'Neill\\"])])["n"].to_list() == [1, 2, 30_001]
    assert store.count(SAMPLE, [Condition("n", "in", [])]) == 0


@pytest.mark.parametrize(
    "condition",
    [
        Condition("nope", "=", 1),
        Condition("n", "!=", 1),  # type: ignore[arg-type]
        Condition("n", "=", "1 OR 1=1"),
        Condition("n", "=", True),
        Condition("n", "in", "12"),
        Condition("kwh", "=", 0.1),
        Condition("kwh", "=", Decimal("NaN")),
        Condition("kw", "<", float("inf")),
        Condition("at", "=", date(2026, 11, 1)),
        Condition("at", "=", datetime(2026, 11, 1)),  # noqa: DTZ001
        Condition("day", "=", START),
    ],
)
def test_a_condition_that_fits_no_column_is_refused(store: Store, condition: Condition) -> None:
    with pytest.raises(TerminalError):
        store.read(SAMPLE, [condition])


def test_nothing_found_still_has_columns(store: Store) -> None:
    assert store.read(SAMPLE).schema == SAMPLE.schema
    assert store.read(SAMPLE, columns=["note", "at"]).schema == {"note": pl.String, "at": SAMPLE.schema["at"]}
    assert store.newest(SAMPLE, ["site"], "at").schema == SAMPLE.schema
    assert store.maximum(SAMPLE, "at") is None
    assert store.count(SAMPLE) == 0
    assert store.upsert(SAMPLE, sample(0)) == WriteResult(0, 0, 0)


def test_rows_come_in_key_order_with_the_columns_asked_for(store: Store) -> None:
    sites = pl.concat([sample(3, site=site) for site in ("b", "a", "B", "가")])
    store.upsert(SAMPLE, sites.sample(fraction=1, shuffle=True, seed=1))
    assert store.read(SAMPLE, columns=["kw", "site"]).equals(sites.sort(SAMPLE.key).select("kw", "site"))


def test_a_range_spans_months(store: Store) -> None:
    whole = sample(24 * 70, at=pl.Series([START + timedelta(hours=hour) for hour in range(24 * 70)]))
    store.upsert(SAMPLE, whole)
    for first, last in ((0, 1), (0, 2), (1, 1000), (700, 24 * 70)):
        span = between("at", START + timedelta(hours=first), START + timedelta(hours=last))
        assert store.read(SAMPLE, span).equals(whole[first:last])
    assert store.maximum(SAMPLE, "at", [Condition("at", "<", START + timedelta(hours=1))]) == START
    newest = store.newest(SAMPLE, ["site"], "at", [Condition("at", "<=", START + timedelta(hours=800))])
    assert newest.equals(whole[800:801])


def test_two_writers_at_once_lose_nothing(place: Place) -> None:
    results: list[WriteResult] = []

    def write(part: pl.DataFrame) -> None:
        with closing(place.open(place.url)) as own:
            results.extend(_patiently(partial(own.upsert, SAMPLE, chunk)) for chunk in part.iter_slices(250))

    frame = sample(3000)
    writers = [threading.Thread(target=write, args=(part,)) for part in (frame[:2000], frame[1000:], frame[::-1])]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with closing(place.open(place.url)) as store:
        assert store.read(SAMPLE).equals(frame)
    assert sum(result.inserted for result in results) == 3000
    assert sum(result.rows for result in results) == 7000


def test_a_stopped_server_is_a_transient_error(place: Place, store: Store) -> None:
    store.upsert(SAMPLE, sample(5))
    place.server.stop()
    started = time.monotonic()
    with pytest.raises(TransientError):
        store.read(SAMPLE)
    with pytest.raises(TransientError):
        store.upsert(SAMPLE, sample(10))
    assert time.monotonic() - started < 25
    place.server.start()
    assert store.upsert(SAMPLE, sample(10)) == WriteResult(inserted=5, updated=0, unchanged=5)
    assert store.read(SAMPLE).equals(sample(10))


@pytest.mark.parametrize("attempt", [lambda store: store.read(SAMPLE), lambda store: store.upsert(SAMPLE, sample(1))])
def test_a_wrong_password_is_a_terminal_error_at_once(place: Place, attempt: Callable[[Store], Any]) -> None:
    parts = urlsplit(place.url)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:hunter%402@{parts.hostname}:{parts.port}"))
    started = time.monotonic()
    with closing(place.open(wrong)) as store, pytest.raises(TerminalError) as caught:
        attempt(store)
    assert time.monotonic() - started < 5
    assert not any(secret in str(caught.value) for secret in ("hunter", wrong))


def test_an_unreadable_url_is_not_shown(place: Place) -> None:
    with pytest.raises(TerminalError) as caught:
        place.open("mongodb:/hunter2")
    assert "hunter2" not in str(caught.value)


KILLED = """
import sys
from tests.storage_sample import SAMPLE, sample
from wattline.storage.{module} import {store}
store = {store}.from_url(sys.argv[1])
frame = sample(30_000)
store.count(SAMPLE)
print("go", flush=True)
store.upsert(SAMPLE, frame)
"""


def test_a_killed_write_is_put_right_by_the_next(place: Place, store: Store) -> None:
    kind = type(store)
    script = KILLED.format(module=kind.__module__.rpartition(".")[2], store=kind.__name__)
    atomic = store.capabilities.atomic_upsert
    with subprocess.Popen([sys.executable, "-c", script, place.url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "go\n"
        while not atomic and not store.count(SAMPLE):
            time.sleep(0.01)
        time.sleep(0.1 if atomic else 0)
        writer.send_signal(signal.SIGKILL)
    there = store.count(SAMPLE)
    assert there in (0, 30_000) if atomic else 0 < there < 30_000
    result = _patiently(lambda: store.upsert(SAMPLE, sample(30_000)))
    assert (result.rows, result.updated) == (30_000, 0)
    assert store.read(SAMPLE).equals(sample(30_000))


def _patiently(write: Callable[[], WriteResult]) -> WriteResult:
    """Try again while the error says that this may help, as a task does."""
    for _ in range(20):
        try:
            return write()
        except TransientError:
            time.sleep(0.1)
    return write()
