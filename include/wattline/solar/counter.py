"""Lifetime energy counters that never fall: segments, their boundaries and their offsets.

`total = counter + offset`. A counter that falls (replaced or reset) or rises by more than the inverter can make begins
a new segment: its first value adds no energy, its later growth does. A counter that comes back to where the segment
before would be (one nonsense zero, one spike) goes on in that segment, as if nothing had happened.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from wattline.storage.contract import ENERGY, UTC_TIME

MARGIN = 1.5
"""How far above its rated power an inverter may be for a short while."""
RESOLUTION_KWH = 1.0
"""The coarsest step in which counters are read: growth below it is always possible."""
ANY_INVERTER_KW = 20_000.0
"""Stands in for a rated power that nobody knows: the largest there is."""


_SEGMENT = {"segment_offset": ENERGY, "previous_offset": ENERGY, "previous_at": UTC_TIME}
"""What a computation remembers of an inverter's segments: the offset of this one, offset and end of the one before."""


def with_segments(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `total`, `boundary` and the filled columns of the segment to rows of a counter.

    Args:
        rows: `mcno, invno, at, totkw` (kWh) and `capacity_kw` (kW; null or 0 where unknown), in time order per
            inverter. The first row of an inverter may bring `segment_offset`, `previous_offset` (kWh) and `previous_at`
            (UTC) from an earlier computation.

    Returns:
        The rows in the same order. `total` (kWh) never falls within an inverter.
    """
    key = ["mcno", "invno"]
    rows = rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _SEGMENT.items() if name not in rows)
    # A rating of 0 is a field of the register that nobody filled in, so it says as little as null.
    rated = pl.when(pl.col("capacity_kw") > 0).then("capacity_kw").otherwise(ANY_INVERTER_KW)
    rows = rows.with_columns(
        rated=rated,
        before=pl.col("at").shift(1).over(key),
        growth=(pl.col("totkw") - pl.col("totkw").shift(1).over(key)).cast(ENERGY),
    ).with_row_index("position")
    hours = (pl.col("at") - pl.col("before")).dt.total_seconds() / 3600
    breaks = (pl.col("growth") < 0) | (pl.col("growth").cast(pl.Float64) > _most(pl.col("rated"), hours))
    rows = rows.with_columns(boundary=breaks.fill_null(value=False))
    first = pl.int_range(pl.len()).over(key) == 0
    begun = rows.filter(first).select(
        "position", pl.col("segment_offset").fill_null(0), "previous_offset", "previous_at"
    )
    decided = pl.concat([begun, _boundaries(rows)])
    # The row that last decided the segment is carried forward, so that a null in it is carried forward too.
    rows = rows.with_columns(decided=pl.when(first | pl.col("boundary")).then("position").forward_fill().over(key))
    rows = rows.drop(_SEGMENT).join(
        decided.rename({"position": "decided"}), on="decided", how="left", maintain_order="left"
    )
    total = (pl.col("totkw") + pl.col("segment_offset")).cast(ENERGY)
    return rows.with_columns(total=total).drop("position", "rated", "before", "growth", "decided")


def _most(rated: Any, hours: Any) -> Any:
    """The largest growth in kWh that an inverter can make in `hours`; of numbers and of expressions alike."""
    return rated * MARGIN * hours + RESOLUTION_KWH


def _boundaries(rows: pl.DataFrame) -> pl.DataFrame:
    """`position` and the segment that begins with every boundary row.

    Boundaries are rare, so their chain is walked in Python: each depends on the one before.
    """
    broken = rows.filter(pl.col("boundary").any().over("mcno", "invno"))
    firsts = broken.group_by("mcno", "invno", maintain_order=True).first()
    segments = {
        (r["mcno"], r["invno"]): (r["segment_offset"] or Decimal(0), r["previous_offset"], r["previous_at"])
        for r in firsts.to_dicts()
    }
    found = []
    columns = ("position", "mcno", "invno", "at", "before", "growth", "rated")
    for row in broken.filter("boundary").select(columns).to_dicts():
        inverter = (row["mcno"], row["invno"])
        segments[inverter] = _next_segment(row, *segments[inverter])
        found.append((row["position"], *segments[inverter]))
    return pl.DataFrame(found, schema={"position": pl.UInt32(), **_SEGMENT}, orient="row")


def _next_segment(
    row: dict[str, Any], offset: Decimal, previous: Decimal | None, previous_at: datetime | None
) -> tuple[Decimal, Decimal | None, datetime | None]:
    """The segment that begins with a boundary row: the one before the last boundary, where it fits, else a new one."""
    if previous is not None and previous_at is not None:
        grown = row["growth"] - offset + previous
        if 0 <= grown <= _most(row["rated"], (row["at"] - previous_at).total_seconds() / 3600):
            return previous, None, None
    return offset - row["growth"], offset, row["before"]
