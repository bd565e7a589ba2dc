"""The rules of spec section 3, "time generation", as properties and as cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.generation_world import HOUR, World, local
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.tables import CUSTOMER, TICK_ROW
from wattline.storage.contract import ENERGY
from wattline.storage.store import Condition
from wattline.window import Window

START = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAY = timedelta(days=1)
Energies = list[Decimal]


def minutes(n: float) -> datetime:
    return START + timedelta(minutes=n)


def window(first: int, last: int) -> Window:
    """From the beginning of one hour after START to the beginning of another."""
    return Window(START + first * HOUR, START + last * HOUR)


def berlin() -> World:
    return World({1: "Europe/Berlin"})


def energies(world: World, invno: int = 1) -> Energies:
    return [row["timekw"] for row in world.hours(invno).values()]


def flags(world: World, name: str, invno: int = 1) -> list[bool]:
    return [row[name] for row in world.hours(invno).values()]


def test_an_hour_has_the_growth_from_the_tick_at_its_start_to_the_one_at_its_end() -> None:
    world = berlin()
    for at, totkw in ((-5, "100"), (0, "101"), (30, "103.5"), (60, "104.25"), (61, "105"), (119, "107")):
        world.send(minutes(at), totkw)
    world.inverterlog(Window(START - HOUR, START + 2 * HOUR))
    world.time_generation(window(0, 2))
    assert energies(world) == [Decimal("3.25"), Decimal("2.75")]
    first = world.hours()[START]
    assert first["fresh_ticks"] == 4, "readings of 0:00, 0:30 and 1:00 count for the ticks up to ten minutes later"
    assert not first["estimated"]
    assert not first["spans_gap"]
    assert energies(world, invno=0) == energies(world)


def test_a_tick_is_fresh_or_there_is_no_data() -> None:
    world = berlin()
    for n in range(-10, 60, 10):
        world.send(minutes(n + 9), "100", ackw=0.0)
    world.inverterlog(Window(START - HOUR, START + 2 * HOUR))
    world.time_generation(window(0, 2))
    assert energies(world) == [0, 0]
    assert [row["fresh_ticks"] for row in world.hours().values()] == [6, 0]


def test_the_hour_in_an_outage_has_nothing_and_the_one_after_it_all_of_it_flagged() -> None:
    world = berlin()
    for at, totkw in ((-1, "100"), (20, "102"), (210, "130"), (239, "131"), (250, "132")):
        world.send(minutes(at), totkw)
    world.inverterlog(Window(START - HOUR, START + 5 * HOUR))
    world.time_generation(window(0, 5))
    assert energies(world) == [2, 0, 0, 29, 1]
    assert flags(world, "spans_gap") == [False, False, False, True, False]
    assert flags(world, "spans_gap", invno=0) == [False, False, False, True, False]
    assert not any(flags(world, "estimated"))


def test_a_silent_inverter_that_comes_back_with_nothing_spans_no_gap() -> None:
    world = berlin()
    for at in (-1, 130):
        world.send(minutes(at), "100")
    world.inverterlog(Window(START - HOUR, START + 3 * HOUR))
    world.time_generation(window(0, 3))
    assert flags(world, "spans_gap") == [False, False, False]


def test_an_inverter_that_begins_to_report_brings_none_of_its_old_energy() -> None:
    world = berlin()
    for at, totkw in ((30, "50000"), (50, "50001.5"), (70, "50002")):
        world.send(minutes(at), totkw)
    world.inverterlog(Window(START - 2 * HOUR, START + 2 * HOUR))
    world.time_generation(window(-2, 2))
    assert energies(world) == [0, 0, Decimal("1.5"), Decimal("0.5")]
    assert not any(flags(world, "spans_gap"))


def test_a_counter_at_zero_and_a_fall_give_nothing() -> None:
    world = berlin()
    for at, totkw in ((-5, "0"), (30, "0"), (70, "4")):
        world.send(minutes(at), totkw)
    world.inverterlog(Window(START - HOUR, START + 2 * HOUR))
    newest = world.mongo.read(TICK_ROW, (Condition("at", "=", minutes(120)),))
    lower = newest.with_columns(pl.col("at").dt.offset_by("1h"), pl.lit(3).cast(ENERGY).alias("totkw"))
    world.mongo.upsert(TICK_ROW, lower)
    world.time_generation(window(0, 3))
    assert energies(world) == [0, 4, 0]


def test_a_counter_reset_at_noon_loses_nothing_and_is_flagged() -> None:
    world, noon = berlin(), local("2026-11-20T12:00")
    for at, totkw in ((-65, "9000"), (-5, "9006"), (5, "0.5"), (55, "5.5"), (65, "6.5")):
        world.send(noon + timedelta(minutes=at), totkw)
    world.inverterlog(Window(noon - 2 * HOUR, noon + 2 * HOUR))
    world.time_generation(Window(noon - HOUR, noon + 2 * HOUR))
    assert energies(world) == [6, 5, 1]
    assert flags(world, "counter_reset") == [False, True, False]
    assert flags(world, "counter_reset", invno=0) == [False, True, False]


def test_a_plant_is_the_sum_of_its_inverters() -> None:
    world = World({1: "Europe/Berlin", 2: "Europe/Berlin"}, inverters=2)
    for at, growth in ((-5, 0), (55, 1)):
        for mcno, invno in ((1, 1), (1, 2), (2, 1)):
            world.send(minutes(at), Decimal(1000 + growth * (mcno + invno)), mcno=mcno, invno=invno)
    world.inverterlog(Window(START - HOUR, START + HOUR))
    world.time_generation(window(0, 1))
    assert {(m, i): world.hours(i, m)[START]["timekw"] for m in (1, 2) for i in (0, 1, 2)} == {
        (1, 0): 5,
        (1, 1): 2,
        (1, 2): 3,
        (2, 0): 3,
        (2, 1): 3,
        (2, 2): 0,
    }
    assert [world.hours(0, mcno)[START]["fresh_ticks"] for mcno in (1, 2)] == [2, 1]


def test_hours_of_inverters_without_tick_rows_stay_and_count_in_their_plant() -> None:
    world = berlin()
    world.send(minutes(-5), "100")
    world.send(minutes(50), "103")
    world.inverterlog(Window(START - HOUR, START + HOUR))
    old = {"mcno": 1, "start": START, "timekw": Decimal(7), **dict.fromkeys(list(TIME_GENERATION.schema)[4:])}
    earlier = [{**old, "invno": invno, "start": START - DAY} for invno in (0, 1)]
    of_another = [{**old, "invno": 4}, {**old, "invno": 1, "timekw": Decimal(99)}, {**old, "invno": 0}]
    world.mongo.upsert(TIME_GENERATION, pl.DataFrame([*earlier, *of_another], TIME_GENERATION.schema))
    world.time_generation(window(-24, 1))
    assert [row["timekw"] for row in world.hours(4).values()] == [7]
    assert [world.hours(invno)[START - DAY]["timekw"] for invno in (0, 1)] == [7, 7], "no tick row: left alone"
    assert world.hours(0)[START - DAY]["fresh_ticks"] is None
    assert world.hours(1)[START]["timekw"] == 3
    assert world.hours(0)[START]["timekw"] == 10


def test_without_a_tick_at_its_start_an_hour_counts_from_the_newest_one_before() -> None:
    world = berlin()
    for n in range(-60, 240, 10):
        world.send(minutes(n + 5), Decimal(n + 100))
    for cut in (-1, 0, 3):  # the runs of the hours 1 and 2 fail
        world.inverterlog(window(cut, cut + 1))
    for hour in range(4):
        world.time_generation(window(hour, hour + 1))
    assert list(world.hours()) == [START, START + 3 * HOUR], "hours without tick rows have no row"
    assert energies(world) == [60, 180]
    assert flags(world, "spans_gap") == [False, True]
    world.inverterlog(window(1, 4))
    world.time_generation(window(0, 4))
    assert energies(world) == [60, 60, 60, 60]
    assert not any(flags(world, "spans_gap"))


def test_after_an_outage_longer_than_the_horizon_the_last_tick_before_it_serves() -> None:
    world, later = berlin(), START + 5 * DAY
    for at in (START + timedelta(minutes=5), later + timedelta(minutes=50)):
        world.send(at, Decimal(1000 + (at - START) // DAY))
        world.inverterlog(Window(at.replace(minute=0), at.replace(minute=0) + HOUR))
    world.time_generation(Window(later, later + HOUR))
    assert energies(world) == [5]
    assert flags(world, "spans_gap") == [True]


def test_one_missing_tick_at_an_hours_start_is_no_loss() -> None:
    world = berlin()
    for n in range(-60, 120, 10):
        world.send(minutes(n + 5), Decimal(n + 100))
    world.inverterlog(Window(minutes(-60), minutes(50)))
    world.inverterlog(Window(minutes(60), minutes(120)))
    world.time_generation(window(0, 2))
    assert energies(world) == [50, 70]
    assert [row["fresh_ticks"] for row in world.hours().values()] == [5, 6]


@pytest.mark.parametrize(("day", "length"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_has_the_hours_of_its_clock_and_they_add_up(day: str, length: int) -> None:
    world, midnight = berlin(), local(f"{day}T00:00")
    for n in range(-6, (length + 1) * 6):
        world.send(midnight + n * timedelta(minutes=10), Decimal(1000 + n) / 8)
    world.inverterlog(Window(midnight - HOUR, midnight + (length + 1) * HOUR))
    world.time_generation(Window(midnight - HOUR, midnight + (length + 1) * HOUR))
    of_day = {at: row for at, row in world.hours().items() if midnight <= at < midnight + length * HOUR}
    assert list(of_day) == [midnight + n * HOUR for n in range(length)]
    assert {row["timekw"] for row in of_day.values()} == {Decimal("0.75")}
    assert sum(row["timekw"] for row in of_day.values()) == Decimal(length * 6) / 8


@pytest.mark.parametrize(
    ("zone", "begin", "fresh"),
    [("Asia/Kolkata", "2026-11-20T05:30", 6), ("Asia/Kathmandu", "2026-11-20T05:15", 6)],
)
def test_a_clock_hour_begins_where_the_zone_says_so_and_counts_once_it_is_over(
    zone: str, begin: str, fresh: int
) -> None:
    world, at = World({1: zone}), datetime.fromisoformat(begin).replace(tzinfo=UTC)
    for n in range(-60, 120):
        world.send(START + timedelta(minutes=n), Decimal(1000 + n))
    world.inverterlog(Window(START - HOUR, START + 2 * HOUR))
    world.time_generation(window(0, 1))
    assert list(world.hours()) == [at], "the hour that the window's end cuts waits for the next run"
    world.time_generation(window(1, 2))
    assert list(world.hours()) == [at, at + HOUR]
    assert energies(world)[1] == 60
    assert world.hours()[at + HOUR]["fresh_ticks"] == fresh
    assert not world.hours()[at + HOUR]["spans_gap"]


def test_midnights_tick_belongs_to_the_hour_that_it_ends() -> None:
    world, midnight = berlin(), local("2026-11-21T00:00")
    for at, totkw in ((-70, "100"), (-10, "101"), (0, "102"), (5, "103"), (55, "104")):
        world.send(midnight + timedelta(minutes=at), totkw)
    world.inverterlog(Window(midnight - 2 * HOUR, midnight + HOUR))
    world.time_generation(Window(midnight - HOUR, midnight + HOUR))
    assert energies(world) == [2, 2]


def test_a_late_row_recomputes_the_hours_that_it_touches_and_no_other() -> None:
    world = berlin()
    for n in range(-12, 48):
        late = {"received_at": minutes(310)} if 6 <= n < 12 else {}
        world.send(minutes(n * 10 + 5), Decimal(1000 + n), **late)
    for n in range(-12, 31):
        world.inverterlog(Window(minutes(n * 10), minutes(n * 10 + 10)))
    world.time_generation(window(-1, 5))
    assert energies(world) == [6, 6, 0, 12, 6, 6]
    assert flags(world, "spans_gap") == [False, False, False, True, False, False]
    assert world.due("time_generation", window(4, 5))["start"].to_list() == [START + n * HOUR for n in range(-2, 5)]

    world.inverterlog(Window(minutes(310), minutes(320)))
    due = world.due("time_generation", window(5, 6))
    world.inverterlog(Window(minutes(320), minutes(360)))
    begins = [START + n * HOUR for n in range(1, 6)]
    assert due["start"].to_list() == begins, "from the late row on, as the counter goes on from row to row"
    rows = world.time_generation(window(5, 6), due)
    assert rows.filter(invno=1)["start"].to_list() == begins
    assert energies(world) == [6] * 7
    assert not any(flags(world, "spans_gap"))


def test_a_run_again_gives_the_same_rows() -> None:
    world = berlin()
    for n in range(-6, 24):
        world.send(minutes(n * 10 + 5), Decimal(1000 + n * n))
    world.inverterlog(window(-1, 4))
    once = [world.time_generation(window(n, n + 1)) for n in range(4)]
    stored = world.mongo.read(TIME_GENERATION)
    assert [world.time_generation(window(n, n + 1)).to_dicts() for n in reversed(range(4))] == [
        frame.to_dicts() for frame in reversed(once)
    ]
    world.time_generation(window(0, 4))
    assert world.mongo.read(TIME_GENERATION).equals(stored)


@st.composite
def histories(draw: st.DrawFn) -> World:
    """Readings of up to a day, with silence, resets, nonsense, and some that arrive late."""
    world = World({1: draw(st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu"]))}, inverters=2)
    for invno in (1, 2):
        counter = Decimal(draw(st.integers(0, 5000)))
        for mark in sorted(draw(st.lists(st.integers(-119, 1440), max_size=12, unique=True))):
            made = Decimal(draw(st.integers(0, 800))) / 100
            counter = made if draw(st.integers(0, 9)) == 0 else counter + made
            received = minutes(mark + draw(st.sampled_from([0, 0, 0, 25, 300])))
            world.send(minutes(mark), counter, invno=invno, received_at=received)
    return world


@given(histories(), st.data())
@settings(max_examples=10)
def test_hours_add_up_to_the_counters_growth_and_any_cut_into_runs_gives_the_same(
    world: World, data: st.DataObject
) -> None:
    whole = window(-2, 30)
    world.inverterlog(whole, before=minutes(3000))
    world.time_generation(whole)
    for invno in (1, 2):
        ticks = world.mongo.read(TICK_ROW).filter(pl.col("reading_at").is_not_null(), invno=invno)
        begins = list(world.hours(invno))
        ticks = ticks.filter(pl.col("at") <= max(begins) + HOUR)
        grown = ticks["totkw"][-1] - ticks["totkw"][0] if ticks.height else Decimal(0)
        assert sum(energies(world, invno)) == grown

    at_once = world.mongo.read(TIME_GENERATION)
    live = World({1: world.mysql.read(CUSTOMER)["timezone"][0]}, inverters=2)
    for reading in world.readings().to_dicts():
        live.send(**reading)
    low = -2
    for high in sorted(data.draw(st.sets(st.integers(-1, 29), max_size=8)) | {30}):
        live.inverterlog(window(low, high))
        live.time_generation(window(low, high), live.due("time_generation", window(low, high)))
        low = high
    assert live.mongo.read(TIME_GENERATION).to_dicts() == at_once.to_dicts()
