"""Statistics of power: what pandas says of the same logs, and the rules one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory_store import MemoryStore
from tests.statistics_reference import reference
from wattline.solar import collect_statistics, scope, statistics
from wattline.solar.statistics_tables import LOG, STATISTICS_AVG, STATISTICS_MEDIAN
from wattline.solar.tables import CUSTOMER, INVERTER, TICK, TICK_ROW
from wattline.storage.contract import Table
from wattline.window import Window

NEVER = datetime(2020, 1, 1, tzinfo=UTC)
WAYS: dict[Table, tuple[Any, str]] = {
    STATISTICS_AVG: (statistics.averages, "mean"),
    STATISTICS_MEDIAN: (statistics.medians, "median"),
}
PLACES = {
    "Asia/Seoul": (36.0, 127.0),
    "Europe/Berlin": (52.5, 13.4),
    "Asia/Kathmandu": (27.7, 85.3),
    "Australia/Lord_Howe": (-31.5, 159.1),
    "America/Los_Angeles": (37.8, -122.4),
    "UTC": (78.2, 15.6),
}
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class World:
    """Plants, their tick rows, and both statistics of them.

    Args:
        plants: number → time zone.
        ratings: (plant, inverter) → rated kW.
    """

    def __init__(self, plants: dict[int, str], ratings: dict[tuple[int, int], float | None], **more: Any) -> None:
        self.mysql, self.mongo = MemoryStore(), MemoryStore()
        self.plants, self.ratings = plants, ratings
        customers = [
            (mcno, "", None, None, *PLACES[zone], zone, "in_use", None, NEVER) for mcno, zone in plants.items()
        ]
        self.mysql.upsert(CUSTOMER, pl.DataFrame(customers, CUSTOMER.schema, orient="row"))
        for (mcno, invno), kw in ratings.items():
            self.register(mcno, invno, capacity_kw=kw, **more)
        self.parts: list[pl.DataFrame] = []
        self.start = NEVER

    def register(self, mcno: int, invno: int, **more: Any) -> None:
        nulls = dict.fromkeys(INVERTER.schema)
        known = {"mcno": mcno, "invno": invno, "installed_at": NEVER, "updated_at": NEVER}
        self.mysql.upsert(INVERTER, pl.DataFrame([nulls | known | more], INVERTER.schema))

    def log(self, rows: Sequence[tuple[int, int, datetime, float, float, bool]]) -> None:
        """Tick rows: plant, inverter, tick, AC and DC power, stale."""
        names = ("mcno", "invno", "at", "ackw", "dckw", "stale")
        nothing = {c.name: pl.lit(None if c.nullable else 0, c.dtype) for c in TICK_ROW.columns if c.name not in names}
        frame = pl.DataFrame(rows, {name: TICK_ROW.schema[name] for name in names}, orient="row")
        self.mongo.upsert(TICK_ROW, frame.with_columns(**nothing))

    def run(
        self, window: Window, table: Table = STATISTICS_AVG, due: pl.DataFrame | None = None
    ) -> list[dict[str, Any]]:
        """One run of a pipeline: its documents."""
        process, _ = WAYS[table]
        inputs = {"scope": scope.own(window) if due is None else pl.concat([scope.own(window), due])}
        inputs |= collect_statistics.inverters(self.mysql, window, inputs)
        found, self.parts = [], []
        for part in collect_statistics.logs(self.mongo, window, inputs):
            self.parts.append(part["days"])
            assert part["logs"].schema == LOG.schema
            found.append(process(window, inputs | {"days": part["days"], "good_logs": part["logs"]})["statistics"])
        rows = table.batch(pl.concat(found)) if found else table.schema.to_frame()
        return rows.to_dicts()

    def expected(self, mcno: int, day: date, middle: str) -> dict[int, dict[str, Any]]:
        """What pandas says, by inverter number."""
        logs = self.mongo.read(TICK_ROW).filter(~pl.col("stale"), mcno=mcno).select("invno", "at", "ackw", "dckw")
        zone = self.plants[mcno]
        plant = {"timezone": zone, "latitude": PLACES[zone][0], "longitude": PLACES[zone][1]}
        ratings = {invno: kw for (plant_, invno), kw in self.ratings.items() if plant_ == mcno}
        return reference(logs.to_pandas(), plant, ratings, day, middle)


def same(found: Any, expected: Any) -> bool:
    """Equal, but for the last digits of floats."""
    if isinstance(found, list | float | None):
        return np.allclose(np.array(found, float), np.array(expected, float), rtol=1e-12, atol=1e-12, equal_nan=True)
    return bool(found == expected)


def check(world: World, rows: list[dict[str, Any]], middle: str) -> None:
    expected: dict[tuple[int, date], dict[int, dict[str, Any]]] = {}
    for row in rows:
        key = (row["mcno"], row["day"])
        expected.setdefault(key, world.expected(*key, middle))
        right = expected[key][row["invno"]]
        for name, value in row.items():
            if name not in ("mcno", "invno", "day"):
                assert same(value, right[name]), (row["mcno"], row["invno"], row["day"], name, value, right[name])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """One or two plants with up to four inverters, in any zones, around a change of clocks or not."""
    zones = draw(st.lists(st.sampled_from(list(PLACES)), min_size=1, max_size=2))
    rating = st.sampled_from([None, 0.0, 10.0, 33.3, 50.0])
    plants = dict(enumerate(zones, 1))
    ratings = {(mcno, invno): draw(rating) for mcno in plants for invno in range(1, draw(st.integers(1, 4)) + 1)}
    world = World(plants, ratings)
    start = draw(st.sampled_from([utc("2026-10-24"), utc("2026-03-28"), utc("2026-06-20"), utc("2026-04-03")]))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    share, stale = draw(st.sampled_from([0.0, 0.02, 0.5, 1.0])), draw(st.sampled_from([0.0, 0.3, 1.0]))
    world.log(
        [
            (
                mcno,
                invno,
                start + TICK * n,
                random.uniform(-1, 50),
                random.uniform(-1, 50),
                bool(random.random() < stale),
            )
            for mcno, invno in ratings
            for n in range(1, 3 * 144 + 1)
            if random.random() < share
        ]
    )
    world.start = start
    return world


@given(worlds())
@settings(max_examples=12)
def test_every_figure_is_what_pandas_says(world: World) -> None:
    for table, (_, middle) in WAYS.items():
        rows = world.run(Window(world.start, world.start + 3 * DAY), table)
        check(world, rows, middle)
        assert {(row["mcno"], row["invno"]) for row in rows} == {*world.ratings, *((mcno, 0) for mcno in world.plants)}


@given(worlds(), st.sets(st.integers(1, 17), max_size=3))
@settings(max_examples=10)
def test_any_cut_into_runs_gives_the_documents_of_one_run(world: World, cuts: set[int]) -> None:
    edges = [world.start, *(world.start + n * 4 * HOUR for n in sorted(cuts)), world.start + 3 * DAY]
    once = world.run(Window(edges[0], edges[-1]))
    by_runs = [row for low, high in pairwise(edges) for row in world.run(Window(low, high))]
    assert sorted(by_runs, key=lambda row: (row["mcno"], row["invno"], row["day"])) == once


@pytest.mark.parametrize(("day", "slots"), [("2026-10-25", 150), ("2026-03-29", 138), ("2026-11-01", 144)])
def test_a_day_has_the_slots_that_pass_in_it(day: str, slots: int) -> None:
    world = World({1: "Europe/Berlin"}, {(1, 1): 10.0})
    midnight = utc(day) - (2 if day == "2026-10-25" else 1) * HOUR
    world.log([(1, 1, midnight + TICK * n, float(n), 0.0, False) for n in range(-3, slots + 4)])
    (plant, unit) = world.run(Window(midnight, midnight + DAY + 2 * HOUR))
    assert (unit["day"], unit["start"], unit["slots"]) == (date.fromisoformat(day), midnight, slots)
    assert unit["ackw"] == [float(n) for n in range(1, slots + 1)]
    assert plant["ackw"] == unit["ackw"]


def test_a_tick_speaks_of_the_slot_that_it_ends() -> None:
    world = World({1: "Asia/Kathmandu"}, {(1, 1): 10.0})
    midnight = utc("2026-10-31T18:15")
    world.log(
        [
            (1, 1, utc(f"2026-{at}"), kw, kw, False)
            for at, kw in (("10-31T18:10", 1.0), ("10-31T18:20", 2.0), ("11-01T18:10", 3.0), ("11-01T18:20", 4.0))
        ]
    )
    (_, unit) = world.run(Window(utc("2026-11-01"), utc("2026-11-02")))
    assert (unit["start"], unit["slots"], sum(unit["count"])) == (midnight, 144, 2)
    assert (unit["ackw"][0], unit["ackw"][143]) == (2.0, 3.0)
    whole = World({1: "Asia/Seoul"}, {(1, 1): 10.0})
    whole.log([(1, 1, utc("2026-10-31T15:00") + TICK * n, float(n), 0.0, False) for n in (0, 1, 144, 145)])
    (_, unit) = whole.run(Window(utc("2026-11-01"), utc("2026-11-02")))
    assert (unit["ackw"][0], unit["ackw"][143], sum(unit["count"])) == (1.0, 144.0, 2)


SEOUL = utc("2026-10-31T15:00")
WINDOW = Window(utc("2026-11-01"), utc("2026-11-02"))


def seoul(
    ratings: dict[int, float | None], powers: dict[int, dict[int, float]], stale: Sequence[tuple[int, int]] = ()
) -> World:
    """A plant in Seoul: inverter → slot → AC power, and which of these are stale."""
    world = World({1: "Asia/Seoul"}, {(1, invno): kw for invno, kw in ratings.items()})
    rows = [(invno, slot, kw) for invno, slots in powers.items() for slot, kw in slots.items()]
    world.log([(1, invno, SEOUL + TICK * (slot + 1), kw, 2 * kw, (invno, slot) in stale) for invno, slot, kw in rows])
    return world


def test_stale_rows_do_not_count() -> None:
    world = seoul({1: 10.0, 2: 10.0}, {1: {72: 0.0, 73: 5.0}, 2: {72: 4.0, 73: 6.0}}, stale=[(1, 72)])
    for table, middles in ((STATISTICS_AVG, (4.0, 5.5)), (STATISTICS_MEDIAN, (4.0, 5.5))):
        plant, first, second = world.run(WINDOW, table)
        assert (plant["count"][72:74], plant["ackw"][72:74]) == ([1, 2], list(middles))
        assert (first["count"][72], first["ackw"][72], first["dckw"][72]) == (0, None, None)
        assert (first["day_count"], first["ackw_day"]) == (1, 5.0)
        assert second["day_count"] == 2
        if table is STATISTICS_AVG:
            assert (first["ackw_sum"][72], plant["ackw_sum"][72:74], plant["dckw_sum"][73]) == (0.0, [4.0, 11.0], 22.0)


def test_inverters_of_different_size_compare_by_what_they_make_of_a_kw() -> None:
    world = seoul(
        {1: 10.0, 2: 50.0, 3: None, 4: 0.0}, {n: {72: kw} for n, kw in ((1, 8.0), (2, 20.0), (3, 7.0), (4, 9.0))}
    )
    for table in WAYS:
        plant, *units = world.run(WINDOW, table)
        assert [unit["ackw_per_kw"][72] for unit in units] == [0.8, 0.4, None, None]
        assert [unit["dckw_day_per_kw"] for unit in units] == [1.6, 0.8, None, None]
        assert [unit["installed_kw"] for unit in units] == [10.0, 50.0, None, None]
        assert plant["installed_kw"] == 60.0
        assert plant["ackw_per_kw"][72] == pytest.approx(0.6)
        assert plant["ackw"][72] == (11.0 if table is STATISTICS_AVG else 8.5)
        assert plant["count"][72] == 4


def test_one_odd_inverter_does_not_move_the_median() -> None:
    world = seoul(dict.fromkeys(range(1, 6), 10.0), {n: {72: kw} for n, kw in enumerate((5.0, 5.1, 5.2, 5.3, 1e4), 1)})
    assert world.run(WINDOW, STATISTICS_MEDIAN)[0]["ackw"][72] == 5.2
    assert world.run(WINDOW, STATISTICS_AVG)[0]["ackw"][72] == pytest.approx(2004.12)


def test_the_figures_of_a_day_are_over_the_logs_in_daylight() -> None:
    night = dict.fromkeys((*range(30), *range(120, 144)), 0.0)
    world = seoul({1: 10.0}, {1: night | {60: 2.0, 72: 4.0, 84: 9.0}})
    for table, middle in ((STATISTICS_AVG, 5.0), (STATISTICS_MEDIAN, 4.0)):
        for row in world.run(WINDOW, table):
            # By its middle, and without the air's refraction, the sun is up from 6:57 to 17:31.
            assert (row["daylight_slots"], row["day_count"], row["ackw_day"]) == (63, 3, middle)
            assert row["ackw_day_per_kw"] == middle / 10


def test_where_the_sun_does_not_rise_a_day_has_no_figures() -> None:
    world = World({1: "UTC"}, {(1, 1): 10.0})
    for start, light in ((utc("2026-12-21"), 0), (utc("2026-06-21"), 144)):
        world.log([(1, 1, start + TICK * n, 1.0, 1.0, False) for n in range(1, 145)])
        (row, _) = world.run(Window(start, start + DAY))
        assert (row["daylight_slots"], row["day_count"]) == (light, light)
        assert (row["ackw_day"], row["ackw_day_per_kw"]) == ((1.0, pytest.approx(0.1)) if light else (None, None))


def test_a_day_that_has_not_ended_is_left_to_a_later_run() -> None:
    world = World({1: "Asia/Seoul", 2: "America/Los_Angeles", 3: "UTC"}, {(mcno, 1): 10.0 for mcno in (1, 2, 3)})
    days = {(row["mcno"], row["day"].day) for row in world.run(WINDOW)}
    # Of Seoul 1 November ended within the window, of Los Angeles the day before; of UTC the day is the window.
    assert days == {(1, 1), (2, 31), (3, 1)}


def test_an_inverter_in_use_without_a_log_has_a_document_that_says_so() -> None:
    world = seoul({1: 10.0, 2: 20.0}, {1: {72: 1.0}})
    world.register(1, 3, installed_at=SEOUL + DAY)
    world.register(1, 4, removed_at=SEOUL)
    plant, _, silent = world.run(WINDOW)
    assert (silent["invno"], sum(silent["count"]), silent["day_count"]) == (2, 0, 0)
    assert set(silent["ackw"]) == {None}
    assert silent["ackw_day"] is None
    assert plant["installed_kw"] == 10.0, "only inverters with logs"


def test_logs_of_an_inverter_that_is_not_in_use_any_more_count() -> None:
    world = seoul({1: 10.0}, {1: {72: 1.0}, 2: {72: 3.0}, 9: {72: 5.0}})
    world.register(1, 2, removed_at=SEOUL - DAY, capacity_kw=30.0)
    plant, _, removed, unknown = world.run(WINDOW)
    assert (plant["count"][72], plant["ackw"][72], plant["installed_kw"]) == (3, 3.0, 40.0)
    assert (removed["installed_kw"], unknown["invno"], unknown["installed_kw"]) == (30.0, 9, None)


def test_a_plant_without_time_zone_has_no_days() -> None:
    world = seoul({1: 10.0}, {1: {72: 1.0}})
    world.log([(5, 1, SEOUL + TICK, 1.0, 1.0, False)])
    world.register(5, 1)
    assert {row["mcno"] for row in world.run(WINDOW)} == {1}


def test_a_late_row_changes_the_day_that_it_is_of_and_no_other() -> None:
    world = seoul({1: 10.0, 2: 10.0}, {1: {72: 1.0}})
    world.log([(1, 1, SEOUL - DAY + TICK * 73, 2.0, 2.0, False), (1, 1, SEOUL - 2 * DAY + TICK * 73, 3.0, 3.0, False)])
    due = pl.DataFrame([(1, SEOUL - DAY, SEOUL)], scope.SCOPE, orient="row")
    before = world.run(WINDOW, due=due)
    assert {row["day"].isoformat() for row in before} == {"2026-10-31", "2026-11-01"}
    world.log([(1, 2, SEOUL - DAY + TICK * 73, 4.0, 4.0, False)])
    after = world.run(WINDOW, due=due)
    changed = [(row["invno"], row["day"].day) for row, old in zip(after, before, strict=True) if row != old]
    assert changed == [(0, 31), (2, 31)]
    assert after[0]["ackw"][72] == 3.0


def test_the_same_logs_in_any_order_give_the_same_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    world = seoul(dict.fromkeys(range(1, 8), 10.0), {n: {s: 0.1 * n + s / 7 for s in range(144)} for n in range(1, 8)})
    first = [world.run(WINDOW, table) for table in WAYS]
    read = MemoryStore.read
    monkeypatch.setattr(MemoryStore, "scan", lambda *asked: read(*asked).sample(fraction=1, shuffle=True, seed=3))
    assert [world.run(WINDOW, table) for table in WAYS] == first


def test_large_fleets_are_taken_some_plants_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    zones = dict.fromkeys(range(1, 8), "Asia/Seoul") | {8: "UTC"}
    world = World(zones, {(mcno, invno): 10.0 for mcno in zones for invno in range(1, 2 + mcno % 4)})
    world.log([(mcno, invno, SEOUL + TICK * 73, float(mcno), 1.0, False) for mcno, invno in world.ratings])
    whole = world.run(WINDOW)
    assert [sorted(part["mcno"]) for part in world.parts] == [[1, 2, 3, 4, 5, 6, 7], [8]]
    monkeypatch.setattr(collect_statistics, "_INVERTERS_AT_ONCE", 4)
    assert world.run(WINDOW) == whole
    assert len(world.parts) > 3
    assert all(len(part.select("start", "end").unique()) == 1 for part in world.parts)


def test_a_long_range_is_one_day_after_the_other() -> None:
    world = World({1: "Asia/Seoul", 2: "Asia/Seoul"}, {(1, 1): 10.0, (2, 1): 10.0})
    rows = world.run(Window(utc("2026-01-01"), utc("2026-02-15")))
    assert len(rows) == 4 * 45
    assert [part["day"].n_unique() for part in world.parts] == [1] * 45
