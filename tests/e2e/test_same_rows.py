"""Live runs, history by the day, reruns and backfills give the same rows; killed tasks and stopped servers too."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from typing import Any

import bson
import polars as pl
import pytest

from tests.e2e.conftest import Platform, until, utc
from tests.e2e.fleet import DAYS, readings, register, send, simulate
from tests.memory_store import MemoryStore
from wattline.quality.gate import check
from wattline.solar import collect, process
from wattline.solar.checks import READINGS
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, DAY_TOTAL_GENERATION, INVERTER, READING, TICK_ROW
from wattline.storage.store import Condition, between
from wattline.window import Window

HOUR = Window(utc("2026-09-30T02:00"), utc("2026-09-30T03:00"))
BACKFILLED = Window(utc("2026-08-10T02:00"), utc("2026-08-10T02:30"))
PLANT = 8101
PIPELINES = ("migration_inverter_m10", "inverterlog")
LONG = pytest.mark.skipif(os.environ.get("LONG_TESTS") != "1", reason="one more task that is killed: LONG_TESTS=1")


def _window_arguments(window: Window) -> list[str]:
    return ["--from", window.start.isoformat(), "--to", window.end.isoformat()]


def _digests(platform: Platform, window: Window) -> dict[str, str]:
    """A hash of every document of the window, byte by byte, and of MySQL's rows."""
    low, high = window.start, window.end
    by_time: dict[str, Any] = {"at": {"$gt": low, "$lte": high}}
    by_day: dict[str, Any] = {"day": {"$lte": high.date().isoformat()}}
    found: dict[str, str] = {}
    stems, dates = ("inverterlog", "inverter_reading"), ("202608", "202609", "202610")
    months = [f"{stem}_{date}" for stem in stems for date in dates]
    for name in (*months, "day_generation", "day_total_generation"):
        query = by_time if name in months else by_day
        raw = platform.mongo[name].find(query | {"mcno": {"$lt": 8000}}).sort("_id")
        found[name] = hashlib.sha256(b"".join(bson.encode(document) for document in raw)).hexdigest()
    rows = platform.mysql.read(TICK_ROW, (*_inside(window), Condition("mcno", "<", 8000)))
    found["mysql"] = str(rows.hash_rows().sum()) + f" {rows.height}"
    return found


def _inside(window: Window) -> tuple[Condition, Condition]:
    return Condition("at", ">", window.start), Condition("at", "<=", window.end)


def _computed_at_once(platform: Platform, window: Window, mcno: int | None = None) -> dict[str, Any]:
    """The rows that the pure code gives for the whole window in one go, from what the gateways wrote."""
    log = MemoryStore()
    kept = platform.mysql.read(READING)
    log.upsert(READING, platform.mongo_store.capabilities.kept(kept))
    register_ = MemoryStore()
    plants = Condition("mcno", "<", 8000) if mcno is None else Condition("mcno", "=", mcno)
    for table in (CUSTOMER, INVERTER):
        register_.upsert(table, platform.mysql.read(table, (plants,)))
    frames = collect.inverters(register_, window, {})
    frames |= collect.readings(log, window, frames)
    frames["good_readings"] = check(READINGS, frames["readings"], 1.0).good
    return process.inverter_log(window, frames)


@pytest.fixture(scope="module")
def two_days(platform: Platform) -> Platform:
    simulate(platform)
    platform.wattline("history", *PIPELINES, *_window_arguments(DAYS), "--chunk", "1d")
    return platform


