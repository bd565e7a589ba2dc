"""Energy of local days as energy of slots: which days can be stored, and the slots' values. Pure.

The slots of a day add up to the day's value to the last digit. They begin at local midnight, so on the days when clocks
change there are 23 or 25 hours. In zones that are half an hour off UTC, slots of 60 minutes lie half an hour beside
those of other meters, as in MyEMS; slots of 30 minutes do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from wattline.meters.tables import FINDING, HOURLY
from wattline.meters.workbook import DayValue, Finding, Form

KIND = "offline_meter"
NOT_OVER = "not_over"
"""Subject of a day that is still to come: mostly a wrong year or month, so no later form names the day again."""
_TOO_LARGE = 10**15
"""An hourly column holds 15 digits before the point."""


@dataclass(frozen=True)
class Rules:
    """How days become slots.

    Attributes:
        zone: the site's time zone.
        minutes: length of a slot.
        places: decimal places of the hourly table; a day's value is rounded to it, half away from zero.
    """

    zone: ZoneInfo
    minutes: int
    places: int


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def slot_starts(day: date, zone: ZoneInfo, minutes: int) -> list[datetime]:
    """The starts of the slots of a local day, UTC; none on a day that the zone left out.

    Where clocks change by half an hour (Lord Howe), the day's last slot of 60 minutes is half as long.
    """
    start, end = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    step = timedelta(minutes=minutes)
    return [start + step * n for n in range(-((start - end) // step))]


def spread(value: Decimal, slots: int, places: int) -> list[Decimal]:
    """`slots` numbers of `places` decimal places, as equal as can be, whose sum is `value` rounded to these places.

    Each is the difference of two neighbouring sums, both rounded: the rest of the division does not heap up anywhere.
    """
    top, bottom = value.as_integer_ratio()
    whole = (2 * top * 10**places + bottom) // (2 * bottom)
    sums = [(2 * whole * n + slots) // (2 * slots) for n in range(slots + 1)]
    return [Decimal(after - before).scaleb(-places) for before, after in pairwise(sums)]


def judge(form: Form, meters: pl.DataFrame, rules: Rules, now: datetime) -> Form:
    """The form's days that can be stored, and why the others cannot.

    Args:
        form: as it was read.
        meters: the register: id, hourly_low_limit, hourly_high_limit, both inclusive. They are compared with the day's
            value by its hours, whatever the length of a slot.
        rules: how days become slots.
        now: the clock; a day that is not over has no energy yet.
    """
    known = {row["id"]: row for row in meters.iter_rows(named=True)}
    judged = replace(form, days=[], findings=list(form.findings))
    unknown: dict[int, Finding] = {}
    for each in form.days:
        meter = known.get(each.meter_id)
        if meter is None:
            unknown.setdefault(each.row, _unknown(each))
        elif problem := _not_over(each, rules, now) or _problem(each, meter, rules):
            judged.findings.append(problem)
        else:
            judged.days.append(each)
    judged.findings += unknown.values()
    return judged


def hourly_rows(days: Iterable[DayValue], rules: Rules) -> pl.DataFrame:
    """The slots of the days, by the contract HOURLY["offline_meter"]."""
    return pl.DataFrame(list(_slots(days, rules)), schema=HOURLY[KIND].schema, orient="row")


def finding_rows(form: Form, meters: Iterable[int], rules: Rules) -> pl.DataFrame:
    """The days of known meters that are not stored, by the contract FINDING; a day's start is its first slot's."""
    known, stored = set(meters), {(each.meter_id, each.day) for each in form.days}
    rows = [
        (KIND, each.meter_id, midnight(each.day, rules.zone), each.subject, str(each))
        for each in form.findings
        if each.day is not None and each.meter_id in known and (each.meter_id, each.day) not in stored
    ]
    found = pl.DataFrame(rows, schema=FINDING.schema, orient="row")
    return found.unique(FINDING.key, keep="first", maintain_order=True)


def _slots(days: Iterable[DayValue], rules: Rules) -> Iterator[tuple[int, datetime, Decimal]]:
    for each in days:
        starts = slot_starts(each.day, rules.zone, rules.minutes)
        for start, value in zip(starts, spread(each.value, len(starts), rules.places), strict=True):
            yield each.meter_id, start, value


def _unknown(each: DayValue) -> Finding:
    problem = f"there is no offline meter {each.meter_id}"
    return Finding(f"A{each.row}", "unknown_meter", problem, "Write its ID as MyEMS shows it, or create the meter")


def _not_over(each: DayValue, rules: Rules, now: datetime) -> Finding | None:
    if midnight(each.day + timedelta(days=1), rules.zone) <= now:
        return None
    remedy = "Send the form again when it is, or correct the year in A2 and the month in B2"
    return Finding(each.cell, NOT_OVER, f"{each.day} is not over yet", remedy, each.meter_id, each.day)


def _problem(each: DayValue, meter: Mapping[str, Any], rules: Rules) -> Finding | None:
    """Why a day cannot be stored, or None."""

    def found(subject: str, problem: str, remedy: str) -> Finding:
        return Finding(each.cell, subject, problem, remedy, each.meter_id, each.day)

    start, end = (midnight(day, rules.zone) for day in (each.day, each.day + timedelta(days=1)))
    if start == end:
        return found("no_such_day", f"{rules.zone.key} left out {each.day}", "Leave the cell empty")
    if each.value >= _TOO_LARGE:
        return found("too_large", f"{each.value} has more than 15 digits", "Look at the unit and the decimal point")
    hours = Fraction((end - start) // timedelta(seconds=1), 3600)
    low, high = meter["hourly_low_limit"], meter["hourly_high_limit"]
    shown = f"{each.value} in {float(hours):g} hours is"
    remedy = f"Correct the value, or offline meter {each.meter_id}'s limit in MyEMS"
    if low is not None and Fraction(each.value) < Fraction(low) * hours:
        return found("below_low_limit", f"{shown} below the hourly low limit {low:f}", remedy)
    if high is not None and Fraction(each.value) > Fraction(high) * hours:
        return found("above_high_limit", f"{shown} above the hourly high limit {high:f}", remedy)
    return None
