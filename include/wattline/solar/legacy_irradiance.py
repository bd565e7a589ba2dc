"""Irradiance of simulated plants that have a sensor: the light of the same weather that makes their power."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from wattline.solar.fleet import FIRST_MCNO, Plant
from wattline.solar.weather import MINUTE, midnight, sun_on_panels
from wattline.storage.contract import UTC_TIME

_WITH_SENSOR = (0, 2)
"""Two plants in five have a sensor: the first and the third."""
_PLACES = 4
_SCHEMA = {"mcno": pl.Int32(), "minute": UTC_TIME, "poa_kw_m2": pl.Float64()}


def has_sensor(plant: Plant) -> bool:
    """Whether the plant measures irradiance."""
    return (plant.mcno - FIRST_MCNO) % 5 in _WITH_SENSOR


def irradiance(plants: Sequence[Plant], slots: pl.DataFrame, seed: int) -> pl.DataFrame:
    """IRRADIANCE rows: what the sensors show when gateways speak.

    Args:
        plants: some of a world.
        slots: `mcno, at, updated_at` of every time that a gateway speaks.
        seed: the world's.
    """
    spoken = slots.select("mcno", "at", "updated_at", minute=pl.col("at").dt.truncate("1m"))
    found = [pl.DataFrame(schema=_SCHEMA)]
    for plant in filter(has_sensor, plants):
        minutes = spoken.filter(pl.col("mcno") == plant.mcno)["minute"]
        found += [_light(plant, day, seed) for day in minutes.dt.convert_time_zone(plant.timezone).dt.date().unique()]
    rows = spoken.join(pl.concat(found), on=["mcno", "minute"], maintain_order="left")
    return rows.select("mcno", "at", "poa_kw_m2", "updated_at")


def _light(plant: Plant, day: date, seed: int) -> pl.DataFrame:
    """By the minute of a local day; a day alone, so that it is the same in every window."""
    watts, _ = sun_on_panels(plant, [day], seed)
    start = midnight(plant, day)
    minutes = pl.datetime_range(start, start + (len(watts) - 1) * MINUTE, MINUTE, time_unit="us", eager=True)
    light = pl.DataFrame({"minute": minutes, "poa_kw_m2": (watts / 1000).round(_PLACES)})
    return light.select(mcno=pl.lit(plant.mcno, pl.Int32), minute="minute", poa_kw_m2="poa_kw_m2").cast(
        pl.Schema(_SCHEMA)
    )
