"""From readings to tick rows and day generation: pure, frame to frame.

A *source row* is one measurement of an inverter on its own time line: a reading, or the state that the tick row at the
start of the computation remembers. Energy is `Decimal` from end to end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from wattline.solar.counter import with_segments
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION, PLANT, TICK, TICK_ROW
from wattline.storage.contract import ENERGY, UTC_TIME, Table
from wattline.window import Window

KEY = ("mcno", "invno")
_MINUTES = f"{int(TICK.total_seconds() // 60)}m"
_ZERO = pl.lit(0).cast(ENERGY)


def inverter_log(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The processor of the `inverterlog` pipeline, on the frames that its collectors and its gate staged."""
    given = InverterLogInput(
        inverters=inputs["inverters"],
        readings=inputs["good_readings"],
        state=inputs["state"],
        later=inputs["later"],
        starts=inputs["starts"],
        end=window.end,
    )
    return process_inverter_log(given)


@dataclass(frozen=True)
class InverterLogInput:
    """What the computation of tick rows needs.

    Attributes:
        inverters: the register: `mcno, invno, capacity_kw, installed_at, removed_at, timezone`.
        readings: READING rows that passed the gate, `at` up to and including `end`.
        state: TICK_ROW rows, the newest at or before the plant's start, one an inverter at most.
        later: TICK_ROW rows, the last after `end` on the same local day, where the window lies in the past.
        starts: `mcno, start`: the tick after which the plant's ticks are computed.
        end: the last tick, UTC.
    """

    inverters: pl.DataFrame
    readings: pl.DataFrame
    state: pl.DataFrame
    later: pl.DataFrame
    starts: pl.DataFrame
    end: datetime


def process_inverter_log(given: InverterLogInput) -> dict[str, pl.DataFrame]:
    """Compute one tick row per inverter in use and tick in `(start, end]`, and the days they touch.

    Returns:
        `inverterlog` (TICK_ROW) and what `day_tables` gives, each in key order. A day is what its last tick says, that
        of local midnight included, with a plant row (`invno = 0`).
    """
    register = given.inverters.join(given.starts, on="mcno", how="inner")
    ticks = _tick_rows(register, _source_rows(register, given), given.end)
    days = _day_rows(register, ticks, pl.concat([given.state, given.later]))
    return {"inverterlog": TICK_ROW.conform(ticks).sort(TICK_ROW.key), **day_tables(days)}


