"""Local days, months and years of a site: which one a slot belongs to, when each begins, how many slots it has.

A slot belongs to the local day in which it starts. Only here is a time zone looked at; everything else counts days.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from wattline.errors import BadInputError

Period = Literal["day", "month", "year"]
PERIODS: tuple[Period, ...] = ("day", "month", "year")
TRUNCATED: dict[Period, str] = {"day": "1d", "month": "1mo", "year": "1y"}
"""Length of a period as polars writes it."""
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zone_of(name: str) -> ZoneInfo:
    """The time zone called `name`.

    Raises:
        BadInputError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInputError(f"no time zone is called {name!r}", field="zone", remedy="Use Asia/Seoul or UTC") from None


@lru_cache(maxsize=100_000)
def start_of(day: date, zone: ZoneInfo) -> datetime:
    """When a local day begins, in UTC.

    Where clocks skip its midnight, the day begins as they are put forward; where midnight comes twice, with the first.
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def first_day(day: date, period: Period) -> date:
    """The first day of the period that `day` is in."""
    match period:
        case "day":
            return day
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)


def next_first_day(day: date, period: Period) -> date:
    """The first day of the period after the one that `day` is in."""
    match period:
        case "day":
            return day + _DAY
        case "month":
            return (day.replace(day=1) + timedelta(days=31)).replace(day=1)
        case "year":
            return date(day.year + 1, 1, 1)


def local_days(instants: pl.Series, zone: ZoneInfo) -> pl.Series:
    """The local day of each instant (UTC_TIME), as `start_local`."""
    if instants.is_empty():
        return pl.Series("start_local", [], dtype=pl.Date)
    # Local time is never a day and a half away from UTC.
    first, last = (instant.date() for instant in (instants.min(), instants.max()))  # type: ignore[union-attr]
    days = pl.date_range(first - 2 * _DAY, last + 2 * _DAY, eager=True)
    starts = pl.Series([start_of(day, zone) for day in days], dtype=instants.dtype).to_physical()
    place = starts.search_sorted(instants.to_physical(), side="right") - 1
    return days.gather(place).alias("start_local")


def expected_slots(day: date, period: Period, zone: ZoneInfo, minutes: int) -> int:
    """How many slots start in the period that begins at the local day `day`; they start at full `minutes` UTC."""
    step = timedelta(minutes=minutes)
    # Rounded up: the number of the first slot at or after each end.
    first, after = (-((_EPOCH - start_of(each, zone)) // step) for each in (day, next_first_day(day, period)))
    return after - first
