"""The comparison of stored days with a CSV file: which differences have a reason, and which never pass."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.memory_store import MemoryStore
from wattline.errors import BadInputError
from wattline.solar.check_csv import Comparison, check
from wattline.solar.csv_log import read_log
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION, INVERTER, TICK, TICK_ROW
from wattline.storage.contract import Table

HEADER = "DATE_TIME,PLANT_ID,SOURCE_KEY,DC_POWER,AC_POWER,DAILY_YIELD,TOTAL_YIELD"
Samples = Mapping[str, tuple[str, str]]
"""Local time `DD HH:MM` of May 2020 → what the file says: DAILY_YIELD, TOTAL_YIELD."""

PLAIN: Samples = {
    "01 06:00": ("0", "1000"),
    "01 12:00": ("30", "1030"),
    "02 06:00": ("0", "1030"),
    "02 20:00": ("50", "1080"),
}


def compared(folder: Path, samples: Samples, stored: Mapping[int, tuple[str, str]], **wrong: object) -> Comparison:
    """Check inverter 1 with `samples` against `stored`: day of May → daykw, totkw."""
    path = folder / "log.csv"
    lines = [f"{at[:2]}-05-2020 {at[3:]},9,a,0,0,{daily},{total}" for at, (daily, total) in samples.items()]
    path.write_text("\n".join((HEADER, *lines)))
    rows = read_log(path, "Asia/Kolkata", {}).rows
    store = MemoryStore()
    put(store, INVERTER, [{"mcno": 1, "invno": 1, "serial_no": "a", "installed_at": EPOCH, "updated_at": EPOCH}])
    for table, column, part in ((DAY_GENERATION, "daykw", 0), (DAY_TOTAL_GENERATION, "totkw", 1)):
        days = [{"mcno": 1, "day": date(2020, 5, day), column: Decimal(values[part])} for day, values in stored.items()]
        plant = [{**day, "invno": 0, column: day[column] + Decimal(str(wrong.get("plant", 0)))} for day in days]
        put(store, table, [{**day, "invno": 1} for day in days] + plant)
    first, last = rows["at"].min(), rows["at"].max()
    ticks = pl.datetime_range(
        first, last + TICK - timedelta(microseconds=1), TICK, time_zone="UTC", eager=True
    ).to_list()[int(str(wrong.get("ticks", 0))) :]
    zero = dict.fromkeys(("ackw", "dckw", "daykw", "totkw", "day_peak", "segment_offset"), 0)
    flags = dict.fromkeys(("stale", "counter_reset", "daykw_carried"), False)
    put(store, TICK_ROW, [{"mcno": 1, "invno": 1, "at": tick, **zero, **flags} for tick in ticks])
    return check(rows, store, 1)


EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def put(store: MemoryStore, table: Table, rows: list[dict[str, object]]) -> None:
    whole = [{**dict.fromkeys(table.schema), **row} for row in rows]
    store.upsert(table, pl.DataFrame(whole, schema_overrides=table.schema, orient="row"))


def reasons(result: Comparison) -> list[tuple[str, int | None, str | None]]:
    found = result.differences.select("quantity", pl.col("day").dt.day(), "reason")
    return found.rows()


def test_equal_values_are_no_difference(tmp_path: Path) -> None:
    result = compared(tmp_path, PLAIN, {1: ("30", "1030"), 2: ("50", "1080")})
    assert result.differences.is_empty()
    assert result.compared == {"daykw": 2, "totkw": 2, "plant daykw": 2, "plant totkw": 2, "tick rows": 1}


def test_a_restart_before_midnight_is_no_loss(tmp_path: Path) -> None:
    samples = {**PLAIN, "02 23:45": ("43.75", "1080"), "02 23:55": ("0", "1080")}
    stored = {1: ("30", "1030"), 2: ("50", "1080")}
    assert reasons(compared(tmp_path, samples, stored)) == [("daykw", 2, "early_reset")]
    assert reasons(compared(tmp_path, samples, {**stored, 2: ("43.75", "1080")})) == [("daykw", 2, None)]


def test_energy_of_yesterday_after_midnight_is_not_todays(tmp_path: Path) -> None:
    only_left_over = {**PLAIN, "03 00:00": ("50", "1080"), "03 00:15": ("6.25", "1080")}
    stored = {1: ("30", "1030"), 2: ("50", "1080"), 3: ("0", "1080")}
    assert reasons(compared(tmp_path, only_left_over, stored)) == [("daykw", 3, "late_reset")]
    for wrong in ("6.25", "50"):
        assert reasons(compared(tmp_path, only_left_over, {**stored, 3: (wrong, "1080")})) == [("daykw", 3, None)]
    cloudy_day = {**only_left_over, "03 06:00": ("0", "1080"), "03 12:00": ("4", "1084")}
    assert reasons(compared(tmp_path, cloudy_day, {**stored, 3: ("4", "1084")})) == []
    assert reasons(compared(tmp_path, cloudy_day, {**stored, 3: ("6.25", "1084")})) == [("daykw", 3, None)]


def test_energy_after_an_early_restart_needs_the_lifetime_counters_word(tmp_path: Path) -> None:
    stored = {1: ("30", "1030"), 2: ("50", "1082")}
    after = {**PLAIN, "02 20:30": ("0", "1080"), "02 21:00": ("2", "1082")}
    assert reasons(compared(tmp_path, after, stored)) == [("daykw", 2, "early_reset")]
    assert reasons(compared(tmp_path, after, {**stored, 2: ("2", "1082")})) == [("daykw", 2, None)]
    spike = {**PLAIN, "02 20:30": ("900", "1080"), "02 20:40": ("50", "1080"), "02 21:00": ("52", "1082")}
    assert reasons(compared(tmp_path, spike, {**stored, 2: ("900", "1082")})) == [("daykw", 2, None)]
    assert reasons(compared(tmp_path, spike, {**stored, 2: ("52", "1082")})) == []


def test_days_without_rows_have_no_energy_and_the_counter_as_before(tmp_path: Path) -> None:
    samples = {**PLAIN, "04 12:00": ("20", "1100")}
    stored = {1: ("30", "1030"), 2: ("50", "1080"), 3: ("0", "1080"), 4: ("20", "1100")}
    missing = [("daykw", 3, "missing_rows"), ("totkw", 3, "missing_rows")]
    assert reasons(compared(tmp_path, samples, stored)) == missing
    invented = compared(tmp_path, samples, {**stored, 3: ("10", "1090")})
    assert reasons(invented) == [("daykw", 3, None), ("totkw", 3, None)]
    lost = compared(tmp_path, samples, {day: values for day, values in stored.items() if day != 4})
    assert set(reasons(lost)) >= {("daykw", 4, None), ("totkw", 4, None)}


def test_a_fallen_counter_goes_on_from_where_it_was(tmp_path: Path) -> None:
    samples = {**PLAIN, "03 12:00": ("20", "5"), "03 18:00": ("28", "13")}
    stored = {1: ("30", "1030"), 2: ("50", "1080"), 3: ("28", "1088")}
    assert reasons(compared(tmp_path, samples, stored)) == [("totkw", 3, "counter_reset")]
    for wrong in ("1080", "13"):
        assert reasons(compared(tmp_path, samples, {**stored, 3: ("28", wrong)})) == [("totkw", 3, None)]


def test_more_than_six_decimals_are_rounded_half_up(tmp_path: Path) -> None:
    samples = {**PLAIN, "03 12:00": ("20.1234565", "1100.0000001")}
    stored = {1: ("30", "1030"), 2: ("50", "1080"), 3: ("20.123457", "1100.000000")}
    rounding = [("daykw", 3, "rounding"), ("totkw", 3, "rounding")]
    assert reasons(compared(tmp_path, samples, stored)) == rounding
    assert compared(tmp_path, samples, {**stored, 3: ("20.123456", "1100.000000")}).unexplained == 1


def test_plant_rows_and_tick_rows_are_counted(tmp_path: Path) -> None:
    stored = {1: ("30", "1030"), 2: ("50", "1080")}
    sums = compared(tmp_path, PLAIN, stored, plant=1)
    assert reasons(sums) == [(f"plant {name}", day, None) for name in ("daykw", "totkw") for day in (1, 2)]
    assert reasons(compared(tmp_path, PLAIN, stored, ticks=1)) == [("tick rows", None, None)]


def test_an_inverter_that_is_not_stored_stops_the_check(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{HEADER}\n01-05-2020 06:00,9,a,0,0,0,1\n")
    with pytest.raises(BadInputError, match="has no inverter a"):
        check(read_log(path, "Asia/Kolkata", {}).rows, MemoryStore(), 1)