def day_tables(last: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """`day_generation` and `day_total_generation`, with the sums per plant, each `apart`.

    Args:
        last: `mcno, invno, day, day_peak, totkw`: the last tick row of each inverter and local day; `silent`: it knows
            of no reading of that day.
    """
    rows = last.select(*KEY, "day", "silent", daykw="day_peak", totkw="totkw")
    plants = rows.group_by("mcno", "day").agg(pl.col("daykw", "totkw").sum(), pl.col("silent").all())
    plants = plants.with_columns(invno=pl.lit(PLANT, dtype=pl.Int32()))
    days = pl.concat([rows, plants.select(rows.columns)], how="vertical_relaxed")
    return apart(DAY_GENERATION, days) | apart(DAY_TOTAL_GENERATION, days)


def apart(table: Table, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of `table` that are made of readings and, as `…_silent`, those that are not (column `silent`).

    The second kind says that nothing is known of a time, or carries on what was known before: it must not take the
    place of what the old system knew. Of a plant, one inverter with a reading is enough.
    """
    parts = {table.name: rows.filter(~pl.col("silent")), f"{table.name}_silent": rows.filter("silent")}
    return {name: table.conform(part).sort(table.key) for name, part in parts.items()}


def local_day(instant: pl.Expr, frame: pl.DataFrame) -> pl.Expr:
    """The local date of a UTC `instant`, by the column `timezone` of `frame`, to which the result belongs."""
    day = pl.lit(None, dtype=pl.Date())
    for zone in frame["timezone"].unique().to_list():
        in_zone = instant.dt.convert_time_zone(zone).dt.date()
        day = pl.when(pl.col("timezone") == zone).then(in_zone).otherwise(day)
    return day


def interval_day(tick: str, frame: pl.DataFrame) -> pl.Expr:
    """The local date of the interval that ends with the UTC column `tick`: midnight's tick closes the day before."""
    return local_day(pl.col(tick).dt.offset_by("-1us"), frame)


def _source_rows(register: pl.DataFrame, given: InverterLogInput) -> pl.DataFrame:
    """State and readings of registered inverters on one time line, with counter segments, local day and day peak."""
    state = given.state.filter(pl.col("reading_at").is_not_null()).select(
        *KEY,
        pl.col("reading_at").alias("at"),
        "ackw",
        "dckw",
        pl.col("reading_daykw").alias("daykw"),
        pl.col("reading_totkw").alias("totkw"),
        "status",
        "segment_offset",
        "previous_offset",
        "previous_at",
        "daykw_carried",
        "day_peak",
        pl.col("at").alias("state_at"),
    )
    readings = given.readings.select(*KEY, "at", "ackw", "dckw", "daykw", "totkw", "status")
    known = register.select(*KEY, "capacity_kw", "timezone")
    rows = pl.concat([state, readings], how="diagonal").join(known, on=KEY, how="inner")
    rows = rows.sort(*KEY, "at", "state_at", nulls_last=True).unique([*KEY, "at"], keep="first", maintain_order=True)
    # The state knows of everything before it; only as the first row of its inverter it brings its segment along.
    known_at = pl.col("at").filter(pl.col("state_at").is_not_null()).first().over(KEY)
    rows = rows.filter(known_at.is_null() | (pl.col("at") >= known_at))
    rows = with_segments(rows)
    rows = rows.with_columns(day=local_day(pl.col("at"), rows), state_day=interval_day("state_at", rows))
    return _with_day_energy(rows)


def _with_day_energy(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `daykw_carried` (an earlier day's energy still on show), `daykw_of_day` and `peak`, running per local day.

    A row is carried while, since the last row of an earlier day, daykw has not fallen and the counter has grown by
    less than half of it: more cannot have been made today than the counter grew. A counter that began anew and holds
    all of daykw says that daykw began anew with it.
    """
    previous_day, previous_total = (pl.col(name).shift(1).over(KEY) for name in ("daykw", "total"))
    unreset = (pl.col("daykw") > 0) & (pl.col("daykw") >= previous_day)
    unreset &= (pl.col("total") - previous_total) * 2 < pl.col("daykw")
    unreset &= (pl.col("totkw") >= pl.col("totkw").shift(1).over(KEY)) | (pl.col("totkw") < pl.col("daykw"))
    remembered = pl.col("daykw_carried")
    rows = rows.with_columns(unreset=remembered.fill_null(unreset).fill_null(value=False))
    per_day = [*KEY, "day"]
    rows = rows.with_columns(daykw_carried=pl.col("unreset").cast(pl.Int8).cum_min().over(per_day) == 1)
    rows = rows.with_columns(
        daykw_of_day=pl.when("daykw_carried").then(_ZERO).otherwise(pl.col("daykw")),
    )
    remembered_peak = pl.when(pl.col("state_day") == pl.col("day")).then(pl.col("day_peak"))
    return rows.with_columns(
        peak=pl.max_horizontal("daykw_of_day", remembered_peak.fill_null(_ZERO)).cum_max().over(per_day)
    )


def _tick_rows(register: pl.DataFrame, source: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Every inverter in use × every tick, joined with the newest source row at or before the tick."""
    grid = _grid(register, end)
    newest = source.with_columns(reading_at=pl.col("at")).drop("timezone", "state_at", "state_day", "capacity_kw")
    rows = _as_of(grid, newest.drop("peak"), KEY)
    peaks = source.select(*KEY, "at", "peak", interval_day=pl.col("day"))
    rows = _as_of(rows, peaks, (*KEY, "interval_day"))
    resets = source.filter("boundary").select(*KEY, at=_tick_of("at"), reset=pl.lit(value=True)).unique()
    rows = rows.join(resets, on=[*KEY, "at"], how="left")
    stale = pl.col("reading_at").is_null() | (pl.col("reading_at") < pl.col("at").dt.offset_by(f"-{_MINUTES}"))
    today = pl.col("day") == local_day(pl.col("at"), rows)
    return rows.with_columns(
        ackw=pl.when(stale).then(0.0).otherwise(pl.col("ackw")),
        dckw=pl.when(stale).then(0.0).otherwise(pl.col("dckw")),
        stale=stale,
        reading_daykw=pl.col("daykw"),
        reading_totkw=pl.col("totkw"),
        daykw=pl.when(today).then(pl.col("daykw_of_day")).otherwise(_ZERO).fill_null(_ZERO),
        totkw=pl.col("total").fill_null(_ZERO),
        counter_reset=pl.col("reset").fill_null(value=False),
        daykw_carried=pl.col("daykw_carried").fill_null(value=False),
        day_peak=pl.col("peak").fill_null(_ZERO),
        segment_offset=pl.col("segment_offset").fill_null(_ZERO),
    )


def _grid(register: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """`mcno, invno, timezone, at, interval_day` of every tick in `(start, end]` at which an inverter is in use."""
    first, last = pl.col("start").dt.offset_by(_MINUTES), pl.lit(end).cast(UTC_TIME)
    grid = register.select(
        *KEY,
        "timezone",
        "installed_at",
        "removed_at",
        at=pl.datetime_ranges(first, last, interval=_MINUTES, time_unit="us"),
    ).explode("at")
    in_use = pl.col("removed_at").is_null() | (pl.col("at") < pl.col("removed_at"))
    grid = grid.filter(pl.col("at").is_not_null() & (pl.col("installed_at") <= pl.col("at")) & in_use)
    return grid.select(*KEY, "timezone", "at", interval_day=interval_day("at", grid))


def _as_of(ticks: pl.DataFrame, rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """`ticks` with the newest of `rows` at or before each, within the same `by`."""
    return ticks.sort("at").join_asof(
        rows.sort("at"), on="at", by=list(by), strategy="backward", check_sortedness=False
    )


def _tick_of(instant: str) -> pl.Expr:
    """The first tick at or after the UTC column `instant`."""
    return pl.col(instant).dt.offset_by("-1us").dt.truncate(_MINUTES).dt.offset_by(_MINUTES)


def _day_rows(register: pl.DataFrame, ticks: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The last tick row of each local day of `ticks`, computed or `stored`, by the schema of `day_tables`."""
    known = stored.join(register.select(*KEY, "timezone"), on=KEY, how="inner")
    known = known.with_columns(interval_day=interval_day("at", known))
    days = ticks.select("mcno", "interval_day").unique()
    columns = (*KEY, "timezone", "interval_day", "at", "reading_at", "day_peak", "totkw")
    rows = pl.concat([ticks.select(columns), known.select(columns)]).join(days, on=["mcno", "interval_day"], how="semi")
    rows = rows.sort("at").unique([*KEY, "interval_day"], keep="last", maintain_order=True)
    read_on = local_day(pl.col("reading_at"), rows)
    silent = read_on.is_null() | (read_on < pl.col("interval_day"))
    return rows.with_columns(silent=silent).rename({"interval_day": "day"})
