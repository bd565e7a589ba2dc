"""Explain: how one hour of a meter came to its value, reading by reading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from wattline.errors import BadInputError
from wattline.meters.databases import Databases
from wattline.meters.normalize import Normalizer
from wattline.meters.plan import Job, Options, job
from wattline.meters.reading_statements import ENERGY_VALUE, MOST
from wattline.meters.readings import bases, chunks
from wattline.meters.registry import hourly_places, instant, read_meters
from wattline.meters.store import stored
from wattline.meters.tables import BIG, VALUE
from wattline.window import Window

STEPS = pl.Schema(
    {
        "at": pl.Datetime("us", "UTC"),
        "value": VALUE,
        "is_bad": pl.Boolean(),
        "quarantined": pl.Boolean(),
        "before": VALUE,
        "rise": VALUE,
        "fall": VALUE,
    }
)
"""A reading of the hour. A bad or unchecked one has no `before`, `rise` and `fall`, as it does not count; nor has one
that is `quarantined`: good by its mark, and a counter that the gate keeps out."""


@dataclass(frozen=True)
class Explanation:
    """One slot of one meter.

    Attributes:
        meter: row of the contract METER.
        start: start of the slot, UTC.
        end: its end.
        base: the counter before the slot: `at` and `value`; None where no good reading is older.
        steps: schema STEPS, in the order in which they count.
        computed: row of QUALITY that the readings of today give.
        stored: row of QUALITY that is stored; None where there is none.
        hourly: what the hourly table has; None where it has no row.
    """

    meter: dict[str, Any]
    start: datetime
    end: datetime
    base: dict[str, Any] | None
    steps: pl.DataFrame
    computed: dict[str, Any]
    stored: dict[str, Any] | None
    hourly: Any


def explain(databases: Databases, meter: str, hour: datetime, options: Options) -> Explanation:
    """Compute the slot of `meter` that holds `hour` again, and show what it is made of.

    Args:
        databases: the installation.
        meter: id or name; what is an id is none of another meter's name.
        hour: any instant within the slot.
        options: the settings.

    Raises:
        BadInputError: no meter has that id or name, or several have the name and none the id.
    """
    meters = _found(read_meters(databases), meter)
    end = hour + timedelta(minutes=options.minutes_to_count)
    planned = job(meters, Window(hour, end), options, live=False, places=hourly_places(databases.energy))
    planned = replace(planned, meters=planned.meters.with_columns(pl.lit(1, pl.Int64()).alias("slots")), share=0.0)
    chunk = next(chunks(databases.historical, planned))
    base = bases(databases.historical, planned, chunk)
    computed = Normalizer.start(planned, base).hours(chunk).row(0, named=True)
    start = computed["start_datetime_utc"]
    quality, hourly = stored(databases.energy, meters["meter_id"].to_list(), start, start)
    return Explanation(
        meter=meters.row(0, named=True),
        start=start,
        end=start + timedelta(seconds=planned.seconds),
        base=base.row(0, named=True) if base.height else None,
        steps=_steps(_readings(databases, planned), computed["initial_value"]),
        computed=computed,
        stored=quality.row(0, named=True) if quality.height else None,
        hourly=hourly["actual_value"][0] if hourly.height else None,
    )


def sentence(explanation: Explanation) -> str:
    """Why the slot has its value, in words."""
    row, meter = explanation.computed, explanation.meter
    counted = f"{row['raw_increment'] + row['rolled_over']:f}"
    said = {
        "measured": f"The rises add up to {counted}.",
        "no_readings": "There is no good reading in the slot: it counts 0.",
        "base_too_small": f"The counter begins at {row['initial_value']:f}, not above 0.1: the slot counts 0, "
        f"{counted} are dropped.",
        "below_low_limit": f"{counted} are below the low limit {meter['low_limit']:f}: the slot counts 0.",
        "above_high_limit": f"{counted} are above the high limit {meter['high_limit']:f}: the slot counts 0.",
        "spans_gap": f"The rises add up to {counted}, and the first of them spans a gap of more than a slot.",
        "counter_reset": f"The counter falls by {row['fall']:f} in the slot and counts on from there; the rises add up "
        f"to {counted}.",
    }
    return said[row["outcome"]]


def _found(meters: pl.DataFrame, wanted: str) -> pl.DataFrame:
    found = meters.filter(pl.col("meter_id").cast(pl.String) == wanted)
    if found.is_empty():
        found = meters.filter(pl.col("name") == wanted)
    if found.height != 1:
        problem = "no meter" if found.is_empty() else f"{found.height} meters"
        raise BadInputError(f"{problem} with the id or name {wanted!r}", field="meter", remedy="Give the meter's id")
    return found


def _readings(databases: Databases, planned: Job) -> pl.DataFrame:
    """All readings of the slot, in their order, good or not."""
    row = planned.meters.row(0, named=True)
    start = row["first_slot"].replace(tzinfo=None)
    at = sa.func.to_seconds(ENERGY_VALUE.c.utc_date_time).label("at")
    found = databases.historical.fetch(
        sa.select(at, ENERGY_VALUE.c.actual_value.label("value"), ENERGY_VALUE.c.is_bad)
        .where(
            ENERGY_VALUE.c.point_id == sa.literal_column(str(row["point_id"])), ENERGY_VALUE.c.utc_date_time >= start
        )
        .where(ENERGY_VALUE.c.utc_date_time < start + timedelta(seconds=planned.seconds))
        .order_by(ENERGY_VALUE.c.utc_date_time, ENERGY_VALUE.c.id)
    )
    return found.select(
        instant("at").alias("at"), pl.col("value").cast(VALUE), pl.col("is_bad").cast(BIG).cast(pl.Boolean)
    )


def _steps(rows: pl.DataFrame, initial: object) -> pl.DataFrame:
    """What each good reading adds to the one before."""
    good = pl.col("is_bad").eq(other=False).fill_null(value=False)
    rows = rows.with_row_index("_place").with_columns((good & (pl.col("value").abs() > MOST)).alias("quarantined"))
    counted = rows.filter(good & ~pl.col("quarantined"))
    walked = counted.with_columns(
        pl.col("value").shift().fill_null(pl.lit(initial, VALUE)).alias("before")
    ).with_columns(
        (pl.col("value") - pl.col("before")).clip(0).cast(VALUE).alias("rise"),
        (pl.col("before") - pl.col("value")).clip(0).cast(VALUE).alias("fall"),
    )
    steps = rows.join(walked.select("_place", "before", "rise", "fall"), on="_place", how="left", maintain_order="left")
    return steps.select(pl.col(name).cast(kind) for name, kind in STEPS.items())
