"""Lifetime energy counters that never fall: segments, their boundaries and their offsets.

`total = counter + offset`. A counter that falls (replaced or reset) or rises by more than the inverter can make begins
a new segment: its first value adds no energy, its later growth does. A counter that comes back to where the segment
before would be (one nonsense zero, one spike) goes on in that segment, as if nothing had happened.
"""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from wattline.storage.contract import ENERGY

MARGIN = 1.5
"""How far above its rated power an inverter may be for a short while."""
RESOLUTION_KWH = 1.0
"""The coarsest step in which counters are read: growth below it is always possible."""
_ANY_INVERTER_KW = 20_000.0


def with_segments(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `total`, `boundary` and the filled `segment_offset`, `previous_offset` to rows of a counter.

    Args:
        rows: `mcno, invno, at, totkw` (kWh) and `capacity_kw` (kW; null or 0 where unknown), in time order per
            inverter. The first row of an inverter may bring `segment_offset` and `previous_offset` (kWh) from an
            earlier computation.

    Returns:
        The rows in the same order. `total` (kWh) never falls within an inverter.
    """
    key = ["mcno", "invno"]
    for name in ("segment_offset", "previous_offset"):
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None, dtype=ENERGY).alias(name))
    hours = (pl.col("at") - pl.col("at").shift(1).over(key)).dt.total_seconds() / 3600
    growth = pl.col("totkw") - pl.col("totkw").shift(1).over(key)
    # A rating of 0 is a field of the register that nobody filled in, so it says as little as null.
    rated = pl.when(pl.col("capacity_kw") > 0).then("capacity_kw").otherwise(_ANY_INVERTER_KW)
    rows = rows.with_columns(
        growth=growth.cast(ENERGY),
        limit=rated * MARGIN * hours + RESOLUTION_KWH,
    ).with_row_index("position")
    breaks = (pl.col("growth") < 0) | (pl.col("growth").cast(pl.Float64) > pl.col("limit"))
    rows = rows.with_columns(boundary=breaks.fill_null(value=False))
    rows = rows.join(_offsets(rows), on="position", how="left", maintain_order="left")
    first = pl.int_range(pl.len()).over(key) == 0
    started = pl.when(first & pl.col("new_offset").is_null())
    rows = rows.with_columns(
        new_offset=started.then(pl.col("segment_offset").fill_null(0)).otherwise(pl.col("new_offset")),
        # Position marks which row last decided the pair, so that a null previous_offset is carried forward too.
        decided=pl.when(first | pl.col("boundary")).then(pl.col("position")),
        new_previous=pl.when(first).then(pl.col("previous_offset")).otherwise(pl.col("new_previous")),
    )
    rows = rows.with_columns(pl.col("decided").forward_fill().over(key))
    pair = rows.select("position", "new_offset", "new_previous").rename({"position": "decided"})
    rows = rows.drop("new_offset", "new_previous", "segment_offset", "previous_offset").join(
        pair, on="decided", how="left", maintain_order="left"
    )
    rows = rows.rename({"new_offset": "segment_offset", "new_previous": "previous_offset"})
    total = (pl.col("totkw") + pl.col("segment_offset")).cast(ENERGY)
    return rows.with_columns(total=total).drop("position", "growth", "limit", "decided")


def _offsets(rows: pl.DataFrame) -> pl.DataFrame:
    """`position, new_offset, new_previous` of every boundary row.

    Boundaries are rare, so their chain is walked in Python: each depends on the one before.
    """
    broken = rows.filter(pl.col("boundary").any().over("mcno", "invno"))
    firsts = broken.group_by("mcno", "invno", maintain_order=True).first()
    offsets = {
        (r["mcno"], r["invno"]): (r["segment_offset"] or Decimal(0), r["previous_offset"]) for r in firsts.to_dicts()
    }
    decided = []
    for row in broken.filter("boundary").select("position", "mcno", "invno", "totkw", "growth", "limit").to_dicts():
        inverter = (row["mcno"], row["invno"])
        offset, previous = offsets[inverter]
        grown = None if previous is None else row["growth"] - offset + previous
        if grown is not None and 0 <= grown <= row["limit"]:
            offset, previous = previous, None
        else:
            offset, previous = offset - row["growth"], offset
        offsets[inverter] = (offset, previous)
        decided.append((row["position"], offset, previous))
    schema = {"position": pl.UInt32(), "new_offset": ENERGY, "new_previous": ENERGY}
    return pl.DataFrame(decided, schema=schema, orient="row")
