"""The public CSV layout: what is read exactly, what is refused and why, and how inverters get their numbers."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tests.memory_store import MemoryStore
from wattline.errors import BadInputError
from wattline.solar.csv_log import CsvLog, read_log
from wattline.solar.import_csv import PlantOptions, import_log, reference_town
from wattline.solar.tables import CUSTOMER, INVERTER, READING

HEADER = "DATE_TIME,PLANT_ID,SOURCE_KEY,DC_POWER,AC_POWER,DAILY_YIELD,TOTAL_YIELD"
KOLKATA = PlantOptions(mcno=1, timezone="Asia/Kolkata")


def parsed(
    folder: Path, *rows: str, timezone: str = "Asia/Kolkata", plant_id: str | None = None, **scale: str
) -> CsvLog:
    path = folder / "log.csv"
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return read_log(path, timezone, {name: Decimal(factor) for name, factor in scale.items()}, plant_id)


def test_both_date_formats_scales_and_compression_give_the_same_readings(tmp_path: Path) -> None:
    day_first = parsed(tmp_path, "15-05-2020 06:30,9,b,120,10.5,1.25,100.5", DC_POWER="0.1")
    year_first = parsed(tmp_path, "2020-05-15 06:30:00,9,b,12,10.5,1.25,100.5")
    packed = tmp_path / "log.csv.gz"
    packed.write_bytes(gzip.compress(f"\ufeff{HEADER}\r\n15-05-2020 06:30,9,b,12,10.5,1.25,100.5\r\n".encode()))
    from_packed = read_log(packed, "Asia/Kolkata", {})
    assert_frame_equal(day_first.rows, year_first.rows)
    assert_frame_equal(day_first.rows, from_packed.rows)
    (row,) = day_first.rows.to_dicts()
    assert row["at"] == datetime(2020, 5, 15, 1, 0, tzinfo=UTC)
    assert row["local_day"] == date(2020, 5, 15)
    assert (row["dckw"], row["ackw"]) == (12, 10.5)
    assert (row["daykw"], row["totkw"]) == (Decimal("1.25"), Decimal("100.5"))
    assert day_first.rejects.is_empty()


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "NOTE,TOTAL_YIELD,DAILY_YIELD,AC_POWER,DC_POWER,SOURCE_KEY,PLANT_ID,DATE_TIME\n"
        "x,4,3,2,1,a,9,2020-05-15 00:00:00\n"
    )
    (row,) = read_log(path, "UTC", {}).rows.to_dicts()
    assert (row["dckw"], row["ackw"], row["daykw"], row["totkw"]) == (1, 2, 3, 4)


@hypothesis_settings(max_examples=60, deadline=None)
@example(value=Decimal("0.0000005"), factor=Decimal(1))
@given(
    value=st.decimals(min_value=0, max_value=10**11, places=9),
    factor=st.sampled_from([Decimal(1), Decimal("0.001"), Decimal("0.1")]),
)
def test_energy_is_exact_and_rounded_half_up(
    tmp_path_factory: pytest.TempPathFactory, value: Decimal, factor: Decimal
) -> None:
    log = parsed(
        tmp_path_factory.mktemp("csv"), f"15-05-2020 06:30,9,b,0,0,{value:f},{value:f}", TOTAL_YIELD=str(factor)
    )
    (row,) = log.rows.to_dicts()
    assert row["daykw"] == value.quantize(Decimal("1e-6"), ROUND_HALF_UP)
    assert row["totkw"] == (value * factor).quantize(Decimal("1e-6"), ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("15/05/2020 06:30,9,b,0,0,0,0", "DATE_TIME", "is no time"),
        ("2020-05-15 06:30,9,b,0,0,0,0", "DATE_TIME", "is no time"),
        ("31-04-2020 06:30,9,b,0,0,0,0", "DATE_TIME", "is no time"),
        ("29-03-2020 02:30,9,b,0,0,0,0", "DATE_TIME", "does not exist in Europe/Berlin"),
        ("25-10-2020 02:30,9,b,0,0,0,0", "DATE_TIME", "happened twice in Europe/Berlin"),
        ("15-05-2020 06:30,9,,0,0,0,0", "SOURCE_KEY", "is empty"),
        ("15-05-2020 06:30,9,b,x,0,0,0", "DC_POWER", "is no number"),
        ("15-05-2020 06:30,9,b,0,NaN,0,0", "AC_POWER", "is no number"),
        ("15-05-2020 06:30,9,b,0,inf,0,0", "AC_POWER", "is no number"),
        ("15-05-2020 06:30,9,b,0,0,,0", "DAILY_YIELD", "is no number"),
        ("15-05-2020 06:30,9,b,0,0,0,1000000000000", "TOTAL_YIELD", "is no number below"),
        ("15-05-2020 06:30,9,b,0,0,0,9" + "0" * 30, "TOTAL_YIELD", "is no number below"),
        ("15-05-2020 06:30,9,b,0,0,0", "row", "has 6 fields instead of 7"),
        ('15-05-2020 06:30,9,b,"1,5",0,0,0', "row", "has 8 fields instead of 7"),
        ("15-05-2020 00:00,9,a,0,0,0,8", "DATE_TIME", "contradicts line 2"),
    ],
)
def test_a_bad_row_is_left_out_with_its_line_field_reason_and_remedy(
    tmp_path: Path, row: str, field: str, reason: str
) -> None:
    good = "15-05-2020 00:00,9,a,0,0,0,7"
    log = parsed(tmp_path, good, "", row, timezone="Europe/Berlin")
    assert log.rows["line"].to_list() == [2]
    (reject,) = log.rejects.to_dicts()
    assert (reject["line"], reject["field"]) == (4, field)
    assert reason in reject["reason"]
    assert reject["remedy"]
    assert reject["value"] in row


def test_the_same_row_twice_is_counted_and_harmless(tmp_path: Path) -> None:
    rows = ("15-05-2020 00:00,9,a,0,0,0,7", "15-05-2020 00:00,9,a,0,0.0,0.0,7.0", "15-05-2020 00:15,9,a,0,0,0,7")
    log = parsed(tmp_path, *rows)
    assert log.rows.height == 2
    assert log.repeated == 1
    assert log.rejects.is_empty()


def test_what_concerns_the_whole_file_stops_at_once(tmp_path: Path) -> None:
    good = "15-05-2020 00:00,9,a,0,0,0,7"
    with pytest.raises(BadInputError, match=r"Asia/Kolkatta.*IANA"):
        parsed(tmp_path, good, timezone="Asia/Kolkatta")
    with pytest.raises(BadInputError, match="plants 8, 9"):
        parsed(tmp_path, good, "15-05-2020 00:00,8,b,0,0,0,7")
    with pytest.raises(BadInputError, match="does not hold plant 5"):
        parsed(tmp_path, good, plant_id="5")
    for name, factor in (("POWER", "1"), ("DC_POWER", "0"), ("DC_POWER", "-1"), ("DC_POWER", "NaN")):
        with pytest.raises(BadInputError, match="--scale"):
            parsed(tmp_path, good, **{name: factor})
    with pytest.raises(BadInputError, match=r"row 2, DATE_TIME.*no usable row"):
        parsed(tmp_path, "yesterday,9,a,0,0,0,7")
    with pytest.raises(BadInputError, match="cannot be read"):
        read_log(tmp_path / "missing.csv", "UTC", {})
    (tmp_path / "blank.csv").write_text("\n\n")
    with pytest.raises(BadInputError, match="no column DATE_TIME"):
        read_log(tmp_path / "blank.csv", "UTC", {})
    (tmp_path / "other.csv").write_text("DATE_TIME,PLANT_ID\n")
    with pytest.raises(BadInputError, match="no column SOURCE_KEY, DC_POWER"):
        read_log(tmp_path / "other.csv", "UTC", {})


def test_one_plant_of_several_is_chosen(tmp_path: Path) -> None:
    rows = ("15-05-2020 00:00,9,a,0,0,0,7", "15-05-2020 00:00,8,b,0,0,0,7")
    assert parsed(tmp_path, *rows, plant_id="8").rows["source_key"].to_list() == ["b"]


def test_import_registers_the_plant_and_numbers_inverters_in_key_order(tmp_path: Path) -> None:
    store = MemoryStore()
    log = parsed(
        tmp_path, "15-05-2020 06:45,9,b,1,2,3,20", "15-05-2020 06:30,9,b,1,2,3,10", "16-05-2020 06:30,9,a,4,5,6,30"
    )
    import_log(store, log, PlantOptions(1, "Asia/Kolkata", capacity_kw=55.5, inverter_kw=10))
    (customer,) = store.read(CUSTOMER).to_dicts()
    assert (customer["timezone"], customer["capacity_kw"], customer["status"]) == ("Asia/Kolkata", 55.5, "in_use")
    assert (customer["latitude"], customer["longitude"]) == (22.5333, 88.3667)
    first, second = store.read(INVERTER).to_dicts()
    assert [first["serial_no"], second["serial_no"]] == ["a", "b"]
    assert first["installed_at"] == second["installed_at"] == datetime(2020, 5, 14, 18, 30, tzinfo=UTC)
    assert (second["totkw"], second["at"]) == (20, datetime(2020, 5, 15, 1, 15, tzinfo=UTC))
    assert first["capacity_kw"] == 10
    readings = store.read(READING)
    assert readings["invno"].to_list() == [1, 2, 2]
    assert (readings["received_at"] == readings["at"]).all()
    assert readings["status"].null_count() == 3


def test_a_second_import_keeps_numbers_and_the_newest_reading(tmp_path: Path) -> None:
    store = MemoryStore()
    later = parsed(tmp_path, "20-05-2020 06:30,9,b,1,2,3,20", "20-05-2020 06:30,9,d,1,2,3,20")
    import_log(store, later, KOLKATA)
    before = {table.name: store.read(table) for table in (CUSTOMER, INVERTER, READING)}
    assert import_log(store, later, KOLKATA).unchanged == 2
    for table in (CUSTOMER, INVERTER, READING):
        assert_frame_equal(store.read(table), before[table.name])
    earlier = parsed(tmp_path, "15-05-2020 06:30,9,a,1,2,3,10", "15-05-2020 06:30,9,b,1,2,3,10")
    import_log(store, earlier, KOLKATA)
    register = {row["serial_no"]: row for row in store.read(INVERTER).to_dicts()}
    assert {serial: row["invno"] for serial, row in register.items()} == {"b": 1, "d": 2, "a": 3}
    assert register["b"]["totkw"] == 20
    assert register["b"]["installed_at"] == datetime(2020, 5, 14, 18, 30, tzinfo=UTC)
    assert register["d"]["installed_at"] == datetime(2020, 5, 19, 18, 30, tzinfo=UTC)


def test_options_change_a_registered_plant_and_leave_the_rest(tmp_path: Path) -> None:
    store = MemoryStore()
    log = parsed(tmp_path, "15-05-2020 06:30,9,a,1,2,3,10")
    import_log(store, log, KOLKATA)
    edited = store.read(CUSTOMER).with_columns(owner=pl.lit("Somebody"), status=pl.lit("not_in_use"))
    store.upsert(CUSTOMER, edited)
    import_log(store, log, PlantOptions(1, "Asia/Kolkata", name="Sunny Field", inverter_kw=25))
    (row,) = store.read(CUSTOMER).to_dicts()
    assert (row["name"], row["owner"], row["status"]) == ("Sunny Field", "Somebody", "not_in_use")
    assert store.read(INVERTER)["capacity_kw"].to_list() == [25]


def test_a_file_of_another_plant_is_not_mixed_in(tmp_path: Path) -> None:
    store = MemoryStore()
    import_log(store, parsed(tmp_path, "15-05-2020 06:30,9,a,1,2,3,10"), KOLKATA)
    with pytest.raises(BadInputError, match="registered in Asia/Kolkata, not in Asia/Seoul"):
        import_log(store, parsed(tmp_path, "15-05-2020 06:30,9,a,1,2,3,10"), PlantOptions(1, "Asia/Seoul"))
    with pytest.raises(BadInputError, match="other inverters than this file"):
        import_log(store, parsed(tmp_path, "15-05-2020 06:30,8,z,1,2,3,10"), KOLKATA)
    assert store.read(READING).height == 1


def test_a_zone_stands_for_its_town() -> None:
    assert reference_town("Asia/Seoul") == (37.55, 126.9667)
    assert reference_town("America/New_York") == (40.7142, -74.0064)
    with pytest.raises(BadInputError, match="--latitude"):
        reference_town("UTC")
