"""The simulated plants: physical days, exact counters, gateways that report, and faults that are what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from wattline.errors import BadInputError
from wattline.solar import faults as faults_module
from wattline.solar.faults import CLOCK_AHEAD, LATE_BY, Fault, Kind, default_faults
from wattline.solar.fleet import Plant, plants
from wattline.solar.simulate import simulate
from wattline.solar.tables import CUSTOMER, INVERTER, READING
from wattline.window import Window

SEED = 7
START = datetime(2026, 6, 10, 15, tzinfo=UTC)  # local midnight in Korea
DAY = timedelta(days=1)
WINDOW = Window(START, START + 2 * DAY)
NOON = START + timedelta(hours=12)
SOMEWHERE = plants(2, SEED, START)
KEY = ["mcno", "invno", "at"]


@pytest.fixture(scope="module")
def calm() -> pl.DataFrame:
    return simulate(SOMEWHERE, WINDOW, SEED).readings


def readings_with(
    kind: Kind, start: datetime, minutes: int, invnos: tuple[int, ...] = ()
) -> tuple[Fault, pl.DataFrame]:
    fault = Fault(1001, invnos, kind, start, start + timedelta(minutes=minutes))
    return fault, simulate(SOMEWHERE, WINDOW, SEED, [fault]).readings


def test_frames_have_the_shape_of_their_tables() -> None:
    world = simulate(SOMEWHERE, WINDOW, SEED, default_faults(SEED, WINDOW, SOMEWHERE))
    for table, frame in ((CUSTOMER, world.customers), (INVERTER, world.inverters), (READING, world.readings)):
        assert_frame_equal(table.conform(frame), frame)


def test_an_inverter_makes_energy_by_day_within_its_size(calm: pl.DataFrame) -> None:
    rated = pl.DataFrame(
        [(plant.mcno, inverter.invno, inverter.rated_kw) for plant in SOMEWHERE for inverter in plant.inverters],
        schema=["mcno", "invno", "rated"],
        orient="row",
    ).cast({"mcno": pl.Int32, "invno": pl.Int32})
    rows = calm.join(rated, on=["mcno", "invno"]).with_columns(
        hour=pl.col("at").dt.convert_time_zone("Asia/Seoul").dt.hour()
    )
    night = rows.filter(~pl.col("hour").is_between(4, 21))
    noon = rows.filter(pl.col("hour").is_between(10, 14))
    assert night["ackw"].max() == night["dckw"].max() == 0
    assert set(night["status"]) == {0}
    assert noon["ackw"].min() > 0
    assert set(noon["status"]) == {1}
    assert rows.filter(pl.col("ackw") > pl.col("rated") + 0.001).is_empty()
    assert rows.filter(pl.col("ackw") > 0).select((pl.col("ackw") < pl.col("dckw")).all()).item()
    specific = rows.group_by("mcno", "invno", "rated").agg(pl.col("daykw").cast(pl.Float64).max())
    assert specific.select((pl.col("daykw") / pl.col("rated")).is_between(0.5, 10).all()).item()


def test_day_counter_restarts_at_local_midnight_and_the_lifetime_counter_counts_the_same_energy() -> None:
    fleet = plants(3, SEED, START)
    rows = simulate(fleet, WINDOW, SEED).readings
    for zone, mcnos in (("Asia/Seoul", (1001, 1002)), ("Europe/Berlin", (1003,))):
        days = (
            rows.filter(pl.col("mcno").is_in(mcnos))
            .with_columns(day=pl.col("at").dt.convert_time_zone(zone).dt.date())
            .with_columns(midnight_totkw=pl.col("totkw") - pl.col("daykw"))
        )
        per_day = days.group_by("mcno", "invno", "day").agg(
            pl.col("midnight_totkw").n_unique(), pl.col("daykw").sort_by("at").diff().min().alias("least_growth")
        )
        assert per_day["midnight_totkw"].unique().to_list() == [1], zone
        assert per_day["least_growth"].min() >= 0, zone
        ends = days.group_by("mcno", "invno", "day").agg(pl.col("totkw").max(), pl.col("midnight_totkw").first())
        ends = ends.sort("day").with_columns(before=pl.col("totkw").shift().over("mcno", "invno")).drop_nulls()
        assert (ends["midnight_totkw"] == ends["before"]).all(), zone


def test_counters_are_the_integral_of_power_in_steps_of_a_hundredth(calm: pl.DataFrame) -> None:
    assert calm.select((pl.col("totkw") % Decimal("0.01") == 0).all()).item()
    hours = pl.col("at").diff().dt.total_seconds().over("mcno", "invno") / 3600
    first_day = calm.filter(pl.col("at") < START + DAY).sort(KEY)
    kwh = (
        first_day.with_columns(kwh=pl.col("ackw") * hours)
        .group_by("mcno", "invno")
        .agg(pl.col("kwh").sum(), pl.col("daykw").cast(pl.Float64).max())
    )
    assert kwh.select(((pl.col("kwh") / pl.col("daykw") - 1).abs() < 0.03).all()).item()


def test_every_gateway_reports_about_every_five_minutes_at_its_own_time(calm: pl.DataFrame) -> None:
    ordered = calm.sort(KEY).with_columns(gap=pl.col("at").diff().over("mcno", "invno")).drop_nulls("gap")
    assert ordered["gap"].min() >= timedelta(minutes=4)
    assert ordered["gap"].max() <= timedelta(minutes=6)
    assert ordered["gap"].n_unique() > 10
    phases = calm.group_by("mcno").agg((pl.col("at").dt.epoch("s") % 300).min())
    assert phases["at"].n_unique() == 2
    delay = calm.select((pl.col("received_at") - pl.col("at")).dt.total_seconds().alias("delay"))["delay"]
    assert 2 <= delay.min() <= delay.max() <= 8


@hypothesis_settings(max_examples=8, deadline=None)
@given(cut=st.integers(1, 2 * 24 * 60 - 1))
def test_a_row_is_the_same_whatever_the_window(cut: int) -> None:
    fleet = plants(3, SEED, START)[1:]
    middle = START + timedelta(minutes=cut)
    parts = [
        simulate(fleet, window, SEED, default_faults(SEED, Window(START, window.end), fleet)).readings
        for window in (Window(START, middle), Window(middle, WINDOW.end))
    ]
    whole = simulate(fleet, WINDOW, SEED, default_faults(SEED, WINDOW, fleet)).readings
    assert_frame_equal(pl.concat(parts), whole)


def test_counters_go_on_from_one_block_of_days_to_the_next(monkeypatch: pytest.MonkeyPatch, calm: pl.DataFrame) -> None:
    reset = Fault(1001, (1,), Kind.COUNTER_RESET, NOON, NOON + timedelta(minutes=1))
    expected = simulate(SOMEWHERE, WINDOW, SEED, [reset]).readings
    monkeypatch.setattr("wattline.solar.simulate._BLOCK_DAYS", 1)
    assert_frame_equal(simulate(SOMEWHERE, WINDOW, SEED).readings, calm)
    assert_frame_equal(simulate(SOMEWHERE, WINDOW, SEED, [reset]).readings, expected)


def test_a_plant_is_the_same_in_any_company_and_another_with_another_seed() -> None:
    assert plants(5, SEED, START)[1] == plants(2, SEED, START)[1]
    assert plants(1, SEED, START) != plants(1, SEED + 1, START)
    few = simulate(SOMEWHERE[:1], WINDOW, SEED).readings
    assert_frame_equal(simulate(SOMEWHERE, WINDOW, SEED).readings.filter(mcno=1001), few)


def test_days_with_changing_clocks_have_their_own_length() -> None:
    start = datetime(2026, 10, 23, 22, tzinfo=UTC)
    fleet = plants(3, SEED, start)[2:]
    rows = simulate(fleet, Window(start, start + 3 * DAY), SEED).readings.filter(invno=1)
    days = rows.group_by(pl.col("at").dt.convert_time_zone("Europe/Berlin").dt.date().alias("day")).len().sort("day")
    assert days.filter(pl.col("day") == datetime(2026, 10, 25).date())["len"].item() == 25 * 12  # noqa: DTZ001


def test_silent_gateway_loses_its_rows_and_nothing_else(calm: pl.DataFrame) -> None:
    fault, rows = readings_with(Kind.SILENT, NOON, 130)
    assert calm.filter(fault.rows).height > 0
    assert_frame_equal(rows, calm.remove(fault.rows))


@pytest.mark.parametrize(("kind", "status", "invnos"), [(Kind.BLACKOUT, 2, ()), (Kind.DEAD_INVERTER, 3, (2,))])
def test_lost_power_shows_in_status_power_and_energy(
    calm: pl.DataFrame, kind: Kind, status: int, invnos: tuple[int, ...]
) -> None:
    fault, rows = readings_with(kind, NOON, 45, invnos)
    hit = rows.filter(fault.rows)
    assert set(hit["status"]) == {status}
    assert hit["ackw"].max() == hit["dckw"].max() == 0
    assert set(hit["invno"]) == set(invnos or calm.filter(mcno=1001)["invno"])
    energy = hit.group_by("invno").agg(pl.col("daykw").n_unique(), pl.col("totkw").n_unique())
    assert energy["daykw"].to_list() == energy["totkw"].to_list() == [1] * energy.height
    spared = (pl.col("mcno") != 1001) | (~pl.col("invno").is_in(invnos) if invnos else pl.lit(value=False))
    assert_frame_equal(rows.filter(spared), calm.filter(spared))
    after = pl.col("at") >= fault.end
    assert rows.filter(after)["status"].max() == 1
    assert (
        rows.filter(after, fault_plant())["totkw"].max() < calm.filter(after, fault_plant())["totkw"].max()
    ) or invnos


def fault_plant() -> pl.Expr:
    return pl.col("mcno") == 1001


def test_late_rows_of_the_day_before_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattline.solar.simulate._BLOCK_DAYS", 1)
    midnight = START + DAY
    late = Fault(1001, (), Kind.LATE, midnight - timedelta(hours=3), midnight - timedelta(hours=1))
    after = Window(midnight + timedelta(hours=1), WINDOW.end)
    second_day = simulate(SOMEWHERE, after, SEED, [late]).readings
    whole = simulate(SOMEWHERE, WINDOW, SEED, [late]).readings
    assert second_day.filter(late.rows).height > 0
    assert_frame_equal(second_day, whole.filter(pl.col("received_at") >= after.start))


def test_a_counter_can_be_reset_on_any_day(calm: pl.DataFrame) -> None:
    fault, rows = readings_with(Kind.COUNTER_RESET, NOON + DAY, 1, (1,))
    mine = (pl.col("mcno") == 1001) & (pl.col("invno") == 1) & (pl.col("at") >= fault.start)
    assert rows.filter(mine)["totkw"].max() < 2000
    assert_frame_equal(rows.remove(mine), calm.remove(mine))


def test_counter_reset_starts_both_counters_again_and_the_next_day_is_whole(calm: pl.DataFrame) -> None:
    fault, rows = readings_with(Kind.COUNTER_RESET, NOON, 1, (1,))
    mine = (pl.col("mcno") == 1001) & (pl.col("invno") == 1)
    both = rows.filter(mine).join(calm.filter(mine), on=KEY, suffix="_calm")
    before, same_day = pl.col("at") < fault.start, pl.col("at").is_between(fault.start, START + DAY, closed="left")
    assert both.filter(before).select((pl.col("totkw") == pl.col("totkw_calm")).all()).item()
    lost = both.filter(same_day).select(
        tot=pl.col("totkw_calm") - pl.col("totkw"), day=pl.col("daykw_calm") - pl.col("daykw")
    )
    assert lost["tot"].n_unique() == lost["day"].n_unique() == 1
    assert both.filter(same_day).sort("at")["totkw"][0] < 20
    next_day = both.filter(pl.col("at") >= START + DAY)
    assert next_day.select((pl.col("daykw") == pl.col("daykw_calm")).all()).item()
    assert next_day["totkw"].max() < 2000
    assert_frame_equal(rows.remove(mine), calm.remove(mine))


def test_counter_dip_is_one_reading_of_each_inverter(calm: pl.DataFrame) -> None:
    fault, rows = readings_with(Kind.COUNTER_DIP, NOON, 10)
    changed = rows.join(calm, on=READING.schema.names(), how="anti", nulls_equal=True)
    assert sorted(changed["invno"]) == calm.filter(mcno=1001)["invno"].unique().sort().to_list()
    assert set(changed["totkw"]) == {0}
    assert changed.filter(fault.rows).height == changed.height


def test_late_rows_keep_their_time_and_arrive_hours_later(calm: pl.DataFrame) -> None:
    fault, rows = readings_with(Kind.LATE, NOON, 90)
    assert_frame_equal(rows.drop("received_at").sort(KEY), calm.drop("received_at").sort(KEY))
    arrival = rows.filter(fault.rows)["received_at"]
    assert fault.end + LATE_BY <= arrival.min() <= arrival.max() <= fault.end + LATE_BY + timedelta(seconds=8)
    assert rows["received_at"].is_sorted()
    early = Window(START, NOON + timedelta(hours=2))
    assert simulate(SOMEWHERE, early, SEED, [fault]).readings.filter(fault.rows).is_empty()


def test_duplicates_are_the_same_row_twice(calm: pl.DataFrame) -> None:
    fault, rows = readings_with(Kind.DUPLICATE, NOON, 30)
    assert rows.height == calm.height + calm.filter(fault.rows).height
    assert_frame_equal(rows.unique(maintain_order=True).sort(KEY), calm.sort(KEY))


def test_nonsense_values_come_in_turn(calm: pl.DataFrame) -> None:
    fault, rows = readings_with(Kind.NONSENSE, NOON, 20, (1,))
    hit = rows.filter(fault.rows).sort("at")
    assert hit["ackw"][:2].to_list() == [-9999.0, 1e9]
    assert hit["totkw"][2] == -1
    assert_frame_equal(rows.remove(fault.rows), calm.remove(fault.rows))


def test_a_wrong_clock_is_ahead_and_never_the_newest_reading() -> None:
    last = Fault(1001, (1,), Kind.WRONG_CLOCK, WINDOW.end - timedelta(minutes=15), WINDOW.end)
    world = simulate(SOMEWHERE, WINDOW, SEED, [last])
    ahead = world.readings.filter(pl.col("at") > pl.col("received_at"))
    assert ahead.height >= 2
    assert ahead["at"].min() >= last.start + CLOCK_AHEAD
    assert set(ahead["invno"]) == {1}
    shown = world.inverters.filter(mcno=1001, invno=1)
    assert shown["at"].item() < last.start
    assert shown["at"].item() > last.start - timedelta(minutes=6)
    other = world.inverters.filter(mcno=1001, invno=2)
    newest = world.readings.filter(mcno=1001, invno=2).sort("at")[-1]
    for name in ("at", "ackw", "daykw", "totkw", "status"):
        assert other[name].item() == newest[name].item()


def test_default_faults_are_one_of_each_kind_a_day_on_different_plants() -> None:
    fleet = plants(12, SEED, START)
    window = Window(datetime(2026, 6, 11, tzinfo=UTC), datetime(2026, 6, 12, tzinfo=UTC))
    drawn = default_faults(SEED, window, fleet)
    assert {fault.kind for fault in drawn} == set(Kind)
    assert drawn == default_faults(SEED, window, fleet)
    assert drawn != default_faults(SEED + 1, window, fleet)
    days = [[fault.mcno for fault in drawn if fault.start.day == day] for day in (11, 12)]
    assert all(len(set(mcnos)) == len(mcnos) for mcnos in days)
    shorter = Window(window.start, window.start + timedelta(hours=4))
    assert set(default_faults(SEED, shorter, fleet)) == {f for f in drawn if f.start < shorter.end}
    single = default_faults(SEED, window, fleet[:1])
    on_one = [fault.invnos for fault in single if fault.invnos and fault.start.day == 11]
    assert len(set(on_one)) >= 3


def test_a_row_with_other_faults_is_sent_twice_as_it_is() -> None:
    end = NOON + timedelta(minutes=30)
    kinds = (Kind.DUPLICATE, Kind.NONSENSE, Kind.WRONG_CLOCK, Kind.COUNTER_DIP)
    rows = simulate(SOMEWHERE, WINDOW, SEED, [Fault(1001, (1,), kind, NOON, end) for kind in kinds]).readings
    twice = rows.filter(rows.select(KEY).is_duplicated())
    assert twice.height >= 10
    assert twice.unique().height * 2 == twice.height


def test_a_fault_within_a_minute_is_refused() -> None:
    with pytest.raises(BadInputError, match="full minute"):
        Fault(1001, (), Kind.SILENT, NOON, NOON + timedelta(seconds=30))


def test_every_kind_of_fault_has_a_habit() -> None:
    assert set(faults_module._HABITS) == set(Kind)


def test_plants_are_invented_but_plausible() -> None:
    fleet: tuple[Plant, ...] = plants(40, SEED, START)
    assert len({plant.name for plant in fleet}) == 40
    assert [plant.mcno for plant in fleet if plant.timezone != "Asia/Seoul"] == [1003]
    korean = [plant for plant in fleet if plant.timezone == "Asia/Seoul"]
    assert all(33 < plant.latitude < 38.5 and 126 < plant.longitude < 129.5 for plant in korean)
    assert len({inverter.rated_kw for plant in fleet for inverter in plant.inverters}) > 3
    assert all(later.mcno == earlier.mcno + 1 for earlier, later in pairwise(fleet))
