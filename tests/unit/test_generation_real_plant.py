"""A real plant of 22 inverters over 34 days: its hours, day counters and lifetime counters tell the same energy."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.summary_world import SummaryWorld
from wattline.solar.csv_log import CsvLog, read_log
from wattline.solar.import_csv import PlantOptions, import_log
from wattline.solar.import_irradiance import import_irradiance, read_irradiance
from wattline.solar.irradiance import IRRADIANCE
from wattline.solar.summary_tables import DAY_PERFORMANCE, GENERATION_CHECK
from wattline.solar.tables import CUSTOMER, INVERTER, READING
from wattline.window import Window

FOLDER = Path(__file__).parents[2].parent / "shared/data/solar"
ZONE = "Asia/Kolkata"
WINDOW = Window(datetime(2020, 5, 14, 18, tzinfo=UTC), datetime(2020, 6, 17, 19, tzinfo=UTC))

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the real plant's files are not here")


@pytest.fixture(scope="module")
def log() -> CsvLog:
    return read_log(FOLDER / "plant_1_generation.csv.gz", ZONE, {"DC_POWER": Decimal("0.1")})


@pytest.fixture(scope="module")
def plant(log: CsvLog) -> SummaryWorld:
    made = SummaryWorld({})
    import_log(made.mysql, log, PlantOptions(1, ZONE, capacity_kw=30_000.0, inverter_kw=1400.0))
    weather, rejects = read_irradiance(FOLDER / "plant_1_weather.csv.gz", ZONE)
    assert rejects.is_empty()
    import_irradiance(made.mysql, 1, weather)
    for table in (READING, INVERTER, CUSTOMER, IRRADIANCE):
        made.mongo.upsert(table, made.mysql.read(table))
    made._sent = made.mysql.read(READING).to_dicts()
    made.run(WINDOW)
    return made


def test_the_figures_of_every_inverter_and_day_agree_or_their_flags_say_why(plant: SummaryWorld) -> None:
    rows = plant.mongo.read(GENERATION_CHECK).filter(pl.col("day") >= date(2020, 5, 15))
    inverters = rows.filter(pl.col("invno") > 0)
    assert inverters.height == 22 * 34
    apart = inverters.remove("agrees")
    # One outage, 16:15 to 20:00, in which four inverters restarted their day counters: 55 to 63 kWh of 6,500.
    assert apart.select("day", "invno").rows() == [(date(2020, 5, 19), invno) for invno in (2, 3, 7, 11)]
    assert set(apart["explained_by"]) == {"spans_gap"}
    assert apart["difference"].max() == Decimal("62.5")
    assert rows.filter(pl.col("invno") == 0)["agrees"].all()


def test_the_growth_is_that_of_the_files_lifetime_counters(plant: SummaryWorld, log: CsvLog) -> None:
    serials = plant.mysql.read(INVERTER, columns=("invno", "serial_no"))
    lasts = (
        log.rows.filter(pl.col("at") <= WINDOW.end)
        .group_by("source_key", "local_day")
        .agg(last=pl.col("totkw").last(), first=pl.col("totkw").first())
        .sort("source_key", "local_day")
    )
    begun = pl.coalesce(pl.col("last").shift().over("source_key"), "first")
    of_file = lasts.with_columns(made=pl.col("last") - begun).join(serials, left_on="source_key", right_on="serial_no")
    rows = plant.mongo.read(GENERATION_CHECK).filter(pl.col("invno") > 0, pl.col("day") >= date(2020, 5, 15))
    both = rows.join(of_file, left_on=["invno", "day"], right_on=["invno", "local_day"])
    # A reading at midnight closes the day before, and belongs to the next one in the file: it has made nothing since.
    assert both.height >= rows.height - 22
    assert both.filter((pl.col("growth") - pl.col("made")).abs() > 1).is_empty()


def test_energy_follows_the_light_and_inverters_their_median(plant: SummaryWorld) -> None:
    rows = plant.mongo.read(DAY_PERFORMANCE).filter(pl.col("day").is_between(date(2020, 5, 15), date(2020, 6, 17)))
    ratios = rows.filter(pl.col("invno") == 0)["performance_ratio"]
    assert ratios.null_count() == 3, "days on which the sensor was silent"
    assert ratios.max() / ratios.min() < 1.25
    assert ratios.std() / ratios.mean() < 0.05
    deviations = rows.filter(pl.col("invno") > 0, pl.col("day") == date(2020, 6, 16))
    assert deviations["peers"].unique().item() == 22
    lagging = deviations.filter(pl.col("peer_deviation") < -0.05)
    assert 0 < lagging.height < 6
