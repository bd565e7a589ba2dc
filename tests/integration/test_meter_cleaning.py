"""The cleaning of readings on a real MyEMS database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from tests.integration.meter_rights import least_rights
from tests.integration.metering import START, Site
from wattline.errors import TransientError
from wattline.meters import cleaner, marks
from wattline.meters.cleaner import Cleaned, clean, read_points
from wattline.meters.marks import Readings
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

pytestmark = pytest.mark.integration

MINUTE, HOUR = 60, 3600


@pytest.fixture
def site(fresh_mysql: str) -> Iterator[Site]:
    made = Site(fresh_mysql).create()
    yield made
    made.databases.close()


def hours(begin: float, end: float) -> Window:
    return Window(START + timedelta(hours=begin), START + timedelta(hours=end))


def minutely(
    begin: int, values: Mapping[int, object] | None = None, *, count: int = 60, level: int = 1000
) -> dict[int, object]:
    """Second after START → the counter: one a minute from the minute `begin` on, but for `values` by minute."""
    line = {minute: level + minute for minute in range(begin, begin + count)}
    return {minute * MINUTE: value for minute, value in {**line, **(values or {})}.items()}


def marked(site: Site, meter: int = 1) -> dict[float, int | None]:
    """Minute after START → is_bad."""
    rows = site.sql(f"SELECT utc_date_time, is_bad FROM tbl_energy_value WHERE point_id = {meter} ORDER BY 1, id")
    return {(at - START.replace(tzinfo=None)).total_seconds() / 60: is_bad for at, is_bad in rows}


def bad(site: Site, meter: int = 1) -> list[float]:
    return [minute for minute, is_bad in marked(site, meter).items() if is_bad]


def unchecked(site: Site, meter: int = 1) -> list[float]:
    return [minute for minute, is_bad in marked(site, meter).items() if is_bad is None]


def everything(site: Site) -> list[tuple[Any, ...]]:
    return site.sql("SELECT point_id, utc_date_time, actual_value, is_bad FROM tbl_energy_value ORDER BY 1, 2, id")


def faulty(site: Site, meters: int = 5) -> None:
    """Twelve hours of meters in the order of arrival: a calm one, then ones with dips, spikes, too high readings."""
    for meter in range(1, meters + 1):
        site.meter(meter)
    for minute in range(0, 12 * 60, 2):
        rows = {}
        for meter in range(1, meters + 1):
            kind = (minute // 51 * 7 + meter) % 11 if meter > 1 and minute % 51 < 2 * meter else 0
            rows[meter] = {5: 0, 7: 700_000, 8: 10**8}.get(kind, 5000 + minute)
        for meter, value in rows.items():
            site.read(meter, {minute * MINUTE: value}, is_bad=None)


@pytest.fixture(scope="module")
def fault_rows(module_mysql: str) -> list[tuple[Any, ...]]:
    made = Site(module_mysql).create()
    faulty(made)
    with closing(made.databases):
        return made.sql("SELECT point_id, utc_date_time, actual_value FROM tbl_energy_value ORDER BY id")


def refill(site: Site, rows: list[tuple[Any, ...]]) -> None:
    site.sql("TRUNCATE tbl_energy_value")
    site.sql("INSERT INTO tbl_energy_value (point_id, utc_date_time, actual_value) VALUES (%s, %s, %s)", rows)


def test_a_window_is_marked_and_a_second_run_changes_nothing(site: Site) -> None:
    site.meter(1)
    site.meter(2)
    site.read(1, minutely(0, {10: 0, 11: 0, 30: 90_000, 40: "100000000.000001"}), is_bad=None)
    site.read(2, minutely(0), is_bad=None)
    wanted = Counter({"dip": 2, "spike": 1, "above_high_limit": 1})
    assert clean(site.databases, hours(0, 1)) == Cleaned(read=120, bad=wanted, good=116)
    assert bad(site) == [10, 11, 30, 40]
    assert bad(site, 2) == unchecked(site) == unchecked(site, 2) == []
    assert clean(site.databases, hours(0, 1)) == Cleaned(read=120)


def test_readings_outside_the_window_and_of_other_points_are_left_alone(site: Site) -> None:
    site.meter(1)
    site.meter(2)
    site.sql("UPDATE tbl_points SET object_type = 'ANALOG_VALUE' WHERE id = 2")
    for point in (1, 2, 3):
        site.read(point, minutely(0, {59: 0, 60: 0}, count=120), is_bad=None)
    assert clean(site.databases, hours(0, 1)) == Cleaned(read=60, bad=Counter(dip=1), good=59)
    assert unchecked(site) == list(range(60, 120))
    assert len(unchecked(site, 2)) == len(unchecked(site, 3)) == 120


@pytest.mark.parametrize(("cuts", "rows"), [([0, 12], 60), ([0, 1, 1.5, 4, 4.25, 9, 12], 1_000_000)])
def test_small_steps_and_any_cut_mark_the_same(
    site: Site, fault_rows: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, rows: int, cuts: list[float]
) -> None:
    for meter in range(1, 6):
        site.meter(meter)
    refill(site, fault_rows)
    done = clean(site.databases, hours(0, 12))
    assert set(done.bad) == {"dip", "spike", "above_high_limit"}
    assert done.read == done.good + done.bad.total() == len(fault_rows)
    whole = everything(site)
    refill(site, fault_rows)
    monkeypatch.setattr(marks, "ROWS", rows)
    monkeypatch.setattr(marks, "_MARKED_AT_ONCE", rows)
    monkeypatch.setattr(cleaner, "_PIECE_ROWS", 8 * rows)
    total = Cleaned()
    for begin, end in pairwise(cuts):
        total += clean(site.databases, hours(begin, end))
    assert everything(site) == whole
    assert (total.read, total.bad, total.good) == (done.read, done.bad, done.good)


def test_a_run_that_breaks_anywhere_is_put_right_by_the_next(
    site: Site, fault_rows: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for meter in range(1, 6):
        site.meter(meter)
    refill(site, fault_rows)
    clean(site.databases, hours(0, 12))
    whole = everything(site)
    refill(site, fault_rows)
    monkeypatch.setattr(marks, "_MARKED_AT_ONCE", 100)
    transaction, broken = MySQLStore.transaction, 0
    for last in range(1, 40, 4):
        left = iter(range(last))

        def fails(store: MySQLStore, left: Iterator[int] = left) -> Any:
            if next(left, None) is None:
                raise TransientError("the server went away")
            return transaction(store)

        monkeypatch.setattr(MySQLStore, "transaction", fails)
        try:
            clean(site.databases, hours(0, 12))
        except TransientError:
            broken += 1
    monkeypatch.undo()
    assert broken > 1
    clean(site.databases, hours(0, 12))
    assert everything(site) == whole


def test_what_somebody_marked_bad_stays_and_takes_no_part_until_a_recheck(site: Site) -> None:
    site.meter(1)
    site.read(1, minutely(0, {20: 5000}), is_bad=None)
    site.sql("UPDATE tbl_energy_value SET is_bad = 1 WHERE id = 6")
    clean(site.databases, hours(0, 1))
    assert bad(site) == [5, 20]
    site.sql("UPDATE tbl_energy_value SET is_bad = 0 WHERE id = 21")
    assert clean(site.databases, hours(0, 1)) == Cleaned(read=60, bad=Counter(spike=1))
    assert clean(site.databases, hours(0, 1), recheck=True) == Cleaned(read=60, good=1)
    assert bad(site) == [20]


def test_a_mark_that_comes_between_reading_and_writing_stays(site: Site) -> None:
    site.meter(1)
    site.read(1, minutely(0, count=80), is_bad=None)
    site.sql("UPDATE tbl_energy_value SET is_bad = 1 WHERE id IN (3, 35)")
    readings = Readings(site.databases.historical, read_points(site.databases))
    ids = [1, 2, 3, 5, *range(20, 30), *range(31, 61)]
    readings.mark(pl.Series(ids), bad=False)
    found = site.sql("SELECT id, is_bad FROM tbl_energy_value WHERE is_bad IS NOT NULL ORDER BY id")
    assert found == [(number, int(number in (3, 35))) for number in ids]


def test_a_dip_at_the_end_waits_for_its_end(site: Site) -> None:
    site.meter(1)
    site.meter(2)
    site.read(1, minutely(0, {58: 0, 59: 0}), is_bad=None)
    site.read(2, minutely(0, {58: 0, 59: 0}), is_bad=None)
    assert clean(site.databases, hours(0, 1)) == Cleaned(read=120, good=116, unchecked=4)
    site.read(1, minutely(60), is_bad=None)
    done = clean(site.databases, hours(1, 2))
    assert (done.bad, done.unchecked, bad(site), unchecked(site)) == (Counter(dip=2), 2, [58, 59], [])
    assert clean(site.databases, hours(2, 4)).good == 2
    assert bad(site, 2) == unchecked(site, 2) == []


def test_readings_that_come_late_are_checked_with_those_they_arrived_with(site: Site) -> None:
    for meter in (1, 2, 3):
        site.meter(meter)
    site.read(1, minutely(0, {179: 0}, count=180), is_bad=None)
    site.read(2, minutely(0, count=240), is_bad=None)
    clean(site.databases, hours(0, 8))
    assert marked(site)[179] == 0
    site.read(1, minutely(60 * 18, count=50), is_bad=None)
    site.read(1, minutely(180), is_bad=None)
    site.read(2, minutely(240, {250: 0}, count=40), is_bad=None)
    site.read(3, {-14 * 24 * HOUR: 7}, is_bad=None)
    site.read(1, minutely(60 * 18 + 50, count=10), is_bad=None)
    done = clean(site.databases, hours(18, 19))
    assert done == Cleaned(read=60, bad=Counter(dip=2), good=60 + 60 + 39 + 1)
    assert (bad(site), bad(site, 2)) == ([179], [250])
    assert unchecked(site) == unchecked(site, 2) == unchecked(site, 3) == []


def live(site: Site, begin: int, end: int, arrivals: Mapping[int, Mapping[int, object]], step: int = 10) -> None:
    """Runs of meter 1 from one minute to another: what arrives up to the end of each is there, nothing else."""
    for minute in range(begin, end, step):
        for arrival in range(minute, minute + step):
            site.read(1, arrivals.get(arrival, {}), is_bad=None)
        clean(site.databases, hours(minute / 60, (minute + step) / 60))


@pytest.mark.parametrize("late", [5, 45, 300, 355, 365, 500])
def test_a_late_reading_of_a_calm_meter_is_judged(site: Site, late: int) -> None:
    site.meter(1)
    site.read(1, minutely(0, count=60 * 9))
    site.sql("DELETE FROM tbl_energy_value WHERE utc_date_time = '2026-03-01 08:55:00'")
    arrivals = {minute: {minute * MINUTE: 1000 + minute} for minute in range(540, 541 + late)}
    arrivals[535 + late] = {**arrivals.get(535 + late, {}), 535 * MINUTE: 1535}
    live(site, 540 if late < 60 else (535 + late) // 10 * 10 - 10, 550 + late, arrivals)
    assert marked(site)[535] == 0


@pytest.mark.parametrize(("batch", "step"), [(15, 10), (180, 60)])
def test_a_gateway_that_sends_batches_is_judged(site: Site, batch: int, step: int) -> None:
    site.meter(1)
    end = batch * 4
    live(site, 0, end, {late: minutely(late - batch, count=batch) for late in range(batch, end, batch)}, step)
    assert set(marked(site).values()) == {0}


def test_a_late_reading_within_a_dip_that_begins_further_back_than_the_look_is_bad(site: Site) -> None:
    site.meter(1)
    site.read(1, dict.fromkeys(range(0, 100 * MINUTE, MINUTE), 1100) | {100 * MINUTE: 0, 110 * MINUTE: 0})
    site.sql("UPDATE tbl_energy_value SET is_bad = 1 WHERE actual_value = 0")
    site.read(1, minutely(250, count=290))
    site.read(1, {245 * MINUTE: 0}, is_bad=None)
    clean(site.databases, hours(9, 10))
    assert marked(site)[245] == 1


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("rows", [50, 200_000])
def test_what_a_gateway_sends_after_an_outage_of_the_site_is_judged(
    site: Site, monkeypatch: pytest.MonkeyPatch, rows: int, backwards: bool
) -> None:
    monkeypatch.setattr(marks, "ROWS", rows)
    for meter in (1, 2):
        site.meter(meter)
        site.read(meter, minutely(0, count=60))
    for meter in (1, 2):
        buffer = minutely(60, {100: 0, 900: 0}, count=47 * 60)
        site.read(meter, dict(sorted(buffer.items(), reverse=backwards)), is_bad=None)
        site.read(meter, minutely(48 * 60, count=10), is_bad=None)
    done = clean(site.databases, hours(48, 48 + 1 / 6))
    assert (done.read, done.bad, done.good) == (20, Counter(dip=4), 2 * (47 * 60 + 10 - 2))
    assert bad(site) == bad(site, 2) == [100, 900]
    assert unchecked(site) == unchecked(site, 2) == []


def test_what_came_before_a_window_after_an_outage_is_found_after_a_kill(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.meter(1)
    site.read(1, minutely(0, count=60))
    site.read(1, minutely(60, count=47 * 60 + 10), is_bad=None)
    monkeypatch.setattr(marks, "ROWS", 200)
    monkeypatch.setattr(marks, "_MARKED_AT_ONCE", 300)
    transaction = MySQLStore.transaction
    for _ in range(3):
        left = iter(range(2))

        def fails(store: MySQLStore, left: Iterator[int] = left) -> Any:
            if next(left, None) is None:
                raise TransientError("the server went away")
            return transaction(store)

        monkeypatch.setattr(MySQLStore, "transaction", fails)
        with pytest.raises(TransientError):
            clean(site.databases, hours(48, 48 + 1 / 6))
    monkeypatch.setattr(MySQLStore, "transaction", transaction)
    clean(site.databases, hours(48, 48 + 1 / 6))
    assert unchecked(site) == []


@pytest.mark.parametrize(("rows", "left"), [(200_000, [-15]), (60, [-15, -13])])
def test_what_nobody_checked_long_before_is_left_to_a_run_of_its_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, rows: int, left: list[int]
) -> None:
    monkeypatch.setattr(marks, "ROWS", rows)
    day = 24 * 60
    site.meter(1)
    for before in (15, 13):
        site.read(1, {-before * day * MINUTE: 500 - before}, is_bad=None)
    site.read(1, minutely(-500, count=160))
    site.read(1, minutely(0, count=10), is_bad=None)
    clean(site.databases, hours(0, 1))
    assert unchecked(site) == [before * day for before in left]


def test_a_fall_between_two_steps_of_reading_is_seen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for meter in (1, 2):
        site.meter(meter)
        site.read(meter, minutely(0, {30: 0}), is_bad=None)
    monkeypatch.setattr(marks, "ROWS", 2)
    assert clean(site.databases, hours(0, 1)) == Cleaned(read=120, bad=Counter(dip=2), good=118)


def test_points_that_are_read_more_often_than_expected_are_read_whole(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for meter in (1, 2):
        site.meter(meter)
        site.read(meter, {second: 0 if second == 3000 else 500 + second for second in range(HOUR)}, is_bad=None)
    monkeypatch.setattr(marks, "ROWS", 2500)
    assert clean(site.databases, hours(0, 1)) == Cleaned(read=7200, bad=Counter(dip=2), good=7198)


def test_limits_that_cross_are_a_finding_and_the_rate_comes_from_the_meter(site: Site) -> None:
    for meter in (1, 2):
        site.meter(meter)
        site.read(meter, minutely(0, {20: 50_000, **{minute: minute - 20 for minute in range(21, 60)}}), is_bad=None)
    site.sql("UPDATE tbl_points SET low_limit = 100000000 WHERE id = 1")
    site.sql("INSERT INTO meter_setting (meter_id, max_rate) VALUES (1, 6000), (2, NULL), (9, 9000000)")
    site.sql("INSERT INTO tbl_meters_points (meter_id, point_id) VALUES (9, 1)")
    done = clean(site.databases, hours(0, 1), until=START + timedelta(hours=9))
    assert done.bad == Counter(too_fast=1)
    assert bad(site) == [20]
    (finding,) = done.findings
    assert finding.startswith("point 1: low_limit 100000000.000000 is above high_limit 99999999.000000")
    assert read_points(site.databases)["max_rate"].to_list() == [Decimal(6000), None]


def test_the_pipelines_user_may_do_it_on_an_older_installation(fresh_mysql: str) -> None:
    site = Site(fresh_mysql).create(places=3)
    site.meter(1)
    site.read(1, minutely(0, {20: "1019.001", 21: "1019.0"}), is_bad=None)
    with closing(site.databases), closing(least_rights(fresh_mysql)) as databases:
        assert clean(databases, hours(0, 1)).good == 59
        assert bad(site) == [20]


def test_nothing_to_clean_is_a_success(site: Site) -> None:
    assert clean(site.databases, hours(0, 1)) == Cleaned()
    site.meter(1)
    assert clean(site.databases, hours(0, 100)) == Cleaned()