def test_history_by_the_day_gives_the_rows_that_the_pure_code_gives_at_once(two_days: Platform) -> None:
    expected = _computed_at_once(two_days, DAYS)
    mongo = two_days.mongo_store
    below = Condition("mcno", "<", 8000)
    ticks = expected["inverterlog"].filter(expected["inverterlog"]["at"] > DAYS.start)
    kept = mongo.capabilities.kept(ticks)
    assert ticks.height == two_days.mysql.count(INVERTER, (below,)) * 288
    assert mongo.read(TICK_ROW, (*_inside(DAYS), below)).to_dicts() == kept.to_dicts()
    assert two_days.mysql.read(TICK_ROW, (*_inside(DAYS), below)).to_dicts() == ticks.to_dicts()
    last = DAYS.end.date()
    for table in (DAY_GENERATION, DAY_TOTAL_GENERATION):
        # The days that the migration brought are not the pipeline's, and stay where it has no reading.
        old = mongo.read(table, columns=table.key, only={"origin": "mysql"})
        silent = expected[f"{table.name}_silent"].join(old, on=table.key, how="anti")
        rows = pl.concat([expected[table.name], silent]).filter(pl.col("day") <= last).sort(table.key)
        own = mongo.read(table, (Condition("day", "<=", last), below), only={"origin": None})
        assert own.to_dicts() == rows.to_dicts()


def test_a_rerun_leaves_every_byte_as_it_is(two_days: Platform) -> None:
    before = _digests(two_days, DAYS)
    assert two_days.run("inverterlog", HOUR) == "success"
    assert _digests(two_days, DAYS) == before


def test_a_backfill_by_ten_minutes_with_many_runs_at_once_gives_the_rows_of_one_run(platform: Platform) -> None:
    """The counter is reset on the way, so each run builds on the one before."""
    register(platform.mysql, 7001, 5, removed_at=utc("2026-08-11T00:00"))
    rows = readings(7001, 5, [BACKFILLED.start + timedelta(minutes=n) for n in range(3, 30, 5)])
    reset = pl.col("totkw") - pl.when(pl.col("at") > BACKFILLED.start + timedelta(minutes=10)).then(1005).otherwise(0)
    send(platform.mysql, rows.with_columns(reset))
    assert platform.run("migration_inverter_m10", BACKFILLED) == "success"
    body = {
        "dag_id": "inverterlog",
        "from_date": BACKFILLED.start.isoformat(),
        "to_date": (BACKFILLED.end - timedelta(minutes=10)).isoformat(),
        "max_active_runs": 4,
    }
    platform.api.unpause("inverterlog")
    platform.api.post("/api/v2/backfills", body)

    def states() -> list[str]:
        runs = platform.get("/api/v2/dags/inverterlog/dagRuns?run_type=backfill&limit=100")["dag_runs"]
        return [run["state"] for run in runs]

    until(lambda: len(states()) == 3 and set(states()) <= {"success", "failed"}, "the backfill")
    assert set(states()) == {"success"}

    stored = platform.mysql.read(TICK_ROW, (*_inside(BACKFILLED), Condition("mcno", "=", 7001)))
    assert stored.filter("counter_reset").height == 5
    assert stored.to_dicts() == _computed_at_once(platform, BACKFILLED, 7001)["inverterlog"].to_dicts()
    before = _digests(platform, BACKFILLED)
    assert platform.run("inverterlog", BACKFILLED) == "success"
    assert _digests(platform, BACKFILLED) == before


def _window(number: int) -> Window:
    start = utc("2026-08-05T02:00") + timedelta(hours=number)
    return Window(start, start + timedelta(minutes=10))


@pytest.fixture(scope="module")
def batches(platform: Platform) -> list[Window]:
    """Windows, each with twenty inverters' readings that are in MongoDB already."""
    windows = [_window(number) for number in range(6)]
    register(platform.mysql, PLANT, 20, removed_at=utc("2026-08-06T00:00"))
    times = [window.start + timedelta(minutes=n) for window in windows for n in (2, 7)]
    send(platform.mysql, readings(PLANT, 20, times))
    assert platform.run("migration_inverter_m10", Window(windows[0].start, windows[-1].end)) == "success"
    return windows


@pytest.fixture
def batch(batches: list[Window], request: pytest.FixtureRequest) -> Window:
    """A window of its own for each test."""
    return batches[request.param]


