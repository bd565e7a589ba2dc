"""From readings to tick rows and day generation: pure, frame to frame.

A *source row* is one measurement of an inverter on its own time line: a reading, or the state that the tick row at the
start of the computation remembers. Energy is `Decimal` from end to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from wattline.solar.counter import with_segments
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION, PLANT, TICK, TICK_ROW
from wattline.storage.contract import ENERGY, UTC_TIME
from wattline.window import Window

KEY = ("mcno", "invno")
_ZERO = pl.lit(0).cast(ENERGY)


def inverter_log(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The processor of the `inverterlog` pipeline, on the frames that its collectors and its gate staged."""
    given = InverterLogInput(
        inverters=inputs["inverters"],
        readings=inputs["good_readings"],
        state=inputs["state"],
        starts=inputs["starts"],
        end=window.snapped(TICK).end,
    )
    return process_inverter_log(given)


@dataclass(frozen=True)
class InverterLogInput:
    """What the computation of tick rows needs.

    Attributes:
        inverters: the register: `mcno, invno, capacity_kw, installed_at, removed_at, timezone`.
        readings: READING rows that passed the gate, `at` up to and including `end`.
        state: TICK_ROW rows, the newest at or before the plant's start, one an inverter at most.
        starts: `mcno, start`: the tick after which the plant's ticks are computed.
        end: the last tick, UTC.
    """

    inverters: pl.DataFrame
    readings: pl.DataFrame
    state: pl.DataFrame
    starts: pl.DataFrame
    end: datetime


def process_inverter_log(given: InverterLogInput) -> dict[str, pl.DataFrame]:
    """Compute one tick row per inverter in use and tick in `(start, end]`, and the days they touch.

    Returns:
        `inverterlog` (TICK_ROW), `day_generation` and `day_total_generation`, each in key order. The days are the local
        days of the ticks from `start` to `end`, with a plant row (`invno = 0`) each.
    """
    register = given.inverters.join(given.starts, on="mcno", how="inner")
    source = _source_rows(register, given)
    ticks = _tick_rows(register, source, given.end)
    days = _day_rows(register, source, given.end)
    return {
        "inverterlog": TICK_ROW.conform(ticks).sort(TICK_ROW.key),
        "day_generation": DAY_GENERATION.conform(days).sort(DAY_GENERATION.key),
        "day_total_generation": DAY_TOTAL_GENERATION.conform(days).sort(DAY_TOTAL_GENERATION.key),
    }


def local_day(instant: str, frame: pl.DataFrame) -> pl.Expr:
    """The local date of the UTC column `instant`, by the column `timezone` of `frame`."""
    day = pl.lit(None, dtype=pl.Date())
    for zone in frame["timezone"].unique().to_list():
        in_zone = pl.col(instant).dt.convert_time_zone(zone).dt.date()
        day = pl.when(pl.col("timezone") == zone).then(in_zone).otherwise(day)
    return day


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
        "daykw_carried",
        "day_peak",
        pl.col("at").alias("state_at"),
    )
    readings = given.readings.select(*KEY, "at", "ackw", "dckw", "daykw", "totkw", "status")
    known = register.select(*KEY, "capacity_kw", "timezone")
    rows = pl.concat([state, readings], how="diagonal").join(known, on=KEY, how="inner")
    rows = rows.sort(*KEY, "at", "state_at", nulls_last=True).unique([*KEY, "at"], keep="first", maintain_order=True)
    rows = with_segments(rows)
    rows = rows.with_columns(day=local_day("at", rows), state_day=local_day("state_at", rows))
    return _with_day_energy(rows)


def _with_day_energy(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `daykw_carried` (an earlier day's energy still on show), `daykw_of_day` and `peak`, running per local day.

    A row is carried while, since the last row of an earlier day, daykw has not fallen and the counter has grown by
    less than half of it: more cannot have been made today than the counter grew.
    """
    previous_day, previous_total = (pl.col(name).shift(1).over(KEY) for name in ("daykw", "total"))
    unreset = (pl.col("daykw") > 0) & (pl.col("daykw") >= previous_day)
    unreset &= (pl.col("total") - previous_total) * 2 < pl.col("daykw")
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
    minutes = f"{int(TICK.total_seconds() // 60)}m"
    grid = register.select(*KEY, "timezone", "installed_at", "removed_at", "start").with_columns(
        at=pl.datetime_ranges(
            pl.col("start").dt.offset_by(minutes), pl.lit(end).cast(UTC_TIME), interval=minutes, time_unit="us"
        )
    )
    grid = grid.explode("at").filter(
        pl.col("at").is_not_null()
        & (pl.col("installed_at") <= pl.col("at"))
        & (pl.col("removed_at").is_null() | (pl.col("at") < pl.col("removed_at")))
    )
    grid = grid.with_columns(tick_day=local_day("at", grid)).sort("at")
    newest = source.with_columns(reading_at=pl.col("at")).drop("timezone", "state_at", "state_day", "capacity_kw")
    rows = grid.join_asof(newest.sort("at"), on="at", by=list(KEY), strategy="backward", check_sortedness=False)
    resets = (
        source.filter("boundary")
        .select(*KEY, pl.col("at").dt.offset_by("-1us").dt.truncate(minutes).dt.offset_by(minutes))
        .unique()
        .with_columns(reset=True)
    )
    rows = rows.join(resets, on=[*KEY, "at"], how="left")
    stale = pl.col("reading_at").is_null() | (pl.col("reading_at") < pl.col("at").dt.offset_by(f"-{minutes}"))
    today = pl.col("day") == pl.col("tick_day")
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
        day_peak=pl.when(today).then(pl.col("peak")).otherwise(_ZERO).fill_null(_ZERO),
        segment_offset=pl.col("segment_offset").fill_null(_ZERO),
    )


def _day_rows(register: pl.DataFrame, source: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Per inverter and local day from `start` to `end`: largest daykw, last totkw; and the sums per plant."""
    bounds = register.with_columns(end=pl.lit(end).cast(UTC_TIME))
    grid = bounds.with_columns(first=local_day("start", bounds), last=local_day("end", bounds))
    grid = grid.select(*KEY, day=pl.date_ranges("first", "last")).explode("day").sort("day")
    ends = source.group_by([*KEY, "day"]).agg(daykw=pl.col("peak").max(), totkw=pl.col("total").last())
    made = grid.join(ends.select(*KEY, "day", "daykw"), on=[*KEY, "day"], how="left")
    last = ends.select(*KEY, "day", "totkw").sort("day")
    rows = made.sort("day").join_asof(last, on="day", by=list(KEY), strategy="backward", check_sortedness=False)
    rows = rows.with_columns(pl.col("daykw", "totkw").fill_null(_ZERO))
    plants = rows.group_by("mcno", "day").agg(pl.col("daykw", "totkw").sum())
    plants = plants.with_columns(invno=pl.lit(PLANT, dtype=pl.Int32()))
    return pl.concat([rows, plants.select(rows.columns)], how="vertical_relaxed")
