"""Brings a real plant's CSV log into MySQL `solar`, as if its gateways had written it.

The file does not say when a row arrived: `received_at` is the time of the measurement. An inverter's SOURCE_KEY is
kept as its `serial_no`, so that a second file of the plant finds the same `invno`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any, cast
from zoneinfo import ZoneInfo

import polars as pl

from wattline.errors import BadInputError
from wattline.solar.csv_log import CsvLog
from wattline.solar.gateway import snapshot, write
from wattline.solar.tables import CUSTOMER, INVERTER, READING
from wattline.storage.store import Condition, Store, WriteResult


@dataclass(frozen=True)
class PlantOptions:
    """What the file does not say of its plant; None keeps what is registered, or a default for a new plant.

    Attributes:
        mcno: number of the plant.
        timezone: IANA zone of the plant's day and of the file's times.
        name: default `Plant <mcno>`.
        latitude, longitude: degrees; default: the reference town of the zone.
        capacity_kw: installed DC power of the plant, kWp.
        inverter_kw: rated AC power of each of its inverters, kW.
    """

    mcno: int
    timezone: str
    name: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    capacity_kw: float | None = None
    inverter_kw: float | None = None


def import_log(store: Store, log: CsvLog, plant: PlantOptions) -> WriteResult:
    """Register the plant and its inverters, and write the log's rows; doing it again changes nothing.

    Returns:
        The counts of the readings.

    Raises:
        BadInputError: the plant is registered in another time zone, or with other inverters only.
    """
    now = datetime.now(UTC)
    here = [Condition("mcno", "=", plant.mcno)]
    customer = _customer(store.read(CUSTOMER, here), plant, now)
    register = _register(store.read(INVERTER, here), log, plant, now)
    store.upsert(CUSTOMER, customer)
    store.upsert(INVERTER, register)
    numbers = register.select("invno", source_key="serial_no")
    readings = READING.conform(
        log.rows.join(numbers, on="source_key").with_columns(
            pl.lit(plant.mcno).alias("mcno"), pl.lit(None).alias("status"), pl.col("at").alias("received_at")
        )
    )
    return write(store, customer, snapshot(register, readings), readings)


def _customer(known: pl.DataFrame, plant: PlantOptions, now: datetime) -> pl.DataFrame:
    """The plant's CUSTOMER row: what is registered, changed by the options that are given."""
    row = _new_customer(plant) if known.is_empty() else known.row(0, named=True)
    if row["timezone"] != plant.timezone:
        raise BadInputError(
            f"plant {plant.mcno} is registered in {row['timezone']}, not in {plant.timezone}",
            field="--timezone",
            remedy="Give its own zone, or another --mcno",
        )
    options = ("name", "latitude", "longitude", "capacity_kw")
    given = {name: getattr(plant, name) for name in options if getattr(plant, name) is not None}
    if known.is_empty() or any(row[name] != value for name, value in given.items()):
        row |= {**given, "updated_at": now}
    return pl.DataFrame([row], schema=CUSTOMER.schema)


def _new_customer(plant: PlantOptions) -> dict[str, Any]:
    placed = plant.latitude is not None and plant.longitude is not None
    latitude, longitude = (plant.latitude, plant.longitude) if placed else reference_town(plant.timezone)
    return {
        **dict.fromkeys(CUSTOMER.schema),
        "mcno": plant.mcno,
        "name": f"Plant {plant.mcno}",
        "latitude": latitude,
        "longitude": longitude,
        "timezone": plant.timezone,
        "status": "in_use",
    }


def _register(known: pl.DataFrame, log: CsvLog, plant: PlantOptions, now: datetime) -> pl.DataFrame:
    """INVERTER rows of the log's inverters: those registered keep their number, the others come after, in key order."""
    keys = log.rows["source_key"].unique().sort()
    if known.height and not known["serial_no"].is_in(keys.implode()).any():
        raise BadInputError(
            f"plant {plant.mcno} has other inverters than this file, e.g. {known['serial_no'][0]}",
            field="--mcno",
            remedy="Give the number of the file's plant, or a new one",
        )
    first_day = cast("date", log.rows["local_day"].min())
    begin = datetime(first_day.year, first_day.month, first_day.day, tzinfo=ZoneInfo(plant.timezone)).astimezone(UTC)
    new = keys.filter(~keys.is_in(known["serial_no"].implode())).to_frame("serial_no")
    added = new.with_row_index("invno", int(cast("int", known["invno"].max() or 0)) + 1).with_columns(
        pl.lit(plant.mcno).alias("mcno"), pl.lit(begin).alias("installed_at"), pl.lit(now).alias("updated_at")
    )
    before = known.filter(pl.col("serial_no").is_in(keys.implode()))
    both = pl.concat(
        [before, INVERTER.schema.to_frame(), added.cast({"invno": pl.Int32, "mcno": pl.Int32})], how="diagonal"
    )
    installed_at = pl.min_horizontal("installed_at", pl.lit(begin))
    capacity_kw = pl.lit(plant.inverter_kw) if plant.inverter_kw is not None else pl.col("capacity_kw")
    changed = (installed_at != pl.col("installed_at")) | capacity_kw.ne_missing(pl.col("capacity_kw"))
    updated_at = pl.when(changed).then(pl.lit(now)).otherwise("updated_at")
    return INVERTER.conform(
        both.with_columns(installed_at=installed_at, capacity_kw=capacity_kw, updated_at=updated_at)
    )


def reference_town(timezone: str) -> tuple[float, float]:
    """Latitude and longitude (degrees) of the town that stands for an IANA zone.

    Source: `zone.tab` of the IANA time zone database, positions as ±DDMM±DDDMM or ±DDMMSS±DDDMMSS.

    Raises:
        BadInputError: the zone stands for no town, as UTC, or is an old name.
    """
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    for line in table.splitlines():
        if line.split("\t")[2:3] == [timezone]:
            position = line.split("\t")[1]
            split = max(position.rfind("+"), position.rfind("-"))
            return _degrees(position[:split], 3), _degrees(position[split:], 4)
    raise BadInputError(
        f"no place is known for {timezone}", field="--latitude", remedy="Give --latitude and --longitude of the plant"
    )


def _degrees(text: str, whole: int) -> float:
    sign = -1 if text[0] == "-" else 1
    minutes, seconds = text[whole : whole + 2], text[whole + 2 :] or "0"
    return round(sign * (int(text[1:whole]) + int(minutes) / 60 + int(seconds) / 3600), 4)
