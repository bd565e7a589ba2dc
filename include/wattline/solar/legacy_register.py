"""What the legacy tables hold of the simulated plants whatever the window: people, sensors, addresses, days before.

All names are invented. Telephone numbers are 010-0000-xxxx, mail addresses end with `.example`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from wattline.solar.fleet import Plant, customers
from wattline.solar.legacy_irradiance import has_sensor
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.tables import PLANT
from wattline.solar.weather import midnight
from wattline.storage.contract import ENERGY, UTC_TIME

Frames = dict[str, pl.DataFrame]
Numbers = npt.NDArray[np.float64]

MIN_CHANNELS, MAX_CHANNELS = 8, 16
AIR, PANEL, LIGHT = 1, 2, 3
"""Sensor numbers of every plant, and at once the sensors' types."""
SENSOR_TYPES = {AIR: ("기온", "°C"), PANEL: ("모듈 온도", "°C"), LIGHT: ("일사량", "W/m²"), 4: ("습도", "%")}
PLANTS_PER_MANAGER = 10

_GIVEN = ("가람", "나래", "다솜", "라온", "마루", "바다", "시내", "여울", "하람", "한울")
_SECOND = ("노을", "새벽", "들녘", "바람", "구름", "언덕", "햇살")
_REGIONS = (
    ("전라남도", "나주시"),
    ("경상북도", "상주시"),
    ("충청남도", "당진시"),
    ("전라남도", "해남군"),
    ("경상북도", "영주시"),
    ("전북특별자치도", "고창군"),
    ("경상남도", "합천군"),
    ("제주특별자치도", "서귀포시"),
    ("강원특별자치도", "철원군"),
)
_ROADS = ("햇살로", "바람길", "노을로", "구름길", "들녘로", "언덕길", "새벽로", "여울길", "나래로", "마루길")
_BUILDINGS_PER_ROAD = 4
_HISTORY_DAYS = 3
_HOURS = np.arange(6, 19)
"""Clock hours in which panels of the days before make energy."""
_YIELD_KWH = 3.4
"""What 1 kWp makes on a good day."""
_STEP = Decimal("0.01")
_CLOSED_AFTER = timedelta(days=1, minutes=5)


def chance(seed: int, *keys: object) -> Numbers:
    """Numbers in [0, 1), as many as the keys are long: the same for the same seed and keys, whatever else is asked for.

    The keys, integers or columns of them, are mixed in by the finaliser of SplitMix64.
    """
    state = np.full(1, seed, np.uint64)
    for key in keys:
        state = (state + np.atleast_1d(np.asarray(key)).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)) / 2.0**53


def registers(plants: Sequence[Plant], seed: int) -> Frames:
    """MySQL table → rows of `customer`, `users`, `conn_box`, `sensor_*`, `zipaddress`, and generation before `since`.

    Args:
        plants: some of a world; the rows of a plant do not depend on the others.
        seed: the world's.
    """
    fleet = tuple(plants)
    types = [(number, name, unit) for number, (name, unit) in SENSOR_TYPES.items()]
    return {
        "customer": customers(fleet).with_columns(
            owner_id=pl.format("owner{}", "mcno"),
            owner_phone=_phone(pl.col("mcno")),
            owner_mail=pl.format("owner{}@solar.example", "mcno"),
            manager_id=manager("mcno"),
        ),
        "users": _users(fleet, seed),
        "conn_box": boxes(fleet, seed),
        "sensor_name": _sensors(fleet, seed),
        "sensor_type": pl.DataFrame(types, schema=["type", "name", "unit"], orient="row"),
        "zipaddress": _addresses(),
        **_generation(fleet, seed),
    }


