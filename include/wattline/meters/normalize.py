"""Normalize: readings of a chunk to hours, with the state that the next chunk begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from wattline.meters.exact import UNIT, Units, to_decimals, to_units
from wattline.meters.plan import Job
from wattline.meters.reading_statements import MOST
from wattline.meters.readings import Chunk
from wattline.meters.rule import NEVER, Hours, Meters, Numbers, Readings, hours
from wattline.meters.tables import QUALITY, REASONS

BLOCK_ROWS = 70_000
"""About how many readings the rule sees at once: it needs many numbers for each of them."""
_SECOND = 1_000_000
_BEYOND = Decimal(9 * 10**12)
_MEASURES = ("raw_increment", "rolled_over", "fall", "initial_value", "last_value", "actual_value")


@dataclass
class Normalizer:
    """Computes a job's chunks one after the other.

    Attributes:
        job: the slots.
        base: per meter of the job the counter before the next chunk, never negative.
        base_at: when that was read, or NEVER.
    """

    job: Job
    base: Units
    base_at: Numbers

    @classmethod
    def start(cls, job: Job, bases: pl.DataFrame) -> Normalizer:
        """A normalizer before the first chunk; `bases` as `readings.bases` gives them."""
        known = job.meters.select("meter_id").join(bases, on="meter_id", how="left", maintain_order="left")
        at = known["at"].dt.epoch("s").fill_null(NEVER).to_numpy(writable=True)
        return cls(job, np.maximum(to_units(known["value"].fill_null(0)), 0), at)

    def hours(self, chunk: Chunk) -> pl.DataFrame:
        """The chunk's slots by the contract QUALITY, every one as if it was computed for the first time."""
        return pl.concat(self.blocks(chunk)).sort(QUALITY.key)

    def blocks(self, chunk: Chunk) -> Iterator[pl.DataFrame]:
        """As `hours`, some meters at a time."""
        readings = chunk.readings
        # Readings are many, and impossible ones few: a copy is made where there is one.
        if not (possible := readings["value"].abs() <= MOST * UNIT).all():
            readings = readings.filter(possible)
        del possible
        share = max(BLOCK_ROWS * chunk.slots.height // max(readings.height, 1), 1)
        point, at = readings["point"].to_numpy(), readings["at"].to_numpy()
        value, order = readings["value"].to_numpy(), _by_point(point, self.job.points.len())
        ends = np.cumsum(np.bincount(point, minlength=self.job.points.len()))
        for slots in chunk.slots.sort("point_id", "meter_id").iter_slices(share):
            own = _places(self.job.points, slots["point_id"])
            near = order[ends[own[0] - 1] if own[0] else 0 : ends[own[-1]]]
            hours = self._block(slots, _by_time(point[near], at[near], value[near]), own)
            yield hours.with_columns(read_at=pl.lit(chunk.read_at, QUALITY.schema["read_at"])).select(
                QUALITY.schema.names()
            )

    def _block(self, slots: pl.DataFrame, rows: tuple[Numbers, Numbers, Units], own: Numbers) -> pl.DataFrame:
        """Some meters: `slots`, the readings of their points by point and time, and the places of their points."""
        places = _places(self.job.meters["meter_id"], slots["meter_id"])
        meters = self._meters(places, slots)
        readings = _of_meters(meters, rows, own, self.job.seconds)
        result = hours(meters, readings, self.job.seconds, self.job.mode, self.job.places)
        ends = result.take(np.cumsum(meters.slots) - 1)
        self.base[places], self.base_at[places] = ends.last_value, ends.last_at
        return _frame(result, slots["meter_id"], self.job.seconds)

    def _meters(self, places: Numbers, slots: pl.DataFrame) -> Meters:
        chosen = self.job.meters[places]
        return Meters(
            first_slot=slots["first_slot"].dt.epoch("s").to_numpy(),
            slots=slots["slots"].to_numpy(),
            base=self.base[places],
            base_at=self.base_at[places],
            low=_limit(chosen["low_limit"]),
            high=_limit(chosen["high_limit"]),
            modulus=_limit(chosen["modulus"].fill_null(0)),
        )


def _limit(values: pl.Series) -> Units:
    """A limit as units; no sum of a slot comes near to what 64 bits hold, so a limit beyond is as good as that."""
    return to_units(values.clip(-_BEYOND, _BEYOND))


def _places(ids: pl.Series, wanted: pl.Series) -> Numbers:
    """Where each of `wanted` is in `ids`, which is sorted and holds it."""
    return np.searchsorted(ids.to_numpy(), wanted.to_numpy())


def _by_point(point: Numbers, points: int) -> npt.NDArray[np.uint32]:
    """The order of the readings by point, else as they came."""
    # Small numbers are sorted by counting them.
    order = np.argsort(point.astype(np.uint16) if points <= 2**16 else point, kind="stable")
    return order.astype(np.uint32)


def _by_time(point: Numbers, at: Numbers, value: Units) -> tuple[Numbers, Numbers, Units]:
    """Readings that are in the order of their points, by time too; of one second, in the order in which they came."""
    point, at = point.astype(np.int64), at.astype(np.int64)
    if np.any((at[1:] < at[:-1]) & (point[1:] == point[:-1])):
        order = np.lexsort((at, point))
        point, at, value = point[order], at[order], value[order]
    return point, at, value


def _of_meters(meters: Meters, rows: tuple[Numbers, Numbers, Units], own: Numbers, seconds: int) -> Readings:
    """Each meter's readings within its slots; `own` has the place of its point, which other meters may share."""
    point, at, value = rows
    end = meters.first_slot + meters.slots * seconds
    alone = len(own) == own[-1] - own[0] + 1 and np.all(np.diff(own) == 1)
    if alone:
        meter = point - own[0]
    else:
        first, count = _spans(point, own)
        meter = np.repeat(np.arange(len(own)), count)
        taken = np.arange(len(meter)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        at, value = at[taken], value[taken]
    inside = (at >= meters.first_slot[meter]) & (at < end[meter])
    return Readings(meter, at, value) if np.all(inside) else Readings(meter[inside], at[inside], value[inside])


def _spans(point: Numbers, own: Numbers) -> tuple[Numbers, Numbers]:
    """Where each meter's readings begin in `point`, which is sorted, and how many they are."""
    first = np.searchsorted(point, own, "left")
    return first, np.searchsorted(point, own, "right") - first


def _frame(result: Hours, ids: pl.Series, seconds: int) -> pl.DataFrame:
    start = pl.Series(result.start * _SECOND, dtype=pl.Datetime("us", "UTC"))
    outcome = pl.Series(REASONS).gather(result.outcome)
    columns = {
        "meter_id": ids.gather(result.meter),
        "start_datetime_utc": start,
        "minutes": pl.repeat(seconds // 60, start.len(), dtype=pl.Int32(), eager=True),
        "reason": outcome,
        "outcome": outcome,
        "readings": pl.Series(result.readings, dtype=pl.Int32()),
        **{name: to_decimals(name, getattr(result, name)) for name in _MEASURES},
        "revised_from": pl.repeat(None, start.len(), dtype=QUALITY.schema["revised_from"], eager=True),
        "revised_at": pl.repeat(None, start.len(), dtype=QUALITY.schema["revised_at"], eager=True),
    }
    return pl.DataFrame(columns)
