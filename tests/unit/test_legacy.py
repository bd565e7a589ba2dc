"""The simulated rows of the legacy tables: agreed by every window, true to the faults, within the contracts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tests.memory_store import MemoryStore
from wattline.solar.faults import Fault, Kind, default_faults
from wattline.solar.fleet import plants
from wattline.solar.legacy import arrivals
from wattline.solar.legacy_register import SENSOR_TYPES, Frames, chance, registers
from wattline.solar.legacy_store import SOURCES, write
from wattline.solar.migrations import ENTRIES
from wattline.solar.simulate import simulate
from wattline.window import Window

SEED = 7
START = datetime(2026, 11, 19, 15, tzinfo=UTC)  # local midnight in Korea
DAY = timedelta(days=1)
NOON = START + timedelta(hours=12)
WINDOW = Window(START, START + 2 * DAY)
FLEET = plants(3, SEED, START)
BY_SOURCE = {entry.source: entry for entries in ENTRIES.values() for entry in entries}
LOGS = {"conn_box_log", "temperature", "irradiance"}
ARRIVING = {"event", "event_log", "smslog", "connboxvoltage", "conn_box"} | LOGS
KEPT = {"customer", "users", "conn_box", "sensor_name", "sensor_type", "zipaddress"}
GENERATION = {"timegeneration", "daygeneration", "daytotalgeneration"}


def fault(kind: Kind, minutes: int, invnos: tuple[int, ...] = (), start: datetime = NOON) -> Fault:
    return Fault(1001, invnos, kind, start, start + timedelta(minutes=minutes))


def arrived(*faults: Fault, until: datetime = WINDOW.end, since: datetime = START) -> Frames:
    return arrivals(FLEET, Window(since, until), SEED, faults)


def faults_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("type") >= 200)


def stored(windows: Sequence[Window]) -> dict[str, pl.DataFrame]:
    """What MySQL holds after these windows, one after the other."""
    store = MemoryStore()
    for window in windows:
        faults = default_faults(SEED, Window(START, window.end), FLEET)
        write(store, registers(FLEET, SEED))
        write(store, arrivals(FLEET, window, SEED, faults))
    return {name: store.read(table) for name, table in SOURCES.items() if not name.startswith("inverter")}


@pytest.fixture(scope="module")
def at_once() -> dict[str, pl.DataFrame]:
    return stored([WINDOW])


def test_every_legacy_table_gets_rows(at_once: dict[str, pl.DataFrame]) -> None:
    assert set(arrived()) == ARRIVING | {"client_status", "remoteip"}
    assert set(registers(FLEET, SEED)) == KEPT | GENERATION
    assert [name for name, rows in at_once.items() if rows.is_empty()] == []


def test_values_are_in_the_ranges_of_their_contracts() -> None:
    frames = {**registers(FLEET, SEED), **arrived(*default_faults(SEED, WINDOW, FLEET))}
    for name, frame in frames.items():
        documents = BY_SOURCE[name].documents
        for target, source in BY_SOURCE[name].sources.items():
            column = documents.column(target)
            values = frame[source].drop_nulls()
            assert column.nullable or len(values) == frame.height, (name, source)
            if column.minimum is not None and len(values):
                assert column.minimum <= values.min(), (name, source)
            if column.maximum is not None and len(values):
                assert values.max() <= column.maximum, (name, source)


@hypothesis_settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 2 * 24 * 60 - 1), min_size=1, max_size=3, unique=True))
def test_windows_one_after_the_other_leave_the_rows_of_one_window(
    at_once: dict[str, pl.DataFrame], cuts: list[int]
) -> None:
    ends = [START, *(START + timedelta(minutes=cut) for cut in sorted(cuts)), WINDOW.end]
    parts = [Window(start, end) for start, end in pairwise(ends)]
    for again in (parts, [*parts, parts[0], WINDOW]):
        for name, rows in stored(again).items():
            assert_frame_equal(rows, at_once[name])


def test_an_older_window_turns_nothing_back(at_once: dict[str, pl.DataFrame]) -> None:
    blackouts = (each for each in default_faults(SEED, WINDOW, FLEET) if each.kind is Kind.BLACKOUT)
    middle = Window(START, next(each.end for each in blackouts if each.start > START) - timedelta(minutes=1))
    faults = default_faults(SEED, Window(START, middle.end), FLEET)
    early = faults_of(arrivals(FLEET, middle, SEED, faults)["event"])
    assert early["cleared_at"].null_count(), "an event lasts at the end of the older window"
    for name, rows in stored([WINDOW, middle]).items():
        assert_frame_equal(rows, at_once[name])


def test_a_plant_is_the_same_in_any_company_and_another_with_another_seed() -> None:
    alone = {**registers(FLEET[:1], SEED), **arrivals(FLEET[:1], WINDOW, SEED, ())}
    among = {**registers(FLEET, SEED), **arrived()}
    for name in (*ARRIVING, "client_status", "remoteip", "sensor_name", *GENERATION):
        key = SOURCES[name].key
        assert_frame_equal(alone[name].sort(key), among[name].filter(mcno=1001).sort(key))
    assert not alone["conn_box_log"].equals(arrivals(FLEET[:1], WINDOW, SEED + 1, ())["conn_box_log"])


def test_chance_is_even_and_follows_its_keys() -> None:
    numbers = chance(SEED, np.arange(100_000), 3)
    assert 0 <= numbers.min() < numbers.max() < 1
    assert np.histogram(numbers, 10, (0, 1))[0].min() > 9_500
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.01
    assert chance(SEED, 500, 3) == numbers[500]
    assert chance(SEED, 500, 4) != numbers[500] != chance(SEED + 1, 500, 3)


@pytest.mark.parametrize(
    ("happened", "number", "patience", "invno"),
    [
        (fault(Kind.BLACKOUT, 45), 201, 0, 0),
        (fault(Kind.SILENT, 130), 202, 60, 0),
        (fault(Kind.DEAD_INVERTER, 120, (2,)), 203, 20, 2),
    ],
    ids=("blackout", "silent", "dead_inverter"),
)
def test_a_fault_raises_and_clears_its_event(happened: Fault, number: int, patience: int, invno: int) -> None:
    frames = arrived(happened)
    (event,) = faults_of(frames["event"]).to_dicts()
    assert (event["mcno"], event["invno"], event["type"], event["level"]) == (1001, invno, number, "fault")
    assert (event["raised_at"], event["cleared_at"]) == (NOON + timedelta(minutes=patience), happened.end)
    log = faults_of(frames["event_log"])
    moments = {"raised": event["raised_at"], "cleared": event["cleared_at"], "checked": event["checked_at"]}
    assert dict(log.select("action", "at").iter_rows()) == {name: at for name, at in moments.items() if at}
    sms = frames["smslog"]
    assert sms["message"].str.contains("raised|cleared").to_list() == [True, True]
    assert sms["sent_at"].to_list() == [
        moments["raised"] + timedelta(seconds=5),
        moments["cleared"] + timedelta(seconds=5),
    ]
    assert sms["id"].n_unique() == 2


def test_a_fault_that_is_over_soon_is_no_event() -> None:
    soon = arrived(fault(Kind.SILENT, 60), fault(Kind.DEAD_INVERTER, 20, (1,)))
    assert faults_of(soon["event"]).is_empty()
    assert soon["smslog"].is_empty()


def test_an_event_is_as_the_windows_end_sees_it() -> None:
    blackouts = [
        Fault(plant.mcno, (), Kind.BLACKOUT, NOON, NOON + timedelta(minutes=45)) for plant in plants(9, SEED, START)
    ]
    seen = {}
    for name, minutes in {"raised": 1, "cleared": 46, "checked": 90}.items():
        window = Window(START, NOON + timedelta(minutes=minutes))
        seen[name] = faults_of(arrivals(plants(9, SEED, START), window, SEED, blackouts)["event"])
        assert seen[name].height == 9
        assert (seen[name]["updated_at"] < window.end).all()
    assert seen["raised"]["cleared_at"].null_count() == 9
    assert seen["cleared"]["cleared_at"].null_count() == 0
    assert not seen["cleared"]["checked"].any()
    assert 0 < seen["checked"]["checked"].sum() < 9
    assert seen["checked"].filter("checked")["checked_by"].unique().to_list() == ["manager100"]


def test_an_event_changes_when_its_row_arrives() -> None:
    blackout = fault(Kind.BLACKOUT, 45)
    cut = blackout.end + timedelta(seconds=2)
    before, after = (
        faults_of(frames["event"]) for frames in (arrived(blackout, until=cut), arrived(blackout, since=cut))
    )
    assert before["cleared_at"].to_list() == [None]
    assert after["cleared_at"].to_list() == [blackout.end]
    assert before["updated_at"].item() < cut <= after["updated_at"].item()


def test_nothing_happens_before_a_plants_data_begin() -> None:
    early = fault(Kind.BLACKOUT, 45, start=START - timedelta(minutes=10))
    for name, frame in arrived(early, since=START - DAY).items():
        assert (frame["updated_at"] >= START).all(), name
        assert frame.height or name == "smslog"
    assert faults_of(arrived(early, since=START - DAY)["event"]).is_empty()


def test_every_plant_starts_and_stops_once_a_day() -> None:
    notices = arrived()["event"].filter(pl.col("type") < 200)
    days = notices.with_columns(day=pl.col("raised_at").dt.convert_time_zone("Asia/Seoul").dt.date())
    korean = days.filter(pl.col("mcno") != 1003).group_by("mcno", "day", "type").len()
    assert korean["len"].unique().to_list() == [1]
    assert korean.height == 2 * 2 * 2
    assert set(notices["level"]) == {"notice"}


def test_boxes_measure_by_daylight_only_and_a_third_of_what_inverters_do() -> None:
    fleet = plants(20, SEED, START)
    log = arrivals(fleet, WINDOW, SEED, ())["conn_box_log"].filter(pl.col("mcno") != 1003)
    hours = log["at"].dt.convert_time_zone("Asia/Seoul").dt.hour()
    assert (hours.min(), hours.max()) == (7, 17)
    channels = log.group_by("mcno").agg(pl.col("channel").max())["channel"]
    assert (channels.min(), channels.max()) == (8, 16)
    at_noon = log.filter(hours.is_between(11, 13) & (log["status"] == 0))
    assert at_noon["current"].min() > 1
    assert log.filter(status=1)["current"].max() == 0
    share = log.height / simulate(fleet, WINDOW, SEED).readings.height
    assert 0.25 < share < 0.4


def test_boxes_are_without_current_in_a_blackout_and_silent_with_their_gateway() -> None:
    calm = arrived()["conn_box_log"]
    blackout, silent = fault(Kind.BLACKOUT, 45), fault(Kind.SILENT, 130)
    dark, quiet = arrived(blackout)["conn_box_log"], arrived(silent)["conn_box_log"]
    assert dark.height == calm.height
    assert dark.filter(blackout.rows)["current"].to_list() == [0.0] * calm.filter(blackout.rows).height
    assert_frame_equal(dark.remove(blackout.rows), calm.remove(blackout.rows))
    assert_frame_equal(quiet, calm.remove(silent.rows))


def test_newest_values_are_the_logs_last() -> None:
    frames = arrived()
    last = frames["conn_box_log"].filter(pl.col("at") == pl.col("at").max().over("mcno", "boxno"))
    shared = ["mcno", "boxno", "channel", "at", "voltage", "current", "updated_at"]
    assert_frame_equal(frames["connboxvoltage"].sort("mcno", "channel"), last.select(shared).sort("mcno", "channel"))
    box = frames["conn_box"].filter(mcno=1001)
    channels = last.filter(mcno=1001)
    assert box["current"].item() == pytest.approx(channels["current"].sum(), abs=0.01)
    assert box["channels"].item() == channels.height
    night = arrived(since=START, until=START + timedelta(hours=4))
    assert night["conn_box"].filter(pl.col("mcno") != 1003).is_empty()


def test_temperatures_come_hourly_and_panels_are_warmer_by_day() -> None:
    rows = arrived()["temperature"].filter(mcno=1001)
    assert rows.height == 2 * 48
    both = rows.pivot("sensorno", index="at", values="temperature").with_columns(warmer=pl.col("2") - pl.col("1"))
    noon = both["at"].dt.hour().is_between(2, 4)
    assert both.filter(noon)["warmer"].min() > 3
    assert both["warmer"].min() == 0


def test_sensors_see_the_light_that_makes_the_power_and_some_plants_have_none() -> None:
    frames = arrived()
    rows = frames["irradiance"]
    assert set(rows["mcno"]) == {1001, 1003}
    in_use = registers(FLEET, SEED)["sensor_name"].filter(pl.col("sensorno") == 3, "in_use")
    assert set(in_use["mcno"]) == {1001, 1003}
    assert rows.filter(mcno=1001).height == 2 * 144
    power = simulate(FLEET, WINDOW, SEED).readings.filter(mcno=1001).group_by("at").agg(kw=pl.col("ackw").sum())
    lit = rows.filter(mcno=1001).sort("at").join_asof(power.sort("at"), on="at", strategy="nearest")
    assert lit.select(pl.corr("poa_kw_m2", "kw")).item() > 0.99
    assert rows.filter(mcno=1001)["poa_kw_m2"].max() > 0.3


def test_gateways_say_what_can_be_read() -> None:
    frames = arrived(fault(Kind.SILENT, 130, start=WINDOW.end - timedelta(minutes=130)))
    status = frames["client_status"].sort("mcno")
    assert (status["said_at"] > WINDOW.end - timedelta(minutes=20)).to_list() == [False, True, True]
    assert {key for text in status["detail"] for key in json.loads(text)} == {"uptime_s", "signal_dbm", "boxes"}
    calls = arrivals(plants(8, SEED, START), WINDOW, SEED, ())["remoteip"]
    assert 0 < (calls["bytes_received"] >= 2**63).sum() < calls.height
    assert all(re.match(r"198\.51\.100\.|2001:db8::", ip) for ip in calls["ip"])


def test_generation_before_the_simulation_adds_up_exactly() -> None:
    frames = registers(FLEET, SEED)
    hours, days, totals = (frames[name] for name in ("timegeneration", "daygeneration", "daytotalgeneration"))
    zones = pl.DataFrame({"mcno": [plant.mcno for plant in FLEET], "zone": [plant.timezone for plant in FLEET]})
    day = pl.coalesce(
        pl.when(pl.col("zone") == zone).then(pl.col("start").dt.convert_time_zone(zone).dt.date())
        for zone in {plant.timezone for plant in FLEET}
    )
    summed = hours.join(zones, on="mcno").group_by("mcno", "invno", day.alias("day")).agg(daykw=pl.col("timekw").sum())
    key = ["mcno", "invno", "day"]
    assert_frame_equal(summed.sort(key), days.select(*key, "daykw").sort(key), check_dtypes=False)
    both = days.join(totals, on=key).sort(key).with_columns(grown=pl.col("totkw").diff().over("mcno", "invno"))
    assert both.drop_nulls("grown").select((pl.col("grown") == pl.col("daykw")).all()).item()
    last = totals.filter(pl.col("day") == pl.col("day").max().over("mcno"))
    for plant in FLEET:
        assert last.filter(mcno=plant.mcno)["day"].unique().item() == plant.since.astimezone(plant.zone).date() - DAY
        mine = dict(last.filter(mcno=plant.mcno).select("invno", "totkw").iter_rows())
        assert mine.pop(0) == sum(mine.values())
        assert mine == {inverter.invno: Decimal(inverter.first_totkw) for inverter in plant.inverters}


def test_people_are_invented_and_belong_to_plants() -> None:
    frames = registers(plants(25, SEED, START), SEED)
    users, customers = frames["users"], frames["customer"]
    assert set(users["authority"]) == {"administrator", "manager", "owner"}
    assert users["user_id"].n_unique() == users.height == 1 + 3 + 25
    known = set(users["user_id"])
    assert known >= {*customers["owner_id"], *customers["manager_id"]}
    sms = arrived(fault(Kind.BLACKOUT, 45))["smslog"]
    for number in (*users["phone"], *customers["owner_phone"], *sms["sender"], *sms["receiver"]):
        assert re.fullmatch(r"010-0000-\d{4}", number)
    assert all(mail.endswith(".example") for mail in (*users["mail"], *customers["owner_mail"]))
    assert {*users["name"].str.contains(r"^[가-힣]+ [가-힣]+$")} == {True}
    assert 0 < users["last_login_at"].null_count() < users.height


def test_addresses_fit_the_tables_charset() -> None:
    rows = registers(FLEET, SEED)["zipaddress"]
    assert rows.height == 360
    assert rows.select(pl.struct("zipcode", "seq").n_unique()).item() == rows.height
    for name in ("sido", "sigungu", "road"):
        assert rows[name].str.contains("^[가-힣]+$").all()
        assert all(text.encode("euc-kr") for text in rows[name])


def test_sensors_have_types() -> None:
    frames = registers(FLEET, SEED)
    assert set(frames["sensor_type"]["type"]) == set(frames["sensor_name"]["type"]) == set(SENSOR_TYPES)
    assert frames["sensor_name"].filter(pl.col("sensorno") <= 2)["in_use"].all()
