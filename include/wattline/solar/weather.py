"""Invented weather over a simulated plant: clear sky by pvlib, clouds and temperature from the seed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
from pvlib.clearsky import simplified_solis
from pvlib.irradiance import erbs, get_extra_radiation, get_total_irradiance
from pvlib.solarposition import get_solarposition
from pvlib.temperature import faiman

from wattline.solar.fleet import Plant

Array = npt.NDArray[np.float64]

MINUTE = timedelta(minutes=1)
_SKIES = ((0.97, 0.02), (0.65, 0.25), (0.25, 0.08))
"""Clear, broken and overcast: mean and spread of the share of clear-sky light."""
_SKY_CHANCES = (0.45, 0.35, 0.20)
_KNOT_MINUTES = 10
_FADING = 0.6 * 0.8 ** np.arange(20)
"""How clouds carry over from one knot to the next; the noise they are made of keeps a spread of 1."""


def minutes_of_day(plant: Plant, day: date) -> int:
    """Length of the plant's local day, in minutes: 1440, except where clocks change."""
    return round((midnight(plant, day + timedelta(days=1)) - midnight(plant, day)) / MINUTE)


def midnight(plant: Plant, day: date) -> datetime:
    """The start of the plant's local day, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=plant.zone).astimezone(UTC)


def sun_on_panels(plant: Plant, days: list[date], seed: int) -> tuple[Array, Array]:
    """Light on the panels (W/m²) and cell temperature (°C), one value a minute of the consecutive local `days`."""
    times = pd.date_range(midnight(plant, days[0]), midnight(plant, days[-1] + timedelta(days=1)), freq=MINUTE)[:-1]
    # The day of the year goes in as a number: pvlib asks pandas for it in a way that pandas is giving up.
    day_of_year = times.day_of_year
    sun = get_solarposition(times, plant.latitude, plant.longitude)
    extra = get_extra_radiation(day_of_year)
    clear = simplified_solis(sun["apparent_elevation"], dni_extra=extra)
    weather = [_clouds_and_warmth(plant, day, seed) for day in days]
    ghi = clear["ghi"] * np.concatenate([clouds for clouds, _ in weather])
    parts = erbs(ghi, sun["zenith"], day_of_year)
    light = get_total_irradiance(
        plant.tilt, 180, sun["apparent_zenith"], sun["azimuth"], parts["dni"], ghi, parts["dhi"]
    )["poa_global"].to_numpy(np.float64, na_value=0)
    return light, np.asarray(faiman(light, np.concatenate([air for _, air in weather]), wind_speed=1.5))


def _clouds_and_warmth(plant: Plant, day: date, seed: int) -> tuple[Array, Array]:
    """Share of clear-sky light and air temperature (°C) by the minute; the same for a day whatever the window."""
    random = np.random.default_rng((seed, plant.mcno, day.toordinal()))
    minutes = np.arange(minutes_of_day(plant, day))
    knots = np.arange(0, len(minutes) + _KNOT_MINUTES, _KNOT_MINUTES)
    mean, spread = _SKIES[random.choice(len(_SKIES), p=_SKY_CHANCES)]
    noise = np.convolve(random.normal(size=len(knots)), _FADING)[: len(knots)]
    clouds = np.clip(np.interp(minutes, knots, mean + spread * noise), 0.05, 1.05)
    season = 12 + 13 * np.sin(2 * np.pi * (day.timetuple().tm_yday - 110) / 365) + random.normal(scale=2)
    return clouds, season + 5 * np.sin(2 * np.pi * (minutes / 60 - 9) / 24)
