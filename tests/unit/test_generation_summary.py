"""Runs of the summary: days, months and years that stay right, and verdicts on days that are over."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.generation_world import HOUR, local
from tests.summary_world import SummaryWorld
from wattline.settings import settings as wattline_settings
from wattline.solar import collect_summary, scope
from wattline.solar.faults import default_faults
from wattline.solar.fleet import plants
from wattline.solar.irradiance import IRRADIANCE
from wattline.solar.legacy import arrivals
from wattline.solar.simulate import simulate
from wattline.solar.summary_tables import DAY_PERFORMANCE, GENERATION_CHECK, PERIOD_GENERATION
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, INVERTER, MAX_CLOCK_AHEAD, READING
from wattline.window import Window

DAY = timedelta(days=1)
START = local("2026-10-30T00:00")


def world(days: int = 3, inverters: int = 1, zone: str = "Europe/Berlin") -> SummaryWorld:
    made = SummaryWorld({1: zone}, inverters)
    for invno in range(1, inverters + 1):
        made.produce(START, days, kwh=10 * invno, invno=invno)
    return made


def test_a_day_is_summed_and_its_month_and_year_with_it() -> None:
    made = world(days=3, inverters=2)
    made.run(Window(START, START + 3 * DAY))
    day = made.performances()["2026-10-30"]
    assert (day["energy"], day["specific_yield"], day["running_hours"]) == (160, 1.6, pytest.approx(48 / 6))
    assert made.performances(invno=0)["2026-10-31"]["energy"] == 480
    october, november = (made.periods(invno=0)["month", f"2026-{month}-01"] for month in (10, 11))
    assert (october["energy"], october["days"], november["energy"], november["days"]) == (960, 2, 480, 1)
    year = made.periods(invno=0)["year", "2026-01-01"]
    assert (year["energy"], year["days"]) == (1440, 3)
    assert year["specific_yield"] == pytest.approx(14.4)
    assert year["running_hours"] == pytest.approx(3 * day["running_hours"])


def test_months_and_years_stay_right_when_a_day_is_computed_again() -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    outage, mended = Window(START + 36 * HOUR, START + 48 * HOUR), START + 73 * HOUR
    made.produce(START, 5, received=lambda at: mended if outage.start <= at < outage.end else at)
    for n in range(3):
        made.run(Window(START + n * DAY, START + (n + 1) * DAY))
    before = made.periods()
    assert made.performances()["2026-10-31"]["energy"] == 70
    assert before["month", "2026-10-01"]["energy"] == 230
    assert before["month", "2026-10-01"]["running_hours"] == pytest.approx(12)
    assert made.checks()["2026-11-01"]["explained_by"] == "spans_gap"
    for n in range(3, 5):
        made.run(Window(START + n * DAY, START + (n + 1) * DAY))
    after = made.periods()
    assert made.performances()["2026-10-31"]["energy"] == 160
    assert (after["month", "2026-10-01"]["energy"], after["month", "2026-11-01"]["energy"]) == (320, 480)
    assert after["month", "2026-10-01"]["running_hours"] == pytest.approx(16)
    assert (after["year", "2026-01-01"]["energy"], after["year", "2026-01-01"]["days"]) == (800, 5)
    assert all(row["agrees"] for row in made.checks().values())


def test_days_from_before_the_first_run_are_in_their_month_and_year() -> None:
    made = world(days=2)
    older = [(1, n, date(2026, month, 7), Decimal(11)) for n in (0, 1) for month in (2, 10)]
    made.mongo.upsert(DAY_GENERATION, pl.DataFrame(older, DAY_GENERATION.schema, orient="row"))
    made.run(Window(START, START + 2 * DAY))
    periods = {key: (row["energy"], row["days"]) for key, row in made.periods().items()}
    assert periods == {
        ("month", "2026-02-01"): (11, 1),
        ("month", "2026-10-01"): (331, 3),
        ("year", "2026-01-01"): (342, 4),
    }
    assert made.periods()["month", "2026-02-01"]["running_hours"] is None
    assert made.periods()["year", "2026-01-01"]["running_hours"] == pytest.approx(16)


def test_a_known_year_is_read_by_its_months(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(days=3)
    made.run(Window(START, START + 2 * DAY))
    read, asked = made.mongo.read, []

    def noting(table: object, where: tuple[object, ...] = (), columns: object = None) -> pl.DataFrame:
        asked.append((table, where))
        return read(table, where, columns)

    monkeypatch.setattr(made.mongo, "read", noting)
    window = Window(START + 2 * DAY, START + 3 * DAY)
    inputs = collect_summary.plants(made.mysql, window, {})
    days = scope.days(scope.own(window), inputs["plants"])
    found = collect_summary.periods(made.mongo, window, {"days": days})
    first = min(
        each.value for table, where in asked if table is DAY_GENERATION for each in where if each.column == "day"
    )
    assert first == date(2026, 11, 1)
    assert set(found["months"]["start"]) == {date(2026, 10, 1)}


@pytest.mark.parametrize("hours", [1, 7, 24])
def test_a_rerun_of_any_window_changes_nothing(hours: int) -> None:
    made = world(days=3, inverters=2)
    made.run(Window(START, START + 3 * DAY))
    before = made.stored()
    for start in range(0, 72, hours * 3):
        made.summary(Window(START + start * HOUR, START + (start + hours) * HOUR))
    assert made.stored() == before


@given(
    cuts=st.sets(st.integers(1, 47), max_size=6),
    outage=st.tuples(st.integers(0, 47), st.integers(1, 20)),
    late=st.sampled_from([1, 5, 30]),
)
@settings(max_examples=8)
def test_any_cut_into_runs_with_late_arrivals_gives_the_rows_of_one_run(
    cuts: set[int], outage: tuple[int, int], late: int
) -> None:
    silent = Window(START + outage[0] * HOUR, START + sum(outage) * HOUR)

    def received(at: datetime) -> datetime:
        return silent.end + late * HOUR if silent.start <= at < silent.end else at

    made, at_once = SummaryWorld({1: "Europe/Berlin"}), SummaryWorld({1: "Europe/Berlin"})
    made.produce(START, 2, received=received)
    at_once.produce(START, 2)
    at_once.run(Window(START, START + 100 * HOUR))
    for low, high in itertools.pairwise([0, *sorted(cuts), 48, 100]):
        made.run(Window(START + low * HOUR, START + high * HOUR))
    assert made.stored() == at_once.stored()


def test_only_days_that_are_over_get_a_verdict() -> None:
    made = world(days=2)
    made.run(Window(START, START + 30 * HOUR))
    assert set(made.performances()) == {"2026-10-30", "2026-10-31"}
    assert set(made.checks()) == {"2026-10-30"}
    made.run(Window(START + 30 * HOUR, START + 48 * HOUR))
    assert {day: row["agrees"] for day, row in made.checks().items()} == {"2026-10-30": True, "2026-10-31": True}


@pytest.mark.parametrize(
    ("midnight", "hours"), [("2026-03-29T00:00", 23), ("2026-10-25T00:00", 25)], ids=["forward", "back"]
)
def test_days_on_which_clocks_change_agree(midnight: str, hours: int) -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    start = local(midnight)
    for n in range(-1, hours + 1):
        day = max(n, 0)
        made.send(start + n * HOUR + timedelta(minutes=1), 1000 + 10 * n, 10 * (day + 1) if 0 <= n < hours else 0)
    made.run(Window(start - 2 * HOUR, start + (hours + 1) * HOUR))
    row = made.checks()[midnight[:10]]
    assert (row["hours"], row["growth"], row["daykw"]) == (10 * hours, 10 * hours, 10 * hours)
    assert row["agrees"]
    made.mongo._tables["time_generation"] = made.mongo._tables["time_generation"].filter(
        pl.col("start") != start + 2 * HOUR
    )
    made.summary(Window(start + (hours - 1) * HOUR, start + hours * HOUR))
    assert made.checks()[midnight[:10]]["explained_by"] == "hours_missing"


def test_the_growth_of_an_inverter_that_begins_counts_from_its_first_reading() -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    noon = START + 12 * HOUR
    for n, kwh in enumerate(("50", "60", "70")):
        made.send(noon + n * HOUR, Decimal(900_000) + Decimal(kwh), kwh)
    made.run(Window(START - DAY, START + DAY))
    row = made.checks()["2026-10-30"]
    assert (row["growth"], row["hours"], row["daykw"]) == (20, 20, 70)
    assert (row["agrees"], row["explained_by"]) == (False, "first_reading")


@pytest.mark.parametrize("missing", [["2026-10-31"], ["2026-11-01"], ["2026-10-31", "2026-11-01"]], ids=" and ".join)
def test_a_midnight_without_tick_rows_is_bridged_by_the_newest_before(missing: list[str]) -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    for n in range(-12, 120):  # energy at every hour
        made.send(START + timedelta(minutes=30 * n + 1), 1000 + n, str((n + 1) % 48))
    made.run(Window(START - 6 * HOUR, START + 60 * HOUR))
    whole = made.stored()
    day = made.checks()["2026-10-31"]
    assert (day["hours"], day["growth"], day["agrees"]) == (48, 48, True)
    assert made.performances()["2026-10-31"]["running_hours"] == pytest.approx(8)  # one tick of three is fresh
    ticks = made.mongo._tables["inverterlog"]
    at = [local(f"{each}T00:00") for each in missing]
    made.mongo._tables["inverterlog"] = ticks.remove(pl.col("at").is_in(at))
    del made.mongo._tables["generation_check"]
    made.summary(Window(START - 6 * HOUR, START + 60 * HOUR))
    assert made.stored()["generation_check"] == whole["generation_check"]


def test_the_tick_at_midnight_ends_the_day_before_it() -> None:
    made = SummaryWorld({1: "UTC"})
    noon = datetime(2026, 10, 30, 12, tzinfo=UTC)
    made.send(noon + 12 * HOUR - timedelta(minutes=1), "1000")
    made.run(Window(noon, noon + DAY))
    assert {day: row["running_hours"] for day, row in made.performances().items()} == {
        "2026-10-30": pytest.approx(1 / 6),
        "2026-10-31": 0,
    }


def test_energy_of_an_outage_over_midnight_is_explained_by_its_flag() -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    for at, totkw, daykw in (
        ("2026-10-30T12:01", 1000, 50),
        ("2026-10-31T09:01", 1080, 20),
        ("2026-10-31T12:01", 1100, 40),
    ):
        made.send(local(at), str(totkw), str(daykw))
    made.run(Window(START - HOUR, START + 2 * DAY))
    row = made.checks()["2026-10-31"]
    assert (row["hours"], row["growth"], row["daykw"]) == (100, 100, 40)
    assert (row["agrees"], row["explained_by"]) == (False, "spans_gap")


def test_after_an_outage_of_the_platform_hours_and_growth_count_from_the_same_tick() -> None:
    made = SummaryWorld({1: "UTC"})
    start = datetime(2026, 6, 1, tzinfo=UTC)
    made.produce(start, 6)
    made.run(Window(start, start + DAY))
    back = start + 5 * DAY + 12 * HOUR
    for low, high in ((back - timedelta(minutes=10), back), (back, start + 6 * DAY)):
        made.run(Window(low, high))
    row = made.checks()["2026-06-06"]
    assert wattline_settings().late_horizon < back - (start + DAY)
    assert (row["hours"], row["growth"], row["daykw"]) == (800, 800, 160)
    assert row["explained_by"] == "spans_gap"


@pytest.mark.parametrize(("silent", "explained"), [(30, True), (240, True), (None, False)])
def test_a_reset_explains_what_was_made_between_the_readings_around_it(silent: int | None, explained: bool) -> None:
    made = SummaryWorld({1: "UTC"})
    start, minute = datetime(2026, 6, 1, tzinfo=UTC), timedelta(minutes=1)
    made.send(start - HOUR, "1000")
    for n in range(48):
        at, noon = start + n * 15 * minute + 6 * HOUR, start + 12 * HOUR
        kwh = 10 * (n + 1)
        lost = 10 * ((silent or 15) // 15)
        if at < noon:
            made.send(at, str(1000 + kwh), str(kwh))
        elif at >= noon + (silent or 15) * minute - 15 * minute:
            made.send(at, str(kwh - 240 - lost + 3), str(kwh if silent else kwh + 100))
    made.run(Window(start - 2 * HOUR, start + DAY))
    row = made.checks()["2026-06-01"]
    assert row["growth"] == row["hours"] == 480 - 10 * ((silent or 15) // 15)
    assert row["daykw"] == (480 if silent else 580)
    assert (row["agrees"], row["explained_by"]) == (False, "counter_reset" if explained else None)


def test_a_plant_has_the_capacity_of_the_inverters_in_use_and_a_period_that_of_its_last_day() -> None:
    made = world(days=3, inverters=2)
    made.mysql.upsert(CUSTOMER, made.mysql.read(CUSTOMER).with_columns(capacity_kw=pl.lit(None, pl.Float64)))
    made.register([(1, 2)], removed_at=START + DAY)
    made.register([(1, 3)], installed_at=START - 400 * DAY, removed_at=START - 300 * DAY, capacity_kw=70.0)
    made.run(Window(START, START + 2 * DAY))
    days = made.performances(invno=0)
    assert {day: row["capacity_kw"] for day, row in days.items()} == {"2026-10-30": 200, "2026-10-31": 100}
    assert days["2026-10-30"]["specific_yield"] == pytest.approx(2.4)
    month, year = (made.periods(invno=0)[key] for key in (("month", "2026-10-01"), ("year", "2026-01-01")))
    assert month["capacity_kw"] == year["capacity_kw"] == 100
    made.register([(1, 4)], installed_at=START + 2 * DAY, capacity_kw=50.0)
    made.run(Window(START + 2 * DAY, START + 3 * DAY))
    periods = {key: row["capacity_kw"] for key, row in made.periods(invno=0).items()}
    assert periods == {("month", "2026-10-01"): 100, ("month", "2026-11-01"): 150, ("year", "2026-01-01"): 150}


def irradiance(at: Sequence[datetime], value: float = 0.5) -> pl.DataFrame:
    return pl.DataFrame([(1, each, value, each) for each in at], IRRADIANCE.schema, orient="row")


def days_of_a_run(made: SummaryWorld, window: Window) -> list[str]:
    inputs = {"scope": scope.own(window), **collect_summary.plants(made.mysql, window, {})}
    return [str(day) for day in collect_summary.irradiance(made.mongo, window, inputs)["days"]["day"]]


@pytest.fixture(scope="module")
def lit() -> SummaryWorld:
    """Three days, of which the second one's light from 10:00 to 12:00 has not come yet."""
    made = world(days=3)
    ticks = [START + n * timedelta(minutes=10) for n in range(3 * 144)]
    made.mongo.upsert(IRRADIANCE, irradiance([at for at in ticks if not 34 * HOUR <= at - START < 36 * HOUR]))
    made.run(Window(START, START + 50 * HOUR))
    return made


