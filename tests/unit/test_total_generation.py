"""What MySQL knows of the plants' days: the newest tick row of each inverter, as far as the day has come."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.generation_world import HOUR, World, local
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION
from wattline.window import Window

MIDNIGHT = local("2026-11-20T00:00")
DAY = timedelta(days=1)
Days = dict[tuple[int, date], tuple[Decimal, Decimal]]


def run(*hours: float) -> Window:
    return Window(*(MIDNIGHT + n * HOUR for n in hours))


def stored(world: World) -> Days:
    """`(invno, day)` → daykw and totkw, as MySQL holds them."""
    both = world.mysql.read(DAY_GENERATION).join(world.mysql.read(DAY_TOTAL_GENERATION), on=DAY_GENERATION.key)
    return {(row["invno"], row["day"]): (row["daykw"], row["totkw"]) for row in both.to_dicts()}


def sunny(inverters: int = 1) -> World:
    """Two days on which each inverter makes 1 kWh an hour, from six to six."""
    world = World({1: "Europe/Berlin"}, inverters)
    for day in range(2):
        for n in range(13):
            at, made = MIDNIGHT + day * DAY + (6 + n) * HOUR - timedelta(minutes=1), Decimal(n)
            for invno in range(1, inverters + 1):
                world.send(at, 1000 * invno + 12 * day + made, made, invno=invno)
    return world


FIRST, SECOND = date(2026, 11, 20), date(2026, 11, 21)


def test_a_day_is_what_its_newest_tick_says_and_a_plant_is_the_sum() -> None:
    world = sunny(inverters=2)
    world.inverterlog(run(-1, 10))
    world.total_generation(run(9, 10))
    assert stored(world) == {(0, FIRST): (8, 3008), (1, FIRST): (4, 1004), (2, FIRST): (4, 2004)}
    world.inverterlog(run(10, 48))
    for hour in range(10, 48):
        world.total_generation(run(hour, hour + 1))
    assert stored(world)[0, FIRST] == (24, 3024)
    assert stored(world)[0, SECOND] == (24, 3048)


def test_it_says_what_inverterlog_says_of_the_same_days() -> None:
    world = sunny(inverters=2)
    world.inverterlog(run(-1, 30))
    world.total_generation(run(-1, 30))
    for table in (DAY_GENERATION, DAY_TOTAL_GENERATION):
        assert world.mysql.read(table).equals(world.mongo.read(table))


def test_an_old_hour_computed_again_does_not_turn_its_day_back() -> None:
    world = sunny()
    world.inverterlog(run(-1, 47))
    world.total_generation(run(-1, 47))
    before = stored(world)
    for hour in (7, 23, 24, 40):
        world.total_generation(run(hour, hour + 1))
        assert stored(world) == before


def test_the_hour_before_midnight_ends_the_day_and_the_one_after_it_begins_the_next() -> None:
    world = sunny()
    world.inverterlog(run(-1, 30))
    assert set(stored(world)) == set()
    world.total_generation(run(23, 24))
    assert set(stored(world)) == {(0, FIRST), (1, FIRST)}
    world.total_generation(run(24, 25))
    assert set(stored(world)) == {(0, FIRST), (1, FIRST), (0, SECOND), (1, SECOND)}


@pytest.mark.parametrize(("day", "length"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_days_on_which_clocks_change(day: str, length: int) -> None:
    midnight, world = local(f"{day}T00:00"), World({1: "Europe/Berlin"})
    for n in range(-6, (length + 2) * 6):
        world.send(midnight + timedelta(minutes=10 * n), Decimal(1000 + n), Decimal(max(0, n % (length * 6))))
    world.inverterlog(Window(midnight - HOUR, midnight + (length + 2) * HOUR))
    world.total_generation(Window(midnight, midnight + length * HOUR))
    assert list(stored(world)) == [(0, date.fromisoformat(day)), (1, date.fromisoformat(day))]
    daykw, totkw = stored(world)[1, date.fromisoformat(day)]
    assert (daykw, totkw) == (length * 6 - 1, 1000 + length * 6)


def test_an_inverter_that_was_removed_by_day_counts_with_its_last_tick() -> None:
    world = sunny(inverters=2)
    world.register([(1, 2)], removed_at=MIDNIGHT + 10 * HOUR + timedelta(minutes=5))
    world.inverterlog(run(-1, 31))
    world.total_generation(run(12, 13))
    assert stored(world) == {(0, FIRST): (16, 3016), (1, FIRST): (12, 1012), (2, FIRST): (4, 2004)}
    world.total_generation(run(30, 31))
    assert (1, SECOND) in stored(world)
    assert (2, SECOND) not in stored(world)


def test_a_late_row_recomputes_its_day() -> None:
    world = sunny()
    last = world.readings().filter(totkw=Decimal(1012)).row(0, named=True)
    late = World({1: "Europe/Berlin"})
    for row in world.readings().to_dicts():
        late.send(**(row | ({"received_at": MIDNIGHT + 30 * HOUR} if row["at"] == last["at"] else {})))
    for hour in range(-1, 30):
        late.inverterlog(run(hour, hour + 1))
        late.total_generation(run(hour, hour + 1), late.due("mysql_total_generation", run(hour, hour + 1)))
    assert stored(late)[1, FIRST] == (11, 1011)
    late.inverterlog(run(30, 31))
    due = late.due("mysql_total_generation", run(30, 31))
    assert due["start"].to_list() == [MIDNIGHT], "the day under way is computed in any case"
    rows = late.total_generation(run(30, 31), due)["day_generation"]
    assert set(rows["day"]) == {FIRST, SECOND}
    assert stored(late)[1, FIRST] == (12, 1012)
    assert stored(late)[0, FIRST] == (12, 1012)


def test_a_day_without_tick_rows_is_left_alone() -> None:
    world = sunny()
    assert all(frame.is_empty() for frame in world.total_generation(run(5, 6)).values())
