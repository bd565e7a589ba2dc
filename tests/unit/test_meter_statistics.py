"""Statistics of local days, months and years, against a computation slot by slot."""

from __future__ import annotations

import statistics as naive
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from wattline.errors import BadInputError, TerminalError
from wattline.meters.periods import PERIODS, expected_slots, local_days, next_first_day, start_of
from wattline.meters.statistics import KEY, renewed, statistics
from wattline.meters.tables import HOURLY, STATISTICS
from wattline.storage.contract import UTC_TIME

Slots = dict[tuple[int, datetime], Decimal]
SCHEMA = {
    "meter_id": pl.Int64(),
    "start_datetime_utc": UTC_TIME,
    "actual_value": HOURLY["meter"].schema["actual_value"],
}
ZONES = ["UTC", "Asia/Seoul", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"]
# Ends of months and years, changes of clocks (one that skips midnight), a leap day.
MOMENTS = [
    datetime(2018, 11, 4, tzinfo=UTC),
    datetime(2024, 2, 29, tzinfo=UTC),
    datetime(2026, 3, 29, tzinfo=UTC),
    datetime(2026, 10, 25, tzinfo=UTC),
    datetime(2026, 12, 31, tzinfo=UTC),
]


def frame(slots: Slots) -> pl.DataFrame:
    return pl.DataFrame([(*key, value) for key, value in slots.items()], schema=SCHEMA, orient="row")


def first_day(day: date, period: str) -> date:
    return {"day": day, "month": day.replace(day=1), "year": day.replace(month=1, day=1)}[period]


def by_period(slots: Slots, zone: str) -> dict[tuple[int, str, date], list[Decimal]]:
    groups: dict[tuple[int, str, date], list[Decimal]] = defaultdict(list)
    for (meter, at), value in slots.items():
        for period in PERIODS:
            groups[meter, period, first_day(at.astimezone(ZoneInfo(zone)).date(), period)].append(value)
    return groups


def moments(minutes: int, hours: int) -> st.SearchStrategy[datetime]:
    step = timedelta(minutes=minutes)
    return st.builds(lambda around, n: around + step * n, st.sampled_from(MOMENTS), st.integers(-hours, hours))


VALUES = st.one_of(
    st.decimals(0, 100, places=6),
    st.sampled_from([Decimal(0), Decimal("0.000001"), Decimal("123456789.000001"), Decimal(-3)]),
)


def slot_sets(max_size: int = 60) -> st.SearchStrategy[Slots]:
    return st.dictionaries(st.tuples(st.integers(1, 2), moments(30, 150)), VALUES, max_size=max_size)


@given(slot_sets(), st.sampled_from(ZONES))
@settings(deadline=None)
def test_every_figure_is_that_of_the_slots_one_by_one(slots: Slots, zone: str) -> None:
    rows = statistics(frame(slots), "meter", zone, 30)
    groups = by_period(slots, zone)
    assert rows.schema == STATISTICS.schema
    assert [row[1:4] for row in rows.iter_rows()] == sorted(groups)
    for row in rows.iter_rows(named=True):
        values = groups[row["meter_id"], row["period"], row["start_local"]]
        exact = len(values), sum(values), min(values), max(values)
        assert (row["slots"], row["total"], row["minimum"], row["maximum"]) == exact
        assert row["mean"] == pytest.approx(float(naive.mean(values)), rel=1e-14)
        assert row["median"] == pytest.approx(float(naive.median(values)), rel=1e-14)
        if len(values) == 1:
            assert row["deviation"] is None
        else:
            near = pytest.approx(float(naive.stdev(values)), rel=1e-9, abs=1e-15 * float(max(values)))
            assert row["deviation"] == near


@given(slot_sets(80), st.sampled_from(ZONES), moments(30, 150), st.data())
@settings(max_examples=60, deadline=None)
def test_changed_days_renew_all_that_they_are_part_of(
    slots: Slots, zone: str, at: datetime, data: st.DataObject
) -> None:
    """Some slots of a span of days get other values, come or go: the rest of the month need not be read again."""
    day = at.astimezone(ZoneInfo(zone)).date()
    span = (day, day + timedelta(days=data.draw(st.integers(1, 4))))
    inside = {key for key in slots if span[0] <= key[1].astimezone(ZoneInfo(zone)).date() < span[1]}
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(inside)), st.none() | VALUES) if inside else st.just({}))
    changes |= {(1, at): data.draw(VALUES)}
    later = {key: value for key, value in (slots | changes).items() if value is not None}
    before, after = (statistics(frame(each), "meter", zone, 30) for each in (slots, later))
    known = stored_around(before, span)

    fresh = statistics(frame({k: v for k, v in later.items() if k in inside | {(1, at)}}), "meter", zone, 30)
    rows, due, gone = renewed(fresh, known, span, ZoneInfo(zone), 30)

    stored = pl.concat([before.join(pl.concat([rows.select(KEY), gone]), on=KEY, how="anti"), rows]).sort(KEY)
    assert_frame_equal(stored.drop("median"), after.drop("median"), check_exact=True)
    settled = after.join(due, on=KEY, how="anti")
    assert_frame_equal(stored.join(due, on=KEY, how="anti"), settled, check_exact=True)
    stale = before.join(due, on=KEY, how="semi").select(*KEY, "median")
    assert_frame_equal(stored.join(due, on=KEY, how="semi").select(*KEY, "median"), stale, check_exact=True)
    assert set(due["period"]) <= {"month", "year"}