NEXT = Window(START + 50 * HOUR, START + 51 * HOUR)


@pytest.mark.parametrize("window", [NEXT, Window(START + 71 * HOUR, START + 72 * HOUR)])
def test_days_whose_light_is_as_it_was_are_not_computed_again(lit: SummaryWorld, window: Window) -> None:
    assert lit.performances()["2026-10-31"]["irradiance_coverage"] < 0.9
    assert days_of_a_run(lit, window) == ["2026-11-01"]


@pytest.mark.parametrize(
    ("at", "value", "days"),
    [
        (35, 0.5, ["2026-10-31", "2026-11-01"]),
        (12, 0.75, ["2026-10-30", "2026-11-01"]),
        (35, 9.0, ["2026-11-01"]),
        (1, 0.5, ["2026-11-01"]),
    ],
    ids=["late", "corrected", "nonsense", "at night"],
)
def test_irradiance_that_comes_late_brings_its_day_along(
    lit: SummaryWorld, at: int, value: float, days: list[str]
) -> None:
    stored = lit.mongo.read(IRRADIANCE)
    hour = [START + at * HOUR + n * timedelta(minutes=10) for n in range(6)]
    lit.mongo.upsert(IRRADIANCE, irradiance(hour, value))
    try:
        assert days_of_a_run(lit, NEXT) == days
        beyond = Window(NEXT.start + wattline_settings().late_horizon, NEXT.end + wattline_settings().late_horizon)
        assert not {"2026-10-30", "2026-10-31"} & set(days_of_a_run(lit, beyond))
    finally:
        lit.mongo._tables["irradiance"] = stored


