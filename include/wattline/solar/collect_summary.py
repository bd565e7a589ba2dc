"""Collectors of `generation_summary`: what is known of the days that a run computes, however late it was written.

A day is read as a whole, also beyond the window's end: so running the window of an old hour again never turns its day
back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import cast

import polars as pl

from wattline.settings import settings
from wattline.solar import scope
from wattline.solar.collect import newest_before, plants_of, with_timezone
from wattline.solar.irradiance import IRRADIANCE, usable
from wattline.solar.irradiation import LONGEST_GAP
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.performance import RUNNING, light, running_ticks
from wattline.solar.process import interval_day, local_day
from wattline.solar.summary_tables import DAY_PERFORMANCE, PERIOD_GENERATION
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, INVERTER, PLANT, TICK_ROW
from wattline.storage.store import Condition, Store, Value, between
from wattline.window import Window

Frames = dict[str, pl.DataFrame]
KEY = ("mcno", "invno")

_LIGHT = ("irradiance_coverage", "irradiation")
_ROUNDING = 1e-9
"""Sums of the same floats may differ by their order."""
_REPORTED = Condition("reading_at", ">", datetime(1970, 1, 1, tzinfo=UTC))
"""Tick rows of inverters that had reported by then; before that, a counter of 0 says nothing."""
TOTALS = pl.Schema(
    {
        "mcno": pl.Int32(),
        "invno": pl.Int32(),
        "day": pl.Date(),
        "before": TICK_ROW.column("totkw").dtype,
        "after": TICK_ROW.column("totkw").dtype,
        "first_reading": pl.Boolean(),
        "reset_hours": pl.Float64(),
    }
)
"""`totkw` at both ends of an inverter's day; `first_reading`: it had no value before; `reset_hours`: how much time lay
between the last reading before a counter reset and the first after it, all of the day together."""


def plants(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The register of plants and inverters.

    Returns:
        `plants`: `mcno, timezone, latitude, longitude, capacity_kw` (kWp) of plants with a time zone; `inverters`:
        `mcno, invno, capacity_kw` (kW AC) and the local days `first_day` and `last_day` of their use, the last one null
        while in use.
    """
    known = with_timezone(store, store.read(CUSTOMER, columns=("mcno", "latitude", "longitude", "capacity_kw")))
    register = store.read(INVERTER, columns=(*KEY, "capacity_kw", "installed_at", "removed_at"))
    register = register.join(known.select("mcno", "timezone"), on="mcno", maintain_order="left")
    register = register.with_columns(
        first_day=local_day(pl.col("installed_at"), register), last_day=interval_day("removed_at", register)
    )
    return {"plants": known, "inverters": register.select(*KEY, "capacity_kw", "first_day", "last_day")}


