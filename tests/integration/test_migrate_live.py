"""Migrations while the source is written, and while processes and servers are killed: nothing is lost or doubled."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.integration.migrating import CREATE_LOG, HOUR, LOG, Bench, fill
from tests.servers import RunningServer
from wattline.errors import TransientError
from wattline.migrate import run
from wattline.migrate.entry import Entry
from wattline.migrate.load import load
from wattline.window import Window

pytestmark = pytest.mark.integration

LONG = os.environ.get("LONG_TESTS") == "1"
"""The full size: transactions of 60 s, 2,000,000 rows; some twenty minutes."""
ROWS = 2_000_000 if LONG else 40_000
KILLS = 10
TRANSACTION_SECONDS = 60.0 if LONG else 2.0
RUN_SECONDS = 20.0 if LONG else 1.0
OVERLAP = timedelta(seconds=TRANSACTION_SECONDS + 5)
TAIL = Entry("tail", "log", LOG.target, changed="updated_at", measured="at", overlap=OVERLAP)
WIDE = Window(HOUR.start - timedelta(days=60), HOUR.end)

processes = multiprocessing.get_context("forkserver")
# As in Airflow: the slow libraries are there when a task is forked. Never polars: its threads do not survive a fork.
processes.set_forkserver_preload(["great_expectations", "pyarrow.parquet", "MySQLdb", "pymongo"])


@pytest.fixture
def bench(fresh_mysql: str, fresh_mongo: str, tmp_path: Path) -> Bench:
    made = Bench(fresh_mysql, fresh_mongo, tmp_path)
    made.sql(CREATE_LOG)
    return made


def _fingerprint(bench: Bench) -> list[tuple[Any, ...]]:
    """Count and checksums of the source's rows and of the documents, computed by nobody's code but this test's."""
    names = "unit, `at`, energy, power, note, updated_at"
    rows = pl.DataFrame(
        bench.sql(f"SELECT {names} FROM log ORDER BY unit, `at`"), orient="row", infer_schema_length=None
    )
    stored = bench.documents(LOG).with_columns(pl.col(pl.Datetime).dt.replace_time_zone(None))
    documents = pl.DataFrame(stored.rows(), orient="row", infer_schema_length=None)
    cut = pl.col(pl.Datetime).dt.truncate("1ms")
    return [(each.height, int(each.with_columns(cut).hash_rows(7).sum())) for each in (rows, documents)]


def _work(mysql_url: str, mongo_url: str, folder: str, slice_rows: int, begun: Any) -> None:
    from wattline.migrate import slices

    slices.SLICE_ROWS = slice_rows
    begun.set()
    Bench(mysql_url, mongo_url, Path(folder)).migrate(LOG, WIDE, live=True)