def _is_complete(platform: Platform, window: Window) -> None:
    """Every inverter has its one row, with the newest reading, in both databases; and every day its sum."""
    here = (Condition("mcno", "=", PLANT), *between("at", window.start, window.end + timedelta(seconds=1)))
    rows = platform.mysql.read(TICK_ROW, here)
    assert rows.select("invno", "stale", "ackw").to_dicts() == [
        {"invno": invno, "stale": False, "ackw": 40.0} for invno in range(1, 21)
    ]
    stored = platform.mongo_store.read(TICK_ROW, here)
    assert stored.to_dicts() == platform.mongo_store.capabilities.kept(rows).to_dicts()


def _killed(platform: Platform, run_id: str, task_id: str) -> None:
    """Kill the process that runs a task of `inverterlog`; Airflow finds out and tries again."""
    platform.kill("inverterlog", run_id, task_id)
    retried = ("up_for_retry", "scheduled", "queued")
    until(
        lambda: (
            platform.tasks("inverterlog", run_id)[task_id]["state"] in retried
            or platform.tasks("inverterlog", run_id)[task_id]["try_number"] > 1
        ),
        f"{task_id} to be tried again",
    )


@pytest.mark.parametrize(
    ("batch", "task_id", "table"),
    [
        pytest.param(0, "collect_inverters", "inverter", marks=LONG),
        (1, "store_mysql_inverter_log", "inverterlog_tick"),
    ],
    indirect=["batch"],
)
def test_a_task_killed_while_it_collects_or_stores_is_put_right_by_its_retry(
    platform: Platform, batch: Window, task_id: str, table: str
) -> None:
    run_id = platform.trigger("inverterlog", batch)
    # A live run before it would wait for the lock, and it for the live run.
    until(lambda: platform.state("inverterlog", run_id) == "running", "the run's turn", pause=0.1)
    with platform.locked(table):
        _killed(platform, run_id, task_id)
    assert platform.finished("inverterlog", run_id) == "success"
    assert platform.tasks("inverterlog", run_id)[task_id]["try_number"] > 1
    _is_complete(platform, batch)


@pytest.mark.parametrize("batch", [2], indirect=True)
def test_a_task_killed_while_it_writes_to_mongo_is_put_right_by_its_retry(platform: Platform, batch: Window) -> None:
    run_id = platform.trigger("inverterlog", batch)
    until(
        lambda: platform.tasks("inverterlog", run_id)["gate"]["state"] == "success",
        "the gate; the marks are what is written next",
    )
    platform.mongo.client.admin.command("fsync", lock=True)
    try:
        _killed(platform, run_id, "mark")
    finally:
        platform.mongo.client.admin.command("fsyncUnlock")
    assert platform.finished("inverterlog", run_id) == "success"
    assert platform.tasks("inverterlog", run_id)["mark"]["try_number"] > 1
    _is_complete(platform, batch)


@LONG
@pytest.mark.parametrize("batch", [3], indirect=True)
def test_a_task_killed_while_it_processes_is_put_right_by_its_retry(platform: Platform, batch: Window) -> None:
    run_id = platform.trigger("inverterlog", batch)
    _killed(platform, run_id, "process")
    assert platform.finished("inverterlog", run_id) == "success"
    assert platform.tasks("inverterlog", run_id)["process"]["try_number"] > 1
    _is_complete(platform, batch)


@pytest.mark.parametrize(
    ("batch", "server", "task_id"),
    [(4, "mariadb", "store_mysql_inverter_log"), (5, "mongod", "mark")],
    indirect=["batch"],
)
def test_a_server_that_stops_in_the_middle_delays_a_run_and_changes_nothing(
    platform: Platform, batch: Window, server: str, task_id: str
) -> None:
    (database,) = [process for process in platform.stack.processes() if process.name == server]
    run_id = platform.trigger("inverterlog", batch)
    until(lambda: platform.tasks("inverterlog", run_id)["gate"]["state"] == "success", "the gate, before any storer")
    for member in database.family():
        member.kill()
    until(lambda: platform.tasks("inverterlog", run_id)[task_id]["state"] == "up_for_retry", "a transient error")
    database.start()
    database.wait()
    assert platform.finished("inverterlog", run_id) == "success"
    assert platform.tasks("inverterlog", run_id)[task_id]["try_number"] > 1
    _is_complete(platform, batch)
