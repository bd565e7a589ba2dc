"""From irradiance to the irradiation of a day: how much light fell on the panels, and how much of the day is known.

The day is cut into ten-minute slots. A slot's irradiance is that of its middle, on the straight line between the
values before and after, where these are at most half an hour apart. Slots count while the sun is up.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from wattline.solar.tables import TICK

LONGEST_GAP = timedelta(minutes=30)
"""Two values further apart say nothing of the time between them."""
LEAST_COVERAGE = 0.9
"""Share of the daylight that must be known before a day has an irradiation."""
_SLOT = f"{int(TICK.total_seconds() // 60)}m"
_HALF = TICK / 2
_HOURS = TICK / timedelta(hours=1)


def irradiation(days: pl.DataFrame, irradiance: pl.DataFrame) -> pl.DataFrame:
    """Irradiation of days, by plant.

    Args:
        days: `mcno, day, start, until` (UTC; where the day ends, or as far as it is known), `latitude, longitude`.
        irradiance: IRRADIANCE rows, a little beyond the ends of the days.

    Returns:
        `mcno, day`, `irradiation` (kWh/m², null where less than LEAST_COVERAGE is known) and `irradiance_coverage`
        (0 to 1) of the days that have daylight, of plants with any irradiance.
    """
    from wattline.solar.sun import elevation  # noqa: PLC0415 - pvlib takes a second to import

    values = irradiance.select("mcno", "at", "poa_kw_m2").drop_nulls().sort("at")
    measured = days.join(values, on="mcno", how="semi").filter(pl.col("until") > pl.col("start"))
    last = pl.col("until").dt.offset_by("-1us")
    slots = measured.with_columns(middle=pl.datetime_ranges("start", last, _SLOT)).explode("middle")
    slots = slots.with_columns(pl.col("middle") + _HALF).sort("middle")
    sites = (slots[name].to_numpy() for name in ("latitude", "longitude"))
    up = pl.Series(elevation(slots["middle"].to_numpy(), *sites) > 0)
    slots = _between_values(slots.filter(up), values)
    totals = slots.group_by("mcno", "day", maintain_order=True).agg(
        irradiance_coverage=pl.col("value").is_not_null().mean(), irradiation=pl.col("value").sum() * _HOURS
    )
    known = pl.when(pl.col("irradiance_coverage") >= LEAST_COVERAGE).then("irradiation")
    return totals.with_columns(irradiation=known)


def _between_values(slots: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    """`slots` with `value` in their `middle`; null where no two values near each other stand around it."""
    before = values.rename({"at": "at_before", "poa_kw_m2": "before"})
    after = values.rename({"at": "at_after", "poa_kw_m2": "after"})
    rows = slots.join_asof(before, left_on="middle", right_on="at_before", by="mcno", check_sortedness=False)
    rows = rows.join_asof(
        after, left_on="middle", right_on="at_after", by="mcno", strategy="forward", check_sortedness=False
    )
    gap = pl.col("at_after") - pl.col("at_before")
    share = (pl.col("middle") - pl.col("at_before")) / gap
    line = pl.col("before") + (pl.col("after") - pl.col("before")) * pl.when(gap > timedelta(0)).then(share).otherwise(
        0.0
    )
    return rows.with_columns(value=pl.when(gap <= LONGEST_GAP).then(line))
