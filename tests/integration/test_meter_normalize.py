"""The hourly normalization on a real MyEMS database."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.integration.metering import OPTIONS, START, Site
from tests.meter_reference import Reading, base_of, hours
from wattline.errors import TerminalError
from wattline.meters import buckets, reading_statements, readings
from wattline.meters.plan import Options, job
from wattline.meters.registry import first_holes, read_meters
from wattline.meters.run import computed, normalize
from wattline.meters.store import compare, write
from wattline.window import Window

pytestmark = pytest.mark.integration

CASES = Path(__file__).parents[3] / "shared/data/meters/special_cases.json"


@pytest.fixture
def site(fresh_mysql: str) -> Iterator[Site]:
    made = Site(fresh_mysql).create()
    yield made
    made.databases.close()


def _cases() -> list[dict[str, Any]]:
    return json.loads(CASES.read_text())["cases"] if CASES.exists() else []


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.skipif(not CASES.exists(), reason="the reference cases are not on this machine")
def test_every_reference_case_gives_its_rows(site: Site) -> None:
    for number, case in enumerate(_cases(), start=1):
        for table in ("tbl_meters", "tbl_points", "tbl_meters_points"):
            site.sql(f"DELETE FROM {table}")
        site.meter(number, low=case["low"], high=case["high"])
        rows = [(number, at, value, bad) for at, value, bad in case["rows"]]
        site.sql(
            "INSERT INTO tbl_energy_value (point_id, utc_date_time, actual_value, is_bad) VALUES (%s, %s, %s, %s)", rows
        )
        site.sql(
            f"INSERT INTO tbl_meter_hourly (meter_id, start_datetime_utc, actual_value) VALUES ({number}, %s, %s)",
            [tuple(row) for row in case["pre"]],
        )
        options = Options(_utc(case["start"]), case["minutes"], lookback=timedelta(0))
        end = _utc(case["now"]) - timedelta(minutes=options.minutes_to_clean)
        normalize(site.databases, Window(end - timedelta(minutes=1), end), options, live=True)
        stored = site.sql(
            f"SELECT start_datetime_utc, actual_value FROM tbl_meter_hourly WHERE meter_id = {number} ORDER BY 1"
        )
        expected = [(at, Decimal(value)) for at, value in case["out"]]
        fresh = stored[len(case["pre"]) :]
        assert [(str(at), value) for at, value in fresh] == expected, case["name"]


def _random_site(site: Site, meters: int, luck: random.Random) -> dict[int, list[Reading]]:
    """Meters whose counters rise, fall, stand still, are bad or not checked; what was read of each."""
    made: dict[int, list[Reading]] = {}
    rows: list[tuple[int, datetime, Decimal, int | None]] = []
    for meter in range(1, meters + 1):
        site.meter(meter, low=luck.choice(["0", "0.5"]), high=luck.choice(["10", "1000"]))
        value, at, made[meter] = Decimal(luck.choice([0, 100, 5_000_000])), -7_200, []
        while at < 48 * 3_600:
            at += luck.choice([0, 1, 60, 60, 600, 20_000])
            rise = Decimal(luck.randint(0, 9_000_000)).scaleb(-6)
            value = luck.choice([value, value + rise, Decimal(luck.randint(-1, 9))])
            rows.append((meter, START + timedelta(seconds=at), value, luck.choice([0, 0, 0, 0, 1, None])))
    # Some came late: their ids are larger than those of later ones.
    late = [row for row in rows if luck.random() < 0.1]
    rows = [row for row in rows if row not in late] + late
    for number, (meter, at_, value, bad) in enumerate(rows, start=1):
        made[meter].append(Reading(number, at_, value, bad))
    site.sql(
        "INSERT INTO tbl_energy_value (id, point_id, utc_date_time, actual_value, is_bad) VALUES (%s, %s, %s, %s, %s)",
        [(number, meter, at_.replace(tzinfo=None), *rest) for number, (meter, at_, *rest) in enumerate(rows, start=1)],
    )
    return made


@pytest.fixture(params=[(10, 30), (400, 5_000), (500_000, 8_000_000)], ids=["tiny", "small", "whole"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Readings in a chunk, with as small stretches, and memory for half a stretch."""
    rows, stretch = request.param
    monkeypatch.setattr(readings, "CHUNK_ROWS", rows)
    monkeypatch.setattr(readings, "STRETCH_ROWS", stretch)
    monkeypatch.setattr(readings, "_BUCKETS", 5)
    monkeypatch.setattr(buckets, "HELD_ROWS", stretch // 2)
    return int(rows)


def test_two_days_are_what_the_rule_row_by_row_gives_whatever_the_chunks(site: Site, chunk: int) -> None:
    made = _random_site(site, 12, random.Random(chunk))
    site.run(0, 48)
    limits = {row[0]: row[1:] for row in site.sql("SELECT id, hourly_low_limit, hourly_high_limit FROM tbl_meters")}
    for meter, rows in made.items():
        low, high = limits[meter]
        assert list(site.hourly(meter).values()) == hours(rows, base_of(rows, START), START, 48, low=low, high=high)


def test_meters_whose_rows_begin_at_any_minute_are_cut_anywhere_too(site: Site, chunk: int) -> None:
    made = _random_site(site, 6, random.Random(chunk + 1))
    minutes = dict(enumerate([0, 17, 17, 42, 59, 1], start=1))
    site.sql(
        "INSERT INTO tbl_meter_hourly (meter_id, start_datetime_utc, actual_value) VALUES (%s, %s, 0)",
        [(meter, f"2026-02-28 23:{minute:02}:00") for meter, minute in minutes.items()],
    )
    site.options = Options(START - timedelta(hours=1), lookback=timedelta(0))
    site.run(47, 48, live=True)
    limits = {row[0]: row[1:] for row in site.sql("SELECT id, hourly_low_limit, hourly_high_limit FROM tbl_meters")}
    for meter, rows in made.items():
        low, high = limits[meter]
        first, slots = START + timedelta(minutes=minutes[meter]), 48 - (minutes[meter] > 0)
        expected = hours(rows, base_of(rows, first), first, slots, low=low, high=high)
        stored = site.sql(
            f"SELECT actual_value FROM tbl_meter_hourly WHERE meter_id = {meter} ORDER BY start_datetime_utc"
        )
        assert [value for (value,) in stored[1:]] == expected


@pytest.mark.parametrize(("few", "near"), [(50, 0), (2, 0), (2, 1)], ids=["named", "by time", "by primary key"])
def test_hour_by_hour_a_day_at_a_time_and_all_at_once_are_the_same(
    site: Site, few: int, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_statements, "_FEW", few)
    _random_site(site, 8, random.Random(5))
    ((rows,),) = site.sql("SELECT COUNT(*) FROM tbl_energy_value")
    monkeypatch.setattr(reading_statements, "_close", lambda ids, _: ids["high"][0] - ids["low"][0] < near * (rows - 1))
    site.run(0, 48)
    whole, quality = site.everything(), site.reasoned()
    for step in (1, 5, 24):
        site.sql("DELETE FROM tbl_meter_hourly")
        site.sql("DELETE FROM meter_hourly_quality")
        for begin in range(0, 48, step):
            site.run(begin, min(begin + step, 48))
        assert site.everything().equals(whole)
        assert site.reasoned().equals(quality)


def test_a_rerun_writes_nothing(site: Site) -> None:
    _random_site(site, 3, random.Random(1))
    assert site.run(0, 48) == {"new": 144, "revised": 0, "unchanged": 0}
    before = site.sql("SELECT * FROM tbl_meter_hourly ORDER BY id")
    assert site.run(0, 48) == {"new": 0, "revised": 0, "unchanged": 144}
    assert site.sql("SELECT * FROM tbl_meter_hourly ORDER BY id") == before


def test_runs_over_the_same_hours_at_the_same_time_leave_one_row_a_slot(site: Site) -> None:
    _random_site(site, 10, random.Random(2))
    sites = [Site(site.url) for _ in range(3)]
    threads = [threading.Thread(target=each.run, args=(0, 48)) for each in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in sites:
        each.databases.close()
    site.run(0, 48)
    assert site.everything().height == 480
    assert site.sql("SELECT COUNT(*) FROM tbl_meter_hourly") == [(480,)]
    assert site.sql("SELECT COUNT(*) FROM meter_hourly_quality WHERE reason = 'late_revision'") == [(0,)]


def test_a_live_run_goes_on_from_the_newest_row_and_a_new_meter_begins_at_the_start(site: Site) -> None:
    site.meter(1)
    site.read(1, {-60: 100, 60: 101, 3_700: 103, 7_300: 106})
    site.run(0, 1, live=True)
    assert site.hourly(1) == {0: 1}
    site.meter(2)
    site.read(2, {7_300: 5, 7_400: 6})
    # The scheduler was away for an hour: both meters get every hour that they miss.
    site.run(2, 3, live=True)
    assert site.hourly(1) == {0: 1, 1: 2, 2: 3}
    assert site.hourly(2) == {0: 0, 1: 0, 2: 0}


def test_a_live_run_when_nothing_is_to_do_is_a_success(site: Site) -> None:
    assert site.run(0, 1, live=True) == {"new": 0, "revised": 0, "unchanged": 0}
    site.meter(1)
    assert site.run(-1, 0, live=True) == {"new": 0, "revised": 0, "unchanged": 0}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            "INSERT INTO tbl_energy_value (point_id, utc_date_time, actual_value, is_bad) "
            "VALUES (1, '2026-03-01 01:30:00', 104, 0)",
            id="a late reading",
        ),
        pytest.param(
            "UPDATE tbl_energy_value SET actual_value = 104 "
            "WHERE point_id = 1 AND utc_date_time = '2026-03-01 01:01:40'",
            id="a repair",
        ),
        pytest.param("UPDATE tbl_energy_value SET is_bad = 0 WHERE is_bad IS NULL", id="a reading that is checked"),
    ],
)
def test_late_data_revise_just_the_hours_that_they_touch_and_say_so(site: Site, change: str) -> None:
    site.meter(1)
    site.meter(2)
    for meter in (1, 2):
        site.read(meter, {-60: 100, 60: 101, 3_700: 103, 7_300: 106, 10_900: 110})
    site.read(1, {3_800: 104}, is_bad=None)
    site.run(3, 4, live=True)
    other, first = site.quality(2), site.quality(1)
    assert list(site.hourly(1).values()) == [1, 2, 3, 4]
    site.sql(change)
    assert site.run(3, 4, live=True)["revised"] == 2
    assert list(site.hourly(1).values()) == [1, 3, 2, 4]
    assert site.reasons(1) == ["measured", "late_revision", "late_revision", "measured"]
    revised = site.quality(1)
    assert [row["revised_from"] for row in revised.values()] == [None, 2, 3, None]
    assert revised[1]["revised_at"] > datetime.now(UTC) - timedelta(minutes=5)
    assert (revised[0], revised[3]) == (first[0], first[3])
    assert site.quality(2) == other
    # What was revised once is not revised by the next run.
    assert site.run(3, 4, live=True)["revised"] == 0
    assert site.reasons(1) == ["measured", "late_revision", "late_revision", "measured"]


