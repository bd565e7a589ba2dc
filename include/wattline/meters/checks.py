"""What the gates of the normalization demand: meters that can be computed, and counters that fit the numbers."""

from __future__ import annotations

import polars as pl

from wattline.meters.plan import Job
from wattline.meters.readings import READING, judged
from wattline.meters.registry import METER
from wattline.quality.suite import Check, Suite, range_checks

ROW = "row"
"""A batch's column with the place of the reading in its chunk."""


def batch(job: Job, readings: pl.DataFrame) -> pl.DataFrame:
    """Readings of a chunk (schema ROWS) as the suite READINGS takes them."""
    return judged(job, readings).with_row_index(ROW)


def _with_room(meters: pl.DataFrame) -> pl.DataFrame:
    """`room`: how far the high limit is above the low one."""
    return meters.with_columns((pl.col("high_limit") - pl.col("low_limit")).alias("room"))


METERS = Suite(
    name="meters",
    table=METER,
    checks=(
        Check(
            "ExpectColumnValuesToBeBetween",
            "points",
            "the meter has several points of type ENERGY_VALUE",
            "Leave one in tbl_meters_points: MyEMS would count the energy of each as the meter's",
            {"max_value": 1},
        ),
        Check(
            "ExpectColumnValuesToBeBetween",
            "high_limit",
            "hourly_high_limit is below hourly_low_limit",
            "Correct the limits in MyEMS: no hour can be counted",
            {"min_value": 0},
            "room",
        ),
    ),
    prepare=_with_room,
)
"""A meter that fails is left out, and told; the others are computed."""

READINGS = Suite(
    name="meter_readings",
    table=READING,
    checks=range_checks(READING, ["value"], "Mark the reading as bad in tbl_energy_value: no counter is that far"),
    context={ROW: pl.UInt32()},
)
"""Good readings, as MyEMS and the cleaning marked them: what is nonsense but possible is theirs to judge."""
