"""What a run computes: which slots of which meters.

A live run goes on from each meter's newest row, as MyEMS does, and looks back to find hours whose readings changed
after they were computed, and holes. A backfill computes the slots of its window and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from wattline.errors import BadInputError
from wattline.meters.rule import Mode
from wattline.settings import settings
from wattline.storage.contract import UTC_TIME
from wattline.window import Window


@dataclass(frozen=True)
class Options:
    """The settings of the normalization, by MyEMS's names where it has them.

    Attributes:
        start: where a meter without hourly rows begins (`start_datetime_utc`); its minutes are cut off.
        minutes_to_count: length of a slot, 60 or 30.
        minutes_to_clean: how long readings are left to arrive and to be cleaned.
        mode: strict or recover.
        lookback: how far a live run looks back for late readings and holes.

    Raises:
        BadInputError: a length that MyEMS does not know, or a time without zone.
    """

    start: datetime
    minutes_to_count: int = 60
    minutes_to_clean: int = 30
    mode: Mode = "strict"
    lookback: timedelta = timedelta(hours=48)

    def __post_init__(self) -> None:
        if self.minutes_to_count not in (30, 60):
            raise BadInputError(f"{self.minutes_to_count} is no slot", field="minutes_to_count", remedy="Give 60 or 30")
        if self.start.tzinfo is None:
            raise BadInputError(
                f"{self.start} has no time zone", field="start", remedy="Write it with an offset, e.g. Z"
            )


def configured() -> Options:
    """What the settings of the process say."""
    given = settings()
    return Options(
        start=given.meters_start,
        minutes_to_count=given.meters_minutes_to_count,
        minutes_to_clean=given.meters_minutes_to_clean,
        mode=given.meters_mode,
        lookback=timedelta(hours=given.meters_lookback_hours),
    )


@dataclass(frozen=True)
class Job:
    """Slots to compute.

    Attributes:
        meters: contract METER plus `first_slot` (UTC_TIME) and `slots` (Int64, at least 1); one row a meter.
        seconds: length of a slot.
        mode: strict or recover.
        places: decimal places of the hourly table.
        share: which share of the register's meters these are, from 0 to 1; of a small one readings are asked for by
            their points.
    """

    meters: pl.DataFrame
    seconds: int
    mode: Mode
    places: int
    share: float = 1.0

    @cached_property
    def points(self) -> pl.Series:
        """The meters' points, each once, in ascending order."""
        return self.meters["point_id"].unique().sort()


def looks_for_holes(window: Window, *, live: bool) -> bool:
    """Whether a run is the one of its day that counts the rows of all meters: a live one that passes midnight, UTC."""
    return live and window.start.date() < window.end.date()


def job(meters: pl.DataFrame, window: Window, options: Options, *, live: bool, places: int = 6) -> Job:
    """The slots of `meters` (contract METER) that end within `window`, and in a live run the earlier ones that it owes.

    Args:
        meters: the register; with a column `hole`, slots from there on are computed again in a live run.
        window: the run's interval, `minutes_to_clean` earlier than the clock: readings of it are cleaned.
        options: the settings.
        live: whether the run goes on from the newest rows and looks back.
        places: decimal places of the hourly table.
    """
    slot = options.minutes_to_count * 60
    begin, end, start = (int(each.timestamp()) for each in (window.start, window.end, options.start))
    newest = pl.col("newest").dt.epoch("s")
    # A meter keeps the minute that its rows have; a new one starts at the full hour.
    phase = (newest // 60 * 60 % slot).fill_null(0)
    first = _floor(pl.lit(begin), slot, phase)
    if live:
        fresh = pl.lit(start // 3600 * 3600)
        # Before the start nothing is meant to be, so a look back does not reach there.
        earliest = _floor(fresh + slot - 1, slot, phase)
        again = pl.max_horizontal(_floor(pl.lit(end) - int(options.lookback.total_seconds()), slot, phase), earliest)
        owed = pl.when(newest.is_null()).then(fresh).otherwise(pl.min_horizontal(newest // 60 * 60 + slot, again))
        first = pl.min_horizontal(owed, pl.max_horizontal(first, earliest))
        if "hole" in meters.columns:
            first = pl.min_horizontal(first, pl.col("hole").dt.epoch("s"))
    slots = (_floor(pl.lit(end), slot, phase) - pl.col("_first")) // slot
    planned = (
        meters.with_columns(first.alias("_first"))
        .with_columns(pl.from_epoch("_first", "s").cast(UTC_TIME).alias("first_slot"), slots.alias("slots"))
        .filter(pl.col("slots") > 0)
        .drop("_first")
    )
    return Job(planned, slot, options.mode, places, planned.height / max(meters.height, 1))


def _floor(seconds: pl.Expr, slot: int, phase: pl.Expr) -> pl.Expr:
    """The newest start of a slot that is not after `seconds`."""
    return (seconds - phase) // slot * slot + phase
