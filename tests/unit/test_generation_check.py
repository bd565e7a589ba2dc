"""Whether a day's figures agree, and what explains it where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from wattline.solar.collect_summary import TOTALS
from wattline.solar.consistency import generation_check
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.tables import DAY_GENERATION, PLANT

DAY = date(2026, 11, 3)
MIDNIGHT = datetime(2026, 11, 3, tzinfo=UTC)


@dataclass(frozen=True)
class Inverter:
    """A day of an inverter: the energy of its hours, and what the other figures say."""

    hours: Sequence[str]
    daykw: str | None = None
    growth: str | None = None
    spans_gap: Sequence[int] = ()
    reset: int | None = None
    reset_hours: float | None = 1 / 6
    rated: float | None = 100.0
    first_reading: bool = False

    @property
    def sum(self) -> Decimal:
        return sum(map(Decimal, self.hours), Decimal(0))


def checked(
    *inverters: Inverter, day_hours: int = 24, plant: str | None = None, plant_hours: str = "1"
) -> dict[int, dict[str, Any]]:
    """The check of a plant whose day counter says `plant`, or the sum of its inverters'; hours are scaled."""
    hours, energy, totals = [], [], []
    for number, each in enumerate(inverters, 1):
        daykw, growth = (Decimal(text or each.sum) for text in (each.daykw, each.growth))
        flags = [(n in each.spans_gap, False, n == each.reset, 6) for n in range(len(each.hours))]
        hours += [
            (1, number, MIDNIGHT + timedelta(hours=n), Decimal(kwh), *flags[n], DAY) for n, kwh in enumerate(each.hours)
        ]
        energy.append((1, number, DAY, daykw))
        totals.append((1, number, DAY, Decimal(1000), 1000 + growth, each.first_reading, each.reset_hours))
    longest = max(len(each.hours) for each in inverters)
    for n in range(longest):
        made = sum((Decimal(each.hours[n]) for each in inverters if n < len(each.hours)), Decimal(0))
        hours.append((1, PLANT, MIDNIGHT + timedelta(hours=n), made * Decimal(plant_hours), None, None, None, 6, DAY))
    energy.append((1, PLANT, DAY, Decimal(plant or sum(row[3] for row in energy))))
    days = {"mcno": [1], "day": [DAY], "start": [MIDNIGHT], "end": [MIDNIGHT + timedelta(hours=day_hours)]}
    frames = {
        "hours": pl.DataFrame(hours, {**TIME_GENERATION.schema, "day": pl.Date()}, orient="row"),
        "energy": pl.DataFrame(energy, DAY_GENERATION.schema, orient="row"),
        "totals": pl.DataFrame(totals, TOTALS, orient="row"),
        "days": pl.DataFrame(days, schema_overrides={"mcno": pl.Int32()}),
        "inverters": register([each.rated for each in inverters]),
    }
    return {row["invno"]: row for row in generation_check(frames).to_dicts()}


def register(ratings: Sequence[float | None]) -> pl.DataFrame:
    rows = [(1, number, kw) for number, kw in enumerate(ratings, 1)]
    return pl.DataFrame(rows, {"mcno": pl.Int32(), "invno": pl.Int32(), "capacity_kw": pl.Float64()}, orient="row")


def day(energy: dict[int, str], hours: int = 24) -> list[str]:
    return [energy.get(n, "0") for n in range(hours)]


def verdict(row: dict[str, Any]) -> tuple[bool, str | None]:
    return row["agrees"], row["explained_by"]


def test_figures_that_agree_say_so_and_nothing_else() -> None:
    rows = checked(Inverter(day({9: "40", 10: "60"})), Inverter(day({9: "41", 10: "59.123456"})))
    assert {n: verdict(row) for n, row in rows.items()} == dict.fromkeys(range(3), (True, None))
    assert {row["finding"] for row in rows.values()} == {None}
    assert rows[2]["hours"] == rows[2]["daykw"] == rows[2]["growth"] == Decimal("100.123456")
    assert rows[0]["inverters"] == rows[0]["hours"] == Decimal("200.123456")
    assert rows[2]["inverters"] is None


@pytest.mark.parametrize(
    ("energy", "daykw", "agrees"),
    [
        ("10", "11", True),
        ("10", "11.000001", False),
        ("10", "8.999999", False),
        ("995", "1000", True),
        ("994.999999", "1000", False),
        ("1000", "995", True),
        ("1000", "994.999999", False),
    ],
)
def test_half_a_percent_of_the_largest_or_one_kwh_may_be_between_them(energy: str, daykw: str, agrees: bool) -> None:
    rows = checked(Inverter(day({9: energy}), daykw=daykw))
    assert rows[1]["agrees"] == agrees
    assert rows[1]["difference"] == abs(Decimal(energy) - Decimal(daykw))
    assert (rows[1]["finding"] is None) == agrees


