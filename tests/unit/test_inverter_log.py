"""The rules of spec section 3, "process inverter log" and "day generation", as properties and as cases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory_store import MemoryStore
from wattline.solar import collect, process
from wattline.solar.tables import (
    CUSTOMER,
    DAY_GENERATION,
    DAY_TOTAL_GENERATION,
    INVERTER,
    MAX_CLOCK_AHEAD,
    READING,
    TICK,
    TICK_ROW,
)
from wattline.storage.store import Condition
from wattline.window import Window

ZONE = ZoneInfo("Asia/Seoul")
# 13:00 on 31 October in Seoul: the window of the properties holds a local midnight and the end of a UTC month.
START = datetime(2026, 10, 31, 13, 0, tzinfo=UTC)
NEVER = datetime(2020, 1, 1, tzinfo=UTC)
RESULTS = {"inverterlog": TICK_ROW, "day_generation": DAY_GENERATION, "day_total_generation": DAY_TOTAL_GENERATION}


@dataclass(frozen=True)
class Reading:
    at: datetime
    daykw: str | Decimal
    totkw: str | Decimal
    ackw: float = 5.0
    invno: int = 1
    received_at: datetime | None = None
    mcno: int = 1


def minutes(n: float, base: datetime = START) -> datetime:
    return base + timedelta(minutes=n)


def local(hour: int, minute: int = 0, day: int = 1) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=ZONE).astimezone(UTC)


def reading_frame(readings: Sequence[Reading]) -> pl.DataFrame:
    rows = [
        (r.mcno, r.invno, r.at, r.ackw, r.ackw, Decimal(r.daykw), Decimal(r.totkw), 1, r.received_at or r.at)
        for r in readings
    ]
    return pl.DataFrame(rows, schema=READING.schema, orient="row")


def register(
    inverters: Sequence[tuple[int, int]] = ((1, 1),), capacity: float | None = 100.0, zone: str = "Asia/Seoul"
) -> MemoryStore:
    store = MemoryStore()
    plants = sorted({mcno for mcno, _ in inverters})
    customers = [(m, f"Plant {m}", None, None, 36.0, 127.0, zone, "in_use", 100.0, NEVER) for m in plants]
    store.upsert(CUSTOMER, pl.DataFrame(customers, schema=CUSTOMER.schema, orient="row"))
    rows = [(m, i, capacity, None, NEVER, None, None, None, None, None, None, None, NEVER) for m, i in inverters]
    store.upsert(INVERTER, pl.DataFrame(rows, schema=INVERTER.schema, orient="row"))
    return store


def run(registered: MemoryStore, log: MemoryStore, window: Window) -> None:
    """One run of the pipeline without Airflow: collect, process, store."""
    frames = collect.inverters(registered, window, {})
    frames |= collect.readings(log, window, frames)
    in_time = pl.col("at") <= pl.col("received_at") + MAX_CLOCK_AHEAD
    frames["good_readings"] = frames["readings"].filter("registered", in_time)
    for name, frame in process.inverter_log(window, frames).items():
        log.upsert(RESULTS[name.removesuffix("_silent")], frame)


def results(log: MemoryStore) -> dict[str, pl.DataFrame]:
    return {name: log.read(table) for name, table in RESULTS.items()}


def run_all(readings: Sequence[Reading], window: Window, registered: MemoryStore | None = None) -> MemoryStore:
    log = MemoryStore()
    log.upsert(READING, reading_frame(readings))
    run(registered or register(sorted({(r.mcno, r.invno) for r in readings}) or [(1, 1)]), log, window)
    return log


def ticks(log: MemoryStore, invno: int = 1) -> list[dict]:
    return log.read(TICK_ROW, (Condition("invno", "=", invno),)).to_dicts()


def days(log: MemoryStore, table=DAY_GENERATION) -> dict[tuple[int, date], Decimal]:
    column = table.columns[-1].name
    return {(row["invno"], row["day"]): row[column] for row in log.read(table).to_dicts()}


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Reading], int]:
    """Two inverters' readings over up to 16 h, with resets, dips, midnight, gaps, equal ticks; some arrive late."""
    length = draw(st.integers(2, 96))
    found = {}
    for invno in (1, 2):
        counter, day = Decimal(draw(st.integers(0, 5000))), Decimal(0)
        marks = draw(st.lists(st.integers(0, length * 20), max_size=14, unique=True))
        for mark in sorted(marks):
            at = minutes(mark / 2)
            made = Decimal(draw(st.integers(0, 800))) / 100
            event = draw(st.sampled_from(["grow"] * 8 + ["reset", "zero", "late_day", "new_day"]))
            counter = made if event == "reset" else counter + made
            day = made if event in ("reset", "new_day") else day + made
            shown = Decimal(0) if event == "zero" else counter
            lateness = draw(st.sampled_from([0, 0, 0, 0.1, 3, 25, 300]))
            found[invno, at] = Reading(at, day, shown, float(made), invno, minutes(lateness, at))
    return list(found.values()), length