def test_holes_and_lost_reasons_are_filled_and_foreign_values_are_revised(site: Site) -> None:
    site.meter(1)
    site.read(1, {-60: 100, 60: 101, 3_700: 103, 7_300: 106, 10_900: 110})
    site.run(3, 4, live=True)
    site.sql("DELETE FROM tbl_meter_hourly WHERE start_datetime_utc = '2026-03-01 01:00:00'")
    site.sql("DELETE FROM meter_hourly_quality WHERE start_datetime_utc = '2026-03-01 02:00:00'")
    site.sql("UPDATE tbl_meter_hourly SET actual_value = 99 WHERE start_datetime_utc = '2026-03-01 03:00:00'")
    assert site.run(3, 4, live=True) == {"new": 2, "revised": 1, "unchanged": 1}
    assert list(site.hourly(1).values()) == [1, 2, 3, 4]
    assert site.reasons(1) == ["measured", "measured", "measured", "late_revision"]
    assert site.quality(1)[3]["revised_from"] == 99


def test_an_hour_without_readings_keeps_its_reason_when_the_counter_before_it_changes(site: Site) -> None:
    site.meter(1)
    site.read(1, {-60: 100, 60: 101, 18_060: 110})
    site.run(0, 6)
    site.read(1, {120: 104})
    assert site.run(0, 6) == {"new": 0, "revised": 2, "unchanged": 4}
    assert site.reasons(1) == ["late_revision", *["no_readings"] * 4, "late_revision"]
    assert [row["initial_value"] for row in site.quality(1).values()] == [100, 104, 104, 104, 104, 104]


