"""Where the sun stands, beside pvlib's own way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pvlib.solarposition import get_solarposition

from wattline.solar.sun import elevation

PLACES = [
    (36.0, 127.0),
    (52.5, 13.4),
    (0.0, 0.0),
    (-33.9, 151.2),
    (37.8, -122.4),
    (69.6, 18.9),
    (-77.8, 166.7),
    (90.0, 0.0),
    (23.4, 179.9),
]


@pytest.mark.parametrize("year", [1950, 2000, 2024, 2026, 2027, 2100])
def test_it_is_near_to_the_exact_way_at_any_time_and_place(year: int) -> None:
    times = pd.date_range(f"{year}-01-01", f"{year + 1}-01-01", freq="173min", tz="UTC")
    at = times.tz_localize(None).to_numpy()
    latitude, longitude = np.array(PLACES).T[:, :, None]
    found = elevation(at, latitude, longitude)
    exact = [get_solarposition(times, *place)["elevation"].to_numpy() for place in PLACES]
    assert found.shape == (len(PLACES), len(times))
    assert np.abs(found - exact).max() < 0.4


@pytest.mark.parametrize(
    ("day", "latitude", "hours"),
    [
        ("2026-06-21", 78.2, 24),  # Svalbard in summer: the sun does not set
        ("2026-12-21", 78.2, 0),
        ("2026-12-21", -78.2, 24),
        ("2026-03-20", 0.0, 12),
        ("2026-06-21", 37.5, 14.7),
    ],
)
def test_a_day_has_its_hours_of_light(day: str, latitude: float, hours: float) -> None:
    minutes = np.datetime64(day) + np.arange(1440) * np.timedelta64(1, "m")
    assert (elevation(minutes, latitude, 0.0) > 0).sum() / 60 == pytest.approx(hours, abs=0.1)


def test_noon_is_where_the_sun_is_highest() -> None:
    # In Seoul (127° E) on 1 November: 12:15:36 local time, by the almanac.
    noon = datetime(2026, 11, 1, 3, 15, tzinfo=UTC)
    minutes = np.array([(noon + timedelta(minutes=n)).replace(tzinfo=None) for n in range(-90, 91)], "datetime64[us]")
    assert abs(int(elevation(minutes, 37.57, 126.98).argmax()) - 90) <= 2
