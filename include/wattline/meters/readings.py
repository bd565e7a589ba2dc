"""Readings from MyEMS's `tbl_energy_value`: in chunks of time that fit into memory, one scan for all meters.

A scan of a stretch of time for all meters is much cheaper than a look into the index for each of them. Only where few
meters are asked for are they named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import polars as pl

from wattline.meters.buckets import Buckets, Rows
from wattline.meters.exact import to_decimals, to_units
from wattline.meters.plan import Job
from wattline.meters.reading_statements import MOST, good, looks, quickest
from wattline.meters.registry import EPOCH, instant
from wattline.meters.tables import BIG, VALUE
from wattline.storage.contract import UTC_TIME, Column, Table
from wattline.storage.mysql import MySQLStore

READING = Table(
    name="meter_reading",
    key=("point_id", "at"),
    columns=(
        Column("point_id", BIG, "the point of the meter's counter"),
        Column("at", UTC_TIME, "when the counter was read, a whole second"),
        Column("value", VALUE, "the counter", minimum=-MOST, maximum=MOST),
    ),
)
"""A good reading as the gate judges it; not a stored table. Bad readings and unchecked ones are never read."""

ROWS = pl.Schema({"point": pl.UInt32(), "at": pl.UInt32(), "value": pl.Int64()})
"""Readings as they travel, small: the place of the point in `Job.points`, seconds since 1970, the counter in units of
10^-6. A counter beyond what 64 bits hold, which the gate rejects, is cut to nine million million.

