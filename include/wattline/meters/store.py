"""Store: computed hours into the energy database; what is there already is compared, and says so where it differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from wattline.meters.registry import newest
from wattline.meters.tables import HOURLY, QUALITY
from wattline.storage.mysql import MySQLStore
from wattline.storage.store import Condition

KEY = ["meter_id", "start_datetime_utc"]
KINDS = ("new", "revised", "unchanged")
_COMPUTED = (
    "minutes",
    "outcome",
    "raw_increment",
    "rolled_over",
    "fall",
    "readings",
    "initial_value",
    "last_value",
    "actual_value",
)
"""What the readings alone decide; the rest of a row says what happened to it."""
_NAMED = 500
"""Meters in one statement: from a thousand on, MariaDB joins them and reads the whole table."""


def compare(energy: MySQLStore, hours: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """What becomes of computed hours, beside what the database has of them: see `revise`. Nothing is written.

    Args:
        energy: the energy database.
        hours: contract QUALITY, as `Normalizer.hours` gives them.
        moment: what `revised_at` says.
    """
    return revise(hours, *_stored(energy, hours), moment)


def write(energy: MySQLStore, compared: pl.DataFrame) -> dict[str, int]:
    """Bring compared hours in, one row a slot, and only those that are new or differ.

    The reasons go first: a process that is killed between the two tables leaves an hour whose two rows differ, and the
    next run, which compares both, writes it again.

    Returns:
        How many hours were new, revised, unchanged.
    """
    new = bool(compared["_absent"].all())
    energy.upsert(QUALITY, changed(compared), also=[HOURLY["meter"]], expect_new=new)
    counts = Counter(compared["_kind"].to_list())
    return {kind: counts[kind] for kind in KINDS}


def changed(compared: pl.DataFrame) -> pl.DataFrame:
    """The hours that are to be written."""
    return compared.filter(pl.col("_write"))


def revise(hours: pl.DataFrame, quality: pl.DataFrame, hourly: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """What becomes of each hour, beside what is stored of it; pure.

    Args:
        hours: as they are computed from the readings of today.
        quality: stored rows of QUALITY for (at least) these slots.
        hourly: stored rows of the hourly table likewise.
        moment: what `revised_at` says.

    Returns:
        `hours` with reason, revised_from and revised_at as they are to be stored, and `_kind`: new (either table lacks
        the hour or holds the value before a kill), revised or unchanged; `_write`, whether it is to be written;
        `_absent`, whether no table has it.
    """
    known = (*_COMPUTED, *_HISTORY, "read_at")
    before = quality.select(*KEY, *(pl.col(name).alias(f"_{name}") for name in known))
    value = hourly.select(*KEY, pl.col("actual_value").alias("_hourly"))
    joined = hours.join(before, on=KEY, how="left", maintain_order="left").join(
        value, on=KEY, how="left", maintain_order="left"
    )
    judged = pl.col("_outcome").is_not_null()
    differs = judged & pl.any_horizontal(pl.col(name) != pl.col(f"_{name}") for name in _COMPUTED)
    foreign = pl.col("_hourly").is_not_null() & (pl.col("_hourly") != pl.col("actual_value"))
    # Nobody's late reading touched an hour that has none; only the counter that passes through it is another one.
    passed = judged & (pl.col("outcome") == "no_readings") & (pl.col("_outcome") == "no_readings") & ~foreign
    # The value that a killed run has not come to overwrite is no revision of its own.
    unfinished = judged & (pl.col("_revised_from") == pl.col("_hourly")).fill_null(value=False)
    # A run that stands still for long, or is cleared, must not bring back what readings of before its time said.
    stale = judged & (pl.col("_read_at") > pl.col("read_at"))
    revised = ((differs & ~passed) | (foreign & ~unfinished)) & ~stale
    return joined.with_columns(
        reason=pl.when(revised).then(pl.lit("late_revision")).otherwise(pl.coalesce("_reason", "reason")),
        revised_from=pl.when(revised).then(pl.coalesce("_hourly", "_actual_value")).otherwise("_revised_from"),
        revised_at=pl.when(revised)
        .then(pl.lit(moment).cast(QUALITY.schema["revised_at"]))
        .otherwise(pl.col("_revised_at")),
        _absent=~judged & pl.col("_hourly").is_null(),
        _write=(differs | foreign | ~judged | pl.col("_hourly").is_null()) & ~stale,
        _kind=pl.when(revised)
        .then(pl.lit("revised"))
        .when((pl.col("_hourly").is_null() | ~judged | foreign) & ~stale)
        .then(pl.lit("new"))
        .otherwise(pl.lit("unchanged")),
    )


_HISTORY = ("reason", "revised_from", "revised_at")


def _stored(energy: MySQLStore, hours: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The stored rows of both tables for the slots of `hours` that may have some: none is after its meter's newest."""
    old = hours.join(newest(energy), on="meter_id", how="left").filter(pl.col("start_datetime_utc") <= pl.col("newest"))
    if old.is_empty():
        return QUALITY.conform(hours.clear()), hours.clear().select(HOURLY["meter"].schema.names())
    starts: list[datetime] = old["start_datetime_utc"].sort().to_list()
    return stored(energy, old["meter_id"].unique().sort().to_list(), starts[0], starts[-1])


def stored(
    energy: MySQLStore, meters: Sequence[int], first: datetime, last: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of QUALITY and of the hourly table whose slots begin from `first` to `last`, both inclusive.

    Args:
        energy: the energy database.
        meters: ids in ascending order, at least one.
        first: UTC.
        last: UTC.
    """
    bounds = [Condition("start_datetime_utc", ">=", first), Condition("start_datetime_utc", "<=", last)]
    parts = [list(meters[place : place + _NAMED]) for place in range(0, len(meters), _NAMED)]
    named = [[*bounds, Condition("meter_id", "in", part)] for part in parts]
    found = ([energy.read(table, where) for where in named] for table in (QUALITY, HOURLY["meter"]))
    quality, hourly = (pl.concat(rows) for rows in found)
    return quality, hourly
