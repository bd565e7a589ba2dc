"""Contracts of what `generation_summary` says of a plant's days, months and years."""

from __future__ import annotations

import polars as pl

from wattline.solar.tables import DAY_GENERATION, INVNO_OR_PLANT, MCNO
from wattline.storage.contract import ENERGY, POWER, Column, Table

_DAY = DAY_GENERATION.column("day")
_OF_DAY = (MCNO, INVNO_OR_PLANT, _DAY)
_CAPACITY = Column(
    "capacity_kw",
    POWER,
    "inverter: rated AC power; plant: installed DC power, or else the ratings in use on the day, the period's last day",
    "kW",
    nullable=True,
)
_YIELD = Column("specific_yield", pl.Float64(), "energy a kW of capacity_kw", "kWh/kW", nullable=True)
_HOURS = Column(
    "running_hours", pl.Float64(), "ticks with power, of the plant: of any inverter; null: no ticks known", "h", True
)

DAY_PERFORMANCE = Table(
    name="day_performance",
    key=("mcno", "invno", "day"),
    columns=(
        *_OF_DAY,
        Column("energy", ENERGY, "daykw of day_generation", "kWh", minimum=0),
        _CAPACITY,
        _YIELD,
        _HOURS,
        Column(
            "irradiation",
            pl.Float64(),
            "light on the panels in the daylight of the day so far; null where less than 90 % of it is known",
            "kWh/m²",
            nullable=True,
        ),
        Column(
            "irradiance_coverage",
            pl.Float64(),
            "known share of the daylight of the day so far; null without sensor or daylight",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
        Column(
            "performance_ratio",
            pl.Float64(),
            "specific_yield over irradiation in hours of 1 kW/m²; of plants whose installed DC power is known",
            nullable=True,
        ),
        Column("peers", pl.Int32(), "how many inverters of the plant have a specific yield and data", minimum=0),
        Column(
            "peer_deviation",
            pl.Float64(),
            "specific yield over the median of the peers, minus 1; null with fewer than 3 of them, or a median of 0",
            nullable=True,
        ),
    ),
    mongo="day_performance",
    indexes=(("day",),),
)
"""How an inverter, or plant, did on a local day; a day under way so far."""

PERIOD_GENERATION = Table(
    name="period_generation",
    key=("mcno", "invno", "period", "start"),
    columns=(
        MCNO,
        INVNO_OR_PLANT,
        Column("period", pl.String(), "month or year"),
        Column("start", pl.Date(), "its first local day"),
        Column("energy", ENERGY, "sum over its days", "kWh", minimum=0),
        Column("days", pl.Int32(), "how many of its days have a row", minimum=0),
        _CAPACITY,
        _YIELD,
        _HOURS,
    ),
    mongo="period_generation",
    indexes=(("start",),),
)
"""Energy of a plant's local months and years, always the sum of the days that are known."""

GENERATION_CHECK = Table(
    name="generation_check",
    key=("mcno", "invno", "day"),
    columns=(
        *_OF_DAY,
        Column("hours", ENERGY, "sum of timekw over the day's hours", "kWh", nullable=True, minimum=0),
        Column("daykw", ENERGY, "daykw of day_generation", "kWh", nullable=True, minimum=0),
        Column("growth", ENERGY, "growth of totkw from tick row to tick row", "kWh", nullable=True, minimum=0),
        Column("inverters", ENERGY, "of the plant: sum of daykw over its inverters", "kWh", nullable=True, minimum=0),
        Column("difference", ENERGY, "the largest of the figures minus the smallest", "kWh", minimum=0),
        Column("agrees", pl.Boolean(), "the difference is within 0.5 % of the largest figure, or 1 kWh an inverter"),
        Column("explained_by", pl.String(), "flags that explain a difference, else null", nullable=True),
        Column("finding", pl.String(), "plant, inverter, day, amount and flags, for people", nullable=True),
    ),
    mongo="generation_check",
    indexes=(("day", "agrees"),),
)
"""Whether the figures of a local day that is over agree."""

SUMMARY_TABLES = (DAY_PERFORMANCE, PERIOD_GENERATION, GENERATION_CHECK)
"""The contracts of this module."""
