"""Which readings of a counter are bad: the rule of `wattline.meters.cleaning` as cases and as properties."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.meter_cleaning_reference import Terms, reasons
from wattline.meters.cleaning import POINT, READING, crossed, judge, suspects

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = 60
HOUR = 3600
LIMITLESS = pl.DataFrame([(1, None, None, None)], schema=POINT, orient="row")


class Reading(NamedTuple):
    second: int
    value: str | int
    is_bad: bool | None = None
    point: int = 1


def frame(rows: Iterable[Reading]) -> pl.DataFrame:
    """Ids by the order of the rows."""
    data = [
        (number, row.point, START + timedelta(seconds=row.second), Decimal(row.value), row.is_bad)
        for number, row in enumerate(rows, 1)
    ]
    return pl.DataFrame(data, schema=READING, orient="row")


def minutes(*values: str | int, begin: int = 0) -> list[Reading]:
    """One reading a minute."""
    return [Reading((begin + place) * MINUTE, value) for place, value in enumerate(values)]


def point(low: str | None = None, high: str | None = None, rate: str | None = None, number: int = 1) -> pl.DataFrame:
    limits = [None if each is None else Decimal(each) for each in (low, high, rate)]
    return pl.DataFrame([(number, *limits)], schema=POINT, orient="row")


def after(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def verdict(rows: Sequence[Reading], limits: pl.DataFrame = LIMITLESS, until: int | None = None) -> list[str | None]:
    """The reason of each row, in the order given; `until` in seconds, by default when nothing is undecided any more."""
    end = max(row.second for row in rows) + 10 * HOUR if until is None else until
    judged = judge(frame(rows).reverse(), limits, until=after(end)).sort("id")
    found = judged["reason"].cast(pl.String).to_list()
    wanted = [None if each == "undecided" else each is not None for each in found]
    assert judged["is_bad"].to_list() == wanted
    return found


GOOD, DIP, SPIKE = None, "dip", "spike"
FIELD: dict[str, tuple[Sequence[int | str], list[str | None]]] = {
    "zeroes": ([115823, 115823, 0, 0, 0, 115969, 115969], [GOOD] * 2 + [DIP] * 3 + [GOOD] * 2),
    "a negative crumb": ([139968, "-0.007068", "-0.007068", 140114], [GOOD, DIP, DIP, GOOD]),
    "one low reading": ([23998, 23999, 23000, 24000, 24001], [GOOD, GOOD, DIP, GOOD, GOOD]),
    "a low plateau": (["844966.0625"] * 3 + ["826142.0625"] * 4 + ["845019.0625"], [GOOD] * 3 + [DIP] * 4 + [GOOD]),
    "a low reading, then the same again": ([33600, 33500, 33500, 33600], [GOOD, DIP, DIP, GOOD]),
    "one high reading": ([17990] * 6 + [18990] + [17990] * 6, [GOOD] * 6 + [SPIKE] + [GOOD] * 6),
    "a plateau out of this world": ([138144] * 3 + [52776558592] * 16 + [138150], [GOOD] * 3 + [SPIKE] * 16 + [GOOD]),
    "two high readings": ([7990, 8990, 7990, 7991, 7992, 8995, 7993], [GOOD, SPIKE, GOOD, GOOD, GOOD, SPIKE, GOOD]),
    "a plateau that stays": (["253079.015625"] * 4 + ["259783.015625"] * 200, [GOOD] * 204),
    "jitter of the last digit": (["100.2", "100.3", "100.2", "100.2", "100.4"], [GOOD, SPIKE, GOOD, GOOD, GOOD]),
}  # fmt: skip


@pytest.mark.parametrize("case", FIELD)
def test_cases_from_the_field(case: str) -> None:
    values, wanted = FIELD[case]
    assert verdict(minutes(*values)) == wanted


def test_a_low_reading_before_hours_of_silence_is_a_dip() -> None:
    rows = [Reading(0, 33933568), Reading(4 * MINUTE, 33928880), Reading(355 * MINUTE, 33934040)]
    assert verdict(rows) == [GOOD, DIP, GOOD]
    assert verdict([*rows[:2], Reading(361 * MINUTE, 33934040)]) == [GOOD, GOOD, GOOD]


def test_good_readings_between_spikes_stay_good_even_where_they_are_fewer() -> None:
    values = [*[100] * 30, *[500] * 10, *[101] * 5, *[500] * 10, *[102] * 30]
    assert verdict(minutes(*values)) == [*[GOOD] * 30, *[SPIKE] * 10, *[GOOD] * 5, *[SPIKE] * 10, *[GOOD] * 30]


@pytest.mark.parametrize("good", [5, 30, 57, 90, 170])
def test_what_lies_between_a_spike_or_a_reset_and_a_later_spike_is_good(good: int) -> None:
    spikes = [218079, 466636, 522342, 236210]
    line = list(range(1000, 1000 + good))
    after_spikes = [*range(990, 1000), *spikes, *line, 877982, *range(1000 + good, 1300)]
    assert verdict(minutes(*after_spikes)) == [
        *[GOOD] * 10,
        *[SPIKE] * 4,
        *[GOOD] * good,
        SPIKE,
        *[GOOD] * (300 - good),
    ]
    after_reset = [*range(5000, 5060), *range(good), 99999, *range(good, 300)]
    assert verdict(minutes(*after_reset)) == [*[GOOD] * (60 + good), SPIKE, *[GOOD] * (300 - good)]


def test_a_spike_within_a_dip_and_a_dip_beside_a_spike() -> None:
    assert verdict(minutes(99, 100, 0, 5, 0, 0, 101)) == [GOOD, GOOD, DIP, DIP, DIP, DIP, GOOD]
    assert verdict(minutes(99, 100, 0, 500, 101)) == [GOOD, GOOD, DIP, SPIKE, GOOD]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([*range(5000, 5010), *range(1, 400)], id="reset"),
        pytest.param(["999984.0625"] * 3 + [20] * 200, id="roll-over"),
        pytest.param([*range(70), 0, *range(1, 300)], id="a reset soon passed again"),
        pytest.param([0, 0, *range(1, 72), *[0] * 300], id="reset after a trial of an hour"),
        pytest.param([*[500] * 5, *[0] * 200, *[600] * 200], id="zeroes for longer than patience"),
    ],
)
def test_a_counter_that_was_set_back_is_good(values: list[str | int]) -> None:
    assert verdict(minutes(*values)) == [GOOD] * len(values)


def test_a_run_lasts_at_most_patience() -> None:
    rows = [Reading(0, 100), *minutes(*[5] * 179, begin=1)]
    assert verdict([*rows, Reading(3 * HOUR, 100)])[1:180] == [DIP] * 179
    assert verdict([*rows, *minutes(5, 5, 100, begin=180)]) == [GOOD] * 183
    spike = [Reading(0, 100), *minutes(*[500] * 179, begin=1)]
    assert verdict([*spike, Reading(3 * HOUR, 100)])[1:180] == [SPIKE] * 179
    assert verdict([*spike, *minutes(500, 500, 100, begin=180)]) == [GOOD] * 183


def test_limits_are_inclusive_and_what_is_outside_takes_no_part() -> None:
    low, high = "below_low_limit", "above_high_limit"
    rows = minutes(10, "9.999999", 20, "1000.000001", 30, 1000, "999999999999999.999999", 5)
    assert verdict(rows, point("10", "1000")) == [GOOD, low, GOOD, high, GOOD, GOOD, high, low]


def test_crossed_limits_are_a_finding_and_limit_nothing() -> None:
    both = pl.concat([point("10", "5"), point("5", "10", number=2)])
    assert crossed(both)["point_id"].to_list() == [1]
    assert verdict([*minutes(1, 7, 100), Reading(0, 20, point=2)], both) == [GOOD, GOOD, GOOD, "above_high_limit"]


def test_points_are_apart_and_one_second_is_in_the_order_of_ids() -> None:
    rows = [Reading(0, 100), Reading(0, 5, point=2), Reading(60, 101), Reading(60, 6, point=2)]
    assert verdict(rows) == [GOOD] * 4
    assert verdict([Reading(0, 100), Reading(60, 101), Reading(60, 102), Reading(120, 103)]) == [GOOD] * 4
    assert verdict([Reading(0, 100), Reading(60, 102), Reading(60, 101), Reading(120, 103)]) == [
        GOOD,
        SPIKE,
        GOOD,
        GOOD,
    ]


def test_a_rise_that_no_meter_makes_and_that_is_taken_back() -> None:
    values = [1000, 1000, 50000, 50001, 1, 2, *range(3, 300)]
    assert verdict(minutes(*values)) == [GOOD] * len(values)
    assert verdict(minutes(*values), point(rate="600")) == [
        GOOD,
        GOOD,
        "too_fast",
        "too_fast",
        *[GOOD] * (len(values) - 4),
    ]
    assert verdict(minutes(100, 500, 0, *[100] * 300), point(rate="60"))[:4] == [GOOD, "too_fast", DIP, GOOD]
    assert verdict(minutes(1000, 1010, 1, 2), point(rate="600")) == [GOOD] * 4
    assert verdict(minutes(1000, 1010, 1, 2), point(rate="599.99")) == [GOOD, "too_fast", GOOD, GOOD]


@pytest.mark.parametrize(
    ("values", "rate"),
    [
        pytest.param([100, 110, *[110] * 60, 120, *[120] * 60], "20", id="coarse steps"),
        pytest.param([0, *range(56842157, 56842357)], "1000", id="a used meter"),
    ],
)  # fmt: skip
def test_a_rise_that_is_not_taken_back_is_good(values: list[int], rate: str) -> None:
    assert verdict(minutes(*values), point(rate=rate)) == [GOOD] * len(values)


def test_a_dip_that_has_not_ended_waits_for_its_end_and_then_counts_as_a_reset() -> None:
    rows = minutes(100, 101, 0, 0)
    wait = "undecided"
    assert verdict(rows, until=3 * MINUTE) == [GOOD, GOOD, wait, wait]
    assert verdict(rows, until=MINUTE + 3 * HOUR - 1) == [GOOD, GOOD, wait, wait]
    assert verdict(rows, until=MINUTE + 3 * HOUR) == [GOOD] * 4
    assert verdict([*rows, *minutes(101, 101, begin=4)], until=5 * MINUTE) == [GOOD, GOOD, wait, wait, GOOD, GOOD]
    assert verdict([*rows, *minutes(101, 101, 101, begin=4)], until=6 * MINUTE)[1:5] == [GOOD, DIP, DIP, GOOD]
    assert verdict([*rows, *minutes(101, begin=4)], until=MINUTE + 3 * HOUR) == [GOOD, GOOD, DIP, DIP, GOOD]
    assert verdict([*rows, *minutes(900, 3, begin=4)], until=5 * MINUTE) == [GOOD, GOOD, wait, wait, SPIKE, wait]
    assert verdict(minutes(100, 500), point(rate="60"), until=MINUTE) == [GOOD, wait]
    assert verdict(minutes(100, 500), point(rate="60"), until=3 * HOUR) == [GOOD, GOOD]


def test_a_fall_with_two_causes_waits_until_one_of_them_is_shorter() -> None:
    wait = "undecided"
    rows = [*minutes(100, 500, 500, 500, 101), *minutes(500, 500, begin=5), *minutes(500, 500, 500, begin=7)]
    assert verdict(rows[:5], until=4 * MINUTE) == [GOOD, wait, wait, wait, wait]
    assert verdict(rows[:7], until=6 * MINUTE) == [GOOD, wait, wait, wait, wait, GOOD, GOOD]
    assert verdict(rows[:9], until=8 * MINUTE) == [GOOD, GOOD, GOOD, GOOD, DIP, *[GOOD] * 4]
    assert verdict([*rows[:5], *minutes(102, 103, begin=5)], until=6 * MINUTE) == [
        GOOD,
        SPIKE,
        SPIKE,
        SPIKE,
        *[GOOD] * 3,
    ]
    assert verdict([*rows[:7], *minutes(102, begin=7)]) == [GOOD, *[SPIKE] * 3, GOOD, SPIKE, SPIKE, GOOD]


def test_no_reading_waits_longer_than_twice_patience() -> None:
    rows = minutes(100, *[500] * 170, *[101] * 100, 500)
    assert verdict(rows, until=400 * MINUTE) == [*[GOOD] * 41, *["undecided"] * 230, GOOD]


def test_without_until_time_stands_still_at_the_newest_reading_of_all_points() -> None:
    rows = [*minutes(100, 0), Reading(3 * HOUR - 1, 7, point=2)]
    assert judge(frame(rows), LIMITLESS)["is_bad"].to_list() == [False, None, False]
    rows.append(Reading(3 * HOUR, 7, point=2))
    assert judge(frame(rows), LIMITLESS)["is_bad"].to_list() == [False, False, False, False]


def test_a_mark_of_before_stays_and_takes_no_part_until_a_recheck() -> None:
    rows = [Reading(0, 100), Reading(60, 101, True), Reading(120, 100), Reading(180, 0, True), Reading(240, 102, False)]
    assert verdict(rows) == [GOOD, SPIKE, GOOD, DIP, GOOD]
    rows[2] = Reading(120, 101, True)
    assert verdict(rows) == [GOOD, "marked_before", "marked_before", DIP, GOOD]
    again = judge(frame(rows), LIMITLESS, until=after(10 * HOUR), recheck=True)
    assert again["reason"].cast(pl.String).to_list() == [GOOD, GOOD, GOOD, DIP, GOOD]


@st.composite
def counters(draw: st.DrawFn) -> list[Reading]:
    """Readings of a few points: noise, walks, and lines with faults; with silences and shared seconds."""
    rows = []
    gaps = st.sampled_from([0, 1, 30, 60, 60, 60, 60, 600, HOUR, 7 * HOUR])
    values = draw(st.sampled_from([st.integers(0, 6), st.integers(0, 40), st.sampled_from([0, 20, 21, 22, 23, 500])]))
    for number in range(1, draw(st.integers(1, 3)) + 1):
        steps = draw(st.lists(st.tuples(gaps, values), max_size=25))
        climb = draw(st.integers(0, 2))
        seconds = list(itertools.accumulate(gap for gap, _ in steps))
        rows += [Reading(seconds[n], value + climb * n, None, number) for n, (_, value) in enumerate(steps)]
    return rows


RATES = {1: None, 2: "3600", 3: "60"}


@given(counters(), st.sampled_from([180, 600, 3600, 3 * HOUR]), st.sampled_from([0, 600, 3 * HOUR]))
@settings(max_examples=250, deadline=None)
def test_the_rule_is_that_of_the_reference_and_a_second_look_finds_the_same(
    rows: list[Reading], patience: int, later: int
) -> None:
    until = max((row.second for row in rows), default=0) + later
    points = pl.concat(point(rate=rate, number=number) for number, rate in RATES.items())
    marked = frame(rows)
    for _ in range(2):
        judged = judge(marked, points, until=after(until), patience=timedelta(seconds=patience)).sort("id")
        assert judged["reason"].cast(pl.String).to_list() == oracle(rows, patience, until)
        marked = marked.with_columns(judged["is_bad"])
    found = marked.filter(pl.col("is_bad").is_null() | pl.col("is_bad"))["point_id"].to_list()
    assert set(found) <= set(suspects(frame(rows), points))


def oracle(rows: list[Reading], patience: int, until: int) -> list[str | None]:
    found: list[str | None] = []
    for number, rate in RATES.items():
        line = [(row.second, int(row.value) * 10**6) for row in rows if row.point == number]
        per_second = None if rate is None else -(-int(rate) * 10**6 // 3600)
        found += reasons(line, Terms(patience, until, per_second))
    return found


@given(st.integers(0, 10**6), st.lists(st.integers(5, 120), min_size=1, max_size=60), st.booleans())
@settings(max_examples=25, deadline=None)
def test_faults_are_found_whole_or_by_windows_and_nothing_else_is(seed: int, lengths: list[int], live: bool) -> None:
    """A window sees what is within 2 × patience of the readings that it marks; a live one nothing after it."""
    rows, faults = faulty(random.Random(seed), points=3)
    patience, reach = timedelta(minutes=10), timedelta(minutes=20)
    end = after(max(row.second for row in rows)) + 4 * patience
    whole = judge(frame(rows), LIMITLESS, until=end, patience=patience).sort("id")
    assert dict(enumerate(whole["reason"].cast(pl.String))) == {n: faults.get(n) for n in range(len(rows))}
    marked, begin = frame(rows), START
    for length in itertools.cycle(lengths):
        stop = begin + timedelta(minutes=length)
        seen = marked.filter(pl.col("at").is_between(begin - 2 * reach, stop if live else stop + reach, closed="left"))
        judged = judge(seen, LIMITLESS, until=stop, patience=patience).join(seen.select("id", "at"), on="id")
        own = judged.filter(pl.col("at").is_between(begin - reach, stop, closed="left")).select("id", new="is_bad")
        marked = marked.join(own, on="id", how="left").with_columns(is_bad=pl.coalesce("new", "is_bad")).drop("new")
        begin = stop
        if begin >= end:
            break
    assert marked.sort("id")["is_bad"].to_list() == whole["is_bad"].to_list()


def faulty(chance: random.Random, points: int) -> tuple[list[Reading], Mapping[int, str]]:
    """Counters with dips, spikes and resets, some minutes apart; and which rows are wrong."""
    rows: list[Reading] = []
    faults: dict[int, str] = {}
    for number in range(1, points + 1):
        line, second, healthy = 1000, 0, 0
        while second < 4 * HOUR:
            is_time = healthy > 12 and second < 3.5 * HOUR and chance.random() < 0.1
            kind = chance.choice(["dip", "spike", "spike", "reset"]) if is_time else None
            for _ in range(chance.randint(1, 4) if kind in ("dip", "spike") else 1):
                second += chance.choice([55, 60, 65])
                line = 0 if kind == "reset" else line + chance.randint(0, 3)
                off = {"dip": -line - 1, "spike": 400}.get(kind or "", 0)
                if off:
                    faults[len(rows)] = str(kind)
                rows.append(Reading(second, line + off, None, number))
            healthy = 0 if kind else healthy + 1
    return rows, faults
