"""Closure: per meter and UTC day, energy and what was dropped must be the growth of the counter, to the last digit.

The growth is taken from the counter's states at the day's ends, the energy from the hourly table as it is stored. So an
hour that is missing, doubled or changed by another hand, and hours that were computed from different readings, show.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import polars as pl

from wattline.meters.store import KEY, stored
from wattline.meters.tables import CLOSURE, VALUE
from wattline.storage.mysql import MySQLStore

_DAY = ["meter_id", "day"]
_NAMED = 3
_SLOTS = 100_000
"""Slots in memory at once."""


def close(energy: MySQLStore, slots: pl.DataFrame) -> pl.DataFrame:
    """Add up every day that `slots` (meter_id, start_datetime_utc) touch, store the result and return it.

    Returns:
        Contract CLOSURE plus `sound` (Boolean), in key order; false where the hourly table has not what was computed.
    """
    days = slots.select("meter_id", pl.col("start_datetime_utc").dt.date().alias("day")).unique()
    closed = [pl.DataFrame(schema={**CLOSURE.schema, "sound": pl.Boolean()})]
    for part in _parts(days):
        first, last = (datetime.combine(each, time.min, UTC) for each in (part["day"].min(), part["day"].max()))  # type: ignore[arg-type] # dates
        # The last slot of the day before says where the first one must begin.
        begin, end = first - timedelta(hours=1), last + timedelta(days=1, microseconds=-1)
        quality, hourly = stored(energy, part["meter_id"].unique().sort().to_list(), begin, end)
        closed.append(add_up(quality, hourly).join(part, on=_DAY, how="semi"))
        energy.upsert(CLOSURE, closed[-1])
    return pl.concat(closed).sort(_DAY)


def _parts(days: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Days of meters in parts that are some _SLOTS rows, from the first to the last day of each."""
    for (_,), month in days.with_columns(pl.col("day").dt.truncate("1mo").alias("_month")).group_by("_month"):
        meters = month["meter_id"].unique().sort()
        for some in meters.to_frame().iter_slices(_SLOTS // (31 * 24)):
            yield month.drop("_month").join(some, on="meter_id", how="semi")


def add_up(quality: pl.DataFrame, hourly: pl.DataFrame) -> pl.DataFrame:
    """The closure of every meter and day in `quality`, beside the `hourly` rows of the same slots; pure.

    Args:
        quality: rows of QUALITY, whole days.
        hourly: rows of the hourly table.

    Returns:
        As `close`.
    """
    rows = (
        quality.sort(KEY)
        .join(hourly.select(*KEY, _hourly="actual_value"), on=KEY, how="left", maintain_order="left")
        .with_columns(pl.col("start_datetime_utc").dt.date().alias("day"))
        .with_columns(
            _dropped=pl.col("raw_increment") + pl.col("rolled_over") - pl.col("actual_value"),
            _prior=pl.when(_follows()).then(pl.col("last_value").shift().over("meter_id")),
        )
        .with_columns(_trouble=_trouble(), _hour=pl.col("start_datetime_utc").dt.strftime("%H:%MZ"))
    )
    sums = rows.group_by(_DAY).agg(
        pl.len().cast(pl.Int32()).alias("slots"),
        pl.col("_hourly").sum().cast(VALUE).alias("energy"),
        pl.col("_dropped").sum().cast(VALUE).alias("dropped"),
        _growth().cast(VALUE).alias("growth"),
        (pl.col("_hourly") == pl.col("actual_value")).fill_null(value=False).all().alias("sound"),
        _listed(pl.col("_trouble").is_not_null(), pl.format("{} {}", "_hour", "_trouble")).alias("_troubles"),
        _listed(
            pl.col("_dropped") != 0,
            pl.format("{} {} dropped, {}", "_hour", pl.col("_dropped").cast(pl.String), "outcome"),
        ).alias("_drops"),
    )
    found = sums.with_columns(
        (pl.col("growth") - pl.col("energy") - pl.col("dropped")).cast(VALUE).alias("difference"),
        pl.coalesce("_troubles", "_drops").alias("finding"),
    )
    return CLOSURE.conform(found).with_columns(found["sound"])


def _follows() -> pl.Expr:
    """Whether the row before is the slot before, or at least of the day: its end is where this one must begin."""
    end = pl.col("start_datetime_utc") + pl.col("minutes") * pl.duration(minutes=1)
    return (end.shift().over("meter_id") == pl.col("start_datetime_utc")) | (
        pl.col("day").shift().over("meter_id") == pl.col("day")
    )


def _growth() -> pl.Expr:
    """From the state before the day to its last; a fall is a boundary, and a roll-over none."""
    ends = pl.col("last_value").last() - pl.coalesce("_prior", "initial_value").first()
    return ends + pl.col("fall").sum() + pl.col("rolled_over").sum()


def _trouble() -> pl.Expr:
    """What is wrong with an hour, or null."""
    broken = pl.col("_prior").is_not_null() & (pl.col("_prior") != pl.col("initial_value"))
    return (
        pl.when(pl.col("_hourly").is_null())
        .then(pl.lit("has no hourly row"))
        .when(pl.col("_hourly") != pl.col("actual_value"))
        .then(pl.format("has {} in the hourly table, not {}", _text("_hourly"), _text("actual_value")))
        .when(broken)
        .then(pl.format("begins at {}, the hour before ended at {}", _text("initial_value"), _text("_prior")))
    )


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String)


def _listed(chosen: pl.Expr, text: pl.Expr) -> pl.Expr:
    """The texts of the chosen hours, the first few of them; null where none is."""
    texts = text.filter(chosen)
    more = pl.when(texts.len() > _NAMED).then(pl.format("; and {} more", texts.len() - _NAMED)).otherwise(pl.lit(""))
    listed = pl.concat_str(texts.head(_NAMED).str.join("; "), more)
    return pl.when(texts.len() > 0).then(listed)
