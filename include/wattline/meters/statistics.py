"""Statistics of hourly energy: days from their slots, months from their days, years from their months.

So every column of a month or a year but one comes from the rows of its parts, in the order of time: slots, total,
minimum and maximum exactly, the mean from the exact total, the deviation from deviations and means. The median needs
the slots themselves. Whoever has all the slots (`statistics`) and whoever has the parts (`combined`) gets the same row.
"""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import polars as pl

from wattline.meters.periods import TRUNCATED, Period, expected_slots, local_days, zone_of
from wattline.meters.tables import STATISTICS

KEY = list(STATISTICS.key)
PARTS: dict[Period, Period] = {"month": "day", "year": "month"}
"""What a period is combined from."""
_SUM = pl.Decimal(38, 6)
"""Holds the sum of any number of slots."""
_OF = ("meter_id", "start_local")


def statistics(rows: pl.DataFrame, kind: str, zone: str, minutes: int) -> pl.DataFrame:
    """Days, months and years of the slots that are given, as if no others were there.

    Args:
        rows: meter_id, start_datetime_utc (UTC), actual_value (exact; the unit of the meter); one row a slot.
        kind: meter, offline_meter or virtual_meter.
        zone: IANA name of the site's time zone, which says when a day begins.
        minutes: length of a slot, for `expected_slots`.

    Returns:
        Contract STATISTICS, in key order; a period without a slot has no row.

    Raises:
        BadInputError: no time zone has that name.
        TerminalError: a total has more digits than its column.
    """
    site = zone_of(zone)
    slots = rows.select(
        "meter_id",
        "start_datetime_utc",
        "actual_value",
        start_local=local_days(rows["start_datetime_utc"], site),
    ).sort("meter_id", "start_datetime_utc")
    days = _days(slots, kind, site, minutes)
    months = combined(days, "month", site, minutes).join(_medians(slots, "month"), on=_OF, how="left")
    years = combined(months, "year", site, minutes).join(_medians(slots, "year"), on=_OF, how="left")
    return STATISTICS.batch(pl.concat([days, months, years], how="diagonal"))


def combined(parts: pl.DataFrame, period: Period, zone: ZoneInfo, minutes: int) -> pl.DataFrame:
    """Rows of STATISTICS for months from those of their days, or for years from those of their months; no median.

    Args:
        parts: all the parts of each period that have a slot, of one kind of meter.
        period: month or year.
        zone: the site's.
        minutes: length of a slot.
    """
    slots, total = pl.col("slots").sum(), pl.col("total").cast(_SUM).sum()
    mean = total.cast(pl.Float64) / slots
    within = (pl.col("slots") - 1) * pl.col("deviation").fill_null(0.0) ** 2
    between = pl.col("slots") * (pl.col("mean") - mean) ** 2
    rows = (
        parts.sort("meter_id", "start_local")
        .with_columns(pl.col("start_local").dt.truncate(TRUNCATED[period]))
        .group_by("kind", *_OF, maintain_order=True)
        .agg(
            slots=slots,
            total=total,
            mean=mean,
            minimum=pl.col("minimum").min(),
            maximum=pl.col("maximum").max(),
            squares=(within + between).sum(),
        )
    )
    same = pl.col("minimum") == pl.col("maximum")
    spread = pl.when(same).then(0.0).otherwise((pl.col("squares") / (pl.col("slots") - 1)).sqrt())
    rows = rows.with_columns(deviation=pl.when(pl.col("slots") > 1).then(spread)).drop("squares")
    return _named(rows, period, zone, minutes)


def renewed(
    fresh: pl.DataFrame, stored: pl.DataFrame, span: tuple[date, date], zone: ZoneInfo, minutes: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """All statistics that a span of days is part of, from its slots and from stored statistics of the days around it.

    The median of a month or year of which the span has not all the slots stays as it is stored.

    Args:
        fresh: STATISTICS of the span's slots alone.
        stored: STATISTICS of the days in the months that the span touches, and of the months and years in its years.
        span: its first local day, and the one after its last.
        zone: the site's.
        minutes: length of a slot.

    Returns:
        Rows to store; the keys of those whose median stays; the keys of stored rows that have no slot any more.

    Raises:
        TerminalError: a total has more digits than its column.
    """
    parts = fresh.filter(period="day")
    computed, inside = [parts], _touches("day", span)
    for period, part in PARTS.items():
        around = stored.filter(period=part).filter(~_touches(part, span))
        parts = combined(pl.concat([parts, around], how="diagonal_relaxed"), period, zone, minutes)
        computed.append(parts)
        inside |= _touches(period, span)
    rows = pl.concat(computed, how="diagonal_relaxed").drop("median")
    rows = rows.join(fresh.select(*KEY, "median", of="slots"), on=KEY, how="left")
    rows = rows.join(stored.select(*KEY, kept="median"), on=KEY, how="left")
    stays = pl.col("of").is_null() | (pl.col("of") < pl.col("slots"))
    median = pl.when(stays).then(pl.coalesce("kept", "median")).otherwise("median")
    gone = stored.filter(inside).join(rows, on=KEY, how="anti")
    return STATISTICS.batch(rows.with_columns(median=median)), rows.filter(stays).select(KEY), gone.select(KEY)


def _days(slots: pl.DataFrame, kind: str, zone: ZoneInfo, minutes: int) -> pl.DataFrame:
    value = pl.col("actual_value")
    total = value.cast(_SUM).sum()
    rows = slots.group_by(*_OF, maintain_order=True).agg(
        slots=pl.len(),
        total=total,
        mean=total.cast(pl.Float64) / pl.len(),
        median=value.cast(pl.Float64).median(),
        minimum=value.min(),
        maximum=value.max(),
        # Differences are exact and small, so that large equal parts of the values cost no digits.
        deviation=(value - value.min()).cast(pl.Float64).std(),
    )
    return _named(rows.with_columns(kind=pl.lit(kind)), "day", zone, minutes)


def _medians(slots: pl.DataFrame, period: Period) -> pl.DataFrame:
    within = slots.select(
        "meter_id", pl.col("start_local").dt.truncate(TRUNCATED[period]), pl.col("actual_value").cast(pl.Float64)
    )
    return within.group_by(*_OF).agg(median=pl.col("actual_value").median())


def _touches(period: Period, span: tuple[date, date]) -> pl.Expr:
    """Rows of the period that have a day in the span."""
    start = pl.col("start_local")
    return (pl.col("period") == period) & (start < span[1]) & (start.dt.offset_by(TRUNCATED[period]) > span[0])


def _named(rows: pl.DataFrame, period: Period, zone: ZoneInfo, minutes: int) -> pl.DataFrame:
    """`rows` with the period and how many slots it should have."""
    expected = {day: expected_slots(day, period, zone, minutes) for day in rows["start_local"].unique()}
    slots = pl.col("start_local").replace_strict(expected, return_dtype=pl.Int32)
    return rows.with_columns(period=pl.lit(period), expected_slots=slots)
