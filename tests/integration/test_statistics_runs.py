"""Runs of the statistics of power on real servers: documents, reruns, late readings, bad rows, parts, killed runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.generation_world import World
from tests.integration.pipeline_runs import Killed, Platform
from wattline.errors import BatchRejectedError
from wattline.solar.statistics_tables import STATISTICS_AVG, STATISTICS_MEDIAN
from wattline.solar.tables import CUSTOMER, INVERTER, READING, TICK_ROW
from wattline.storage.store import Condition
from wattline.window import Window

pytestmark = pytest.mark.integration

AVG, MEDIAN = "statistics_inverter_avg", "statistics_inverter_median"
DAY, TICK = timedelta(days=1), timedelta(minutes=10)
FIRST = datetime(2026, 7, 19, tzinfo=UTC)
MIDNIGHT = FIRST - timedelta(hours=2)
"""In Berlin."""
INVERTERS = (1, 2, 3)
POWER = {1: 10.0, 2: 20.0, 3: 60.0}


def day(n: int) -> Window:
    return Window(FIRST + n * DAY, FIRST + (n + 1) * DAY)


@pytest.fixture
def platform(fresh_mysql: str, fresh_mongo: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """Two days of two plants in Berlin, three inverters each; one of them is silent for an hour of the first day."""
    made = Platform(fresh_mysql, fresh_mongo, monkeypatch)
    world = World({1: "Europe/Berlin", 2: "Europe/Berlin"}, inverters=3)
    for table in (CUSTOMER, INVERTER):
        made.mysql.upsert(table, world.mysql.read(table))
    for n in range(2 * 144 + 12):
        for mcno in (1, 2):
            send(world, mcno, n, [invno for invno in INVERTERS if (mcno, invno) != (1, 1) or not 72 <= n < 78])
    made.mongo.upsert(READING, world.readings())
    made.read_until(FIRST + 9 * DAY)
    made.start("inverterlog", Window(MIDNIGHT, FIRST + 2 * DAY), live=False)
    yield made
    made.close()


def send(world: World, mcno: int, n: int, inverters: list[int], received_at: datetime | None = None) -> None:
    """Readings in the slot `n` after MIDNIGHT."""
    at = MIDNIGHT + n * TICK + TICK / 2
    for invno in inverters:
        more = {"ackw": POWER[invno], "dckw": POWER[invno] * 1.1, "received_at": received_at or at}
        world.send(at, Decimal(1000 + n), mcno=mcno, invno=invno, **more)


def read(platform: Platform, **key: Any) -> list[dict[str, Any]]:
    """Documents of STATISTICS_AVG."""
    where = [Condition(name, "=", value) for name, value in key.items()]
    return platform.mongo.read(STATISTICS_AVG, where).to_dicts()


def test_both_pipelines_store_every_inverter_and_plant_of_the_day(platform: Platform) -> None:
    said = platform.start(AVG, day(0))
    assert said["collect_logs"] == {"days": 2, "logs": 144 * 6 - 6, "parts": 1}
    assert said["gate"] == {"good": 144 * 6 - 6, "quarantined": 0}
    assert said["store_statistics"] == {"inserted": 8, "updated": 0, "unchanged": 0}
    plant, unit = read(platform, mcno=1)[:2]
    assert (plant["invno"], plant["start"], plant["slots"], plant["installed_kw"]) == (0, MIDNIGHT, 144, 300.0)
    assert (plant["count"][72], plant["ackw"][72], plant["ackw_sum"][72]) == (2, 40.0, 80.0)
    assert (plant["count"][78], plant["ackw"][78], plant["ackw_per_kw"][78]) == (3, 30.0, pytest.approx(0.3))
    assert (unit["count"][71:79], unit["ackw"][77:79]) == ([1, 0, 0, 0, 0, 0, 0, 1], [None, 10.0])
    assert platform.start(MEDIAN, day(0))["store_statistics"]["inserted"] == 8
    median = platform.mongo.read(STATISTICS_MEDIAN, [Condition("mcno", "=", 2)]).to_dicts()[0]
    assert (median["ackw"][78], median["dckw"][78], median["ackw_day"]) == (20.0, 22.0, 20.0)


def test_a_rerun_changes_nothing(platform: Platform) -> None:
    platform.start(AVG, day(0))
    for window in (day(0), Window(FIRST, FIRST + 2 * DAY)):
        said = platform.start(AVG, window, live=False)["store_statistics"]
        assert (said["updated"], said["unchanged"]) == (0, 8)
    assert len(read(platform)) == 16


def test_late_readings_change_the_documents_of_their_day(platform: Platform) -> None:
    for n in (0, 1):
        platform.start(AVG, day(n))
    late = World({1: "Europe/Berlin"})
    arrival = FIRST + 2 * DAY + timedelta(minutes=3)
    for n in range(72, 78):
        send(late, 1, n, [1], arrival)
    platform.mongo.upsert(READING, late.readings())
    platform.start("inverterlog", Window(FIRST + 2 * DAY, FIRST + 3 * DAY))
    said = platform.start(AVG, day(2))
    # Of the first day plant and inverter change; the second is computed again, as its tick rows were, and is the same.
    assert said["store_statistics"] == {"inserted": 8, "updated": 2, "unchanged": 6}
    assert said["collect_logs"]["parts"] == 3
    plant, unit = read(platform, mcno=1, day=FIRST.date())[:2]
    assert (unit["count"][72], plant["count"][72], plant["ackw"][72]) == (1, 3, 30.0)
    platform.start("inverterlog", day(3))
    assert platform.start(AVG, day(3))["collect_logs"]["parts"] == 1, "what was due is done"


def test_a_killed_run_is_put_right_by_the_next_try(platform: Platform) -> None:
    for task in ("gate", "process", "store_statistics", "finish"):
        with pytest.raises(Killed):
            platform.start(AVG, day(0), before=task)
    assert platform.start(AVG, day(0))["store_statistics"] == {"inserted": 0, "updated": 0, "unchanged": 8}


def test_rows_that_cannot_be_are_left_out_and_told_of_in_every_part(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattline.solar.collect_statistics._INVERTERS_AT_ONCE", 1)
    spoil(platform, 1, [78])
    spoil(platform, 2, [79])
    said = platform.start(AVG, day(0))
    assert (said["collect_logs"]["parts"], said["gate"]) == (2, {"good": 144 * 6 - 8, "quarantined": 2})
    bad = list(platform.database["quarantine"].find({"status": "open", "pipeline": AVG}))
    assert [row["reasons"][0]["field"] for row in bad] == ["ackw", "ackw"]
    assert [read(platform, mcno=mcno)[0]["count"][78:80] for mcno in (1, 2)] == [[2, 3], [3, 2]]
    platform.start("inverterlog", Window(MIDNIGHT, FIRST + DAY), live=False)
    platform.start(AVG, day(0))
    assert platform.database["quarantine"].count_documents({"status": "open", "pipeline": AVG}) == 0
    assert read(platform, mcno=1)[0]["count"][78] == 3


def test_too_many_of_them_stop_the_run_before_anything_is_stored(platform: Platform) -> None:
    spoil(platform, 1, list(range(100)))
    with pytest.raises(BatchRejectedError, match="Run inverterlog over this time again"):
        platform.start(AVG, day(0))
    assert read(platform) == []


def spoil(platform: Platform, mcno: int, slots: list[int]) -> None:
    """Make power impossible in tick rows of inverter 2."""
    at = [MIDNIGHT + (n + 1) * TICK for n in slots]
    rows = platform.mongo.read(TICK_ROW, [Condition("mcno", "=", mcno), Condition("at", "in", at)])
    platform.mongo.upsert(TICK_ROW, rows.filter(invno=2).with_columns(ackw=pl.lit(1e9)))