def irradiance(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The days to compute, and the irradiance in them.

    Days are those of the scope, and those of the last `late_horizon` whose light has changed since they were computed,
    however long its way was.

    Args:
        store: holds IRRADIANCE, TIME_GENERATION and DAY_PERFORMANCE.
        window: of the run.
        inputs: `scope`, `plants`.

    Returns:
        `days`: schema PERIOD and `ended`, whether the day is over by the window's end; `irradiance`: IRRADIANCE rows of
        the days and a little around them.
    """
    known = inputs["plants"]
    days = scope.days(inputs["scope"], known).filter(pl.col("start") < window.end)
    earlier = scope.days(scope.own(Window(window.start - settings().late_horizon, window.start)), known)
    others = earlier.join(days, on=["mcno", "day"], how="anti").filter(pl.col("end") <= window.start)
    days = pl.concat([days, _with_other_light(store, window, known, others)]).sort("mcno", "start")
    days = days.with_columns(ended=pl.col("end") <= window.end)
    rows = [IRRADIANCE.schema.to_frame()]
    for _, start, end, some in _each_day(days):
        rows.append(store.read(IRRADIANCE, (*between("at", start - LONGEST_GAP, end + LONGEST_GAP), some)))
    return {"days": days, "irradiance": pl.concat(rows).unique(IRRADIANCE.key).sort(IRRADIANCE.key)}


def days(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """What the pipelines have stored of the days.

    Ticks are counted as they are read, day by day, so that memory does not grow with the number of days.

    Args:
        store: holds DAY_GENERATION, TIME_GENERATION and TICK_ROW.
        window: of the run.
        inputs: `days`.

    Returns:
        `energy`: DAY_GENERATION rows; `hours`: TIME_GENERATION rows and their `day`; `running`: schema RUNNING;
        `totals`, of ended days: schema TOTALS.
    """
    energy, hours = [DAY_GENERATION.schema.to_frame()], [_of_day(TIME_GENERATION.schema.to_frame(), None)]
    running, totals = [RUNNING.to_frame()], [TOTALS.to_frame()]
    for day, start, end, some in _each_day(inputs["days"]):
        ticks = (Condition("at", ">", start), Condition("at", "<=", end), some)
        energy.append(store.read(DAY_GENERATION, (Condition("day", "=", day), some)))
        hours.append(_of_day(store.read(TIME_GENERATION, (*between("start", start, end), some)), day))
        with_power = store.read(TICK_ROW, (*ticks, Condition("ackw", ">", 0)), (*KEY, "at"))
        running.append(_of_day(running_ticks(with_power), day).select(RUNNING.names()))
        if end <= window.end:
            found = energy[-1].filter(pl.col("invno") != PLANT).select(KEY)
            sums = _totals(store, start, end, found).join(_resets(store, hours[-1]), on=KEY, how="left")
            totals.append(_of_day(sums, day).select(TOTALS.names()))
    frames = {"energy": energy, "hours": hours, "running": running, "totals": totals}
    return {name: pl.concat(parts) for name, parts in frames.items()}


def periods(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """What months and years are summed from: whole months of days, and the other months of their years.

    A plant's year that has no row yet is read as a whole, so that days of before this pipeline are in it.

    Args:
        store: holds DAY_GENERATION, DAY_PERFORMANCE and PERIOD_GENERATION.
        window: of the run.
        inputs: `days`.

    Returns:
        `month_days`: DAY_GENERATION rows and `running_hours` of each touched month; `months`: PERIOD_GENERATION rows
        of the months of the touched years.
    """
    touched = inputs["days"].select(
        "mcno", month=pl.col("day").dt.truncate("1mo"), year=pl.col("day").dt.truncate("1y")
    )
    stored = [PERIOD_GENERATION.schema.to_frame()]
    for first, after, some in _spans(touched, "year", "1y"):
        stored.append(store.read(PERIOD_GENERATION, (*_dates("start", first, after), some)))
    rows = pl.concat(stored)
    years = rows.filter(pl.col("period") == "year").select("mcno", year="start").unique()
    anew = touched.join(years, on=["mcno", "year"], how="anti")
    known = touched.join(years, on=["mcno", "year"], how="semi")
    found = [DAY_GENERATION.schema.to_frame().with_columns(running_hours=pl.lit(None, pl.Float64))]
    for first, after, some in (*_spans(anew, "year", "1y"), *_spans(known, "month", "1mo")):
        where = (*_dates("day", first, after), some)
        hours = store.read(DAY_PERFORMANCE, where, (*DAY_PERFORMANCE.key, "running_hours"))
        found.append(store.read(DAY_GENERATION, where).join(hours, on=DAY_PERFORMANCE.key, how="left"))
    return {"month_days": pl.concat(found), "months": rows.filter(pl.col("period") == "month")}


def _with_other_light(store: Store, window: Window, known: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Those of `days` of which DAY_PERFORMANCE says another irradiation than the values of now.

    Irradiance says when it was written to MySQL, and not when it was copied to MongoDB: only the figures tell.
    """
    of_day, found = ["mcno", "day"], [days.clear()]
    for day, start, end, some in _each_day(days):
        where = (Condition("day", "=", day), some, Condition("invno", "=", PLANT))
        stored = store.read(DAY_PERFORMANCE, where, (*of_day, *_LIGHT))
        at = between("at", start - LONGEST_GAP, end + LONGEST_GAP)
        values = usable(store.read(IRRADIANCE, (*at, some), ("mcno", "at", "poa_kw_m2")))
        if values.is_empty() and stored["irradiance_coverage"].is_null().all():
            continue
        newest = store.newest(TIME_GENERATION, ("mcno",), "start", (*between("start", start, end), some))
        asked = days.filter(day=day, start=start, end=end).join(stored, on=of_day, how="semi")
        now = light(window, {"plants": known, "days": asked, "hours": _of_day(newest, day), "good_irradiance": values})
        both = stored.join(now, on=of_day, how="left")
        found.append(asked.join(both.filter(_differs("irradiance_coverage") | _differs("irradiation")), of_day, "semi"))
    return pl.concat(found)


def _differs(name: str) -> pl.Expr:
    """Whether a figure that is stored, and null perhaps, is another one than that of now."""
    stored, now = pl.col(name), pl.col(f"{name}_right")
    return (stored.is_null() != now.is_null()) | ((stored - now).abs() > _ROUNDING).fill_null(value=False)


def _each_day(days: pl.DataFrame) -> Iterator[tuple[date, datetime, datetime, Condition]]:
    """Each distinct local day: its date, its ends, and which plants have it."""
    for (day, start, end), rows in days.group_by("day", "start", "end", maintain_order=True):
        yield cast("date", day), cast("datetime", start), cast("datetime", end), plants_of(rows)


def _spans(touched: pl.DataFrame, first: str, length: str) -> Iterator[tuple[date, date, Condition]]:
    """Each distinct period of `touched`: its first day, the first day after it, and which plants have it."""
    for (begin,), rows in touched.group_by(first, maintain_order=True):
        after = pl.Series([begin], dtype=pl.Date()).dt.offset_by(length).item()
        yield cast("date", begin), after, plants_of(rows)


def _dates(column: str, first: date, after: date) -> tuple[Condition, Condition]:
    return Condition(column, ">=", first), Condition(column, "<", after)


def _of_day(rows: pl.DataFrame, day: date | None) -> pl.DataFrame:
    return rows.with_columns(day=pl.lit(day, pl.Date()))


def _totals(store: Store, start: datetime, end: datetime, inverters: pl.DataFrame) -> pl.DataFrame:
    """`mcno, invno, before, after, first_reading`: totkw of `inverters` at both ends of a day.

    The tick rows are asked, not `day_total_generation`: they alone tell a counter of 0 from an inverter that had not
    reported yet. Where none is at an end, the newest before it serves. An inverter that reports for the first time
    begins with that reading.
    """
    some = plants_of(inverters)
    columns = (*KEY, "at", "totkw")
    ends: list[Value] = [start, end]
    there = store.read(TICK_ROW, (Condition("at", "in", ends), some, _REPORTED), columns)
    inside = (Condition("at", ">", start), Condition("at", "<=", end))
    after = there.filter(pl.col("at") == end).join(inverters, on=KEY, how="semi")
    lacking = inverters.join(after, on=KEY, how="anti")
    if lacking.height:
        newest = store.newest(TICK_ROW, KEY, "at", (*inside, plants_of(lacking), _REPORTED))
        after = pl.concat([after, newest.join(lacking, on=KEY, how="semi").select(after.columns)])
    before = there.filter(pl.col("at") == start).join(after, on=KEY, how="semi")
    # As the hours of the day: after an outage of the platform that was longer than the horizon too.
    earlier = newest_before(store, start, after.join(before, on=KEY, how="anti")).drop_nulls("reading_at")
    before = pl.concat([before, earlier.select(before.columns)])
    new = after.join(before, on=KEY, how="anti")
    ticks = store.read(TICK_ROW, (*inside, plants_of(new), _REPORTED), columns) if new.height else there.clear()
    first = ticks.sort("at").unique(KEY, keep="first").join(new, on=KEY, how="semi").select(*KEY, before="totkw")
    begun = pl.concat(
        [
            before.select(*KEY, before="totkw", first_reading=pl.lit(value=False)),
            first.with_columns(first_reading=pl.lit(value=True)),
        ]
    )
    return after.select(*KEY, after="totkw").join(begun, on=KEY)


def _resets(store: Store, hours: pl.DataFrame) -> pl.DataFrame:
    """`mcno, invno, reset_hours` of the inverters whose `hours` have a counter reset.

    Where a counter came back to where it was before, nothing is lost, and `previous_at` is null.
    """
    marked = hours.filter(pl.col("counter_reset") & (pl.col("invno") != PLANT))
    between_readings = (pl.col("reading_at") - pl.col("previous_at")).dt.total_seconds() / 3600
    if marked.is_empty():
        return marked.select(*KEY, reset_hours=pl.lit(None, pl.Float64))
    first, last = (cast("datetime", each) for each in (marked["start"].min(), marked["start"].max()))
    at = (Condition("at", ">", first), Condition("at", "<=", last + timedelta(hours=1)))
    columns = (*KEY, "reading_at", "previous_at")
    ticks = store.read(TICK_ROW, (*at, plants_of(marked), Condition("counter_reset", "=", True)), columns)
    return ticks.group_by(KEY).agg(reset_hours=between_readings.sum())