@given(histories(), st.data())
@settings(max_examples=25, deadline=None)
def test_any_cut_into_runs_with_late_arrivals_gives_the_rows_of_one_run(
    history: tuple[list[Reading], int], data: st.DataObject
) -> None:
    readings, length = history
    whole = Window(START, minutes(length * 10))
    at_once = run_all(readings, whole, register([(1, 1), (1, 2)]))

    cuts = sorted(data.draw(st.sets(st.integers(1, length), max_size=8)) | {length})
    end_of_arrivals = length + 31
    live, registered = MemoryStore(), register([(1, 1), (1, 2)])
    low = 0
    for cut in [*cuts, end_of_arrivals]:
        window = Window(minutes(low * 10), minutes(cut * 10))
        visible = [r for r in readings if r.received_at < window.end]
        live.upsert(READING, reading_frame(visible))
        run(registered, live, window)
        low = cut

    inside = (Condition("at", ">", whole.start), Condition("at", "<=", whole.end))
    assert live.read(TICK_ROW, inside).to_dicts() == at_once.read(TICK_ROW, inside).to_dicts()
    last = whole.end.astimezone(ZONE).date()
    for table in (DAY_GENERATION, DAY_TOTAL_GENERATION):
        before = (Condition("day", "<", last),)
        assert live.read(table, before).to_dicts() == at_once.read(table, before).to_dicts()

    final = results(live)
    for low, high in itertools.pairwise(sorted(data.draw(st.sets(st.integers(0, length), min_size=2, max_size=4)))):
        run(registered, live, Window(minutes(low * 10), minutes(high * 10)))
        assert {name: frame.to_dicts() for name, frame in results(live).items()} == {
            name: frame.to_dicts() for name, frame in final.items()
        }


@given(histories())
@settings(max_examples=50, deadline=None)
def test_every_tick_has_one_row_an_inverter_and_energy_is_neither_invented_nor_falling(
    history: tuple[list[Reading], int],
) -> None:
    readings, length = history
    window = Window(START, minutes(length * 10))
    log = run_all(readings, window, register([(1, 1), (1, 2)]))
    for invno in (1, 2):
        rows = [row for row in ticks(log, invno) if row["at"] > START]
        assert [row["at"] for row in rows] == window.ticks(TICK)
        totals = [row["totkw"] for row in rows]
        seen = sorted((r for r in readings if r.invno == invno and r.at <= window.end), key=lambda r: r.at)
        first = next((n for n, row in enumerate(rows) if row["reading_at"]), len(rows))
        assert totals[first:] == sorted(totals[first:])
        if seen and totals:
            ups = sum(max(b.totkw - a.totkw, Decimal(0)) for a, b in itertools.pairwise(seen))
            assert totals[-1] <= seen[0].totkw + ups
        assert all(row["ackw"] == 0 for row in rows if row["stale"])


