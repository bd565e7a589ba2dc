"""Contracts of the statistics of power: one document an inverter, or plant, and local day, with arrays over its slots.

A slot is ten minutes of elapsed time, counted from local midnight, so a day has 144, and 138 or 150 where clocks
change (ADR 0015). A tick row speaks of the slot that it ends. Only rows that are not stale count.
"""

from __future__ import annotations

import polars as pl

from wattline.solar.tables import DAY_GENERATION, INVNO_OR_PLANT, MCNO, READING, TICK_ROW
from wattline.storage.contract import POWER, UTC_TIME, Column, Table

_COUNT = pl.Int32()
_COUNTS, _POWERS = pl.List(pl.Int32()), pl.List(pl.Float64())

LOG = Table(
    name="inverterlog",
    key=TICK_ROW.key,
    columns=tuple(
        READING.column(name) if name in ("ackw", "dckw") else TICK_ROW.column(name)
        for name in (*TICK_ROW.key, "ackw", "dckw")
    ),
    mongo=TICK_ROW.mongo,
    month_column=TICK_ROW.month_column,
)
"""What statistics need of a tick row; power in the range that a reading may have."""


def _statistics(name: str, mongo: str, middle: str, sums: tuple[Column, ...]) -> Table:
    def power(column: str, of: str, unit: str = "kW") -> Column:
        return Column(column, _POWERS, f"{middle} of {of} in the slot; null without logs", unit, nullable=True)

    def of_day(column: str, of: str, unit: str = "kW") -> Column:
        doc = f"{middle} of {of} over the logs in daylight slots; null without such logs"
        return Column(column, POWER, doc, unit, nullable=True)

    ac, dc = "AC power of an inverter", "DC power of an inverter"
    rated = " per kW of its rated AC power, where that is known,"
    return Table(
        name=name,
        key=("mcno", "invno", "day"),
        columns=(
            MCNO,
            INVNO_OR_PLANT,
            DAY_GENERATION.column("day"),
            Column("start", UTC_TIME, "local midnight, where the first slot begins"),
            Column("slots", _COUNT, "slots of the day", minimum=1),
            Column(
                "installed_kw", POWER, "rated AC power; of a plant: of its inverters with logs", "kW", nullable=True
            ),
            Column("count", _COUNTS, "logs in each slot"),
            *sums,
            power("ackw", ac),
            power("dckw", dc),
            power("ackw_per_kw", ac + rated, "kW/kW"),
            power("dckw_per_kw", dc + rated, "kW/kW"),
            Column("daylight_slots", _COUNT, "slots in whose middle the sun is above the horizon", minimum=0),
            Column("day_count", _COUNT, "logs in daylight slots", minimum=0),
            of_day("ackw_day", ac),
            of_day("dckw_day", dc),
            of_day("ackw_day_per_kw", ac + rated, "kW/kW"),
            of_day("dckw_day_per_kw", dc + rated, "kW/kW"),
        ),
        mongo=mongo,
        indexes=(("day",),),
    )


_SUMS = tuple(
    Column(f"{name}_sum", _POWERS, f"sum of {current} power over the logs in each slot", "kW")
    for name, current in (("ackw", "AC"), ("dckw", "DC"))
)
STATISTICS_AVG = _statistics("statistics_inverter_avg", "statics_inverter_avg", "mean", _SUMS)
STATISTICS_MEDIAN = _statistics("statistics_inverter_median", "statics_inverter_median", "median", ())
STATISTICS_TABLES = (STATISTICS_AVG, STATISTICS_MEDIAN)
