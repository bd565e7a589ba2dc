"""What the old system knew of a time stays where the platform has no reading of it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from tests.generation_world import HOUR, World, local
from tests.memory_store import MemoryStore
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION
from wattline.storage.contract import Table
from wattline.window import Window

MIDNIGHT = local("2026-06-10T00:00")
DAYS = [date(2026, 6, 10), date(2026, 6, 11)]
OLD = Decimal(500)


def run(first: float, last: float) -> Window:
    return Window(MIDNIGHT + first * HOUR, MIDNIGHT + last * HOUR)


def rows(table: Table, value: str, of: list[tuple[int, object]]) -> pl.DataFrame:
    when = table.key[-1]
    known = [{"mcno": 1, "invno": invno, when: moment, value: OLD} for invno, moment in of]
    return pl.DataFrame([dict.fromkeys(table.schema) | row for row in known], table.schema)


@pytest.fixture
def world() -> World:
    """Two inverters; the old system knows their days and hours, the platform the second day of inverter 1."""
    made = World({1: "Europe/Berlin"}, inverters=2)
    days = [(invno, day) for invno in (0, 1, 2) for day in DAYS]
    hours = [(invno, MIDNIGHT + n * HOUR) for invno in (0, 1, 2) for n in (12, 36)]
    for table, value, of in (
        (DAY_GENERATION, "daykw", days),
        (DAY_TOTAL_GENERATION, "totkw", days),
        (TIME_GENERATION, "timekw", hours),
    ):
        for store in (made.mongo, made.mysql):
            store.migrate(table, rows(table, value, of))
    for n in range(-6, 6 * 24):
        made.send(MIDNIGHT + timedelta(hours=24, minutes=10 * n + 5), Decimal(1000 + max(n, 0)), Decimal(max(n, 0)))
    return made


def days(store: MemoryStore, table: Table) -> dict[tuple[int, int], Decimal]:
    return {(invno, day.day): value for _, invno, day, value in store.read(table).iter_rows()}


def hours(store: MemoryStore) -> dict[tuple[int, float], Decimal]:
    found = store.read(TIME_GENERATION).select("invno", "start", "timekw").iter_rows()
    return {(invno, (start - MIDNIGHT) / HOUR): value for invno, start, value in found}


def compute(world: World, window: Window) -> None:
    world.inverterlog(window)
    world.time_generation(window)
    world.total_generation(window)


def test_a_history_over_days_without_readings_changes_nothing_of_the_old_system(world: World) -> None:
    compute(world, run(0, 22))
    for store in (world.mongo, world.mysql):
        for table in (DAY_GENERATION, DAY_TOTAL_GENERATION):
            assert set(days(store, table).values()) == {OLD}
    stored = hours(world.mongo)
    assert [stored[invno, 12] for invno in (0, 1, 2)] == [OLD] * 3
    assert [stored[invno, 13] for invno in (0, 1, 2)] == [0, 0, 0], "an hour that nobody knows has its row"


def test_rows_with_a_reading_replace_and_silent_ones_beside_them_do_not(world: World) -> None:
    compute(world, run(23, 48))
    for store in (world.mongo, world.mysql):
        found = days(store, DAY_GENERATION)
        assert (found[1, 11], found[2, 11]) == (143, OLD)
        assert found[0, 11] == 143, "one inverter with a reading is enough"
        assert days(store, DAY_TOTAL_GENERATION)[1, 11] == 1143
    assert world.hours(1)[MIDNIGHT + 36 * HOUR]["timekw"] == 6
    assert world.hours(2)[MIDNIGHT + 36 * HOUR]["timekw"] == OLD
    assert world.hours(0)[MIDNIGHT + 36 * HOUR]["timekw"] == OLD + 6, "of the plant as of its inverters"


def test_a_row_of_the_platform_is_replaced_by_one_without_a_reading(world: World) -> None:
    """A day that was wrong, because its readings were, becomes right."""
    compute(world, run(23, 48))
    mended = World({1: "Europe/Berlin"}, inverters=2)
    mended.mongo = world.mongo
    for table in world.mongo._tables:
        if table in ("reading", "inverterlog"):
            world.mongo._tables[table] = world.mongo._tables[table].clear()
    mended.send(MIDNIGHT, "1000")
    mended.inverterlog(run(24, 48))
    mended.time_generation(run(24, 48))
    assert days(mended.mongo, DAY_GENERATION)[1, 11] == 0
    assert mended.hours(1)[MIDNIGHT + 36 * HOUR]["timekw"] == 0
    assert mended.hours(2)[MIDNIGHT + 36 * HOUR]["timekw"] == OLD


def test_energy_that_is_known_is_stored_though_no_tick_is_fresh() -> None:
    """The tick at the hour's start is missing: a run failed. The energy before it is in this hour."""
    world = World({1: "Europe/Berlin"})
    world.mongo.migrate(TIME_GENERATION, rows(TIME_GENERATION, "timekw", [(1, MIDNIGHT + 12 * HOUR)]))
    for at, totkw in ((10.9, "100"), (11.9, "107")):
        world.send(MIDNIGHT + at * HOUR, totkw)
    world.inverterlog(run(10, 11))
    world.inverterlog(run(12 + 1 / 6, 13))
    world.time_generation(run(12, 13))
    hour = world.hours()[MIDNIGHT + 12 * HOUR]
    assert (hour["timekw"], hour["fresh_ticks"], hour["spans_gap"]) == (7, 0, True)


def test_a_day_whose_only_reading_is_at_its_first_instant_has_one() -> None:
    world = World({1: "Europe/Berlin"})
    for store in (world.mongo, world.mysql):
        store.migrate(DAY_GENERATION, rows(DAY_GENERATION, "daykw", [(1, DAYS[0])]))
    world.send(MIDNIGHT, "1000", "3")
    compute(world, run(-1, 23))
    assert days(world.mongo, DAY_GENERATION)[1, 10] == 3
    assert days(world.mysql, DAY_GENERATION)[1, 10] == 3