def test_a_rerun_changes_nothing() -> None:
    readings = [Reading(minutes(n * 5), str(n), str(100 + n)) for n in range(40)]
    log = run_all(readings, Window(START, minutes(200)))
    before = results(log)
    for window in (Window(START, minutes(200)), Window(minutes(50), minutes(60)), Window(minutes(120), minutes(150))):
        run(register(), log, window)
        assert {name: frame.to_dicts() for name, frame in results(log).items()} == {
            name: frame.to_dicts() for name, frame in before.items()
        }


def test_the_newest_reading_at_or_before_the_tick_counts() -> None:
    log = run_all(
        [Reading(minutes(3), "1", "101", 3.0), Reading(minutes(10), "2", "102", 4.0), Reading(minutes(11), "3", "103")],
        Window(START, minutes(10)),
    )
    (row,) = ticks(log)
    assert (row["ackw"], row["daykw"], row["totkw"], row["reading_at"]) == (4.0, 2, 102, minutes(10))


@pytest.mark.parametrize(("age", "stale"), [(9, False), (10, False), (11, True)])
def test_a_reading_older_than_the_interval_is_stale_and_carries_its_energy(age: int, stale: bool) -> None:
    log = run_all([Reading(minutes(30 - age), "7", "107", 6.0)], Window(START, minutes(30)))
    row = ticks(log)[-1]
    assert (row["stale"], row["ackw"], row["daykw"], row["totkw"]) == (stale, 0.0 if stale else 6.0, 7, 107)


def test_an_inverter_that_never_reported_has_rows_of_zeros() -> None:
    log = run_all([], Window(START, minutes(20)))
    assert [(r["ackw"], r["daykw"], r["totkw"], r["stale"], r["status"]) for r in ticks(log)] == [
        (0, 0, 0, True, None)
    ] * 2


def test_the_day_restarts_at_local_midnight_and_the_counter_goes_on() -> None:
    log = run_all([Reading(local(23, 45, 1), "8", "108")], Window(local(23, 40, 1), local(0, 10, 2)))
    assert [(r["daykw"], r["totkw"]) for r in ticks(log)] == [(8, 108), (0, 108), (0, 108)]
    first, second = date(2026, 11, 1), date(2026, 11, 2)
    assert days(log) == {(0, first): 8, (1, first): 8, (0, second): 0, (1, second): 0}
    assert days(log, DAY_TOTAL_GENERATION)[1, second] == 108


def test_a_reading_between_the_last_tick_of_a_day_and_midnight_counts_for_its_own_day() -> None:
    log = run_all([Reading(local(23, 57, 1), "9", "109")], Window(local(23, 50, 1), local(0, 0, 2)))
    assert days(log)[1, date(2026, 11, 1)] == 9
    assert days(log, DAY_TOTAL_GENERATION)[1, date(2026, 11, 1)] == 109
    assert ticks(log)[0]["daykw"] == 0


def test_the_largest_daykw_of_the_day_survives_an_early_reset() -> None:
    readings = [Reading(local(18), "40", "140"), Reading(local(22), "0", "140")]
    log = run_all(readings, Window(local(17), local(23)))
    assert days(log)[1, date(2026, 11, 1)] == 40
    assert ticks(log)[-1]["daykw"] == 0
    assert ticks(log)[-1]["day_peak"] == 40


def test_an_earlier_days_energy_still_on_show_after_midnight_is_not_counted_again() -> None:
    readings = [
        Reading(local(20, 0, 1), "40", "140"),
        Reading(local(0, 5, 2), "40", "140"),
        Reading(local(6, 0, 2), "40", "140"),
        Reading(local(7, 0, 2), "1", "141"),
    ]
    log = run_all(readings, Window(local(19, 0, 1), local(8, 0, 2)))
    assert days(log)[1, date(2026, 11, 1)] == 40
    assert days(log)[1, date(2026, 11, 2)] == 1
    assert {r["at"]: r["daykw_carried"] for r in ticks(log)}[local(6, 0, 2)] is True


