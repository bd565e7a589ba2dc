"""Who is who in the simulated MyEMS: rows of the system database for simulated, offline and virtual meters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

import polars as pl

from wattline.meters.exact import PLACES
from wattline.meters.fleet import POINT_LIMIT, DemoMeter, Show, chance
from wattline.meters.myems import contract
from wattline.meters.tables import SETTING

Row = dict[str, object]

OTHER_POINT = 200_001
"""A point of meter 1 that is no counter: its power."""
_ELECTRICITY, _COST_CENTER, _SOURCE = 1, 1, 1


@dataclass(frozen=True)
class OfflineMeter:
    """A meter that people read, once a day.

    Attributes:
        number: its id in MyEMS.
        name: its name.
        daily: mean energy of a day, kWh.
        high: hourly high limit, kWh.
        excess_day: day of the month with a value that the limit refuses; 0 where there is none.
    """

    number: int
    name: str
    daily: int
    high: int
    excess_day: int = 0

    def value(self, seed: int, day: date) -> Decimal:
        """What it is read on a local day, in hundredths of a kWh."""
        share = float(chance(seed, self.number, day.toordinal(), 21)[0])
        hundredths = round(100 * self.daily * (0.8 + 0.4 * share))
        return Decimal(hundredths).scaleb(-2) + (25 * self.high if day.day == self.excess_day else 0)


OFFLINE_METERS = (
    OfflineMeter(1, "Demo offline 1: workshop", daily=120, high=20),
    OfflineMeter(2, "Demo offline 2: canteen", daily=75, high=20),
    OfflineMeter(3, "Demo offline 3: one day a month beyond its limit", daily=30, high=10, excess_day=2),
)
"""Their numbers are those of other meters as well, so that a meter of one kind taken for another shows."""

_BELOW = list(Show).index(Show.BELOW) + 1
VIRTUAL_METERS: tuple[tuple[str, str, Mapping[str, tuple[str, int]]], ...] = (
    ("sum", "x1 + x2", {"x1": ("meter", 1), "x2": ("meter", 2)}),
    ("difference, waits for an offline meter", "x1 - x2", {"x1": ("meter", 1), "x2": ("offline_meter", 1)}),
    ("share in percent, divides by zero at night", "100 * x1 / x2", {"x1": ("meter", 1), "x2": ("meter", _BELOW)}),
    ("mean of two virtual meters", "(a + b) / 2", {"a": ("virtual_meter", 1), "b": ("virtual_meter", 2)}),
)
"""What each shows, its equation, and the kind and number of the meter behind each name in it."""


def system_frames(meters: Sequence[DemoMeter], mark: str) -> dict[str, pl.DataFrame]:
    """Table of the system database → its rows.

    Args:
        meters: the simulated ones.
        mark: what the descriptions end with, by which the world is known again.
    """
    made = {
        "tbl_meters": [_meter(meter, mark) for meter in meters],
        "tbl_points": _points(meters),
        "tbl_meters_points": _links(meters),
        "tbl_offline_meters": [_offline(meter, mark) for meter in OFFLINE_METERS],
        "tbl_virtual_meters": [
            _common("virtual_meter", number, f"Demo virtual {number}: {shows}", shows + mark) | {"equation": equation}
            for number, (shows, equation, _) in enumerate(VIRTUAL_METERS, 1)
        ],
        "tbl_variables": _variables(),
    }
    return {name: pl.DataFrame(rows, schema=contract(name).schema) for name, rows in made.items()}


def settings_frame(meters: Sequence[DemoMeter]) -> pl.DataFrame:
    """Rows of SETTING: what is known of some meters and MyEMS has no column for."""
    rows = [
        {
            "meter_id": meter.number,
            "modulus": _decimal(meter.modulus) if meter.modulus else None,
            "max_rate": _decimal(meter.max_rate) if meter.max_rate else None,
        }
        for meter in meters
        if meter.modulus or meter.max_rate
    ]
    return pl.DataFrame(rows, schema=SETTING.schema)


def _meter(meter: DemoMeter, mark: str) -> Row:
    limits = {"hourly_low_limit": _decimal(meter.low), "hourly_high_limit": _decimal(meter.high)}
    return _common("meter", meter.number, _name(meter), meter.shows + mark) | limits


def _offline(meter: OfflineMeter, mark: str) -> Row:
    limits = {"hourly_low_limit": Decimal(0), "hourly_high_limit": Decimal(meter.high)}
    return _common("offline_meter", meter.number, meter.name, f"read by people{mark}") | limits


def _common(kind: str, number: int, name: str, description: str) -> Row:
    """What the tables of all kinds of meters have."""
    return {
        "id": number,
        "name": name,
        "uuid": str(uuid5(NAMESPACE_URL, f"wattline-demo/{kind}/{number}")),
        "energy_category_id": _ELECTRICITY,
        "is_counted": True,
        "cost_center_id": _COST_CENTER,
        "description": description,
    }


def _points(meters: Sequence[DemoMeter]) -> list[Row]:
    counters = [_point(meter.point, f"{_name(meter)}, energy", "ENERGY_VALUE", "kWh") for meter in meters]
    return [*counters, _point(OTHER_POINT, f"{_name(meters[0])}, power", "ANALOG_VALUE", "kW")]


def _point(number: int, name: str, kind: str, units: str) -> Row:
    return {
        "id": number,
        "name": name,
        "data_source_id": _SOURCE,
        "object_type": kind,
        "units": units,
        "high_limit": _decimal(POINT_LIMIT),
        "low_limit": Decimal(0),
        "ratio": Decimal(1),
        "offset_constant": Decimal(0),
        "is_trend": True,
        "is_virtual": False,
        "address": "{}",
    }


def _links(meters: Sequence[DemoMeter]) -> list[Row]:
    counters: list[Row] = [{"id": each.number, "meter_id": each.number, "point_id": each.point} for each in meters]
    return [*counters, {"id": OTHER_POINT, "meter_id": meters[0].number, "point_id": OTHER_POINT}]


def _variables() -> list[Row]:
    flat = [(number, name, *of) for number, each in enumerate(VIRTUAL_METERS, 1) for name, of in each[2].items()]
    return [
        {"id": number, "name": name, "virtual_meter_id": virtual, "meter_type": kind, "meter_id": of}
        for number, (virtual, name, kind, of) in enumerate(flat, 1)
    ]


def _name(meter: DemoMeter) -> str:
    return f"Demo {meter.number}: {meter.shows}"


def _decimal(units: int) -> Decimal:
    return Decimal(units).scaleb(-PLACES)