def test_a_day_is_brought_along_once_and_a_stall_of_the_copying_leaves_no_trace() -> None:
    made, at_once = world(days=3), world(days=3)
    ticks = [START + n * timedelta(minutes=10) for n in range(3 * 144)]
    stall = Window(START + 16 * HOUR, START + 32 * HOUR)
    for n in range(0, 60, 2):
        window = Window(START + n * HOUR, START + (n + 2) * HOUR)
        copied = stall.start if window.end < stall.end else window.end
        for each, until in ((made, copied), (at_once, window.end)):
            each.mongo.upsert(IRRADIANCE, irradiance([at for at in ticks if at < until]))
            each.run(window)
    assert made.performances(0)["2026-10-30"]["irradiance_coverage"] == 1
    assert made.performances(0) == at_once.performances(0)
    assert days_of_a_run(made, Window(START + 60 * HOUR, START + 61 * HOUR)) == ["2026-11-01"]


def test_a_plant_without_a_time_zone_has_no_days_and_stops_nobody() -> None:
    made = SummaryWorld({1: "Europe/Berlin", 2: "Nowhere/Land"})
    made.produce(START, 1)
    made.run(Window(START, START + DAY))
    assert made.performances()
    assert not made.performances(mcno=2)


def test_a_plant_that_was_not_touched_keeps_its_periods() -> None:
    made = SummaryWorld({1: "Europe/Berlin", 2: "Europe/Berlin"})
    for mcno in (1, 2):
        made.produce(START, 2, mcno=mcno)
    made.run(Window(START, START + 2 * DAY))
    due = pl.DataFrame([(2, START, START + DAY, "")], ["mcno", "start", "end", "revision"], orient="row").cast(
        {"mcno": pl.Int32}
    )
    window = Window(datetime(2026, 12, 9, tzinfo=UTC), datetime(2026, 12, 9, 1, tzinfo=UTC))
    results = made.summary(window, due.with_columns(pl.col("start", "end").cast(pl.Datetime("us", "UTC"))))
    stored = results["period_generation"]
    assert set(stored.filter(period="month")["mcno"]) == {2}
    assert made.mongo.read(PERIOD_GENERATION).filter(mcno=1, period="year")["days"].to_list() == [2, 2]


