"""What a run computes: its own window for every plant, and periods below it that must be computed again.

A *scope* is a frame `mcno` (null: every plant), `start`, `end` (UTC): the tick rows in `(start, end]` are new or may
have changed. Everything that is made of tick rows belongs to a local hour or day of its plant, so this is the one
place that turns scopes into those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from wattline.storage.contract import UTC_TIME
from wattline.window import Window

SCOPE = pl.Schema({"mcno": pl.Int32(), "start": UTC_TIME, "end": UTC_TIME})
PERIOD = pl.Schema({"mcno": pl.Int32(), "timezone": pl.String(), "day": pl.Date(), "start": UTC_TIME, "end": UTC_TIME})
"""A local hour or day of a plant: `[start, end)` in UTC, `day` the local date."""
Periods = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
"""From a scope and the plants' time zones to the periods of a pipeline that depend on it."""


def own(window: Window) -> pl.DataFrame:
    """The scope of a run that only computes its window."""
    return pl.DataFrame([(None, window.start, window.end)], SCOPE, orient="row")


def planned(window: Window, due: pl.DataFrame) -> pl.DataFrame:
    """The scope of a run: its window, and of the marked periods that are `due` those that end before it."""
    earlier = due.filter(pl.col("end") <= window.start).select(SCOPE.names())
    return pl.concat([own(window), earlier.unique(maintain_order=True)])


def below(scope: pl.DataFrame, window: Window) -> pl.DataFrame:
    """What of `scope` lies before `window`."""
    before = scope.with_columns(end=pl.min_horizontal("end", pl.lit(window.start).cast(UTC_TIME)))
    return before.filter(pl.col("start") < pl.col("end"))


def days(scope: pl.DataFrame, plants: pl.DataFrame, ended_by: datetime | None = None) -> pl.DataFrame:
    """The local days that hold a tick of the scope, one row a plant and day, by the schema PERIOD.

    Args:
        scope: schema SCOPE.
        plants: `mcno, timezone`, in any number of rows a plant.
        ended_by: leave out days that end after this instant.
    """
    return _periods(scope, plants, ended_by, _days_of)


def hours(scope: pl.DataFrame, plants: pl.DataFrame, ended_by: datetime | None = None) -> pl.DataFrame:
    """As `days`: the hours of the plants' clocks, which begin at half past where the zone's offset says so."""
    return _periods(scope, plants, ended_by, _hours_of)


def dependent_hours(scope: pl.DataFrame, plants: pl.DataFrame) -> pl.DataFrame:
    """The hours that hold a tick of the scope, and those that begin with one: their growth counts from there."""
    return hours(scope.with_columns(pl.col("end").dt.offset_by("1us")), plants)


TICK_READERS: Mapping[str, Periods] = {
    "time_generation": dependent_hours,
    "mysql_total_generation": days,
    "statistics_inverter_avg": days,
    "statistics_inverter_median": days,
    "reliability_digest": days,
}
"""The pipelines that read tick rows, and what each computes."""
HOUR_READERS: Mapping[str, Periods] = {"generation_summary": days}
"""The pipelines that read the hours of `time_generation`, and what each computes."""


def marks(scope: pl.DataFrame, plants: pl.DataFrame, readers: Mapping[str, Periods]) -> pl.DataFrame:
    """The periods that `readers` must compute again after a change in `scope`, by `storage.recompute.MARKS`."""
    found = [
        periods(scope, plants).select(pl.lit(pipeline, pl.String()).alias("pipeline"), "mcno", "start", "end")
        for pipeline, periods in readers.items()
    ]
    return pl.concat(found)


def _periods(
    scope: pl.DataFrame,
    plants: pl.DataFrame,
    ended_by: datetime | None,
    cut: Callable[[str, datetime, datetime], list[tuple[date, datetime, datetime]]],
) -> pl.DataFrame:
    known = plants.select("mcno", "timezone").unique()
    each = scope.filter(pl.col("mcno").is_null()).drop("mcno").join(known, how="cross")
    asked = pl.concat([scope.drop_nulls("mcno").join(known, on="mcno"), each], how="diagonal")
    spans = asked.select("timezone", "start", "end").unique()
    found = [(*span, *period) for span in spans.iter_rows() for period in cut(*span)]
    names = ("timezone", "_start", "_end", "day", "start", "end")
    cuts = pl.DataFrame(
        found,
        dict(zip(names, (pl.String(), UTC_TIME, UTC_TIME, *list(PERIOD.values())[2:]), strict=True)),
        orient="row",
    )
    rows = asked.rename({"start": "_start", "end": "_end"}).join(cuts, on=["timezone", "_start", "_end"])
    if ended_by is not None:
        rows = rows.filter(pl.col("end") <= ended_by)
    return rows.select(PERIOD.names()).unique().sort("mcno", "start")


def _days_of(timezone: str, start: datetime, end: datetime) -> list[tuple[date, datetime, datetime]]:
    """The local days with an instant in `(start, end]`, where a tick at midnight belongs to the day that it ends."""
    zone = ZoneInfo(timezone)
    day, found = start.astimezone(zone).date(), []
    while (begin := _midnight(day, zone)) < end:
        found.append((day, begin, _midnight(day + timedelta(days=1), zone)))
        day += timedelta(days=1)
    return found


def _hours_of(timezone: str, start: datetime, end: datetime) -> list[tuple[date, datetime, datetime]]:
    """The hours of each local day, counted from its midnight on; where clocks change, a day has fewer or more."""
    hour = timedelta(hours=1)
    return [
        (day, begin + n * hour, min(begin + (n + 1) * hour, stop))
        for day, begin, stop in _days_of(timezone, start, end)
        for n in range(-((begin - stop) // hour))
        if begin + n * hour < end and begin + (n + 1) * hour > start
    ]


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, UTC; where clocks skip midnight, the end of what they skip."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
