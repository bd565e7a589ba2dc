"""Days to slots: exact sums, local days, limits; pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.meter_forms import form
from wattline.meters.offline_days import Rules, finding_rows, hourly_rows, judge, slot_starts, spread
from wattline.meters.tables import VALUE
from wattline.meters.workbook import DayValue, Form, read

SEOUL = Rules(ZoneInfo("Asia/Seoul"), 60, 6)
NOW = datetime(2026, 11, 30, tzinfo=UTC)
LIMITS = {"id": pl.Int64(), "hourly_low_limit": VALUE, "hourly_high_limit": VALUE}


def meters(*rows: tuple[int, str, str]) -> pl.DataFrame:
    exact = [(number, Decimal(low), Decimal(high)) for number, low, high in rows]
    return pl.DataFrame(exact, schema=LIMITS, orient="row")


def judged(value: object, rules: Rules, *, day: int = 1, month: int = 10, low: str = "0", high: str = "1000") -> Form:
    """A form with one value of meter 7, judged."""
    content = form({3: [7, "Boiler", None, *[None] * (day - 1), value]}, month=month)
    return judge(read(content), meters((7, low, high)), rules, NOW)


def subjects(found: Form) -> list[str]:
    return [each.subject for each in found.findings]


@hypothesis_settings(max_examples=200, deadline=None)
@example(Decimal(1), 24, 6)
@example(Decimal("0.000023"), 24, 6)
@example(Decimal("999999999999999.9999994"), 25, 6)
@example(Decimal("0.0000005"), 23, 6)
@given(
    st.decimals(min_value=0, max_value=10**14, places=8),
    st.sampled_from([1, 23, 24, 25, 46, 48, 50]),
    st.sampled_from([3, 6]),
)
def test_slots_add_up_to_the_day_and_are_as_equal_as_can_be(value: Decimal, slots: int, places: int) -> None:
    parts = spread(value, slots, places)
    assert len(parts) == slots
    step = Decimal(1).scaleb(-places)
    assert sum(parts) == value.quantize(step, ROUND_HALF_UP)
    assert max(parts) - min(parts) <= step
    assert all(part == part.quantize(step) for part in parts)


@pytest.mark.parametrize(
    ("zone", "day", "minutes", "first", "count"),
    [
        ("Asia/Seoul", date(2026, 10, 1), 60, "2026-09-30T15:00", 24),
        ("Asia/Seoul", date(2026, 10, 1), 30, "2026-09-30T15:00", 48),
        ("Europe/Berlin", date(2026, 3, 29), 60, "2026-03-28T23:00", 23),
        ("Europe/Berlin", date(2026, 10, 25), 60, "2026-10-24T22:00", 25),
        ("Europe/Berlin", date(2026, 10, 25), 30, "2026-10-24T22:00", 50),
        ("America/Sao_Paulo", date(2018, 11, 4), 60, "2018-11-04T03:00", 23),  # there is no midnight
        ("America/Havana", date(2026, 11, 1), 60, "2026-11-01T04:00", 25),  # midnight comes twice
        ("Asia/Kolkata", date(2026, 10, 1), 60, "2026-09-30T18:30", 24),
        ("Australia/Lord_Howe", date(2026, 10, 4), 30, "2026-10-03T13:30", 47),
        ("Australia/Lord_Howe", date(2026, 10, 4), 60, "2026-10-03T13:30", 24),
        ("Pacific/Apia", date(2011, 12, 30), 60, None, 0),  # the zone left it out
    ],
)
def test_a_day_is_the_local_one(zone: str, day: date, minutes: int, first: str | None, count: int) -> None:
    starts = slot_starts(day, ZoneInfo(zone), minutes)
    assert len(starts) == count
    assert starts[:1] == ([datetime.fromisoformat(f"{first}Z")] if first else [])


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Havana", "Africa/Cairo", "UTC"]),
    st.dates(date(2000, 1, 1), date(2037, 1, 1)),
    st.sampled_from([30, 60]),
)
def test_the_slots_of_days_follow_each_other_without_hole_or_overlap(zone: str, day: date, minutes: int) -> None:
    starts = [at for n in range(3) for at in slot_starts(day + timedelta(days=n), ZoneInfo(zone), minutes)]
    assert {after - before for before, after in pairwise(starts)} == {timedelta(minutes=minutes)}


def test_the_rows_of_a_form_are_exact_and_in_utc() -> None:
    rows = hourly_rows(judged("10.000001", SEOUL, day=31).days, SEOUL)
    assert rows.height == 24
    assert rows["actual_value"].sum() == Decimal("10.000001")
    assert rows["start_datetime_utc"].min() == datetime(2026, 10, 30, 15, tzinfo=UTC)
    assert rows["start_datetime_utc"].max() == datetime(2026, 10, 31, 14, tzinfo=UTC)
    assert rows["offline_meter_id"].unique().to_list() == [7]


@pytest.mark.parametrize("minutes", [30, 60])
@pytest.mark.parametrize(
    ("value", "subject"),
    [("47.999999", "below_low_limit"), ("48", None), ("240", None), ("240.000001", "above_high_limit")],
)
def test_limits_are_of_an_hour_and_inclusive(value: str, subject: str | None, minutes: int) -> None:
    found = judged(value, Rules(SEOUL.zone, minutes, 6), low="2", high="10")
    assert subjects(found) == ([subject] if subject else [])
    assert len(found.days) == (0 if subject else 1)


@pytest.mark.parametrize(("month", "day", "most"), [(3, 29, 230), (10, 25, 250)])
def test_limits_know_how_many_hours_the_day_has(month: int, day: int, most: int) -> None:
    berlin = Rules(ZoneInfo("Europe/Berlin"), 60, 6)
    assert subjects(judged(most, berlin, day=day, month=month, high="10")) == []
    assert subjects(judged(most + 0.001, berlin, day=day, month=month, high="10")) == ["above_high_limit"]


def test_a_refused_day_names_cell_limit_and_remedy_and_leaves_the_others() -> None:
    found = judge(read(form({3: [7, "Boiler", None, 24, 99, 24]})), meters((7, "0", "2")), SEOUL, NOW)
    assert [each.cell for each in found.days] == ["D3", "F3"]
    (finding,) = map(str, found.findings)
    assert finding.startswith("E3: 99 in 24 hours is above the hourly high limit 2")
    assert "offline meter 7's limit in MyEMS" in finding


def test_an_unknown_meter_is_one_finding_of_its_row() -> None:
    found = judge(
        read(form({3: [9, "Lost", None, 1, 2, 3], 4: [7, "Boiler", None, 1]})), meters((7, "0", "2")), SEOUL, NOW
    )
    assert [(each.cell, each.subject) for each in found.findings] == [("A3", "unknown_meter")]
    assert [each.meter_id for each in found.days] == [7]


@pytest.mark.parametrize(("value", "subjects_"), [("999999999999999.5", []), ("1000000000000000", ["too_large"])])
def test_more_digits_than_the_table_has_are_refused(value: str, subjects_: list[str]) -> None:
    assert subjects(judged(value, SEOUL, high=str(10**14))) == subjects_


def test_a_day_that_the_zone_left_out_is_refused() -> None:
    apia = Rules(ZoneInfo("Pacific/Apia"), 60, 6)
    day = DayValue("D3", 3, 7, date(2011, 12, 30), Decimal(0))
    assert subjects(judge(Form([day]), meters((7, "0", "2")), apia, NOW)) == ["no_such_day"]


@pytest.mark.parametrize(
    ("now", "told"),
    [(datetime(2026, 10, 1, 14, 59, 59, tzinfo=UTC), ["not_over"]), (datetime(2026, 10, 1, 15, tzinfo=UTC), [])],
)
def test_a_day_is_over_at_local_midnight(now: datetime, told: list[str]) -> None:
    found = judge(read(form({3: [7, "Boiler", None, 99]})), meters((7, "0", "100")), SEOUL, now)
    assert subjects(found) == told
    assert len(found.days) == 1 - len(told)


def test_findings_are_kept_of_known_meters_and_days_without_a_row() -> None:
    content = form({3: [7, "Boiler", None, 1, -1, "?"], 4: [7, "Boiler", None, -5, -5], 5: [9, "Lost", None, -1]})
    found = judge(read(content), meters((7, "0", "2")), SEOUL, NOW)
    kept = finding_rows(found, [7], SEOUL).select("kind", "meter_id", "start_datetime_utc", "subject").rows()
    starts = [datetime(2026, 10, day, 15, tzinfo=UTC) for day in (1, 2)]
    assert kept == [
        ("offline_meter", 7, starts[0], "negative"),
        ("offline_meter", 7, starts[1], "not_a_number"),
    ]