They are in the order in which the server sent them. Of one point and second, InnoDB sends the smaller id first, by
whichever of the table's indexes it reads.
"""
_PACKED = np.dtype([("point", np.uint32), ("at", np.uint32), ("value", np.int64)])
"""ROWS, row by row."""

CHUNK_ROWS = 300_000
"""About how many readings are computed at once."""
STRETCH_ROWS = 8_000_000
"""About how many readings one statement reads."""
_BUCKETS = 64
"""Parts of a stretch that are kept apart; each may be a file."""
_NEAR, _FAR = 300, 7_200
"""Seconds before the first slot in which a base is looked for: first among the readings of the first chunk, then by a
scan; the rest is looked up meter by meter, as a dead or new meter would make of every scan a long one."""
_AT_ONCE = 200
_LONGEST = Decimal(9 * 10**12)


@dataclass(frozen=True)
class Chunk:
    """A stretch of the job.

    Attributes:
        number: from 0 on, in the order of time.
        slots: meter_id, point_id, `first_slot` and `slots` of the meters that have slots in the stretch.
        readings: schema ROWS; perhaps also some before and after the slots.
        read_at: when they were read, at the earliest.
    """

    number: int
    slots: pl.DataFrame
    readings: pl.DataFrame
    read_at: datetime


def bases(store: MySQLStore, job: Job, first: Chunk) -> pl.DataFrame:
    """The newest good reading strictly before each meter's first slot.

    Args:
        store: the historical database.
        job: the slots.
        first: the first of `chunks`, which also holds readings from before the job's first slot.

    Returns:
        meter_id, at (UTC_TIME), value (VALUE; as it was read, perhaps not positive); meters without one are missing.
    """
    found = [pl.DataFrame(schema={"meter_id": BIG, "at": UTC_TIME, "value": VALUE})]
    seconds = job.meters.with_columns(pl.col("first_slot").dt.epoch("s"))
    for (start,), meters in seconds.group_by("first_slot"):
        rest, end = meters.select("meter_id", "point_id"), int(start)
        if end == seconds["first_slot"].min():
            before = judged(job, first.readings.filter(pl.col("at") < end))
            found.append(_newest(before, rest))
            rest = rest.join(found[-1], on="meter_id", how="anti")
        if not rest.is_empty():
            share = job.share * rest.height / job.meters.height
            near = _as_judged(store.fetch(good(rest["point_id"], end - _FAR, end, share)))
            found.append(_newest(near, rest))
            rest = rest.join(found[-1], on="meter_id", how="anti")
        found.extend(_newest(_as_judged(store.fetch(looks(part, end))), part) for part in rest.iter_slices(_AT_ONCE))
    return pl.concat(found).sort("meter_id")


def chunks(store: MySQLStore, job: Job) -> Iterator[Chunk]:
    """The job's readings in the order of time; each chunk holds about CHUNK_ROWS, and at least one slot.

    One statement reads a stretch of many chunks: on a table that holds little more, one scan serves them all.
    """
    if job.meters.is_empty():
        return
    slot, number = job.seconds, 0
    first = pl.col("first_slot").dt.epoch("s")
    at, end, uneven = job.meters.select(
        first.min() // slot * slot,
        (first + pl.col("slots") * slot).max().alias("end"),
        (first % slot != 0).any().alias("uneven"),
    ).row(0)
    # A slot that begins at another minute reaches into the stretch and the chunk before.
    overlap = slot if uneven else 0
    before = max(_NEAR, overlap)
    span = _slots_of(STRETCH_ROWS, job)
    while at < end:
        stretch = min(span, -(-(end - at) // slot))
        unit, read_at = slot * max(stretch // _BUCKETS, 1), datetime.now(UTC)
        with Buckets(_PACKED, at, unit) as buckets:
            if not _fill(
                buckets, store, job, (at - before, at + stretch * slot), 2 * STRETCH_ROWS if span > 1 else None
            ):
                span = max(span // 2, 1)
                continue
            carried = pl.DataFrame(schema=ROWS)
            for begin, stop in _portions(buckets, at, at + stretch * slot, most=4 * _slots_of(CHUNK_ROWS, job) * slot):
                slots = within(job, begin, stop)
                readings = _unpacked(buckets.take(begin, stop))
                if not carried.is_empty():
                    readings = pl.concat([carried, readings], rechunk=True)
                carried = readings.filter(pl.col("at") >= stop - overlap)
                if not slots.is_empty():
                    yield Chunk(number, slots, readings, read_at)
                    number += 1
                del readings  # it would stay in memory beside the next one
        at, before = at + stretch * slot, overlap


def _portions(buckets: Buckets, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """The seconds `[start, end)` in parts of about CHUNK_ROWS, and of `most` seconds where readings are few."""
    begin, rows = start, 0
    for bucket in range(start, end, buckets.seconds):
        stop = min(bucket + buckets.seconds, end)
        rows += buckets.count(bucket)
        if rows >= CHUNK_ROWS or stop - begin >= most or stop == end:
            yield begin, stop
            begin, rows = stop, 0


def within(job: Job, start: int, end: int) -> pl.DataFrame:
    """meter_id, point_id, `first_slot` and `slots` of the meters' slots that end in the seconds `(start, end]`."""
    first = pl.col("first_slot").dt.epoch("s")
    skipped = ((start - first) // job.seconds).clip(0)
    stop = ((end - first) // job.seconds).clip(0, pl.col("slots"))
    return (
        job.meters.select("meter_id", "point_id", "first_slot", "slots")
        .with_columns(skipped.alias("_skipped"), stop.alias("_stop"))
        .with_columns(
            (pl.col("first_slot") + pl.col("_skipped") * pl.duration(seconds=job.seconds)).alias("first_slot"),
            (pl.col("_stop") - pl.col("_skipped")).alias("slots"),
        )
        .filter(pl.col("slots") > 0)
        .drop("_skipped", "_stop")
    )


def judged(job: Job, readings: pl.DataFrame) -> pl.DataFrame:
    """Readings (schema ROWS) by the contract READING, in their order."""
    return readings.select(
        job.points.gather(readings["point"]).alias("point_id"),
        pl.from_epoch(pl.col("at").cast(pl.Int64), "s").cast(UTC_TIME).alias("at"),
        to_decimals("value", readings["value"].to_numpy()),
    )


def _slots_of(rows: int, job: Job) -> int:
    """How many slots hold so many readings, if every meter is read once a minute; at least one."""
    return int(max(rows * 60 // (job.meters.height * job.seconds), 1))


def _fill(buckets: Buckets, store: MySQLStore, job: Job, bounds: tuple[int, int], limit: int | None) -> bool:
    """Read the seconds `[start, end)`; false where there are more than `limit` readings."""
    start, end = bounds
    active = within(job, start // job.seconds * job.seconds, end)
    if active.is_empty():
        return True
    statement = quickest(store, active["point_id"], start, end, job.share * active.height / job.meters.height)
    count = 0
    for batch in store.stream(statement if limit is None else statement.limit(limit)):
        count += batch.height
        # So no more than one batch is there in the wide types of the wire.
        buckets.add(_narrow(batch, job.points))
    return limit is None or count < limit


def _narrow(batch: pl.DataFrame, points: pl.Series) -> Rows:
    """A batch as it came, in few bytes a row; readings of other points are left out."""
    rows = np.empty(batch.height, _PACKED)
    wanted, ids = points.to_numpy(), batch["point_id"].to_numpy()
    rows["point"] = place = np.minimum(np.searchsorted(wanted, ids), len(wanted) - 1)
    rows["at"] = batch["at"].cast(pl.Int64).to_numpy() - EPOCH
    rows["value"] = to_units(batch["value"].clip(-_LONGEST, _LONGEST))
    known = wanted[place] == ids
    return rows if known.all() else rows[known]


def _unpacked(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame({name: np.ascontiguousarray(rows[name]) for name in ROWS}, schema=ROWS)


def _as_judged(rows: pl.DataFrame) -> pl.DataFrame:
    """What a statement gave, by the contract READING."""
    return rows.select(pl.col("point_id").cast(BIG), instant("at").alias("at"), pl.col("value").cast(VALUE))


def _newest(readings: pl.DataFrame, meters: pl.DataFrame) -> pl.DataFrame:
    """The newest of the readings (contract READING) for each of `meters` (meter_id, point_id): meter_id, at, value."""
    possible = readings.filter(pl.col("value").abs() <= MOST)
    newest = possible.sort("at", maintain_order=True).unique("point_id", keep="last", maintain_order=True)
    return newest.join(meters, on="point_id", how="inner").select("meter_id", "at", "value")