def test_a_revision_that_was_killed_between_its_tables_is_finished_and_is_no_second_one(site: Site) -> None:
    site.meter(1)
    site.read(1, {-60: 100, 60: 101})
    site.run(0, 1)
    site.read(1, {120: 104})
    site.run(0, 1)
    revised = site.quality(1)
    # The reasons go first: so far the killed run came.
    site.sql("UPDATE tbl_meter_hourly SET actual_value = 1")
    assert site.run(0, 1) == {"new": 1, "revised": 0, "unchanged": 0}
    assert site.hourly(1) == {0: 4}
    assert site.quality(1)[0]["revised_from"] == revised[0]["revised_from"] == 1


def test_a_run_that_stood_still_does_not_bring_back_what_older_readings_said(site: Site) -> None:
    site.meter(1)
    site.read(1, {-60: 100, 60: 101})
    window = Window(START, START + timedelta(hours=1))
    old = pl.concat(computed(site.databases, job(read_meters(site.databases), window, OPTIONS, live=False)))
    site.run(0, 1)
    site.read(1, {120: 104})
    site.run(0, 1)
    before = site.quality(1)
    assert write(site.databases.energy, compare(site.databases.energy, old, datetime.now(UTC)))["revised"] == 0
    assert site.hourly(1) == {0: 4}
    assert site.quality(1) == before
    assert before[0]["reason"] == "late_revision"