def _start(bench: Bench) -> Any:
    """A process that migrates, from the moment on at which it begins its work."""
    begun = processes.Event()
    arguments = (bench.mysql_url, bench.mongo_url, str(bench.folder), ROWS // 8, begun)
    process = processes.Process(target=_work, args=arguments)
    process.start()
    assert begun.wait(60)
    return process


def _fill_many(bench: Bench) -> None:
    for part in range(-(-ROWS // 40_000)):
        fill(bench, 40_000, start=HOUR.start - timedelta(hours=3 * (part + 1)))


@pytest.mark.timeout(3600 if LONG else 300)
def test_a_large_load_that_is_killed_ten_times_equals_an_undisturbed_one(bench: Bench) -> None:
    _fill_many(bench)
    started = time.monotonic()
    undisturbed = _start(bench)
    undisturbed.join()
    seconds = time.monotonic() - started
    assert undisturbed.exitcode == 0
    source, expected = _fingerprint(bench)
    assert expected == source
    with bench.open() as (_, store):
        store.database.client.drop_database(store.database.name)

    luck = random.Random(3)
    killed = 0
    for _ in range(KILLS):
        process = _start(bench)
        process.join(luck.uniform(0, seconds / 3))
        if process.is_alive():
            process.kill()
            killed += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    last = _start(bench)
    last.join()
    assert last.exitcode == 0
    assert killed >= KILLS // 2
    assert _fingerprint(bench) == [source, expected]


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.timeout(3600 if LONG else 300)
def test_a_server_that_is_killed_in_the_middle_is_put_right_by_a_rerun(
    bench: Bench, mariadb_server: RunningServer, mongo_server: RunningServer, side: str
) -> None:
    _fill_many(bench)
    server = mariadb_server if side == "source" else mongo_server
    process = _start(bench)
    # Something is there, and not everything.
    while process.is_alive() and not (0 < bench.documents(LOG).height < ROWS):
        time.sleep(0.02)
    server.kill()
    process.join()
    server.start()
    assert process.exitcode != 0
    rerun = _start(bench)
    rerun.join()
    assert rerun.exitcode == 0
    source, target = _fingerprint(bench)
    assert source == target
    assert source[0] == ROWS


class Writer(threading.Thread):
    """Writes rows in transactions of all lengths, now and then about the past, some rolled back, some rows again."""

    def __init__(self, bench: Bench, unit: int, stop: threading.Event) -> None:
        super().__init__()
        self.bench, self.unit, self.stop, self.committed = bench, unit, stop, 0

    def run(self) -> None:
        luck = random.Random(self.unit)
        with closing(self.bench.connection()) as connection:
            connection.autocommit(False)
            cursor = connection.cursor()
            number = 0
            while not self.stop.is_set():
                for _ in range(luck.randint(1, 20)):
                    number += 1
                    past = luck.choice([0, 0, 0, 3600, 86_400 * 40])
                    cursor.execute(
                        "INSERT INTO log (unit, `at`, energy, power, note) VALUES "
                        # Milliseconds of their own: keys that MongoDB cannot tell apart would be quarantined.
                        "(%s, TIMESTAMP'2026-10-30 00:00:00' - INTERVAL %s SECOND + INTERVAL %s MICROSECOND, %s, %s, "
                        "'new')",
                        (self.unit, past, 1000 * number, number, number / 7),
                    )
                cursor.execute(
                    "UPDATE log SET power = power + 1, note = 'again' WHERE unit = %s ORDER BY RAND(%s) LIMIT 5",
                    (self.unit, number),
                )
                long = luck.random() < 0.3
                self.stop.wait(luck.uniform(0, TRANSACTION_SECONDS) if long else luck.uniform(0, 0.1))
                if luck.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()
                    self.committed += 1


@pytest.mark.timeout(3600 if LONG else 300)
def test_rows_that_are_committed_late_or_out_of_order_are_all_found(bench: Bench) -> None:
    fill(bench, 2_000)
    stop = threading.Event()
    writers = [Writer(bench, 10 + number, stop) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        start = HOUR.end
        for _ in range(10):
            time.sleep(RUN_SECONDS)
            end = datetime.now(UTC).replace(microsecond=0)
            bench.migrate(TAIL, Window(start, end), live=True)
            start = end
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert all(writer.committed > 3 for writer in writers)
    time.sleep(1.1)
    bench.migrate(TAIL, Window(start, datetime.now(UTC).replace(microsecond=0)), live=True)
    source, target = _fingerprint(bench)
    assert source == target
    assert bench.raw("quarantine") == []


def test_a_run_that_holds_old_rows_leaves_those_that_another_run_loaded_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bench, 4_000)
    bench.migrate(LOG, HOUR, live=True)
    slow = Bench(bench.mysql_url, bench.mongo_url, bench.folder / "slow")
    following = Window(HOUR.end, HOUR.end + timedelta(minutes=10))

    def late(*arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(run, "load", load)
        bench.sql("UPDATE log SET power = -5, updated_at = '2026-11-01 00:05:00'")
        assert bench.migrate(LOG, following, live=True) == {"rows": 4_000, "updated": 4_000}
        return load(*arguments)

    monkeypatch.setattr(run, "load", late)
    assert slow.migrate(LOG, HOUR) == {"rows": 4_000, "kept": 4_000}
    assert bench.documents(LOG)["power"].unique().to_list() == [-5]


def test_a_source_whose_clock_is_behind_is_waited_for(bench: Bench) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    with pytest.raises(TransientError, match="set the clocks"):
        bench.migrate(LOG, Window(ahead - timedelta(minutes=10), ahead), live=True)
