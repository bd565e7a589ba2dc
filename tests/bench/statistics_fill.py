"""Tick rows of large fleets for the benchmark of statistics, and the register that belongs to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from wattline.solar.statistics_tables import STATISTICS_TABLES
from wattline.solar.tables import TICK, TICK_ROW
from wattline.storage.contract import ENERGY, UTC_TIME
from wattline.storage.mongo import MongoStore
from wattline.storage.schema import upgrade_mongo

PER_PLANT = 10
ZONE = "Asia/Seoul"
_DAY = timedelta(days=1)
_WRITERS = 2


def register(plants: int) -> pl.DataFrame:
    """Inverters as `collect_statistics.inverters` gives them; ratings of 20 to 60 kW, one in 50 unknown."""
    number = pl.int_range(plants * PER_PLANT, eager=True)
    rating = pl.when(number % 50 != 7).then(20.0 + number % 5 * 10)
    return pl.select(
        mcno=(number // PER_PLANT + 1).cast(pl.Int32),
        invno=(number % PER_PLANT + 1).cast(pl.Int32),
        capacity_kw=rating,
        installed_at=pl.lit(datetime(2020, 1, 1)).dt.replace_time_zone("UTC").cast(UTC_TIME),  # noqa: DTZ001
        removed_at=pl.lit(None, UTC_TIME),
        timezone=pl.lit(ZONE),
        latitude=34 + (number // PER_PLANT % 37) / 10,
        longitude=126 + (number // PER_PLANT % 29) / 10,
    )


def fill(url: str, plants: int, start: datetime, days: int) -> int:
    """Write the ticks of `(start, start + days]` of every inverter, in the order of time; returns how many there are.

    Inverters are silent for one tick in 20, and at night every third plant is.
    """
    inverters = register(plants)
    upgrade_mongo(url, STATISTICS_TABLES)
    with closing(MongoStore.from_url(url)) as store, ThreadPoolExecutor(_WRITERS) as pool:

        def write(hour: datetime) -> int:
            return store.upsert(TICK_ROW, ticks(inverters, hour, timedelta(hours=1))).rows

        return sum(pool.map(write, (start + n * timedelta(hours=1) for n in range(days * 24))))


def ticks(inverters: pl.DataFrame, start: datetime, length: timedelta) -> pl.DataFrame:
    """TICK_ROW rows of the ticks in `(start, start + length]`."""
    at = pl.DataFrame({"at": [start + TICK * n for n in range(1, length // TICK + 1)]}, {"at": UTC_TIME})
    rows = at.join(inverters.select("mcno", "invno", "capacity_kw"), how="cross")
    noise = np.random.default_rng(int(start.timestamp())).random(rows.height)
    hour = (rows["at"].dt.epoch("s").to_numpy() / 3600 + 9) % 24
    light = np.maximum(np.sin((hour - 6) / 12 * np.pi), 0)
    night = (light == 0) & (rows["mcno"].to_numpy() % 3 == 0)
    stale = (noise < 0.05) | night
    power = np.where(stale, 0, rows["capacity_kw"].fill_null(30).to_numpy() * light * (0.6 + 0.4 * noise))
    energy = pl.lit(1234.5).cast(ENERGY)
    return rows.select(
        "mcno",
        "invno",
        "at",
        ackw=pl.Series(power),
        dckw=pl.Series(power * 1.03),
        **dict.fromkeys(("daykw", "totkw", "day_peak", "segment_offset"), energy),
        **dict.fromkeys(("reading_daykw", "reading_totkw"), energy),
        **dict.fromkeys(("previous_offset", "previous_at"), pl.lit(None)),
        status=pl.lit(1),
        stale=pl.Series(stale),
        counter_reset=pl.lit(value=False),
        daykw_carried=pl.lit(value=False),
        reading_at="at",
    )
