"""The simulated plants: invented names, plausible sites, inverters of different size, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from wattline.solar.tables import CUSTOMER, INVERTER

FIRST_MCNO = 1001
"""Simulated plants are numbered from here, so that real plants can have the small numbers."""

_REGIONS = (
    ("Naju, Jeollanam-do", 35.02, 126.71),
    ("Sangju, Gyeongsangbuk-do", 36.41, 128.16),
    ("Dangjin, Chungcheongnam-do", 36.89, 126.63),
    ("Haenam, Jeollanam-do", 34.57, 126.60),
    ("Yeongju, Gyeongsangbuk-do", 36.81, 128.62),
    ("Gochang, Jeollabuk-do", 35.44, 126.70),
    ("Hapcheon, Gyeongsangnam-do", 35.57, 128.17),
    ("Seogwipo, Jeju-do", 33.30, 126.60),
    ("Cheorwon, Gangwon-do", 38.15, 127.31),
)
_ABROAD = ("Werder, Brandenburg", 52.38, 12.93)
_ABROAD_MCNO = 1003
_FIRST_WORDS = ("Haneul", "Baram", "Noeul", "Saebyeok", "Dalbit", "Sonamu", "Eunha", "Hanbit", "Areum", "Pureun")
_SECOND_WORDS = ("Hill", "Bay", "Field", "Valley", "Ridge", "Lake", "Meadow")
_RATED_KW = (20.0, 30.0, 50.0, 60.0, 100.0, 125.0)


@dataclass(frozen=True)
class Inverter:
    """One simulated inverter.

    Attributes:
        invno: number inside the plant, from 1.
        serial_no: `SIM-<seed>-<mcno>-<invno>`: tells simulated from real, and one seed from another.
        rated_kw: AC power at which it clips, kW.
        panels_kw: installed DC power behind it, kWp.
        efficiency: AC over DC at rated power, 0 to 1.
        mismatch: share of the panels' power that reaches it (dirt, mismatch, wiring), 0 to 1.
        first_totkw: lifetime counter at the local midnight before `Plant.since`, whole kWh.
    """

    invno: int
    serial_no: str
    rated_kw: float
    panels_kw: float
    efficiency: float
    mismatch: float
    first_totkw: int


@dataclass(frozen=True)
class Plant:
    """One simulated plant; `tilt` in degrees, panels look south; `since` is when its data begins, UTC."""

    mcno: int
    name: str
    address: str
    latitude: float
    longitude: float
    timezone: str
    tilt: float
    since: datetime
    inverters: tuple[Inverter, ...]

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose midnight restarts `daykw`."""
        return ZoneInfo(self.timezone)


def plants(count: int, seed: int, since: datetime) -> tuple[Plant, ...]:
    """The first `count` plants of the world `seed`; plant 1003 lies in Germany, the others in Korea.

    A plant does not depend on `count`: plant 1005 of five is plant 1005 of five hundred.
    """
    return tuple(_plant(FIRST_MCNO + number, seed, since) for number in range(count))


def _plant(mcno: int, seed: int, since: datetime) -> Plant:
    random = np.random.default_rng((seed, mcno))
    abroad = mcno == _ABROAD_MCNO
    address, latitude, longitude = _ABROAD if abroad else _REGIONS[mcno % len(_REGIONS)]
    first, second = random.choice(_FIRST_WORDS), random.choice(_SECOND_WORDS)
    return Plant(
        mcno=mcno,
        name=f"{first} {second} {mcno}",
        address=address,
        latitude=round(latitude + random.uniform(-0.1, 0.1), 4),
        longitude=round(longitude + random.uniform(-0.1, 0.1), 4),
        timezone="Europe/Berlin" if abroad else "Asia/Seoul",
        tilt=float(random.integers(15, 36)),
        since=since,
        inverters=tuple(_inverter(mcno, invno, seed, random) for invno in range(1, int(random.integers(4, 13)))),
    )


def _inverter(mcno: int, invno: int, seed: int, random: np.random.Generator) -> Inverter:
    rated_kw = float(random.choice(_RATED_KW))
    panels_kw = round(rated_kw * random.uniform(1.05, 1.35), 1)
    return Inverter(
        invno=invno,
        serial_no=f"SIM-{seed}-{mcno}-{invno}",
        rated_kw=rated_kw,
        panels_kw=panels_kw,
        efficiency=round(random.uniform(0.955, 0.985), 4),
        mismatch=round(random.uniform(0.9, 0.98), 4),
        first_totkw=int(panels_kw * 3.5 * random.integers(200, 2500)),
    )


def customers(fleet: tuple[Plant, ...]) -> pl.DataFrame:
    """The plants as CUSTOMER rows."""
    rows = [
        {
            "mcno": plant.mcno,
            "name": plant.name,
            "owner": f"Owner of {plant.name}",
            "address": plant.address,
            "latitude": plant.latitude,
            "longitude": plant.longitude,
            "timezone": plant.timezone,
            "status": "in_use",
            "capacity_kw": round(sum(inverter.panels_kw for inverter in plant.inverters), 1),
            "updated_at": plant.since,
        }
        for plant in fleet
    ]
    return pl.DataFrame(rows, schema=CUSTOMER.schema)


def register(fleet: tuple[Plant, ...]) -> pl.DataFrame:
    """The inverters as INVERTER rows that have not reported yet."""
    rows = [
        {
            "mcno": plant.mcno,
            "invno": inverter.invno,
            "capacity_kw": inverter.rated_kw,
            "serial_no": inverter.serial_no,
            "installed_at": plant.since,
            "updated_at": plant.since,
        }
        for plant in fleet
        for inverter in plant.inverters
    ]
    return pl.DataFrame(rows, schema=INVERTER.schema)
