"""How inverters and plants did on a day: yields, running hours, peers, and the performance ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from wattline.solar.irradiance import IRRADIANCE
from wattline.solar.irradiation import irradiation
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.performance import RUNNING, capacities, day_performance, running_ticks
from wattline.solar.sun import elevation
from wattline.solar.tables import DAY_GENERATION
from wattline.window import Window

DAY = date(2026, 6, 20)
MIDNIGHT = datetime(2026, 6, 20, tzinfo=UTC)
AFTER = MIDNIGHT + timedelta(days=1)
WINDOW = Window(AFTER - timedelta(hours=1), AFTER)
LATITUDE, LONGITUDE = 50.0, 8.0
NEVER = date(2020, 1, 1)
REGISTER = {"mcno": pl.Int32, "invno": pl.Int32, "capacity_kw": pl.Float64, "first_day": pl.Date, "last_day": pl.Date}


def given(
    energy: Mapping[int, str],
    ratings: Sequence[float | None] = (100.0,) * 4,
    *,
    installed: float | None = None,
    fresh: int | None = 144,
    silent: Sequence[int] = (),
    irradiance: pl.DataFrame | None = None,
) -> dict[str, pl.DataFrame]:
    """The frames of one plant's day, over which inverters sent `fresh` ticks."""
    plants = pl.DataFrame(
        {
            "mcno": [1],
            "timezone": ["UTC"],
            "latitude": [LATITUDE],
            "longitude": [LONGITUDE],
            "capacity_kw": [installed],
        },
        schema_overrides={"mcno": pl.Int32, "capacity_kw": pl.Float64},
    )
    inverters = [(1, number, rating, NEVER, None) for number, rating in enumerate(ratings, 1)]
    hours = [(1, n, MIDNIGHT, Decimal(0), False, False, False, 0 if n in silent else fresh, DAY) for n in energy]
    last = [(1, 0, AFTER - timedelta(hours=1), Decimal(0), None, None, None, None, DAY)]
    return {
        "plants": plants,
        "inverters": pl.DataFrame(inverters, REGISTER, orient="row"),
        "days": pl.DataFrame(
            {"mcno": [1], "day": [DAY], "start": [MIDNIGHT], "end": [AFTER]}, schema_overrides={"mcno": pl.Int32}
        ).with_columns(pl.col("start", "end").cast(pl.Datetime("us", "UTC"))),
        "energy": pl.DataFrame(
            [(1, n, DAY, Decimal(kwh)) for n, kwh in energy.items()], DAY_GENERATION.schema, orient="row"
        ),
        "hours": pl.DataFrame([*hours, *last], {**TIME_GENERATION.schema, "day": pl.Date()}, orient="row"),
        "running": pl.DataFrame(schema=RUNNING),
        "good_irradiance": irradiance if irradiance is not None else pl.DataFrame(schema=IRRADIANCE.schema),
    }


def performance(frames: dict[str, pl.DataFrame]) -> dict[int, dict[str, Any]]:
    return {row["invno"]: row for row in day_performance(WINDOW, frames).to_dicts()}


def light(value: float = 0.5, minutes: int = 10, start: datetime = MIDNIGHT, end: datetime = AFTER) -> pl.DataFrame:
    """A sensor that shows the same all the time."""
    at = pl.datetime_range(start, end, f"{minutes}m", time_unit="us", eager=True)
    columns = {"mcno": 1, "poa_kw_m2": value, "updated_at": end}
    return IRRADIANCE.conform(pl.DataFrame({"at": at}).with_columns(**{k: pl.lit(v) for k, v in columns.items()}))