def test_a_plant_of_many_inverters_has_the_resolution_of_all_their_counters() -> None:
    rows = checked(*(Inverter(day({9: "10"}), daykw="11") for _ in range(3)))
    assert rows[0]["difference"] == 3
    assert rows[0]["agrees"]
    assert not checked(*(Inverter(day({9: "10"}), daykw="12") for _ in range(3)))[0]["agrees"]


def test_a_finding_names_plant_inverter_day_amount_and_figures() -> None:
    rows = checked(Inverter(day({9: "40"})), Inverter(day({9: "50"}), daykw="80.25"))
    assert rows[2]["finding"] == (
        "plant 1, inverter 2, 2026-11-03: 30.25 kWh apart "
        "(hours 50 kWh, day counter 80.25 kWh, growth 50 kWh): nothing explains it"
    )
    assert rows[0]["finding"] == (
        "plant 1, as a whole, 2026-11-03: 30.25 kWh apart "
        "(hours 90 kWh, day counter 120.25 kWh, growth 90 kWh, inverters 120.25 kWh): nothing explains it"
    )
    assert rows[1]["finding"] is None


@pytest.mark.parametrize("figure", ["daykw", "growth"])
def test_a_difference_without_any_flag_has_no_explanation(figure: str) -> None:
    rows = checked(Inverter(day({9: "50"}), **{figure: "60"}))
    assert verdict(rows[1]) == verdict(rows[0]) == (False, None)


def test_hours_that_are_missing_explain_what_they_lack_and_no_surplus() -> None:
    lacking = Inverter(day({9: "50"})[:20], daykw="80", growth="80")
    assert verdict(checked(lacking)[1]) == (False, "hours_missing")
    assert verdict(checked(lacking, day_hours=20)[1]) == (False, None)
    surplus = Inverter(day({9: "50"})[:20], daykw="20", growth="20")
    assert verdict(checked(surplus)[1]) == (False, None)


@pytest.mark.parametrize("hours", [23, 25])
def test_a_day_on_which_clocks_change_has_as_many_hours_as_the_clock(hours: int) -> None:
    whole = Inverter(day({9: "50"}, hours), daykw="80", growth="80")
    assert verdict(checked(whole, day_hours=hours)[1]) == (False, None)
    one_less = Inverter(day({9: "50"}, hours - 1), daykw="80", growth="80")
    assert verdict(checked(one_less, day_hours=hours)[1]) == (False, "hours_missing")


@pytest.mark.parametrize("daykw", ["30", "70"])
def test_a_counter_reset_sets_the_day_counter_apart_and_not_the_hours(daykw: str) -> None:
    reset = Inverter(day({9: "30", 14: "20"}), daykw=daykw, reset=12)
    assert verdict(checked(reset)[1]) == verdict(checked(reset)[0]) == (False, "counter_reset")
    hours_too = Inverter(day({9: "30", 14: "20"}), daykw=daykw, growth="90", reset=12)
    assert verdict(checked(hours_too)[1]) == (False, None)


@pytest.mark.parametrize(
    ("daykw", "reset_hours", "rated", "why"),
    [
        ("75", 1 / 6, 100.0, "counter_reset"),
        ("76", 1 / 6, 100.0, "counter_reset"),
        ("76.1", 1 / 6, 100.0, None),
        ("125", 0.5, 100.0, "counter_reset"),
        ("126.1", 0.5, 100.0, None),
        ("62.5", 1 / 6, 50.0, "counter_reset"),
        ("75", 1 / 6, 50.0, None),
        ("55", None, 100.0, None),
        ("5050", 1 / 6, None, "counter_reset"),
        ("5051.5", 1 / 6, 0.0, "counter_reset"),
        ("9000", 1 / 6, None, None),
    ],
)
def test_a_reset_explains_no_more_than_the_inverter_makes_between_its_readings(
    daykw: str, reset_hours: float | None, rated: float | None, why: str | None
) -> None:
    reset = Inverter(day({9: "50"}), daykw=daykw, reset=12, reset_hours=reset_hours, rated=rated)
    assert verdict(checked(reset)[1]) == verdict(checked(reset)[0]) == (False, why)