def test_a_good_day_after_an_outage_over_midnight_is_counted() -> None:
    readings = [Reading(local(12, 0, 1), "10", "140"), Reading(local(15, 0, 2), "60", "215")]
    log = run_all(readings, Window(local(11, 0, 1), local(16, 0, 2)))
    assert days(log)[1, date(2026, 11, 2)] == 60


def test_a_counter_reset_starts_a_segment_that_goes_on_from_the_last_value() -> None:
    values = ["1000", "1001", "0.2", "0.9", "1.9"]
    log = run_all([Reading(minutes(5 + 10 * n), "1", v) for n, v in enumerate(values)], Window(START, minutes(50)))
    rows = ticks(log)
    assert [r["totkw"] for r in rows] == [Decimal(v) for v in ("1000", "1001", "1001", "1001.7", "1002.7")]
    assert [r["counter_reset"] for r in rows] == [False, False, True, False, False]
    assert [r["reading_totkw"] for r in rows] == [Decimal(v) for v in values]


@pytest.mark.parametrize("capacity", [100.0, None])
@pytest.mark.parametrize("nonsense", ["0", "900000"])
def test_one_nonsense_value_of_the_counter_neither_adds_nor_loses_energy(nonsense: str, capacity: float | None) -> None:
    values = ["50000", nonsense, "50002", "50003"]
    readings = [Reading(minutes(5 + 10 * n), "1", v) for n, v in enumerate(values)]
    log = run_all(readings, Window(START, minutes(40)), register(capacity=capacity))
    assert [r["totkw"] for r in ticks(log)] == [50000, 50000, 50002, 50003]


def test_a_counter_that_shows_nonsense_for_hours_loses_none_of_their_energy() -> None:
    values = ["50000", *["0"] * 12, "50190", "50195"]
    log = run_all([Reading(minutes(5 + 10 * n), "1", v) for n, v in enumerate(values)], Window(START, minutes(150)))
    assert [r["totkw"] for r in ticks(log)][-3:] == [50000, 50190, 50195]


def test_a_used_inverter_put_in_place_brings_none_of_its_old_energy() -> None:
    values = ["100", "101", "700000", "700002"]
    log = run_all([Reading(minutes(5 + 10 * n), "1", v) for n, v in enumerate(values)], Window(START, minutes(40)))
    assert [r["totkw"] for r in ticks(log)] == [100, 101, 101, 103]
    assert ticks(log)[2]["counter_reset"]


def test_a_reading_at_the_tick_before_still_has_power_when_the_plant_is_computed_again() -> None:
    registered, log = register([(1, 1), (1, 2)]), MemoryStore()
    log.upsert(READING, reading_frame([Reading(minutes(10), "1", "101", 6.0)]))
    run(registered, log, Window(START, minutes(20)))
    log.upsert(READING, reading_frame([Reading(minutes(11), "1", "11", invno=2, received_at=minutes(25))]))
    run(registered, log, Window(minutes(20), minutes(30)))
    assert [row["ackw"] for row in ticks(log)] == [6.0, 6.0, 0.0]


def test_the_plant_row_is_the_sum_of_its_inverters_also_when_only_one_of_them_is_late() -> None:
    registered, log = register([(1, 1), (1, 2)]), MemoryStore()
    on_time = [Reading(local(23, 44, 1), "8", "108"), Reading(local(23, 44, 1), "5", "55", invno=2)]
    late = Reading(local(23, 46, 1), "9", "109", received_at=local(0, 15, 2))
    log.upsert(READING, reading_frame(on_time))
    for end in (local(23, 50, 1), local(0, 0, 2), local(0, 10, 2)):
        run(registered, log, Window(end - TICK, end))
    assert days(log)[0, date(2026, 11, 1)] == 13
    log.upsert(READING, reading_frame([late]))
    run(registered, log, Window(local(0, 10, 2), local(0, 20, 2)))
    assert days(log)[0, date(2026, 11, 1)] == 14
    assert {r["at"]: r["totkw"] for r in ticks(log)}[local(0, 0, 2)] == 109


