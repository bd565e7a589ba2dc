"""Closure on a real database: every day adds up, and an hour that does not is named."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import polars as pl
import pytest

from tests.integration.metering import START, Site
from wattline.meters.closure import close
from wattline.meters.tables import CLOSURE, HOURLY

pytestmark = pytest.mark.integration


@pytest.fixture
def site(fresh_mysql: str) -> Iterator[Site]:
    made = Site(fresh_mysql).create()
    made.meter(1)
    made.meter(2, high="3")
    for meter in (1, 2):
        made.read(meter, {-60: 100, 60: 101, 3_700: 110, 3_800: 0, 7_300: 3, 90_000: "5.123456"})
    made.run(0, 48)
    yield made
    made.databases.close()


def _closed(site: Site) -> list[dict[str, object]]:
    slots = site.databases.energy.read(HOURLY["meter"], columns=["meter_id", "start_datetime_utc"])
    closed = close(site.databases.energy, slots)
    assert site.databases.energy.read(CLOSURE).equals(closed.drop("sound"))
    return closed.to_dicts()


def test_energy_and_what_was_dropped_are_the_growth_of_every_day(site: Site) -> None:
    first, second, third, fourth = _closed(site)
    assert [row["day"] for row in (first, second)] == [START.date(), START.replace(day=2).date()]
    # 100 → 110, then from 0 to 3; the hour after the reset begins at 0 and counts nothing.
    assert (first["energy"], first["dropped"], first["growth"]) == (10, 3, 13)
    assert first["finding"] == "02:00Z 3.000000 dropped, base_too_small"
    assert (second["energy"], second["dropped"], second["growth"]) == (Decimal("2.123456"), 0, Decimal("2.123456"))
    assert second["finding"] is None
    assert (third["energy"], third["dropped"], third["growth"]) == (1, 12, 13)
    assert third["finding"] == "01:00Z 9.000000 dropped, above_high_limit; 02:00Z 3.000000 dropped, base_too_small"
    assert {row["difference"] for row in (first, second, third, fourth)} == {0}
    assert [row["slots"] for row in (first, fourth)] == [24, 24]


@pytest.mark.parametrize(
    ("change", "difference", "finding"),
    [
        (
            "UPDATE tbl_meter_hourly SET actual_value = 8 WHERE meter_id = 1 AND start_datetime_utc = '2026-03-01'",
            -7,
            "00:00Z has 8.000000 in the hourly table, not 1.000000",
        ),
        (
            "DELETE FROM tbl_meter_hourly WHERE meter_id = 1 AND start_datetime_utc = '2026-03-01 01:00:00'",
            9,
            "01:00Z has no hourly row",
        ),
        (
            "DELETE FROM meter_hourly_quality WHERE meter_id = 1 AND start_datetime_utc = '2026-03-01 01:00:00'",
            -101,
            "02:00Z begins at 0.000000, the hour before ended at 101.000000",
        ),
    ],
)
def test_an_hour_that_breaks_the_day_is_named(site: Site, change: str, difference: int, finding: str) -> None:
    site.sql(change)
    broken = _closed(site)[0]
    assert broken["finding"] == finding
    assert broken["difference"] == difference
    assert broken["sound"] is ("hour before" in finding)
    site.run(0, 48)
    assert _closed(site)[0]["difference"] == 0


def test_a_reading_before_midnight_that_no_run_looked_back_to_breaks_the_next_day(site: Site) -> None:
    site.read(1, {86_390: "3.5"})
    site.run(24, 48)
    first, second = _closed(site)[:2]
    assert (first["difference"], second["difference"]) == (0, Decimal("0.5"))
    assert second["finding"] == "00:00Z begins at 3.500000, the hour before ended at 3.000000"
    site.run(0, 48)
    assert [row["difference"] for row in _closed(site)[:2]] == [0, 0]


def test_only_the_days_of_the_given_slots_are_added_up(site: Site) -> None:
    slots = pl.DataFrame({"meter_id": [2], "start_datetime_utc": [START]})
    closed = close(site.databases.energy, slots.cast({"start_datetime_utc": pl.Datetime("us", "UTC")}))
    assert closed.select("meter_id", "day").rows() == [(2, START.date())]
    assert close(site.databases.energy, slots.clear()).is_empty()