def daylight_hours(until: datetime = AFTER) -> float:
    middles = [MIDNIGHT + timedelta(minutes=5 + 10 * n) for n in range((until - MIDNIGHT) // timedelta(minutes=10))]
    times = pl.Series(middles).dt.replace_time_zone(None).to_numpy()
    return int((elevation(times, LATITUDE, LONGITUDE) > 0).sum()) / 6


def test_the_yield_is_by_the_inverters_own_rating_and_the_plants_installed_power() -> None:
    rows = performance(given({0: "900", 1: "500", 2: "400"}, (100.0, 50.0), installed=200.0))
    assert {n: (row["capacity_kw"], row["specific_yield"]) for n, row in rows.items()} == {
        0: (200, 4.5),
        1: (100, 5),
        2: (50, 8),
    }
    assert rows[0]["energy"] == 900


@pytest.mark.parametrize(("ratings", "whole"), [((100.0, 50.0), 150), ((100.0, None), None), ((100.0, 0.0), None)])
def test_a_plant_without_installed_power_has_the_sum_of_ratings_if_all_are_known(
    ratings: tuple[float | None, ...], whole: float | None
) -> None:
    frames = given({0: "900", 1: "500", 2: "400"}, ratings)
    plant = capacities(frames, frames["days"].select("mcno", "day")).filter(invno=0).to_dicts()[0]
    assert (plant["capacity_kw"], plant["installed_dc"]) == (whole, False)
    rows = performance(frames)
    assert (rows[2]["specific_yield"] is None) == (whole is None)
    assert (rows[0]["specific_yield"] is None) == (whole is None)


@pytest.mark.parametrize(
    ("first", "last", "whole"),
    [(0, None, 150), (1, None, 100), (-9, 0, 150), (-9, -1, 100), (-9, 1, 150)],
    ids=["begins", "begins on the next day", "ends", "ended on the day before", "ends on the next day"],
)
def test_only_inverters_in_use_on_the_day_count_for_their_plant(first: int, last: int | None, whole: float) -> None:
    frames = given({0: "900", 1: "500", 2: "400"}, (100.0, 50.0))
    other = pl.col("invno") == 2
    first_day, last_day = (None if days is None else DAY + timedelta(days=days) for days in (first, last))
    frames["inverters"] = frames["inverters"].with_columns(
        first_day=pl.when(other).then(pl.lit(first_day)).otherwise("first_day"),
        last_day=pl.when(other).then(pl.lit(last_day, pl.Date)).otherwise("last_day"),
    )
    rows = performance(frames)
    assert [rows[n]["capacity_kw"] for n in (0, 1, 2)] == [whole, 100, 50]


def test_running_hours_are_ticks_with_power_and_of_the_plant_those_of_any_inverter() -> None:
    at = [MIDNIGHT + timedelta(minutes=10 * n) for n in range(12)]
    ticks = [(1, 1, each) for each in at[:6]] + [(1, 2, each) for each in at[3:9]]
    power = pl.DataFrame(ticks, {"mcno": pl.Int32, "invno": pl.Int32, "at": pl.Datetime("us", "UTC")}, orient="row")
    counted = running_ticks(power)
    assert dict(counted.select("invno", "ticks").iter_rows()) == {0: 9, 1: 6, 2: 6}
    frames = given({0: "9", 1: "5", 2: "4", 3: "0"})
    frames["running"] = counted.with_columns(day=pl.lit(DAY)).select(RUNNING.names())
    frames["hours"] = frames["hours"].with_columns(fresh_ticks=pl.lit(6, pl.Int32))
    assert {n: row["running_hours"] for n, row in performance(frames).items()} == {0: 1.5, 1: 1, 2: 1, 3: 0}


def test_running_hours_are_unknown_where_the_old_system_made_the_hours() -> None:
    assert performance(given({1: "5"}, fresh=None))[1]["running_hours"] is None


def test_inverters_are_compared_with_the_median_of_their_plant() -> None:
    rows = performance(given({0: "1200", 1: "200", 2: "400", 3: "500", 4: "440"}))
    assert {n: rows[n]["peers"] for n in rows} == dict.fromkeys(range(5), 4)
    median = 4.2
    assert rows[0]["peer_deviation"] is None
    for n, kwh in ((1, 200), (2, 400), (3, 500), (4, 440)):
        assert rows[n]["peer_deviation"] == pytest.approx(kwh / 100 / median - 1)


@pytest.mark.parametrize(
    ("energy", "silent", "peers"),
    [
        ({1: "200", 2: "400"}, (), 2),
        ({1: "0", 2: "0", 3: "500"}, (), 3),
        ({1: "200", 2: "400", 3: "0"}, (3,), 2),
    ],
    ids=["two", "median of zero", "one of three is silent"],
)
def test_too_few_peers_or_a_median_of_zero_compare_nothing(
    energy: dict[int, str], silent: tuple[int, ...], peers: int
) -> None:
    rows = performance(given(energy, silent=silent))
    assert {(row["peers"], row["peer_deviation"]) for row in rows.values()} == {(peers, None)}


def test_a_silent_inverter_is_no_peer_and_one_that_stands_still_is() -> None:
    energy = {1: "200", 2: "400", 3: "500", 4: "0"}
    still, silent = performance(given(energy)), performance(given(energy, silent=(4,)))
    assert (still[4]["peers"], still[4]["peer_deviation"]) == (4, -1)
    assert (silent[4]["peers"], silent[4]["peer_deviation"]) == (3, None)
    assert silent[1]["peer_deviation"] == pytest.approx(-0.5)


def test_the_performance_ratio_is_the_yield_over_the_hours_of_full_sun() -> None:
    row = performance(given({0: "800", 1: "800"}, installed=200.0, irradiance=light()))[0]
    assert row["irradiation"] == pytest.approx(daylight_hours() * 0.5)
    assert row["irradiance_coverage"] == 1
    assert row["performance_ratio"] == pytest.approx(4 / (daylight_hours() * 0.5))


def test_only_installed_dc_power_gives_a_performance_ratio() -> None:
    rows = performance(given({0: "800", 1: "800"}, irradiance=light()))
    assert rows[0]["specific_yield"] == 2
    assert [row["performance_ratio"] for row in rows.values()] == [None, None]
    assert [row["irradiation"] is not None for row in rows.values()] == [True, True]


def test_a_plant_without_sensor_has_no_irradiation() -> None:
    row = performance(given({0: "800"}, installed=200.0))[0]
    assert (row["irradiation"], row["irradiance_coverage"], row["performance_ratio"]) == (None, None, None)


def sums(
    irradiance: pl.DataFrame, start: datetime = MIDNIGHT, until: datetime = AFTER, latitude: float = LATITUDE
) -> Any:
    columns = {"mcno": [1], "day": [DAY], "start": [start], "until": [until], "latitude": [latitude]}
    days = pl.DataFrame({**columns, "longitude": [LONGITUDE]}, schema_overrides={"mcno": pl.Int32})
    found = irradiation(days.with_columns(pl.col("start", "until").cast(pl.Datetime("us", "UTC"))), irradiance)
    return found.select("irradiation", "irradiance_coverage").row(0) if found.height else None


@pytest.mark.parametrize(("minutes", "known"), [(30, True), (31, False)])
def test_values_half_an_hour_apart_know_what_is_between_them_and_others_do_not(minutes: int, known: bool) -> None:
    total, coverage = sums(light(minutes=minutes, end=AFTER + timedelta(hours=1)))
    assert (coverage == 1) == known
    assert coverage == 1 or coverage < 0.1, "only where a value stands in the very middle of a slot"
    assert (total is not None) == known


def test_light_between_two_values_is_on_the_line_between_them() -> None:
    rising = light(0, 30).with_columns(poa_kw_m2=(pl.col("at") - MIDNIGHT).dt.total_minutes() / 1440)
    total, _ = sums(rising)
    noon = 0.5 - LONGITUDE / 360  # the sun's highest stand, as a share of the day, is the mean of the daylight
    assert total == pytest.approx(daylight_hours() * noon, rel=0.01)


@pytest.mark.parametrize(("share", "known"), [(0.89, False), (0.91, True)])
def test_a_day_needs_nine_tenths_of_its_light(share: float, known: bool) -> None:
    sunrise = MIDNIGHT + timedelta(hours=12 - LONGITUDE / 15 - daylight_hours() / 2)
    until = sunrise + timedelta(hours=daylight_hours() * share)
    total, coverage = sums(light(end=until))
    assert coverage == pytest.approx(share, abs=0.02)
    assert (total is not None) == known


def test_a_day_under_way_needs_the_light_so_far() -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    frames = given({0: "400"}, installed=200.0, irradiance=light(end=noon))
    assert performance(frames)[0]["irradiation"] is None
    frames["hours"] = frames["hours"].filter(pl.col("start") < noon).with_columns(start=noon - timedelta(hours=1))
    row = performance(frames)[0]
    assert row["irradiance_coverage"] == 1
    assert row["performance_ratio"] == pytest.approx(2 / (daylight_hours(noon) * 0.5))


@pytest.mark.parametrize(("month", "day_long"), [(6, True), (12, False)])
def test_polar_days_count_whole_and_polar_nights_not_at_all(month: int, day_long: bool) -> None:
    start = datetime(2026, month, 21, tzinfo=UTC)
    found = sums(light(0.1, 10, start, start + timedelta(days=1)), start, start + timedelta(days=1), latitude=75.0)
    assert found == ((pytest.approx(2.4), 1) if day_long else None)