def test_holes_before_the_look_back_are_filled_by_the_run_that_passes_midnight(site: Site) -> None:
    site.options = Options(START, lookback=timedelta(hours=2))
    site.meter(1)
    site.meter(2)
    for meter in (1, 2):
        site.read(meter, {3_600 * hour: 100 + hour for hour in range(-1, 75)})
    site.run(0, 1, live=True)
    # Somebody computes an hour by hand, far ahead: the live run goes on from there.
    site.run(70, 71)
    site.run(70, 71, live=True)
    assert list(site.hourly(1)) == [0, 69, 70]
    site.run(71, 72, live=True)
    assert [list(site.hourly(meter).values()) for meter in (1, 2)] == [[1] * 72] * 2
    assert first_holes(site.databases.energy, START, 60).is_empty()


def test_limits_and_counters_of_any_size_stop_no_other_meter(site: Site) -> None:
    for meter, high in ((1, "99999999999999"), (2, "1000")):
        site.meter(meter, high=high)
        site.read(meter, {-60: 100, 60: 101, 3_660: 200_000_000_000, 18_000: 103})
        site.read(meter, {18_060: "999999999999999.999999"})
    site.run(0, 6)
    whole = {meter: site.hourly(meter) for meter in (1, 2)}
    assert list(whole[1].values()) == list(whole[2].values()) == [1, 0, 0, 0, 0, 2]
    site.sql("DELETE FROM tbl_meter_hourly")
    site.sql("DELETE FROM meter_hourly_quality")
    for begin in range(6):
        site.run(begin, begin + 1)
    assert {meter: site.hourly(meter) for meter in (1, 2)} == whole


def test_hours_of_the_original_stay_and_get_their_reasons(site: Site) -> None:
    site.meter(1)
    site.read(1, {-60: 100, 60: 101, 3_700: 103})
    site.sql(
        "INSERT INTO tbl_meter_hourly (meter_id, start_datetime_utc, actual_value) VALUES (1, '2026-03-01 00:00:00', 1)"
    )
    site.run(0, 2)
    assert site.hourly(1) == {0: 1, 1: 2}
    assert site.reasons(1) == ["measured", "measured"]


def test_a_meter_keeps_the_minute_of_its_rows(site: Site) -> None:
    site.meter(1)
    site.read(1, {-60: 100, 60: 101, 3_700: 103, 5_000: 105})
    site.sql(
        "INSERT INTO tbl_meter_hourly (meter_id, start_datetime_utc, actual_value) VALUES (1, '2026-02-28 23:17:00', 0)"
    )
    site.options = Options(START - timedelta(hours=1), lookback=timedelta(0))
    site.run(0, 2, live=True)
    rows = site.sql("SELECT start_datetime_utc, actual_value FROM tbl_meter_hourly ORDER BY 1")
    assert [(f"{at:%d %H:%M}", value) for at, value in rows] == [("28 23:17", 0), ("01 00:17", 2)]


