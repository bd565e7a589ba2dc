"""Reliability as a number: how much of a day an inverter was heard of, and how much of it it was fit to work.

Expected are the ten-minute ticks of the daylight, not the plant's usual number of readings: gateways send every minute
or every ten, change that without a word, and send rows twice; a tick that had any reading is one in which the platform
knew how the inverter was, which is what people ask. At night an inverter may sleep, so nothing is expected of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from wattline.quality.suite import Check, Suite
from wattline.solar.event_types import BLACKOUT, COMM_ERROR, NOT_GENERATING
from wattline.solar.tables import DAY_GENERATION, INVNO_OR_PLANT, MCNO, PLANT, TICK, TICK_ROW
from wattline.storage.contract import UTC_TIME, Column, Table
from wattline.window import Window

DOWN = (BLACKOUT, COMM_ERROR, NOT_GENERATING)
"""Events in which an inverter does not work, or nobody knows: unknown is not available."""
_COUNT = pl.Int32()
_SHARE = "0 to 1; null where nothing was expected"

RELIABILITY_DAY = Table(
    name="reliability_day",
    key=("mcno", "invno", "day"),
    columns=(
        MCNO,
        INVNO_OR_PLANT,
        DAY_GENERATION.column("day"),
        Column("expected", _COUNT, "ticks of the daylight in which it was in use; plant: of all inverters", minimum=0),
        Column("received", _COUNT, "those of them with a reading", minimum=0),
        Column("received_share", pl.Float64(), f"received / expected, {_SHARE}", None, True, 0, 1),
        Column("down", _COUNT, "expected ticks in an event 201, 202 or 203 of it or of its plant", minimum=0),
        Column("availability", pl.Float64(), f"1 - down / expected, {_SHARE}", None, True, 0, 1),
        Column("faults", _COUNT, "faults that began on the day; what overlaps or touches is one", minimum=0),
        Column("repairs", _COUNT, "faults that ended on the day", minimum=0),
        Column("repair_minutes", pl.Float64(), "mean time from their begin to their end", "min", True, 0),
    ),
    mongo="reliability_day",
    indexes=(("day",),),
)
"""How reliable an inverter, or plant (`invno` 0), was on a local day."""

FRESH_TICK = Table(
    name="inverterlog",
    key=TICK_ROW.key,
    columns=tuple(TICK_ROW.column(name) for name in TICK_ROW.key),
    mongo=TICK_ROW.mongo,
    month_column=TICK_ROW.month_column,
)
"""What reliability needs of a tick row that is not stale."""


def _add_distance_to_tick(frame: pl.DataFrame) -> pl.DataFrame:
    """Helper column: seconds since the last tick."""
    return frame.with_columns(off=(pl.col("at") - pl.col("at").dt.truncate(TICK)).dt.total_seconds())


FRESH_TICKS = Suite(
    name="fresh_ticks",
    table=FRESH_TICK,
    prepare=_add_distance_to_tick,
    checks=(
        Check(
            "ExpectColumnValuesToBeBetween",
            "at",
            "the row is between two ticks",
            "Run inverterlog over this time again: its rows are not what it writes",
            {"max_value": 0},
            "off",
        ),
    ),
)
"""Gate of `reliability_digest`: tick rows of the days that are not stale."""

_INVERTER = ("mcno", "invno")
_OF_DAY = (*_INVERTER, "day")
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_FAULT = pl.Schema({"mcno": pl.Int32(), "invno": pl.Int32(), "begin": UTC_TIME, "end": UTC_TIME})


def reliability(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The processor of `reliability_digest`, on the frames that its collectors and its gate staged."""
    rows = reliability_days(inputs["days"], inputs["targets"], inputs["good_ticks"], inputs["events"])
    return {"reliability_day": rows}


def reliability_days(
    days: pl.DataFrame, targets: pl.DataFrame, ticks: pl.DataFrame, events: pl.DataFrame
) -> pl.DataFrame:
    """Rows of RELIABILITY_DAY of every target that was in use on a day, and of the plants.

    Args:
        days: schema `wattline.solar.scope.PERIOD`.
        targets: schema `wattline.solar.targets.TARGET`.
        ticks: rows of FRESH_TICK of the days.
        events: `mcno, invno, type, raised_at, cleared_at` of those that touch the days; `invno` 0 is every inverter.
    """
    units = targets.join(days.drop("timezone"), on="mcno").filter(
        (pl.col("installed_at") < pl.col("end"))
        & (pl.col("removed_at").is_null() | (pl.col("removed_at") > pl.col("start")))
    )
    faults = merged(events, targets)
    counted = _counted(_expected(units), ticks, faults)
    rows = units.select(*_OF_DAY, "start", "end").join(counted, on=_OF_DAY, how="left")
    rows = rows.join(_repairs(units, faults), on=_OF_DAY, how="left").with_columns(
        pl.col("expected", "received", "down", "faults", "repairs").fill_null(0),
        pl.col("minutes").fill_null(0.0),
    )
    plants = rows.group_by("mcno", "day").agg(
        pl.col("expected", "received", "down", "faults", "repairs", "minutes").sum()
    )
    both = pl.concat([rows, plants.with_columns(invno=pl.lit(PLANT, pl.Int32()))], how="diagonal_relaxed")
    return RELIABILITY_DAY.batch(both.with_columns(_shares()))