def stored_around(stored: pl.DataFrame, span: tuple[date, date]) -> pl.DataFrame:
    """What of the stored statistics a run reads: days of the span's months, months and years of its years."""
    days = [span[0] + timedelta(days=n) for n in range((span[1] - span[0]).days)]
    months, years = ([first_day(day, period) for day in days] for period in ("month", "year"))
    start, of_day = pl.col("start_local"), pl.col("period") == "day"
    near = pl.when(of_day).then(start.dt.truncate("1mo").is_in(months)).otherwise(start.dt.truncate("1y").is_in(years))
    return stored.filter(near)


def test_only_a_median_of_which_slots_are_missing_waits() -> None:
    seoul = {(1, datetime(2026, 5, day, 3, tzinfo=UTC)): Decimal(day) for day in (1, 2, 3)}
    stored = statistics(frame({k: v for k, v in seoul.items() if v < 3}), "meter", "Asia/Seoul", 60)
    fresh = statistics(frame({k: v for k, v in seoul.items() if v == 3}), "meter", "Asia/Seoul", 60)
    rows, due, gone = renewed(fresh, stored, (date(2026, 5, 3), date(2026, 5, 4)), ZoneInfo("Asia/Seoul"), 60)
    assert due.rows() == [("meter", 1, "month", date(2026, 5, 1)), ("meter", 1, "year", date(2026, 1, 1))]
    assert rows.select("period", "total", "median").rows() == [
        ("day", Decimal(3), 3.0),
        ("month", Decimal(6), 1.5),
        ("year", Decimal(6), 1.5),
    ]
    first, none_due, _ = renewed(fresh, stored.clear(), (date(2026, 5, 3), date(2026, 5, 4)), ZoneInfo("UTC"), 60)
    assert (first["median"].to_list(), none_due.height, gone.height) == ([3.0] * 3, 0, 0)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Seoul", date(2026, 3, 29), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),
        ("America/Havana", date(2026, 11, 1), 25),
        ("Pacific/Apia", date(2011, 12, 30), 0),
        ("Asia/Kathmandu", date(2026, 3, 29), 24),
    ],
)
def test_a_day_has_the_slots_that_its_clocks_make(zone: str, day: date, hours: int) -> None:
    site = ZoneInfo(zone)
    assert expected_slots(day, "day", site, 60) == hours
    assert expected_slots(day, "day", site, 30) == hours * 2
    first, after = day.replace(day=1), next_first_day(day, "month")
    month = [first + timedelta(days=n) for n in range((after - first).days)]
    assert expected_slots(first, "month", site, 60) == sum(expected_slots(each, "day", site, 60) for each in month)


@pytest.mark.parametrize("day", [date(2026, 4, 5), date(2026, 10, 4), date(2026, 10, 5)])
def test_slots_at_full_hours_count_for_the_day_in_which_they_start(day: date) -> None:
    """Lord Howe Island is 10:30 or 11 hours ahead of UTC: its clocks change by half an hour."""
    zone = ZoneInfo("Australia/Lord_Howe")
    around = (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=n) for n in range(-48, 48))
    hours = [instant for instant in around if instant.astimezone(zone).date() == day]
    assert expected_slots(day, "day", zone, 60) == len(hours)


@pytest.mark.parametrize("zone", [*ZONES, "America/Havana"])
def test_full_years_have_every_slot_that_is_expected(zone: str) -> None:
    start, end = (start_of(date(year, 1, 1), ZoneInfo(zone)) for year in (2018, 2019))
    # A zone may be three quarters of an hour off: its first slot is the first full half hour of the year.
    first = start + (datetime(1970, 1, 1, tzinfo=UTC) - start) % timedelta(minutes=30)
    starts = pl.datetime_range(first, end, "30m", time_unit="us", closed="left", eager=True)
    slots = pl.DataFrame({"meter_id": 1, "start_datetime_utc": starts, "actual_value": Decimal(1)})
    rows = statistics(slots.cast(SCHEMA), "meter", zone, 30)  # type: ignore[arg-type]
    assert rows["slots"].to_list() == rows["expected_slots"].to_list()
    assert rows.group_by("period").len().sort("len")["len"].to_list() == [1, 12, 365]


def test_equal_values_do_not_deviate() -> None:
    start = datetime(2026, 10, 24, tzinfo=UTC)
    slots = {(1, start + timedelta(hours=n)): Decimal("123456789.123457") for n in range(60)}
    assert set(statistics(frame(slots), "meter", "Europe/Berlin", 60)["deviation"]) == {0.0}


def test_totals_are_exact_beyond_what_a_float_holds() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    slots = {(1, start): Decimal("900000000000000.000001"), (1, start + timedelta(hours=1)): Decimal("0.000001")}
    assert set(statistics(frame(slots), "meter", "UTC", 60)["total"]) == {Decimal("900000000000000.000002")}
    slots[1, start + timedelta(hours=2)] = Decimal("900000000000000")
    with pytest.raises(TerminalError, match="total"):
        statistics(frame(slots), "meter", "UTC", 60)


@given(st.lists(moments(30, 400), max_size=20), st.sampled_from([*ZONES, "Pacific/Apia", "America/Havana"]))
@settings(deadline=None)
def test_the_local_day_is_that_of_the_zone(instants: list[datetime], zone: str) -> None:
    days = local_days(pl.Series(instants, dtype=UTC_TIME), ZoneInfo(zone))
    assert days.to_list() == [instant.astimezone(ZoneInfo(zone)).date() for instant in instants]


def test_a_zone_that_is_none_is_refused() -> None:
    for name in ("Asia/Soul", "", "../etc/passwd"):
        with pytest.raises(BadInputError, match="zone"):
            statistics(frame({}), "meter", name, 60)


def test_no_slots_make_no_rows() -> None:
    assert statistics(frame({}), "meter", "UTC", 60).is_empty()