def test_an_older_installation_gets_three_places_half_away_from_zero(fresh_mysql: str) -> None:
    site = Site(fresh_mysql).create()
    site.sql("ALTER TABLE tbl_meter_hourly MODIFY actual_value DECIMAL(18,3) NOT NULL")
    site.meter(1)
    site.read(1, {-60: 100, 60: "100.0005", 3_700: "100.000999"})
    site.run(0, 2)
    assert site.hourly(1) == {0: Decimal("0.001"), 1: 0}
    assert site.quality(1)[0]["raw_increment"] == Decimal("0.0005")
    assert site.run(0, 2)["unchanged"] == 2
    site.databases.close()


def test_half_hours(site: Site) -> None:
    site.options = Options(START, minutes_to_count=30)
    site.meter(1)
    site.read(1, {-60: 100, 60: 101, 1_900: 103, 3_700: 106})
    site.run(0, 1, live=True)
    rows = site.sql("SELECT start_datetime_utc, actual_value FROM tbl_meter_hourly ORDER BY 1")
    assert [(f"{at:%H:%M}", value) for at, value in rows] == [("00:00", 1), ("00:30", 2)]


def test_the_base_is_found_however_old_it_is(site: Site) -> None:
    for meter, age in ((1, 30), (2, 3_000), (3, 50_000), (4, 90_000_000)):
        site.meter(meter)
        site.read(meter, {-age: 100, 60: 107})
        site.read(meter, {-5: 500}, is_bad=1)
        site.read(meter, {-4: 500}, is_bad=None)
    site.meter(5)
    site.read(5, {60: 107})
    site.run(0, 1)
    assert [site.hourly(meter)[0] for meter in range(1, 6)] == [7, 7, 7, 7, 0]
    assert [site.reasons(meter)[0] for meter in range(1, 6)] == [
        "measured", "measured", "spans_gap", "spans_gap", "base_too_small",
    ]  # fmt: skip


def test_readings_of_one_second_count_in_the_order_of_their_ids(site: Site) -> None:
    site.meter(1)
    site.read(1, {-60: 100})
    for value in (104, 102, 105):
        site.read(1, {60: value})
    site.run(0, 1)
    assert site.hourly(1) == {0: 7}


def test_two_meters_may_share_a_point(site: Site) -> None:
    site.meter(1)
    site.meter(2, high="3")
    site.sql("UPDATE tbl_meters_points SET point_id = 1")
    site.read(1, {-60: 100, 60: 104})
    site.run(0, 1)
    assert (site.hourly(1), site.hourly(2)) == ({0: 4}, {0: 0})


def test_without_the_unique_key_nothing_is_written(site: Site) -> None:
    site.meter(1)
    site.sql("ALTER TABLE tbl_meter_hourly DROP INDEX " + _unique_index(site))
    with pytest.raises(TerminalError, match="meters upgrade"):
        site.run(0, 1)
    assert site.everything().is_empty()


def _unique_index(site: Site) -> str:
    rows = site.sql("SHOW INDEX FROM tbl_meter_hourly WHERE Non_unique = 0 AND Key_name <> 'PRIMARY'")
    return str(rows[0][2])


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(TerminalError, match="Give 60 or 30"):
        Options(START, minutes_to_count=15)
    with pytest.raises(TerminalError, match="time zone"):
        Options(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
    assert OPTIONS.mode == "strict"


def test_the_windows_of_runs_share_no_slot_and_leave_none_out(site: Site) -> None:
    site.meter(1)
    for begin in range(0, 300, 10):
        window = Window(START + timedelta(minutes=begin + 7), START + timedelta(minutes=begin + 17))
        normalize(site.databases, window, OPTIONS, live=False)
    assert list(site.hourly(1)) == [0, 1, 2, 3, 4]
    assert site.sql("SELECT COUNT(*) FROM tbl_meter_hourly") == [(5,)]
    assert isinstance(site.everything(), pl.DataFrame)
