"""The meters through Airflow: a simulated MyEMS is cleaned, normalized, added up; killed tasks and late data too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from local.environment import MYEMS
from tests.e2e.conftest import Platform, until, utc
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

DAYS = Window(utc("2026-06-02T00:00"), utc("2026-06-04T00:00"))
"""Live runs of the same time compute hours of later days."""
HOURLY, CLEANING, FORMS = "meter_hourly_normalization", "meter_cleaning", "meter_offline_forms"
_GROWTH = """
    SELECT p.meter_id, SUM(GREATEST(v.actual_value - v.prior, 0))
    FROM (
        SELECT point_id, utc_date_time, actual_value,
            COALESCE(LAG(actual_value) OVER (PARTITION BY point_id ORDER BY utc_date_time, id), 0) prior
        FROM {historical}.tbl_energy_value WHERE is_bad = 0
    ) v JOIN {system}.tbl_meters_points p ON p.point_id = v.point_id
    WHERE v.utc_date_time >= '2026-06-03' AND v.utc_date_time < '2026-06-04' GROUP BY p.meter_id"""
"""Of each meter the sum of its counter's rises on the day, by the server alone."""
_ON_THE_3RD = "start_datetime_utc >= '2026-06-03' AND start_datetime_utc < '2026-06-04'"


class Tables:
    """What MyEMS's databases hold, as their owner sees it."""

    def __init__(self, platform: Platform) -> None:
        self.store = MySQLStore.from_url(platform.stack.environment.mariadb.url(MYEMS["energy"]))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.store._cursor() as cursor:
            cursor.execute(statement.format(**MYEMS))
            return list(cursor.fetchall())


@pytest.fixture(scope="module")
def tables(platform: Platform) -> Iterator[Tables]:
    """Two days of the demo's meters, cleaned and normalized by one run each."""
    platform.wattline("meters", "demo", "--days", "2", "--until", DAYS.end.isoformat())
    assert platform.run(CLEANING, DAYS) == "success"
    assert platform.run(HOURLY, DAYS) == "success"
    made = Tables(platform)
    with closing(made.store):
        yield made


def test_hours_and_what_was_dropped_are_the_growth_of_every_counter(tables: Tables) -> None:
    growth = dict(tables.rows(_GROWTH))
    closed = {
        meter: (energy, dropped, grown, difference, slots)
        for meter, energy, dropped, grown, difference, slots in tables.rows(
            "SELECT meter_id, energy, dropped, growth, difference, slots "
            "FROM meter_daily_closure WHERE day = '2026-06-03'"
        )
    }
    hourly = dict(
        tables.rows(f"SELECT meter_id, SUM(actual_value) FROM tbl_meter_hourly WHERE {_ON_THE_3RD} GROUP BY meter_id")
    )
    assert closed.keys() == hourly.keys()
    assert len(growth) > 10
    for meter, (energy, dropped, grown, difference, slots) in closed.items():
        assert slots == 24
        assert difference == 0
        assert energy == hourly[meter]
        assert energy + dropped == grown == growth.get(meter, Decimal(0))


def test_every_thing_of_the_field_shows_in_the_reasons(tables: Tables) -> None:
    found = {reason for (reason,) in tables.rows("SELECT DISTINCT reason FROM meter_hourly_quality")}
    assert {"measured", "no_readings", "base_too_small", "above_high_limit", "spans_gap", "counter_reset"} <= found


def test_virtual_meters_and_statistics_follow(tables: Tables) -> None:
    ((rows, meters),) = tables.rows("SELECT COUNT(*), COUNT(DISTINCT virtual_meter_id) FROM tbl_virtual_meter_hourly")
    assert rows >= 24
    assert meters >= 1
    assert tables.rows("SELECT COUNT(*) FROM meter_finding WHERE subject = 'division_by_zero'")[0][0] > 0
    sums = tables.rows(
        f"SELECT s.total - (SELECT SUM(actual_value) FROM tbl_meter_hourly h WHERE h.meter_id = s.meter_id "
        f"AND {_ON_THE_3RD}) FROM meter_statistics s WHERE kind = 'meter' AND period = 'day' "
        "AND start_local = '2026-06-03'"
    )
    assert sums
    assert {difference for (difference,) in sums} == {0}


def test_a_killed_store_is_put_right_by_its_retry_and_a_late_reading_revises_its_hours(
    platform: Platform, tables: Tables
) -> None:
    hours = f"SELECT meter_id, start_datetime_utc, actual_value FROM tbl_meter_hourly WHERE {_ON_THE_3RD} ORDER BY 1, 2"
    before = tables.rows(hours)
    ((meter, value, at),) = tables.rows(
        "SELECT p.meter_id, v.actual_value, v.utc_date_time FROM {historical}.tbl_energy_value v "
        "JOIN {system}.tbl_meters_points p ON p.point_id = v.point_id JOIN {system}.tbl_meters m ON m.id = p.meter_id "
        "WHERE v.is_bad = 0 AND v.utc_date_time BETWEEN '2026-06-03 10:30' AND '2026-06-03 10:50' "
        "ORDER BY m.id DESC LIMIT 1"
    )
    tables.rows(f"UPDATE {{historical}}.tbl_energy_value SET is_bad = 1 WHERE utc_date_time = '{at}' AND is_bad = 0")
    tables.rows(f"DELETE FROM tbl_meter_hourly WHERE {_ON_THE_3RD} AND meter_id > 3")
    run_id = platform.trigger(HOURLY, DAYS)
    until(lambda: platform.tasks(HOURLY, run_id)["normalize"]["state"] == "success", "normalized hours")
    with platform.locked("meter_hourly_quality", MYEMS["energy"]):
        platform.kill(HOURLY, run_id, "store")
    assert platform.finished(HOURLY, run_id) == "success"
    assert platform.tasks(HOURLY, run_id)["store"]["try_number"] > 1
    # The reading was one of many of its hour: the counter goes on, and the hour keeps its energy.
    assert tables.rows(hours) == before
    ((reason, readings),) = tables.rows(
        "SELECT reason, readings FROM meter_hourly_quality "
        f"WHERE meter_id = {meter} AND start_datetime_utc = '2026-06-03 10:00'"
    )
    assert (reason, value > 0, readings > 0) == ("late_revision", True, True)
    assert tables.rows("SELECT COUNT(*) FROM meter_daily_closure WHERE difference <> 0") == [(0,)]
    said = platform.wattline("meters", "explain", str(meter), "2026-06-03T10:15Z")
    assert "late_revision" in said


def test_a_form_in_the_watched_folder_is_loaded(platform: Platform, tables: Tables) -> None:
    folder = platform.stack.settings.data_dir / "offline"
    until(lambda: not any(path.stat().st_mtime > time.time() - 10 for path in folder.glob("*.xlsx")), "settled forms")
    assert platform.run(FORMS, DAYS) == "success"
    assert not list(folder.glob("*.xlsx"))
    assert list((folder / "done").glob("*.xlsx"))
    ((rows,),) = tables.rows("SELECT COUNT(*) FROM tbl_offline_meter_hourly")
    assert rows > 0
