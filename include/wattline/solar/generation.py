"""Energy of clock hours and of days from tick rows: pure, frame to frame, exact.

Tick rows hold a lifetime counter that never falls, so an hour's energy is its growth. Nothing is guessed: an hour in an
outage has none, and what appears afterwards is in the hour in which it was reported, flagged.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from wattline.solar import scope
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.process import apart, day_tables
from wattline.solar.tables import PLANT, TICK
from wattline.storage.contract import ENERGY
from wattline.window import Window

_INVERTER = ("mcno", "invno")
_HOUR = TIME_GENERATION.key
_MINUTES = f"{int(TICK.total_seconds() // 60)}m"
_ZERO = pl.lit(0).cast(ENERGY)
_FLAGS = ("spans_gap", "estimated", "counter_reset")


def time_generation(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The processor of the `time_generation` pipeline, on the frames that its collectors and its gate staged."""
    hours = scope.hours(inputs["scope"], inputs["inverters"], window.end)
    return hourly_energy(hours, inputs["good_logs"], inputs["hours"])


def total_generation(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The processor of the `mysql_total_generation` pipeline: the frames of `wattline.solar.process.day_tables`."""
    last = _inside(inputs["good_logs"], scope.days(inputs["scope"], inputs["inverters"]))
    silent = pl.col("reading_at").is_null() | (pl.col("reading_at") < pl.col("start"))
    return day_tables(last.with_columns(silent=silent))


def hourly_energy(hours: pl.DataFrame, logs: pl.DataFrame, stored: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Energy and flags of every inverter and hour with a tick row, and of the plants.

    An hour counts from the newest tick row with a reading at or before its start to the newest one in it. An inverter
    without such a row before has just begun to report: its first reading adds nothing.

    Args:
        hours: the hours to compute, schema `wattline.solar.scope.PERIOD`.
        logs: rows of TICK_ENERGY: those of the hours, and for each hour the one at its start or the newest before.
        stored: rows of TIME_GENERATION of the hours; in a plant's sum they stand for inverters without tick rows, and
            those of the old system for inverters without a reading.

    Returns:
        `time_generation`, in key order, `apart`: an hour with neither a fresh tick nor energy is silent.
    """
    reported = pl.col("totkw").filter(pl.col("reading_at").is_not_null())
    ticks = _inside(logs, hours).sort(*_INVERTER, "at")
    found = ticks.group_by(_HOUR, maintain_order=True).agg(
        first=reported.first(),
        last=reported.last(),
        counter_reset=pl.col("counter_reset").any(),
        fresh_ticks=(~pl.col("stale")).sum().cast(pl.Int32()),
    )
    bases = logs.filter(pl.col("reading_at").is_not_null()).select(
        *_INVERTER, "at", base="totkw", gap="stale", base_at="at"
    )
    found = found.sort("start").join_asof(
        bases.sort("at"), left_on="start", right_on="at", by=_INVERTER, strategy="backward", check_sortedness=False
    )
    growth = pl.col("last") - pl.coalesce("base", "first")
    timekw = pl.max_horizontal(growth.fill_null(_ZERO), _ZERO)
    gap = pl.col("gap") | (pl.col("base_at") < pl.col("start").dt.truncate(_MINUTES))
    rows = found.with_columns(
        timekw=timekw, spans_gap=(timekw > 0) & gap.fill_null(value=False), estimated=pl.lit(value=False)
    ).select(TIME_GENERATION.schema.names())
    rows = rows.with_columns(silent=_silent())
    return apart(TIME_GENERATION, pl.concat([rows, _plant_rows(rows, stored)], how="vertical_relaxed"))


def _silent() -> pl.Expr:
    """Whether a row of TIME_GENERATION is made of no reading; those of the old system have no `fresh_ticks`."""
    return pl.col("fresh_ticks").is_null() | ((pl.col("fresh_ticks") == 0) & (pl.col("timekw") == 0))


def _inside(logs: pl.DataFrame, periods: pl.DataFrame) -> pl.DataFrame:
    """The tick rows of `logs` that speak of one of their plant's `periods`, with its `day` and `start`.

    A row speaks of the interval that its tick ends, so the tick at a period's end belongs to it.
    """
    ticks = logs.with_columns(speaks_of=pl.col("at").dt.offset_by("-1us")).sort("speaks_of")
    known = periods.select("mcno", "day", "start", "end").sort("start")
    rows = ticks.join_asof(
        known, left_on="speaks_of", right_on="start", by="mcno", strategy="backward", check_sortedness=False
    )
    return rows.filter(pl.col("speaks_of") < pl.col("end")).drop("speaks_of", "end")


def _plant_rows(rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The sums of the inverters of each plant and hour of `rows`."""
    of_plant = ("mcno", "start")
    stored = stored.filter(pl.col("invno") != PLANT).with_columns(silent=_silent())
    old = stored.filter(pl.col("fresh_ticks").is_null())
    known = rows.join(rows.filter("silent").join(old, on=_HOUR, how="semi"), on=_HOUR, how="anti")
    others = stored.join(known, on=_HOUR, how="anti").join(rows, on=of_plant, how="semi")
    plants = (
        pl.concat([known, others], how="vertical_relaxed")
        .group_by(of_plant)
        .agg(pl.col("timekw").sum(), pl.col(_FLAGS).any(), pl.col("fresh_ticks").sum(), pl.col("silent").all())
        .with_columns(invno=pl.lit(PLANT, dtype=pl.Int32()))
    )
    return plants.select(rows.columns)
