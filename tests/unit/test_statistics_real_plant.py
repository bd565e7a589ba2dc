"""A real plant of 22 inverters over 34 days: its mean and median curves are what pandas says of its tick rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.memory_store import MemoryStore
from tests.statistics_reference import reference
from wattline.solar import collect, collect_statistics, process, scope, statistics
from wattline.solar.csv_log import read_log
from wattline.solar.import_csv import PlantOptions, import_log
from wattline.solar.statistics_tables import STATISTICS_AVG, STATISTICS_MEDIAN
from wattline.solar.tables import CUSTOMER, INVERTER, READING, TICK_ROW
from wattline.storage.contract import Table
from wattline.window import Window

FILE = Path(__file__).parents[2].parent / "shared/data/solar/plant_1_generation.csv.gz"
ZONE = "Asia/Kolkata"
WINDOW = Window(datetime(2020, 5, 14, 18, tzinfo=UTC), datetime(2020, 6, 17, 19, tzinfo=UTC))

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the real plant's files are not here")


@pytest.fixture(scope="module")
def stores() -> tuple[MemoryStore, MemoryStore]:
    """The register, and the tick rows of all days."""
    mysql, mongo = MemoryStore(), MemoryStore()
    log = read_log(FILE, ZONE, {"DC_POWER": Decimal("0.1")})
    import_log(mysql, log, PlantOptions(1, ZONE, capacity_kw=30_000.0, inverter_kw=1400.0))
    mongo.upsert(READING, mysql.read(READING))
    frames = collect.inverters(mysql, WINDOW, {})
    frames |= collect.readings(mongo, WINDOW, frames)
    frames["good_readings"] = frames["readings"]
    mongo.upsert(TICK_ROW, process.inverter_log(WINDOW, frames)["inverterlog"])
    return mysql, mongo


@pytest.mark.parametrize(
    ("table", "processor", "middle"),
    [(STATISTICS_AVG, statistics.averages, "mean"), (STATISTICS_MEDIAN, statistics.medians, "median")],
    ids=["avg", "median"],
)
def test_every_curve_is_what_pandas_says(
    stores: tuple[MemoryStore, MemoryStore], table: Table, processor: object, middle: str
) -> None:
    mysql, mongo = stores
    inputs = {"scope": scope.own(WINDOW)}
    inputs |= collect_statistics.inverters(mysql, WINDOW, inputs)
    fresh = mongo.read(TICK_ROW).filter(~pl.col("stale")).select("invno", "at", "ackw", "dckw").to_pandas()
    place = mysql.read(CUSTOMER).row(0, named=True)
    ratings = dict(mysql.read(INVERTER, columns=("invno", "capacity_kw")).iter_rows())
    days, logs = set(), 0
    for part in collect_statistics.logs(mongo, WINDOW, inputs):
        rows = processor(WINDOW, inputs | {"days": part["days"], "good_logs": part["logs"]})["statistics"]  # type: ignore[operator]
        (day,) = rows["day"].unique()
        units = [invno for invno in rows["invno"] if invno]
        expected = reference(fresh, place, {invno: ratings[invno] for invno in units}, day, middle)
        # The file begins at midnight, with a reading of most inverters, which closes the day before.
        assert len(units) == (22 if day > date(2020, 5, 14) else 21)
        for row in rows.iter_rows(named=True):
            for name in set(table.schema) - set(table.key) - {"start"}:
                found, right = (np.array(one[name], float) for one in (row, expected[row["invno"]]))
                np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-12, err_msg=f"{day} {row['invno']} {name}")
        days.add(day)
        logs += part["logs"].height
    assert days == {date(2020, 5, 15) + timedelta(days=n) for n in range(-1, 34)}
    # A reading every quarter of an hour leaves every third tick without one.
    assert logs > 34 * 22 * 144 * 0.6