def merged(events: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """The times in which each inverter was down: its events and its plant's, those that overlap or touch as one.

    Returns:
        `mcno, invno, begin, end`, in that order; `end` lies in the year 9999 while it lasts.
    """
    down = events.filter(pl.col("type").is_in(DOWN)).select(
        "mcno", "invno", begin="raised_at", end=pl.col("cleared_at").fill_null(_NEVER)
    )
    # An event that was withdrawn ends where it began.
    down = down.filter(pl.col("end") > pl.col("begin"))
    inverters = targets.select(_INVERTER).unique()
    own = down.join(inverters, on=_INVERTER, how="semi")
    plants = down.filter(invno=PLANT).drop("invno").join(inverters, on="mcno").select(own.columns)
    rows = pl.concat([own, plants]).sort(*_INVERTER, "begin", "end")
    # A fault begins where everything before it, of the same inverter, is over.
    over = pl.col("end").cum_max().shift(1).over(_INVERTER)
    number = (over.is_null() | (pl.col("begin") > over)).cum_sum()
    each = rows.with_columns(number=number).group_by(*_INVERTER, "number", maintain_order=True)
    found = each.agg(begin=pl.col("begin").min(), end=pl.col("end").max())
    return found.select(pl.col(name).cast(kind) for name, kind in _FAULT.items())


def _expected(units: pl.DataFrame) -> pl.DataFrame:
    """One row an inverter, day and tick of its daylight while it was in use: `mcno, invno, day, at`."""
    from wattline.solar.sun import elevation  # noqa: PLC0415 - pvlib takes a second to import

    sites = units.select("mcno", "day", "start", "end", "latitude", "longitude").unique()
    first = pl.col("start").dt.truncate(TICK) + TICK
    ticks = sites.with_columns(at=pl.datetime_ranges(first, pl.col("end"), TICK)).explode("at").drop_nulls("at")
    middle = (ticks["at"] - TICK / 2).dt.replace_time_zone(None).to_numpy()
    light = elevation(middle, ticks["latitude"].to_numpy(), ticks["longitude"].to_numpy()) > 0
    lit = ticks.filter(pl.Series(light)).select("mcno", "day", "at")
    rows = units.select(*_OF_DAY, "installed_at", "removed_at").join(lit, on=("mcno", "day"))
    used = (pl.col("installed_at") < pl.col("at")) & (
        pl.col("removed_at").is_null() | (pl.col("at") <= pl.col("removed_at"))
    )
    return rows.filter(used).select(*_OF_DAY, "at")


def _counted(expected: pl.DataFrame, ticks: pl.DataFrame, faults: pl.DataFrame) -> pl.DataFrame:
    heard = ticks.select(*_INVERTER, "at").unique().with_columns(heard=pl.lit(value=True))
    rows = expected.join(heard, on=(*_INVERTER, "at"), how="left").sort("at")
    rows = rows.join_asof(faults.sort("begin"), left_on="at", right_on="begin", by=_INVERTER, check_sortedness=False)
    down = (pl.col("end") > pl.col("at")).fill_null(value=False)
    return rows.group_by(_OF_DAY).agg(
        expected=pl.len().cast(_COUNT),
        received=pl.col("heard").is_not_null().sum().cast(_COUNT),
        down=down.sum().cast(_COUNT),
    )


def _repairs(units: pl.DataFrame, faults: pl.DataFrame) -> pl.DataFrame:
    """Per inverter and day: `faults` that began, `repairs`, and the `minutes` that all repairs took."""
    rows = units.select(*_OF_DAY, "start", pl.col("end").alias("stop")).join(faults, on=_INVERTER)
    began = pl.col("begin").is_between("start", "stop", closed="left")
    ended = pl.col("end").is_between("start", "stop", closed="left")
    minutes = (pl.col("end") - pl.col("begin")) / pl.duration(minutes=1)
    return rows.group_by(_OF_DAY).agg(
        faults=began.sum().cast(_COUNT),
        repairs=ended.sum().cast(_COUNT),
        minutes=minutes.filter(ended).sum(),
    )


def _shares() -> list[pl.Expr]:
    expected = pl.when(pl.col("expected") > 0).then("expected")
    repaired = pl.when(pl.col("repairs") > 0).then("repairs")
    return [
        (pl.col("received") / expected).alias("received_share"),
        (1 - pl.col("down") / expected).alias("availability"),
        (pl.col("minutes") / repaired).alias("repair_minutes"),
    ]
