"""The contracts of the solar system: every table and collection, its key, units and ranges.

Two kinds of log are kept apart (ADR 0005). A *reading* is what a field gateway sent, at the gateway's own time, never
edited. A *tick row* is what the `inverterlog` pipeline says of an inverter at the end of a ten-minute interval.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl

from wattline.storage.contract import ENERGY, POWER, UTC_TIME, Column, Table

TICK = timedelta(minutes=10)
"""The distance of two ticks."""

MAX_CLOCK_AHEAD = TICK
"""How far a gateway's clock may be ahead of the server's: one tick."""

PLANT = 0
"""`invno` of a row that speaks of the whole plant."""

_INT = pl.Int32()
_TEXT = pl.String()
_MAX_POWER_KW = 20_000.0
_MAX_COUNTER_KWH = 999_999_999_999.0

MCNO = Column("mcno", _INT, "plant number", minimum=1)
_INVNO = Column("invno", _INT, "inverter number, unique inside the plant", minimum=1)
INVNO_OR_PLANT = Column("invno", _INT, "inverter number; 0 is the whole plant", minimum=0)
_DAY = Column("day", pl.Date(), "the plant's local day")

CUSTOMER = Table(
    name="customer",
    key=("mcno",),
    columns=(
        MCNO,
        Column("name", _TEXT, "name of the plant"),
        Column("owner", _TEXT, "owner of the plant", nullable=True),
        Column("address", _TEXT, "postal address", nullable=True),
        Column("latitude", pl.Float64(), "latitude of the site", "degrees north", minimum=-90, maximum=90),
        Column("longitude", pl.Float64(), "longitude of the site", "degrees east", minimum=-180, maximum=180),
        Column("timezone", _TEXT, "IANA time zone that defines the plant's day"),
        Column("status", _TEXT, "in_use, in_progress (being built) or not_in_use"),
        Column("capacity_kw", POWER, "installed DC power", "kWp", nullable=True, minimum=0),
        Column("updated_at", UTC_TIME, "last change of the row"),
    ),
    mysql="customer",
    indexes=(("updated_at",),),
)

_REGISTER = (
    Column("capacity_kw", POWER, "rated AC power", "kW", nullable=True, minimum=0, maximum=_MAX_POWER_KW),
    Column("serial_no", _TEXT, "serial number on the nameplate", nullable=True),
    Column("installed_at", UTC_TIME, "in use from this instant on"),
    Column("removed_at", UTC_TIME, "in use until before this instant; null while in use", nullable=True),
)
_MEASURED = (
    Column("ackw", POWER, "AC power now", "kW", True, -_MAX_POWER_KW / 100, _MAX_POWER_KW),
    Column("dckw", POWER, "DC power now", "kW", True, -_MAX_POWER_KW / 100, _MAX_POWER_KW),
    Column("daykw", ENERGY, "energy since local midnight, by the inverter", "kWh", True, 0, _MAX_POWER_KW * 24),
    Column("totkw", ENERGY, "lifetime energy counter, by the inverter", "kWh", True, 0, _MAX_COUNTER_KWH),
    Column("status", _INT, "status word: 0 off, 1 running, 2 grid loss, 3 fault", nullable=True, minimum=0),
)

INVERTER = Table(
    name="inverter",
    key=("mcno", "invno"),
    columns=(
        MCNO,
        _INVNO,
        *_REGISTER,
        Column("at", UTC_TIME, "time of the newest reading; null before the first", nullable=True),
        *_MEASURED,
        Column("updated_at", UTC_TIME, "last change of the row"),
    ),
    mysql="inverter",
    mongo="inverter",
    indexes=(("updated_at",),),
)
"""The register of inverters with the newest reading of each."""

READING = Table(
    name="reading",
    key=("mcno", "invno", "at"),
    columns=(
        MCNO,
        _INVNO,
        Column("at", UTC_TIME, "time of the reading, by the gateway's clock"),
        *_MEASURED,
        Column("received_at", UTC_TIME, "when the row was written to MySQL or accepted by the API"),
    ),
    mysql="inverterlog",
    mongo="inverter_reading",
    month_column="at",
    indexes=(("at",), ("received_at",)),
)
"""What the gateways sent: MySQL `inverterlog`, MongoDB `inverter_reading_YYYYMM`."""

TICK_ROW = Table(
    name="inverterlog",
    key=("mcno", "invno", "at"),
    columns=(
        MCNO,
        _INVNO,
        Column("at", UTC_TIME, "the tick: end of the ten-minute interval"),
        Column("ackw", POWER, "AC power, 0 where stale", "kW"),
        Column("dckw", POWER, "DC power, 0 where stale", "kW"),
        Column("daykw", ENERGY, "energy since local midnight", "kWh", minimum=0),
        Column("totkw", ENERGY, "lifetime energy, never falling", "kWh", minimum=0),
        Column("status", _INT, "status word of the reading; null before the first", nullable=True),
        Column("stale", pl.Boolean(), "the newest reading is older than the tick's interval, or there is none"),
        Column("counter_reset", pl.Boolean(), "a counter segment began in the tick's interval"),
        Column("daykw_carried", pl.Boolean(), "the inverter still shows an earlier day's energy; daykw is 0"),
        Column("reading_at", UTC_TIME, "time of the reading behind the row; null before the first", nullable=True),
        Column("reading_daykw", ENERGY, "daykw as the inverter said it", "kWh", nullable=True),
        Column("reading_totkw", ENERGY, "totkw as the inverter said it", "kWh", nullable=True),
        Column("day_peak", ENERGY, "largest daykw so far on the local day of the tick's interval", "kWh", minimum=0),
        Column("segment_offset", ENERGY, "totkw minus reading_totkw: what earlier counter segments made", "kWh"),
        Column("previous_offset", ENERGY, "segment_offset before the last boundary", "kWh", nullable=True),
        Column("previous_at", UTC_TIME, "time of the last reading before that boundary", nullable=True),
    ),
    mysql="inverterlog_tick",
    mongo="inverterlog",
    month_column="at",
    indexes=(("at",),),
)
"""One row per inverter in use and tick: MySQL `inverterlog_tick`, MongoDB `inverterlog_YYYYMM`."""

TICK_ENERGY = replace(
    TICK_ROW,
    columns=tuple(
        TICK_ROW.column(name)
        for name in ("mcno", "invno", "at", "day_peak", "totkw", "stale", "counter_reset", "reading_at")
    ),
)
"""What pipelines that sum up energy read of a tick row."""

DAY_GENERATION = Table(
    name="day_generation",
    key=("mcno", "invno", "day"),
    columns=(
        MCNO,
        INVNO_OR_PLANT,
        _DAY,
        Column("daykw", ENERGY, "largest daykw of the day; of the plant: the sum of its inverters", "kWh", minimum=0),
    ),
    mysql="daygeneration",
    mongo="day_generation",
    indexes=(("day",),),
)

DAY_TOTAL_GENERATION = Table(
    name="day_total_generation",
    key=("mcno", "invno", "day"),
    columns=(
        MCNO,
        INVNO_OR_PLANT,
        _DAY,
        Column("totkw", ENERGY, "last totkw of the day; of the plant: the sum of those in use", "kWh", minimum=0),
    ),
    mysql="daytotalgeneration",
    mongo="day_total_generation",
    indexes=(("day",),),
)
"""Lifetime energy at the end of the day. A plant's is the sum over the inverters in use on that day, so it falls when
one is taken out."""

TABLES = (CUSTOMER, INVERTER, READING, TICK_ROW, DAY_GENERATION, DAY_TOTAL_GENERATION)
"""Every contract of the solar system; the schema tests walk over it."""
