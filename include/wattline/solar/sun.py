"""Where the sun stands, for many times and places at once.

pvlib's `get_solarposition` takes one place at a time and a quarter of a second for a year of minutes. Its formulas of
Spencer (1971) are a few tenths of a degree off and take arrays of any shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pvlib.solarposition import declination_spencer71, equation_of_time_spencer71, solar_zenith_analytical

Array = npt.NDArray[np.float64]

_DAY, _HOUR = np.timedelta64(1, "D"), np.timedelta64(1, "h")


def elevation(at: npt.NDArray[np.datetime64], latitude: Any, longitude: Any) -> Array:
    """The sun's angle above the horizon in degrees, without the air's refraction; below it negative.

    It is at the most 0.4 degrees off, anywhere between the years 1950 and 2100.

    Args:
        at: UTC.
        latitude: degrees north, numbers that are broadcast against `at`.
        longitude: degrees east, likewise.
    """
    days = at.astype("datetime64[D]")
    hours = (at - days) / _HOUR
    day_of_year = (days - at.astype("datetime64[Y]").astype("datetime64[D]")) / _DAY + hours / 24 + 1
    hour_angle = 15 * (hours - 12) + longitude + equation_of_time_spencer71(day_of_year) / 4
    zenith = solar_zenith_analytical(np.radians(latitude), np.radians(hour_angle), declination_spencer71(day_of_year))
    return np.asarray(90 - np.degrees(zenith), np.float64)