def test_a_late_reading_beyond_the_horizon_waits_for_a_history_run(caplog: pytest.LogCaptureFixture) -> None:
    registered, log = register(), run_all([Reading(minutes(5), "1", "101")], Window(START, minutes(20)))
    long_after = minutes(100 * 60)
    log.upsert(READING, reading_frame([Reading(minutes(15), "2", "102", received_at=long_after)]))
    run(registered, log, Window(long_after, long_after + TICK))
    assert "1 readings arrived" in caplog.text
    assert "wattline history" in caplog.text
    assert {r["at"]: r["totkw"] for r in ticks(log)}[minutes(20)] == 101
    run(registered, log, Window(START, minutes(20)))
    assert {r["at"]: r["totkw"] for r in ticks(log)}[minutes(20)] == 102


def test_only_what_was_measured_or_arrived_in_the_window_measures_the_batch() -> None:
    log, registered = MemoryStore(), register([(1, 1), (1, 2), (1, 3)])
    gone = registered.read(INVERTER, (Condition("invno", "=", 3),))
    registered.upsert(INVERTER, gone.with_columns(removed_at=pl.lit(minutes(-15)).cast(pl.Datetime("us", "UTC"))))
    before = [Reading(minutes(-18 if invno == 3 else -8), "1", "101", invno=invno) for invno in (1, 2, 3)]
    late = Reading(minutes(-6), "1", "101", received_at=minutes(3))
    log.upsert(READING, reading_frame([*before, late, Reading(minutes(4), "2", "102", invno=2)]))
    window = Window(START, minutes(10))
    taken = collect.readings(log, window, collect.inverters(registered, window, {}))["readings"]
    assert {(row["invno"], row["at"]): row["in_window"] for row in taken.to_dicts()} == {
        (1, minutes(-8)): False,
        (2, minutes(-8)): False,
        (1, minutes(-6)): True,
        (2, minutes(4)): True,
    }


def test_readings_from_the_future_reach_the_gate_when_they_arrive() -> None:
    log = MemoryStore()
    log.upsert(READING, reading_frame([Reading(minutes(60 * 24 * 30), "1", "101", received_at=minutes(5))]))
    window = Window(START, minutes(10))
    frames = collect.readings(log, window, collect.inverters(register(), window, {}))
    assert frames["readings"].height == 1
    later = Window(minutes(10), minutes(20))
    assert collect.readings(log, later, collect.inverters(register(), later, {}))["readings"].height == 0


def test_the_first_run_of_all_starts_from_what_was_known_before_it() -> None:
    known = [Reading(minutes(-600), "3", "103"), Reading(minutes(-300), "4", "104")]
    row = ticks(run_all(known, Window(START, minutes(10))))[0]
    assert (row["totkw"], row["stale"], row["reading_at"]) == (104, True, minutes(-300))


def test_an_inverter_has_rows_only_while_it_is_in_use() -> None:
    registered = register()
    inverter = registered.read(INVERTER).with_columns(
        installed_at=pl.lit(minutes(10)).cast(pl.Datetime("us", "UTC")),
        removed_at=pl.lit(minutes(30)).cast(pl.Datetime("us", "UTC")),
    )
    registered.upsert(INVERTER, inverter)
    log = run_all([Reading(minutes(5), "1", "101")], Window(START, minutes(60)), registered)
    assert [r["at"] for r in ticks(log)] == [minutes(10), minutes(20)]


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25)])
def test_a_local_day_with_a_change_of_clocks_has_its_own_length(day: tuple[int, int, int], hours: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    midnight = datetime(*day, tzinfo=zone).astimezone(UTC)
    readings = [Reading(minutes(30, midnight + timedelta(hours=n)), str(n + 1), str(101 + n)) for n in range(hours)]
    window = Window(midnight, midnight + timedelta(hours=hours))
    log = run_all(readings, window, register(zone="Europe/Berlin"))
    assert len(ticks(log)) == hours * 6
    assert days(log) == {(0, date(*day)): hours, (1, date(*day)): hours}
