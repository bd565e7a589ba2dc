"""What the solar log makes of gaps, removed inverters, a register with holes and rows that were committed late."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from tests.memory_store import MemoryStore
from tests.unit.test_inverter_log import Reading, days, local, minutes, reading_frame, register, run, ticks
from wattline.migrate.entry import OVERLAP
from wattline.solar import collect
from wattline.solar.tables import CUSTOMER, INVERTER, READING, TICK_ROW
from wattline.storage.store import between
from wattline.window import Window


def log_of(*readings: Reading) -> MemoryStore:
    log = MemoryStore()
    log.upsert(READING, reading_frame(readings))
    return log


def window(start: float, end: float) -> Window:
    return Window(minutes(start), minutes(end))


def change(registered: MemoryStore, table=INVERTER, **columns: object) -> None:
    rows = registered.read(table)
    registered.upsert(table, rows.with_columns(pl.lit(v).cast(rows.schema[k]).alias(k) for k, v in columns.items()))


def test_a_rating_that_nobody_filled_in_makes_no_growth_a_reset() -> None:
    log = log_of(*(Reading(minutes(5 + 10 * n), "1", str(1000 + 16 * n)) for n in range(3)))
    run(register(capacity=0.0), log, window(0, 30))
    assert [(row["totkw"], row["counter_reset"]) for row in ticks(log)] == [(1000, False), (1016, False), (1032, False)]


def test_a_register_that_shows_an_older_reading_than_the_log_does_not_lose_earlier_segments() -> None:
    registered = register()
    counters = {5: "1000", 15: "2", 25: "4", 45: "5"}
    log = log_of(*(Reading(minutes(at), "1", totkw) for at, totkw in counters.items()))
    run(registered, log, window(0, 30))
    change(registered, at=minutes(15), ackw=5.0, dckw=5.0, daykw=1, totkw=2, status=1)
    run(registered, log, window(40, 50))  # the run before it failed
    assert ticks(log)[-1]["totkw"] == 1003


@pytest.mark.parametrize(("totkw", "made"), [("50", 80), ("0", 0)])
def test_the_first_day_of_a_new_inverter_counts_and_yesterdays_energy_behind_one_nonsense_zero_does_not(
    totkw: str, made: int
) -> None:
    shown = ["50", "80"] if made else ["2", "2"]
    counter = [totkw, "80" if made else "5002"]
    log = log_of(
        Reading(local(8, 0, 1), "2", "5002"),
        *(Reading(local(12 + 4 * n, 0, 2), shown[n], counter[n]) for n in range(2)),
    )
    run(register(), log, Window(local(7, 0, 1), local(17, 0, 2)))
    assert days(log)[1, date(2026, 11, 2)] == made


def test_after_an_outage_longer_than_the_horizon_the_lifetime_energy_goes_on() -> None:
    back = 60 * 24 * 10
    log = log_of(Reading(minutes(5), "1", "1000"), Reading(minutes(15), "1", "2"), Reading(minutes(back + 5), "1", "9"))
    run(register(), log, window(0, 20))
    run(register(), log, window(back, back + 10))
    assert ticks(log)[-1]["totkw"] == 1007


def test_computing_the_morning_again_keeps_the_day_of_an_inverter_that_was_removed_at_noon() -> None:
    registered = register([(1, 1), (1, 2)])
    inverters = registered.read(INVERTER)
    noon = pl.when(pl.col("invno") == 2).then(pl.lit(local(12))).cast(inverters.schema["removed_at"])
    registered.upsert(INVERTER, inverters.with_columns(removed_at=noon))
    hours = range(8, 14)
    log = log_of(
        *(Reading(local(h, 5), str(h), str(100 + h), invno=i) for h in hours for i in (1, 2) if (h, i) < (12, 2))
    )
    run(registered, log, Window(local(8), local(14)))
    before = days(log)
    assert before[2, date(2026, 11, 1)] == 11
    run(registered, log, Window(local(8), local(9)))
    assert days(log) == before


@pytest.mark.parametrize("zone", ["Asia/Nowhere", "", "localtime", None])
def test_a_plant_without_a_usable_time_zone_stops_no_other_plant(zone: str | None) -> None:
    registered = register([(1, 1), (2, 1)])
    plants = registered.read(CUSTOMER)
    if zone is None:
        registered = MemoryStore()
        registered.upsert(INVERTER, register([(1, 1), (2, 1)]).read(INVERTER))
        registered.upsert(CUSTOMER, plants.filter(pl.col("mcno") == 1))
    else:
        bad = pl.when(pl.col("mcno") == 2).then(pl.lit(zone)).otherwise("timezone")
        registered.upsert(CUSTOMER, plants.with_columns(timezone=bad))
    log = log_of(Reading(minutes(5), "1", "101"), Reading(minutes(5), "1", "101", mcno=2))
    run(registered, log, window(0, 10))
    assert log.read(TICK_ROW)["mcno"].to_list() == [1]
    frames = collect.readings(log, window(0, 10), collect.inverters(registered, window(0, 10), {}))
    assert dict(frames["readings"].select("mcno", "registered").iter_rows()) == {1: True, 2: False}


@pytest.mark.parametrize("measured", [4, -170])
def test_a_reading_that_was_committed_after_its_window_was_copied_is_neither_lost_nor_left_out(measured: int) -> None:
    """`received_at` is when the row was written; its transaction may end after the window's runs."""
    source, log = log_of(Reading(minutes(-175), "1", "101")), MemoryStore()
    registered = register()
    for low in range(-180, 20, 10):
        if low == 10:
            late = Reading(minutes(measured), "2", "102", received_at=minutes(10) - timedelta(seconds=40))
            source.upsert(READING, reading_frame([late]))
        arrived = between("received_at", minutes(low) - OVERLAP, minutes(low + 10))
        log.upsert(READING, source.read(READING, arrived))
        run(registered, log, window(low, low + 10))
    energy = {row["at"]: row["totkw"] for row in ticks(log)}
    assert {at for at, totkw in energy.items() if totkw == 102} == {
        minutes(n) for n in range(-170, 21, 10) if n >= measured
    }


def test_readings_that_the_run_before_has_seen_are_not_computed_again() -> None:
    log = log_of(Reading(minutes(9), "1", "101"), Reading(minutes(9.5), "1", "101", mcno=2))
    registered = register([(1, 1), (2, 1)])
    run(registered, log, window(0, 10))
    starts = collect.readings(log, window(10, 20), collect.inverters(registered, window(10, 20), {}))["starts"]
    assert starts["start"].unique().to_list() == [minutes(10)]
