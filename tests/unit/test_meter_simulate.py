"""Simulated meters: the same readings whatever window is asked for, and each shows what its name says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from wattline.meters.demo_forms import write_forms
from wattline.meters.demo_register import OFFLINE_METERS, VIRTUAL_METERS, settings_frame, system_frames
from wattline.meters.exact import UNIT
from wattline.meters.fleet import FIRST_POINT, POINT_LIMIT, DemoMeter, Show, demo_meters
from wattline.meters.myems import READING, contract
from wattline.meters.simulate import UNCHECKED_TAIL, readings
from wattline.meters.tables import SETTING
from wattline.window import Window

SEED = 7
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = datetime(2026, 11, 3, 12, 34, tzinfo=UTC)
METERS = demo_meters(len(Show) + 2, SEED)
WHOLE = readings(METERS, SEED, SINCE, Window(SINCE, UNTIL), UNTIL)


def meter(show: Show) -> DemoMeter:
    return next(each for each in METERS if each.shows is show)


def rows(show: Show) -> pl.DataFrame:
    return WHOLE.filter(pl.col("point_id") == meter(show).point)


def rises(frame: pl.DataFrame) -> pl.Series:
    return frame["actual_value"].diff().drop_nulls()


def minute(hours: int, minutes: int = 0) -> pl.Expr:
    """Which readings are of this minute of the day."""
    return (pl.col("utc_date_time").dt.hour() == hours) & (pl.col("utc_date_time").dt.minute() == minutes)


def test_readings_fulfil_the_contract_in_the_order_of_time() -> None:
    assert READING.conform(WHOLE).equals(WHOLE)
    assert WHOLE.equals(WHOLE.sort("utc_date_time", "point_id"))
    assert not WHOLE.select(READING.key).is_duplicated().any()
    assert WHOLE["utc_date_time"].dt.microsecond().max() == 0


def test_a_meter_is_read_once_a_minute_with_a_second_of_jitter() -> None:
    times = rows(Show.NORMAL)["utc_date_time"]
    assert times.len() == (UNTIL - SINCE) // timedelta(minutes=1)
    assert times.dt.truncate("1m").n_unique() == times.len()
    assert set(times.dt.second().unique()) == {7, 8, 9, 10}


@hypothesis_settings(max_examples=25)
@given(st.lists(st.integers(0, int((UNTIL - SINCE).total_seconds())), max_size=4))
def test_any_cut_into_windows_gives_the_same_readings(cuts: list[int]) -> None:
    ends = [SINCE - timedelta(days=1), *(SINCE + timedelta(seconds=cut) for cut in sorted(set(cuts))), UNTIL]
    parts = [readings(METERS, SEED, SINCE, Window(low, high), UNTIL) for low, high in pairwise(ends) if low < high]
    assert pl.concat(parts).equals(WHOLE)


def test_a_meter_is_the_same_in_any_company() -> None:
    some = demo_meters(3, SEED)
    assert some == METERS[:3]
    alone = readings(some[2:], SEED, SINCE, Window(SINCE, UNTIL), UNTIL)
    assert alone.equals(WHOLE.filter(pl.col("point_id") == some[2].point))
    other = readings(demo_meters(3, SEED + 1), SEED + 1, SINCE, Window(SINCE, UNTIL), UNTIL)
    assert not other["actual_value"].equals(WHOLE["actual_value"].head(other.height))


def test_a_later_end_changes_what_is_judged_and_nothing_else() -> None:
    later = readings(METERS, SEED, SINCE, Window(SINCE, UNTIL), UNTIL + timedelta(days=1))
    assert later.drop("is_bad").equals(WHOLE.drop("is_bad"))
    changed = later.filter(pl.Series(later["is_bad"].ne_missing(WHOLE["is_bad"])))
    assert changed["point_id"].unique().to_list() == [meter(Show.UNCHECKED_TAIL).point]


def test_nothing_is_read_before_the_world_begins_or_after_its_end() -> None:
    assert readings(METERS, SEED, SINCE, Window(SINCE - timedelta(days=2), SINCE), UNTIL).is_empty()
    assert readings(METERS, SEED, SINCE, Window(UNTIL, UNTIL + timedelta(days=2)), UNTIL).schema == READING.schema
    assert WHOLE["utc_date_time"].max() < UNTIL  # type: ignore[operator] # a time


def test_normal_load_never_falls_and_stays_within_its_limit() -> None:
    for each in (each for each in METERS if each.shows is Show.NORMAL):
        frame = WHOLE.filter(pl.col("point_id") == each.point)
        assert rises(frame).min() >= 0  # type: ignore[operator] # a decimal
        assert 0 < hourly(frame).max() <= Decimal(each.high) / UNIT
        assert not frame["is_bad"].any()


def hourly(frame: pl.DataFrame) -> pl.Series:
    """Growth of the counter in each hour that has readings in the hour before, in order."""
    ends = frame.group_by_dynamic("utc_date_time", every="1h").agg(pl.col("actual_value").last())
    return ends["actual_value"].diff().drop_nulls()


def test_offline_over_night_it_says_nothing_and_goes_on_with_the_energy() -> None:
    frame = rows(Show.OFFLINE)
    assert frame.filter(pl.col("utc_date_time").dt.hour().is_in([21, 22, 23, 0, 1, 2, 3, 4])).is_empty()
    gap = frame.with_columns(rise=pl.col("actual_value").diff(), pause=pl.col("utc_date_time").diff()).filter(
        pl.col("pause") > timedelta(hours=8)
    )
    assert gap.height == 2
    assert gap["rise"].min() > Decimal(meter(Show.OFFLINE).rate) / UNIT


def test_an_outage_holds_more_than_the_limit_and_less_than_its_hours_allow() -> None:
    frame, high = rows(Show.OUTAGE), Decimal(meter(Show.OUTAGE).high) / UNIT
    gap = frame.with_columns(rise=pl.col("actual_value").diff(), pause=pl.col("utc_date_time").diff()).filter(
        pl.col("pause") > timedelta(hours=5)
    )
    assert gap.height == 2
    assert high < gap["rise"].min() < gap["rise"].max() < 5 * high


def test_a_reset_starts_from_zero_and_rises_from_there() -> None:
    frame = rows(Show.RESET)
    falls = frame.filter(pl.col("actual_value").diff() < 0)
    assert falls["actual_value"].to_list() == [0, 0, 0]
    assert [f"{time:%H:%M}" for time in falls["utc_date_time"]] == ["10:17"] * 3
    assert (frame.filter(pl.col("utc_date_time") >= falls["utc_date_time"][-1]))["actual_value"].is_sorted()


def test_a_roll_over_stays_below_the_modulus_and_loses_nothing() -> None:
    frame, modulus = rows(Show.ROLL_OVER), Decimal(meter(Show.ROLL_OVER).modulus) / UNIT
    assert frame["actual_value"].max() < modulus  # type: ignore[operator] # a decimal
    changes = rises(frame)
    assert (changes < 0).sum() >= 2
    true = changes.to_frame("change").select(
        pl.when(pl.col("change") < 0).then(pl.col("change") + modulus).otherwise("change")
    )
    assert 0 <= true.min().item() <= true.max().item() < 100


def test_a_used_meter_comes_later_with_all_it_ever_counted() -> None:
    frame = rows(Show.USED)
    assert frame["utc_date_time"][0] == SINCE + timedelta(hours=6, minutes=17, seconds=frame["utc_date_time"][0].second)
    assert frame["actual_value"][0] > 56_000_000


def test_bad_zeroes_are_judged_bad_and_the_counter_comes_back() -> None:
    frame = rows(Show.BAD_ZEROES)
    zero = frame.filter(pl.col("actual_value") == 0)
    assert zero["is_bad"].to_list() == [True] * 24
    assert frame.filter(pl.col("is_bad")).equals(zero)
    assert rises(frame.filter(~pl.col("is_bad"))).min() >= 0  # type: ignore[operator] # a decimal


def test_the_newest_readings_are_not_judged() -> None:
    frame = rows(Show.UNCHECKED_TAIL)
    late = frame.filter(pl.col("utc_date_time") >= UNTIL - UNCHECKED_TAIL)
    assert late.height == 180
    assert late["is_bad"].null_count() == late.height
    assert frame["is_bad"].null_count() == late.height


def test_jitter_moves_the_last_digits_up_and_down() -> None:
    changes = rises(rows(Show.JITTER))
    assert Decimal("-0.006") <= changes.min() < 0  # type: ignore[operator] # a decimal


def test_spikes_come_down_again_and_one_is_beyond_the_points_limit() -> None:
    frame = rows(Show.SPIKES)
    assert frame["is_bad"].null_count() == frame.height
    level = frame["actual_value"].min() + 20_000  # type: ignore[operator] # a decimal
    spikes = frame.filter(pl.col("actual_value") > level)
    assert {f"{time:%H:%M}" for time in spikes["utc_date_time"]} == {
        "08:00",
        "08:02",
        "11:40",
        "11:41",
        "11:42",
        "16:40",
    }
    assert (spikes["actual_value"] > Decimal(POINT_LIMIT) / UNIT).sum() == 2
    assert rises(frame.filter(pl.col("actual_value") <= level)).min() >= 0  # type: ignore[operator] # a decimal


def test_dips_come_back() -> None:
    frame = rows(Show.DIPS)
    assert frame["is_bad"].null_count() == frame.height
    dips = frame.filter(pl.col("actual_value") == 0)
    assert dips.height == 18
    assert rises(frame.filter(pl.col("actual_value") > 0)).min() >= 0  # type: ignore[operator] # a decimal


def test_hours_are_above_and_below_their_limits_where_that_is_shown() -> None:
    above = hourly(rows(Show.ABOVE))
    assert (above > Decimal(meter(Show.ABOVE).high) / UNIT).sum() == 3
    below = hourly(rows(Show.BELOW))
    assert (below == 0).sum() >= 5
    assert ((below > 0) & (below < Decimal(meter(Show.BELOW).low) / UNIT)).sum() >= 5


def test_a_float32_counter_shows_what_32_bits_hold() -> None:
    values = rows(Show.FLOAT32)["actual_value"]
    sixteenths = values.cast(pl.Float64) * 16
    assert (sixteenths == sixteenths.round()).all()
    assert values.n_unique() > 1000


def test_a_silent_meter_has_no_reading_and_another_has_only_bad_ones() -> None:
    assert rows(Show.SILENT).is_empty()
    assert rows(Show.BAD)["is_bad"].all()
    assert rows(Show.BAD).height > 0


def test_every_show_has_a_meter_that_is_named_by_it() -> None:
    frames = system_frames(METERS, "; mark")
    names = frames["tbl_meters"]["name"].to_list()
    assert [name.split(": ")[1] for name in names[: len(Show)]] == list(Show)
    assert all(text.endswith("; mark") for text in frames["tbl_meters"]["description"])


def test_the_register_is_what_myems_tables_take() -> None:
    frames = system_frames(METERS, "; mark")
    for name, frame in frames.items():
        assert contract(name).batch(frame).height == frame.height
    links = frames["tbl_meters_points"].join(frames["tbl_points"], left_on="point_id", right_on="id")
    counters = links.filter(pl.col("object_type") == "ENERGY_VALUE")
    assert counters["meter_id"].to_list() == [each.number for each in METERS]
    assert links.height == counters.height + 1
    assert counters["point_id"].min() == FIRST_POINT


def test_virtual_meters_are_made_of_meters_that_are_there() -> None:
    frames = system_frames(METERS, "")
    there = {kind: set(frames[f"tbl_{kind}s"]["id"]) for kind in ("meter", "offline_meter", "virtual_meter")}
    for kind, number in frames["tbl_variables"].select("meter_type", "meter_id").iter_rows():
        assert number in there[kind]
    assert frames["tbl_variables"]["virtual_meter_id"].n_unique() == len(VIRTUAL_METERS)


def test_what_myems_has_no_column_for_is_said_of_the_meters_that_need_it() -> None:
    frame = settings_frame(METERS)
    known = {number: (modulus, rate) for number, modulus, rate in SETTING.batch(frame).iter_rows()}
    assert known[meter(Show.ROLL_OVER).number] == (Decimal(10_000), None)
    assert known[meter(Show.SPIKES).number] == (None, Decimal(90))
    assert set(known) == {meter(show).number for show in (Show.ROLL_OVER, Show.SPIKES, Show.DIPS)}


def test_forms_hold_the_local_days_that_are_over(tmp_path: Path) -> None:
    since, until = datetime(2026, 10, 29, 20, tzinfo=UTC), datetime(2026, 11, 3, 20, tzinfo=UTC)
    paths = write_forms(tmp_path, SEED, since, until, ZoneInfo("Asia/Seoul"))
    assert [path.name for path in paths] == ["wattline-demo-2026-10.xlsx", "wattline-demo-2026-11.xlsx"]
    assert sorted(tmp_path.iterdir()) == paths
    october, november = (load_workbook(path).active for path in paths)
    assert october is not None
    assert november is not None
    assert [cell.value for cell in october[2][:2]] == [2026, 10]
    assert [cell.column - 3 for cell in october[3][3:] if cell.value is not None] == [30, 31]
    assert [cell.column - 3 for cell in november[5][3:] if cell.value is not None] == [1, 2, 3]
    refused = november["E5"].value
    assert isinstance(refused, int | float)
    assert refused > 24 * OFFLINE_METERS[2].high
    assert all(0 < november.cell(row, 4).value < 24 * 20 for row in (3, 4))


def test_forms_are_the_same_each_time(tmp_path: Path) -> None:
    cells = []
    for _ in range(2):
        (path,) = write_forms(tmp_path, SEED, SINCE, UNTIL, ZoneInfo("UTC"))
        sheet = load_workbook(path).active
        assert sheet is not None
        cells.append(list(sheet.values))
    assert cells[0] == cells[1]


@pytest.mark.parametrize("count", [1, len(Show), 200])
def test_the_first_meters_show_and_the_others_run_normally(count: int) -> None:
    shows = [each.shows for each in demo_meters(count, SEED)]
    assert shows == [*Show, *[Show.NORMAL] * count][:count]
