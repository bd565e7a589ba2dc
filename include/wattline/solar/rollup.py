"""Months and years: always the sum of their days, so that a day that is computed again keeps them right."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from wattline.solar.performance import TICKS_PER_HOUR, capacities
from wattline.solar.summary_tables import PERIOD_GENERATION

_INVERTER = ("mcno", "invno")


def period_generation(computed: pl.DataFrame, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """PERIOD_GENERATION rows, in key order, of the months and years that the computed days belong to.

    Their capacity is that of the last of their days: of a period's yield, too, as if it had been there all the time.

    Args:
        computed: DAY_PERFORMANCE rows, which take the place of what was stored.
        inputs: the frames of `collect_summary`: `month_days, months, plants, inverters`.
    """
    day = (*_INVERTER, "day")
    stored = inputs["month_days"].rename({"daykw": "energy"})
    days = pl.concat(
        [computed.select(*day, "energy", "running_hours"), stored.join(computed, on=day, how="anti")],
        how="diagonal",
    )
    # Hours are summed as whole ticks: sums of floats depend on their order.
    ticks = (pl.col("running_hours") * TICKS_PER_HOUR).round().cast(pl.Int64)
    days = days.with_columns(start=pl.col("day").dt.truncate("1mo"), last="day", ticks=ticks, days=pl.lit(1))
    months = _summed(days)
    others = inputs["months"].join(months, on=(*_INVERTER, "start"), how="anti")
    others = others.with_columns(ticks=ticks, last=pl.col("start").dt.month_end())
    both = pl.concat([months, others.select(months.columns)], how="vertical_relaxed")
    years = _summed(both.with_columns(pl.col("start").dt.truncate("1y")))
    rows = pl.concat([months.with_columns(period=pl.lit("month")), years.with_columns(period=pl.lit("year"))])
    rows = rows.rename({"last": "day"})
    rows = rows.join(capacities(inputs, rows.select("mcno", "day").unique()), on=(*_INVERTER, "day"), how="left")
    rated = pl.when(pl.col("capacity_kw") > 0).then("capacity_kw")
    rows = rows.with_columns(
        running_hours=pl.col("ticks") / TICKS_PER_HOUR, specific_yield=pl.col("energy").cast(pl.Float64) / rated
    )
    return PERIOD_GENERATION.conform(rows).sort(PERIOD_GENERATION.key)


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    """`energy, days, last, ticks` per inverter and `start`; ticks are null where none of the rows has any."""
    known = pl.when(pl.col("ticks").count() > 0).then(pl.col("ticks").sum())
    return rows.group_by(*_INVERTER, "start").agg(
        pl.col("energy").sum(), pl.col("days").sum(), pl.col("last").max(), ticks=known
    )