def test_every_difference_of_simulated_plants_is_explained_by_their_faults() -> None:
    window = Window(local("2026-11-24T00:00", "Asia/Seoul"), local("2026-11-26T00:00", "Asia/Seoul"))
    fleet = plants(5, 1, window.start)
    faults = default_faults(1, window, fleet)
    simulation = simulate(fleet, window, 1, faults)
    made = SummaryWorld({})
    for table, rows in ((CUSTOMER, simulation.customers), (INVERTER, simulation.inverters)):
        made.mysql.upsert(table, rows)
    made.mongo.upsert(IRRADIANCE, IRRADIANCE.conform(arrivals(fleet, window, 1, faults)["irradiance"]))
    readings = simulation.readings.unique(READING.key, keep="first")
    sane = pl.col("ackw").is_between(-1, 200) & (pl.col("at") <= pl.col("received_at") + MAX_CLOCK_AHEAD)
    made._sent = readings.filter(sane).to_dicts()
    made.run(window)

    checks = made.mongo.read(GENERATION_CHECK)
    assert checks.height > 70
    # Plant 1003 begins in the middle of its day, and inverter 2 of 1005 began to count anew.
    assert {*checks.remove("agrees")["explained_by"]} == {"counter_reset", "first_reading"}
    days = made.mongo.read(DAY_PERFORMANCE).filter(pl.col("invno") == 0)
    assert days["performance_ratio"].drop_nulls().is_between(0.7, 1).all()
    assert set(days.filter(pl.col("performance_ratio").is_not_null())["mcno"]) == {1001, 1003}