@pytest.mark.parametrize(
    ("hours", "reset", "daykw", "why"),
    [
        ({9: "50", 14: "30"}, 12, "50", "counter_reset"),
        ({9: "30", 14: "50"}, 12, "50", "counter_reset"),
        ({9: "50", 14: "30"}, 12, "49", "counter_reset"),
        ({9: "50", 14: "30"}, 12, "48.9", None),
        ({9: "50", 12: "20", 14: "30"}, 12, "55", "counter_reset"),
        ({9: "80"}, 12, "50", None),
    ],
    ids=["the first part", "the second", "and a kWh", "and more", "the reset's own hour", "nothing after it"],
)
def test_a_day_counter_that_began_anew_shows_the_largest_part_of_the_day(
    hours: dict[int, str], reset: int, daykw: str, why: str | None
) -> None:
    rows = checked(Inverter(day(hours), daykw=daykw, reset=reset, reset_hours=0))
    assert verdict(rows[1]) == verdict(rows[0]) == (False, why)


@pytest.mark.parametrize(
    ("hours", "spans_gap", "daykw", "why"),
    [
        ({7: "30", 9: "50"}, [7], "50", "spans_gap"),
        ({9: "50", 20: "30"}, [20], "50", "spans_gap"),
        ({7: "30", 9: "50"}, [7], "55", "spans_gap"),
        ({7: "30", 9: "50"}, [7], "45", None),
        ({7: "30", 9: "50"}, [7], "90", None),
        ({7: "10", 8: "30", 9: "50"}, [8], "60", None),
    ],
    ids=["over midnight", "over the evening", "a part of it", "more than it", "the other way", "at noon"],
)
def test_a_gap_explains_no_more_than_its_energy_and_only_where_the_day_counter_restarts(
    hours: dict[int, str], spans_gap: list[int], daykw: str, why: str | None
) -> None:
    rows = checked(Inverter(day(hours), daykw=daykw, spans_gap=spans_gap))
    assert verdict(rows[1]) == verdict(rows[0]) == (False, why)


def test_an_inverter_that_begins_in_the_middle_of_a_day_knows_the_energy_before() -> None:
    assert verdict(checked(Inverter(day({9: "50"}), daykw="80", first_reading=True))[1]) == (False, "first_reading")
    assert verdict(checked(Inverter(day({9: "50"}), daykw="20", first_reading=True))[1]) == (False, None)


def test_a_plants_row_must_be_the_sum_of_its_inverters() -> None:
    rows = checked(Inverter(day({9: "50"})), Inverter(day({9: "50"}), daykw="70", reset=9), plant="200")
    assert verdict(rows[0]) == (False, None)
    assert verdict(rows[2]) == (False, "counter_reset")


def test_a_plants_hours_must_be_the_sum_of_its_inverters_hours() -> None:
    gap = Inverter(day({0: "5", 9: "95"}), daykw="95", spans_gap=(0,))
    fine = checked(gap, Inverter(day({9: "300"})), plant_hours="1")
    assert {n: verdict(row) for n, row in fine.items()} == {
        0: (False, "spans_gap"),
        1: (False, "spans_gap"),
        2: (True, None),
    }
    wrong = checked(gap, Inverter(day({9: "300"})), plant_hours="0.25")
    assert {n: verdict(row) for n, row in wrong.items()} == {
        0: (False, None),
        1: (False, "spans_gap"),
        2: (True, None),
    }


def test_a_plants_difference_is_explained_by_its_inverters_flags_as_far_as_they_go() -> None:
    by_reset, by_gap = (
        Inverter(day({9: "50"}), daykw="30", reset=9),
        Inverter(day({7: "30", 9: "50"}), daykw="50", spans_gap=[7]),
    )
    rows = checked(by_reset, by_gap, Inverter(day({9: "50"})))
    assert verdict(rows[0]) == (False, "counter_reset, spans_gap")
    rows = checked(by_reset, Inverter(day({9: "50"}), daykw="20"))
    assert verdict(rows[0]) == (False, None)


def test_days_of_the_old_system_alone_are_not_judged() -> None:
    assert set(checked(Inverter(day({9: "50"})))) == {0, 1}
    frames = {
        "hours": pl.DataFrame(schema={**TIME_GENERATION.schema, "day": pl.Date()}),
        "energy": pl.DataFrame([(1, 1, DAY, Decimal(5))], DAY_GENERATION.schema, orient="row"),
        "totals": pl.DataFrame(schema=TOTALS),
        "days": pl.DataFrame(
            {"mcno": [1], "day": [DAY], "start": [MIDNIGHT], "end": [MIDNIGHT]}, schema_overrides={"mcno": pl.Int32()}
        ),
        "inverters": register([100.0]),
    }
    assert generation_check(frames).is_empty()
