"""The oracle itself: cases from the field, the limits, and that any cut into runs gives the same rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.meter_reference_run import walk
from tests.meter_reference import Reading, base_of, hours, outcomes, slots_of

CASES = Path(__file__).parents[2].parent / "shared/data/meters/special_cases.json"
START = datetime(2026, 11, 1, tzinfo=UTC)
HIGH = Decimal(10_000)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def series(day: str, *rows: tuple[str, str]) -> list[Reading]:
    """Good readings of `(time, value)`."""
    return [Reading(number, at(f"{day} {time}"), Decimal(value)) for number, (time, value) in enumerate(rows)]


def run(readings: list[Reading], first: datetime, slots: int, *, base: str | None = None, **how: Any) -> list[str]:
    how = {"low": Decimal(0), "high": HIGH, **how}
    start = base_of(readings, first) if base is None else Decimal(base)
    return [f"{value:f}" for value in hours(readings, start, first, slots, **how)]


def known_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(CASES.read_text())["cases"] if CASES.exists() else []
    return cases


@pytest.mark.skipif(not CASES.exists(), reason="the case file is not part of the repository")
@pytest.mark.parametrize("case", known_cases(), ids=lambda case: case["name"])
def test_each_known_case_gives_its_rows(case: dict[str, Any]) -> None:
    flags = {"0": False, "1": True, "NULL": None}
    readings = [
        Reading(number, at(time), Decimal(value), flags[bad])
        for number, (time, value, bad) in enumerate(case["stored_rows"])
    ]
    newest = max((at(row[0]) for row in case["pre"]), default=None)
    first, slots = slots_of(newest, at(case["start"]), at(case["now"]), case["minutes"], 30)
    low, high = Decimal(case["low"]), Decimal(case["high"])
    values = hours(readings, base_of(readings, first), first, slots, minutes=case["minutes"], low=low, high=high)
    slot = timedelta(minutes=case["minutes"])
    rows = [[f"{first + slot * n:%Y-%m-%d %H:%M:%S}", f"{value:f}"] for n, value in enumerate(values)]
    assert rows == case["out"]


def test_a_meter_that_was_away_over_night_counts_it_all_in_the_slot_of_its_first_reading() -> None:
    readings = [
        *series("2016-12-05", ("23:58:46", "38312088"), ("23:59:48", "38312088")),
        *series("2016-12-06", ("06:14:49", "38315900"), ("06:15:50", "38315928"), ("06:16:52", "38315928")),
    ]
    assert run(readings, at("2016-12-06"), 8) == ["0.000000"] * 6 + ["3840.000000", "0.000000"]
    assert run(readings, at("2016-12-06"), 8, high=Decimal(3839)) == ["0.000000"] * 8


def test_a_used_meter_brings_nothing_of_what_it_counted_before() -> None:
    readings = series(
        "2017-03-27",
        ("02:30:48", "56842157.907972"),
        ("02:31:53", "56842170.812366"),
        ("02:36:07", "56842220.772972"),
        ("03:10:00", "56842230.772972"),
    )
    assert run(readings, at("2017-03-27 02:00:00"), 2) == ["0.000000", "10.000000"]


def test_a_counter_that_wraps_counts_on_from_its_new_value() -> None:
    readings = series(
        "2016-12-24", ("07:59:14", "999980"), ("08:26:14", "999984.0625"), ("08:29:18", "20"), ("08:30:20", "21")
    )
    assert run(readings, at("2016-12-24 08:00:00"), 1) == ["5.062500"]


def test_flagged_zeroes_hide_nothing_of_what_the_meter_counted_meanwhile() -> None:
    zeroes = [(f"01:{minute}:00", "0") for minute in range(25, 37)]
    rows = (("00:59:30", "1103080"), *zeroes, ("01:37:06", "1103325.75"), ("02:03:20", "1103860.625"))
    readings = [r._replace(is_bad=r.value == 0) for r in series("2019-03-14", *rows)]
    assert run(readings, at("2019-03-14 01:00:00"), 2) == ["245.750000", "534.875000"]
    unflagged = [reading._replace(is_bad=False) for reading in readings]
    assert run(unflagged, at("2019-03-14 01:00:00"), 2) == ["0.000000", "534.875000"]


@pytest.mark.parametrize(
    ("base", "value", "how", "energy"),
    [
        ("0.1", "5", {}, "0.000000"),
        ("0.100001", "5", {}, "4.899999"),
        ("100", "100.5", {"low": Decimal("0.5")}, "0.500000"),
        ("100", "100.499999", {"low": Decimal("0.5")}, "0.000000"),
        ("100", "10100", {}, "10000.000000"),
        ("100", "10100.000001", {}, "0.000000"),
        ("100", "100.0625", {"scale": 3}, "0.063"),
        ("100", "100.0624", {"scale": 3}, "0.062"),
        ("100", "99", {}, "0.000000"),
        ("100", "99", {"low": Decimal(-1)}, "0.000000"),
    ],
)
def test_limits_are_inclusive_and_rounding_is_half_up(base: str, value: str, how: dict[str, Any], energy: str) -> None:
    readings = [Reading(1, START, Decimal(value))]
    assert run(readings, START, 1, base=base, **how) == [energy]


def test_a_limit_is_held_against_the_increment_before_it_is_rounded() -> None:
    readings = [Reading(1, START, Decimal("100.4996"))]
    assert run(readings, START, 1, base="100", low=Decimal("0.5"), scale=3) == ["0.000"]


def test_a_slot_begins_with_its_first_second_and_ends_before_the_next() -> None:
    rows = (("00:00:00", "101"), ("00:59:59", "103"), ("01:00:00", "107"), ("02:00:00", "115"), ("03:00:00", "131"))
    assert run(series("2026-11-01", *rows), START, 3, base="100") == ["3.000000", "4.000000", "8.000000"]
    assert run(series("2026-11-01", *rows), START, 3, base="100", minutes=30) == ["1.000000", "2.000000", "4.000000"]


def test_readings_of_one_second_count_by_their_id() -> None:
    up = [Reading(1, START, Decimal(110)), Reading(2, START, Decimal(105))]
    down = [Reading(2, START, Decimal(110)), Reading(1, START, Decimal(105))]
    next_slot = START + timedelta(hours=1)
    assert run(up, START, 1, base="100") == ["10.000000"]
    assert run([Reading(1, START, Decimal(90)), Reading(2, START, Decimal(95))], START, 1, base="99") == ["5.000000"]
    assert (base_of(up, next_slot), base_of(down, next_slot)) == (Decimal(105), Decimal(110))


def test_the_base_is_the_newest_good_reading_however_old() -> None:
    old = Reading(1, START - timedelta(days=900), Decimal(90))
    unchecked, bad = (Reading(n, START - timedelta(seconds=1), Decimal(99), flag) for n, flag in ((2, None), (3, True)))
    there = Reading(4, START, Decimal(95))
    assert base_of([unchecked, old, bad, there], START) == Decimal(90)
    assert base_of([unchecked, bad, there], START) == Decimal(0)
    assert base_of([old._replace(value=Decimal(-5))], START) == Decimal(0)


def test_slots_are_whole_and_go_on_after_the_newest_row() -> None:
    start = datetime(2026, 11, 1, 0, 17, 5, tzinfo=UTC)
    row = datetime(2026, 11, 1, 4, 30, 20, tzinfo=UTC)
    now = datetime(2026, 11, 1, 7, 0, tzinfo=UTC)
    assert slots_of(None, start, now, 60, 30) == (START, 6)
    assert slots_of(None, start, now - timedelta(seconds=1), 60, 29) == (START, 6)
    assert slots_of(None, start, now - timedelta(seconds=1), 60, 60) == (START, 5)
    assert slots_of(row, start, now, 60, 30) == (datetime(2026, 11, 1, 5, 30, tzinfo=UTC), 1)
    assert slots_of(row, start, now, 30, 30) == (datetime(2026, 11, 1, 5, 0, tzinfo=UTC), 3)
    assert slots_of(now, start, now, 60, 30)[1] == 0


VALUES = st.one_of(
    st.decimals(-50, 200, places=6), st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("0.100001"), Decimal(100)])
)
READINGS = st.lists(
    st.builds(
        Reading,
        st.integers(0, 99),
        st.integers(-7200, 6 * 3600).map(lambda second: START + timedelta(seconds=second // 60 * 60)),
        VALUES,
        st.sampled_from([False, False, False, True, None]),
    ),
    max_size=25,
    unique_by=lambda reading: reading.id,
)


@given(READINGS, st.integers(1, 5))
@settings(deadline=None)
def test_any_cut_gives_the_same_rows(readings: list[Reading], cut: int) -> None:
    second = START + timedelta(hours=cut)
    whole = run(readings, START, 6, high=Decimal(150))
    parts = run(readings, START, cut, high=Decimal(150)) + run(readings, second, 6 - cut, high=Decimal(150))
    assert parts == whole


@given(READINGS)
@settings(deadline=None)
def test_what_rose_less_what_fell_is_the_growth_of_the_counter(readings: list[Reading]) -> None:
    base = base_of(readings, START)
    rows = outcomes(readings, base, START, 6, low=Decimal(0), high=HIGH)
    good = [r for r in readings if r.is_bad is False and START <= r.at < START + timedelta(hours=6)]
    states = [base, *(r.value for r in sorted(good, key=lambda r: (r.at, r.id)))]
    falls = sum((max(a - b, Decimal(0)) for a, b in pairwise(states)), Decimal(0))
    found = [base_of(readings, START + timedelta(hours=n)) for n in range(6)]
    assert [max(row.initial, Decimal(0)) for row in rows] == found
    assert sum(row.increment for row in rows) - falls == states[-1] - base


@given(READINGS, st.decimals(0, 200, places=6))
@settings(deadline=None)
def test_the_benchmark_walks_by_the_same_rule(readings: list[Reading], base: Decimal) -> None:
    good = sorted((r.at, r.id, r.value) for r in readings if r.is_bad is False and r.at >= START)
    ends = [START + timedelta(hours=n + 1) for n in range(6)]
    walked = walk([(instant, value) for instant, _, value in good], base, ends, Decimal("0.5"), Decimal(150))
    assert walked == hours(readings, base, START, 6, low=Decimal("0.5"), high=Decimal(150))
