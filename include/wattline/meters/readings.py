"""Readings from MyEMS's `tbl_energy_value`: in chunks of time that fit into memory, one scan for all meters.

A scan of a stretch of time for all meters is much cheaper than a look into the index for each of them; the server
chooses by what it estimates whether it uses the index on the time. Only where few meters are asked for are they named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from wattline.meters.plan import Job
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
        Column("value", VALUE, "the counter", minimum=-1e11, maximum=1e11),
    ),
)
"""A good reading as the gate judges it; not a stored table. Bad readings and unchecked ones are never read."""

ROWS = pl.Schema({"point": pl.UInt32(), "at": pl.UInt32(), "value": VALUE})
"""Readings as they travel, small: the place of the point in `Job.points`, seconds since 1970, the counter.

They are in the order in which the server sent them. Of one point and second, InnoDB sends the smaller id first, by
whichever of the table's indexes it reads.
"""

CHUNK_ROWS = 1_500_000
"""About how many readings are in memory at once."""
_FEW, _FEW_SHARE = 50, 0.2
_LOOK_BACK = (600, 7_200)
"""Seconds before the first slot in which a base is looked for by one scan; the rest is looked up meter by meter, as a
dead or new meter would make of every scan a long one."""
_AT_ONCE = 200
_VALUE = sa.table(
    "tbl_energy_value",
    *map(sa.column, ("id", "point_id", "actual_value", "is_bad")),
    sa.column("utc_date_time", mysql.DATETIME()),
)


@dataclass(frozen=True)
class Chunk:
    """A stretch of the job.

    Attributes:
        number: from 0 on, in the order of time.
        slots: meter_id, point_id, `first_slot` and `slots` of the meters that have slots in the stretch.
        readings: schema ROWS; perhaps also some before and after the slots.
    """

    number: int
    slots: pl.DataFrame
    readings: pl.DataFrame


def bases(store: MySQLStore, job: Job) -> pl.DataFrame:
    """The newest good reading strictly before each meter's first slot.

    Returns:
        meter_id, at (UTC_TIME), value (VALUE; as it was read, perhaps not positive); meters without one are missing.
    """
    found = [pl.DataFrame(schema={"meter_id": BIG, "at": UTC_TIME, "value": VALUE})]
    seconds = job.meters.with_columns(pl.col("first_slot").dt.epoch("s"))
    for (first,), meters in seconds.group_by("first_slot"):
        rest, end = meters.select("meter_id", "point_id"), int(first)
        for reach in _LOOK_BACK:
            if rest.is_empty():
                break
            share = job.share * rest.height / job.meters.height
            near = _of_meters(store.fetch(_good(rest["point_id"], end - reach, end, share)), rest)
            found.append(near)
            rest = rest.join(near, on="meter_id", how="anti")
        found.extend(_of_meters(store.fetch(_looks(part, end)), part) for part in rest.iter_slices(_AT_ONCE))
    return pl.concat(found).sort("meter_id")


def chunks(store: MySQLStore, job: Job) -> Iterator[Chunk]:
    """The job's readings in the order of time; each chunk holds about CHUNK_ROWS, and at least one slot."""
    if job.meters.is_empty():
        return
    slot = job.seconds
    bounds = job.meters.select(
        first=pl.col("first_slot").dt.epoch("s"), end=pl.col("first_slot").dt.epoch("s") + pl.col("slots") * slot
    ).select(pl.col("first").min() // slot * slot, pl.col("end").max())
    at, end = bounds.row(0)
    span, number = _first_span(job), 0
    while at < end:
        slots = within(job, at, at + span)
        readings = _read(store, job, slots, limit=None if span == slot else 2 * CHUNK_ROWS)
        if readings is None:
            span = max(span // 2 // slot * slot, slot)
            continue
        at, number, few = at + span, number + (not slots.is_empty()), readings.height < CHUNK_ROWS // 2
        if few:
            span *= 2
        if not slots.is_empty():
            yield Chunk(number - 1, slots, readings)
            del readings  # it would stay in memory beside the next one


def within(job: Job, start: int, end: int) -> pl.DataFrame:
    """meter_id, point_id, `first_slot` and `slots` of the meters' slots that begin in the seconds `[start, end)`."""
    first = pl.col("first_slot").dt.epoch("s")
    skipped = ((start - first + job.seconds - 1) // job.seconds).clip(0)
    stop = ((end - first + job.seconds - 1) // job.seconds).clip(0, pl.col("slots"))
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
        "value",
    )


def _first_span(job: Job) -> int:
    """A stretch that holds CHUNK_ROWS if every meter is read once a minute."""
    slots = CHUNK_ROWS * 60 // (job.meters.height * job.seconds)
    return int(max(slots, 1)) * job.seconds


def _read(store: MySQLStore, job: Job, slots: pl.DataFrame, limit: int | None) -> pl.DataFrame | None:
    """The readings of these slots; None where there are more than `limit`."""
    if slots.is_empty():
        return pl.DataFrame(schema=ROWS)
    first = pl.col("first_slot").dt.epoch("s")
    start, end = slots.select(first.min(), (first + pl.col("slots") * job.seconds).max().alias("end")).row(0)
    share = job.share * slots.height / job.meters.height
    statement = _good(slots["point_id"], start, end, share)
    batches, count = [pl.DataFrame(schema=ROWS)], 0
    # Batch by batch, so that no more than one of them is there in the wide types of the wire.
    for batch in store.stream(statement if limit is None else statement.limit(limit)):
        count += batch.height
        batches.append(_narrow(batch, job.points))
    return None if limit is not None and count >= limit else pl.concat(batches)


def _narrow(batch: pl.DataFrame, points: pl.Series) -> pl.DataFrame:
    """A batch as it came, by the schema ROWS; readings of other points are left out."""
    place = points.search_sorted(batch["point_id"]).clip(0, points.len() - 1).cast(pl.UInt32).alias("point")
    rows = batch.select(place, (pl.col("at") - EPOCH).cast(pl.UInt32).alias("at"), pl.col("value").cast(VALUE))
    known = points.gather(place) == batch["point_id"]
    return rows if known.all() else rows.filter(known)


def _good(points: pl.Series, start: int, end: int, share: float) -> sa.Select[Any]:
    """Good readings of the seconds `[start, end)`, of these points or, where they are many or most, of all."""
    clauses = [_VALUE.c.utc_date_time >= _time(start), _VALUE.c.utc_date_time < _time(end), _is_good()]
    if points.len() <= _FEW and share <= _FEW_SHARE:
        clauses.append(_VALUE.c.point_id.in_([sa.literal_column(str(int(point))) for point in points.unique().sort()]))
    return sa.select(*_columns()).where(*clauses)


def _looks(meters: pl.DataFrame, end: int) -> sa.SelectBase:
    """The newest good reading of each point before the second `end`, however old: a look into the index each."""
    looks = [
        sa.select(*_columns())
        .where(_VALUE.c.point_id == sa.literal_column(str(int(point))), _VALUE.c.utc_date_time < _time(end))
        .where(_is_good())
        .order_by(_VALUE.c.utc_date_time.desc(), _VALUE.c.id.desc())
        .limit(1)
        for point in meters["point_id"].unique(maintain_order=True)
    ]
    return sa.union_all(*looks) if len(looks) > 1 else looks[0]


def _of_meters(rows: pl.DataFrame, meters: pl.DataFrame) -> pl.DataFrame:
    """The newest of `rows` for each of `meters` (meter_id, point_id): meter_id, at, value."""
    return (
        rows.select(pl.col("point_id").cast(BIG), instant("at").alias("at"), pl.col("value").cast(VALUE))
        .sort("at", maintain_order=True)
        .unique("point_id", keep="last", maintain_order=True)
        .join(meters, on="point_id", how="inner")
        .select("meter_id", "at", "value")
    )


def _columns() -> list[sa.ColumnElement[Any]]:
    at = sa.func.to_seconds(_VALUE.c.utc_date_time).label("at")
    return [_VALUE.c.point_id, at, _VALUE.c.actual_value.label("value")]


def _is_good() -> sa.ColumnElement[bool]:
    return _VALUE.c.is_bad == sa.literal_column("0")


def _time(seconds: int) -> sa.ColumnElement[datetime]:
    """An instant as the server compares it with a DATETIME, so that its index serves."""
    return sa.literal(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None), mysql.DATETIME())