def manager(mcno: str) -> pl.Expr:
    """`user_id` of who manages the plants of a column."""
    return pl.format("manager{}", pl.col(mcno) // PLANTS_PER_MANAGER)


def boxes(plants: Sequence[Plant], seed: int) -> pl.DataFrame:
    """The connection boxes as CONN_BOX rows that have measured nothing yet: one a plant, at its first inverter."""
    rows = [(plant.mcno, 1, 1, plant.since, plant.since) for plant in plants]
    schema = {**dict.fromkeys(("mcno", "boxno", "invno"), pl.Int32()), "installed_at": UTC_TIME, "updated_at": UTC_TIME}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    spread = chance(seed, frame["mcno"], 11) * (MAX_CHANNELS - MIN_CHANNELS + 1)
    return frame.with_columns(
        channels=pl.lit(pl.Series(spread)).cast(pl.Int32) + MIN_CHANNELS,
        serial_no=pl.format(f"SIM-{seed}-BOX-{{}}", "mcno"),
        removed_at=pl.lit(None, UTC_TIME),
        at=pl.lit(None, UTC_TIME),
        voltage=pl.lit(None, pl.Float64),
        current=pl.lit(None, pl.Float64),
        status=pl.lit(None, pl.Int32),
    )


def _users(plants: Sequence[Plant], seed: int) -> pl.DataFrame:
    """One administrator, a manager for ten plants, an owner for each."""
    since = min(plant.since for plant in plants)
    owners = [(f"owner{plant.mcno}", "owner", plant.mcno, plant.since) for plant in plants]
    desks = sorted({plant.mcno // PLANTS_PER_MANAGER for plant in plants})
    managers = [(f"manager{desk}", "manager", desk, since) for desk in desks]
    schema = {"user_id": pl.String(), "authority": pl.String(), "number": pl.Int64(), "since": UTC_TIME}
    people = [("admin", "administrator", 0, since), *managers, *owners]
    frame = pl.DataFrame(people, schema=schema, orient="row")
    first, second, active = (pl.Series(chance(seed, frame["number"], what)) for what in (21, 22, 23))
    return frame.select(
        "user_id",
        "authority",
        name=pl.format("{} {}", _pick(_GIVEN, first), _pick(_SECOND, second)),
        phone=_phone(pl.col("number")),
        mail=pl.format("{}@solar.example", "user_id"),
        language=pl.when(pl.col("number") % 5 == 0).then(pl.lit("en")).otherwise(pl.lit("ko")),
        created_at=pl.col("since") - timedelta(days=30),
        last_login_at=pl.when(active < 0.7).then(pl.col("since") - timedelta(hours=5)),  # noqa: PLR2004
        updated_at=pl.col("since") - timedelta(hours=5),
    )


def _pick(words: Sequence[str], chances: pl.Series) -> pl.Series:
    return pl.Series(words).gather((chances * len(words)).cast(pl.UInt32))


def _phone(number: pl.Expr) -> pl.Expr:
    return pl.format("010-0000-{}", (number % 10_000).cast(pl.String).str.zfill(4))


def _sensors(plants: Sequence[Plant], seed: int) -> pl.DataFrame:
    numbers = pl.DataFrame({"sensorno": list(SENSOR_TYPES), "name": [name for name, _ in SENSOR_TYPES.values()]})
    every = pl.DataFrame({"mcno": [plant.mcno for plant in plants]}).join(numbers, how="cross")
    in_use = (chance(seed, every["mcno"], every["sensorno"], 31) < 0.9) | (every["sensorno"] <= PANEL).to_numpy()  # noqa: PLR2004
    lit = pl.col("mcno").is_in([plant.mcno for plant in plants if has_sensor(plant)])
    return every.select(
        "mcno",
        "sensorno",
        name=pl.format("{} {}", "name", "mcno"),
        type="sensorno",
        in_use=pl.when(pl.col("sensorno") == LIGHT).then(lit).otherwise(pl.Series(in_use)),
    )


def _addresses() -> pl.DataFrame:
    """A few buildings at every road of every region; a road has a postal code."""
    rows = [
        (f"{number:02}{road:02}{number % 7}", seq, *region, name, f"{name} {seq * 3}" if seq > 1 else None)
        for number, region in enumerate(_REGIONS, start=36)
        for road, name in enumerate(_ROADS)
        for seq in range(1, _BUILDINGS_PER_ROAD + 1)
    ]
    names = ["zipcode", "seq", "sido", "sigungu", "road", "building"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _generation(plants: Sequence[Plant], seed: int) -> Frames:
    """The last days before the simulation: per hour, per day, and the counter at each day's end, exactly."""
    hours = _hours(plants, seed)
    days = hours.group_by("mcno", "invno", "day", "before", "first", "updated_at").agg(steps=pl.col("steps").sum())
    # The counter ends where the simulation begins; each day before ends lower by what the days after it made.
    made = pl.col("steps").cum_sum().over("mcno", "invno", order_by="before") - pl.col("steps")
    totals = days.with_columns(steps=pl.col("first") - made)
    return {
        "timegeneration": _with_plants(hours, "start", "timekw").with_columns(_no_flags()),
        "daygeneration": _with_plants(days, "day", "daykw"),
        "daytotalgeneration": _with_plants(totals, "day", "totkw"),
    }


def _no_flags() -> list[pl.Expr]:
    """The columns of an hour that only the platform fills in."""
    return [pl.lit(None, column.dtype).alias(column.name) for column in TIME_GENERATION.columns if column.nullable]


def _hours(plants: Sequence[Plant], seed: int) -> pl.DataFrame:
    """Energy in steps of 0.01 kWh per inverter and hour, with its day, and how many days `before` the first that is."""
    days = pl.DataFrame(
        [
            (plant.mcno, day, before, midnight(plant, day))
            for plant in plants
            for before in range(1, _HISTORY_DAYS + 1)
            for day in (plant.since.astimezone(plant.zone).date() - timedelta(days=before),)
        ],
        schema={"mcno": pl.Int64(), "day": pl.Date(), "before": pl.Int64(), "midnight": UTC_TIME},
        orient="row",
    )
    inverters = [
        (plant.mcno, inverter.invno, inverter.panels_kw, round(inverter.first_totkw / _STEP))
        for plant in plants
        for inverter in plant.inverters
    ]
    bell = np.sin((_HOURS - _HOURS[0] + 0.5) / len(_HOURS) * np.pi)
    made = (
        pl.DataFrame(inverters, schema=["mcno", "invno", "panels", "first"], orient="row")
        .join(days, on="mcno")
        .join(pl.DataFrame({"hour": _HOURS, "share": bell / bell.sum()}), how="cross")
    )
    sky = pl.Series("sky", 0.3 + 0.7 * chance(seed, made["mcno"], made["day"].to_physical(), 41))
    kwh = pl.col("panels") * _YIELD_KWH * pl.col("sky") * pl.col("share")
    return made.with_columns(sky).with_columns(
        start=pl.col("midnight") + pl.duration(hours="hour"),
        steps=(kwh / float(_STEP)).floor().cast(pl.Int64),
        updated_at=pl.col("midnight") + _CLOSED_AFTER,
    )


def _with_plants(steps: pl.DataFrame, time: str, energy: str) -> pl.DataFrame:
    """Rows of inverters and, as `invno` 0, of plants, in kWh."""
    rows = steps.select("mcno", "invno", time, "steps", "updated_at")
    whole = rows.group_by("mcno", time).agg(pl.col("steps").sum(), pl.col("updated_at").first())
    both = pl.concat([rows, whole.with_columns(invno=pl.lit(PLANT, pl.Int64)).select(rows.columns)])
    return both.with_columns((pl.col("steps").cast(ENERGY) * _STEP).cast(ENERGY).alias(energy)).drop("steps")
