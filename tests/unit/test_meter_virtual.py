"""Virtual meters: which are refused, in which order the others come, and which slots have a row; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from wattline.meters.tables import HOURLY
from wattline.meters.virtual_meters import Register, define, order
from wattline.meters.virtual_slots import evaluate, starts_of
from wattline.window import Window

START = datetime(2026, 10, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Variables = Sequence[tuple[int, str, str, int]]
"""Virtual meter, name, kind and number of what it stands for."""


def register(equations: Mapping[int, str], variables: Variables = ()) -> Register:
    meters = pl.DataFrame([(number, f"V{number}", text) for number, text in equations.items()],
                          schema=["id", "name", "equation"], orient="row")  # fmt: skip
    schema = {"virtual_meter_id": pl.Int64, "name": pl.String, "meter_type": pl.String, "meter_id": pl.Int64}
    return order(*define(meters, pl.DataFrame(list(variables), schema=schema, orient="row")))


def above(*pairs: tuple[int, int]) -> Variables:
    """Variables `v<number>` of virtual meters that stand for virtual meters."""
    return [(number, f"v{below}", "virtual_meter", below) for number, below in pairs]


def hours(kind: str, rows: Sequence[tuple[int, float, str]]) -> pl.DataFrame:
    """Meter, hours since START, energy."""
    exact = [(number, START + hour * HOUR, Decimal(value)) for number, hour, value in rows]
    return pl.DataFrame(exact, schema=HOURLY[kind].schema, orient="row")


def computed(
    register_: Register, window: Window, rows: Sequence[tuple[int, float, str]], *, minutes: int = 60, places: int = 6
) -> tuple[list[tuple[int, float, str]], list[tuple[int, float, str]]]:
    """Rows and findings as (meter, hours since START, value or subject), with meters of the kind `meter`."""
    found, findings = evaluate(register_.meters, {"meter": hours("meter", rows)}, window, minutes, places)
    at = (pl.col("start_datetime_utc") - START).dt.total_minutes() / 60
    return (
        found.select("virtual_meter_id", at, pl.col("actual_value").cast(pl.String)).rows(),
        sorted(findings.select("meter_id", at, "subject").rows()),
    )


def first_hours(count: int) -> Window:
    return Window(START, START + count * HOUR)


TWO = register({1: "X1 - x2"}, [(1, "x1", "meter", 11), (1, "X2", "meter", 12)])


def test_each_meter_comes_after_those_of_its_equation() -> None:
    found = register({1: "v3 + v2", 2: "v3", 3: "1", 4: "v1"}, above((1, 3), (1, 2), (2, 3), (4, 1)))
    place = {meter.id: number for number, meter in enumerate(found.meters)}
    assert place[3] < place[2] < place[1] < place[4]
    assert found.refused == {}


def test_a_cycle_is_refused_by_name_with_what_depends_on_it_and_the_others_are_computed() -> None:
    equations = {1: "v2", 2: "v3", 3: "v1", 4: "v4 + 1", 5: "v1", 6: "v5", 7: "1", 8: "v7"}
    found = register(equations, above((1, 2), (2, 3), (3, 1), (4, 4), (5, 1), (6, 5), (8, 7)))
    assert [meter.id for meter in found.meters] == [7, 8]
    assert {number: refusal.subject for number, refusal in found.refused.items()} == {
        **dict.fromkeys((1, 2, 3, 4), "cycle"),
        **dict.fromkeys((5, 6), "refused_operand"),
    }
    assert any(
        path in found.refused[1].detail for path in ("V1 → V2 → V3 → V1", "V2 → V3 → V1 → V2", "V3 → V1 → V2 → V3")
    )
    assert "V4 → V4" in found.refused[4].detail
    assert "virtual meter 1" in found.refused[5].detail


def test_a_meter_that_uses_one_that_is_not_there_is_refused() -> None:
    found = register({1: "v9", 2: "1"}, above((1, 9)))
    assert [meter.id for meter in found.meters] == [2]
    assert list(found.refused) == [1]
    assert "virtual meter 9" in found.refused[1].detail


@pytest.mark.parametrize(
    ("equation", "variables", "problem"),
    [
        ("x **", [(1, "x", "meter", 5)], "is a power"),
        ("x + y", [(1, "x", "meter", 5)], "'y' stands for no meter"),
        ("x", [(1, "x", "meter", 5), (1, "X", "meter", 6)], "'x' stands for several meters"),
        ("x", [(1, "x", "point", 5)], "'x' stands for no meter"),
        ("x", [(2, "x", "meter", 5)], "'x' stands for no meter"),
    ],
)
def test_an_equation_that_cannot_be_used_is_refused_and_no_other(
    equation: str, variables: Variables, problem: str
) -> None:
    found = register({1: equation, 2: "7"}, variables)
    assert [meter.id for meter in found.meters] == [2]
    assert found.refused[1].subject == "bad_equation"
    assert found.refused[1].detail.startswith("V1: ")
    assert problem in found.refused[1].detail


def test_variables_that_the_equation_does_not_name_do_not_count() -> None:
    found = register({1: "x"}, [(1, "x", "meter", 5), (1, "y", "virtual_meter", 1), (1, "x", "meter", 5)])
    assert [dict(meter.operands) for meter in found.meters] == [{"x": ("meter", 5)}]


def test_slots_have_a_row_where_all_operands_have_one_and_else_a_finding() -> None:
    rows = [(11, 0, "5"), (12, 0, "7.000001"), (11, 1, "5"), (12, 2, "5"), (11, 3, "1"), (12, 3, "1")]
    assert computed(TWO, first_hours(5), rows) == (
        [(1, 0, "-2.000001"), (1, 3, "0.000000")],
        [(1, 1, "missing_operand"), (1, 2, "missing_operand"), (1, 4, "missing_operand")],
    )


def test_a_missing_operand_is_named() -> None:
    _, findings = evaluate(TWO.meters, {"meter": hours("meter", [(11, 0, "5")])}, first_hours(1), 60, 6)
    (detail,) = findings["detail"]
    assert detail.startswith("V1: x2, meter 12, has no row.")


def test_a_division_by_zero_stops_its_slot_alone() -> None:
    share = register({1: "100*a/b", 2: "v1 + 1"}, [(1, "a", "meter", 11), (1, "b", "meter", 12), *above((2, 1))])
    rows = [(meter, hour, value) for hour, value in enumerate(("1", "0", "3")) for meter in (11, 12)]
    assert computed(share, first_hours(3), rows) == (
        [(1, 0, "100.000000"), (1, 2, "100.000000"), (2, 0, "101.000000"), (2, 2, "101.000000")],
        [(1, 1, "division_by_zero"), (2, 1, "missing_operand")],
    )


def test_a_value_without_room_in_the_table_is_a_finding() -> None:
    product = register({1: "a*b"}, [(1, "a", "meter", 11), (1, "b", "meter", 12)])
    rows = [(11, 0, "1000000"), (12, 0, "999999999.999999"), (11, 1, "-1000000"), (12, 1, "1000000000")]
    assert computed(product, first_hours(2), rows) == (
        [(1, 0, "999999999999999.000000")],
        [(1, 1, "too_large")],
    )


def test_what_depends_on_a_virtual_meter_takes_its_rounded_row() -> None:
    nested = register({1: "a/3", 2: "v1*3"}, [(1, "a", "meter", 11), *above((2, 1))])
    assert computed(nested, first_hours(1), [(11, 0, "1")], places=3)[0] == [(1, 0, "0.333000"), (2, 0, "0.999000")]


def test_a_slot_belongs_to_the_window_in_which_it_ends() -> None:
    one = register({1: "a"}, [(1, "a", "meter", 11)])
    rows = [(11, hour / 2, "1") for hour in range(-4, 8)]
    shifted = Window(START + HOUR / 2, START + 2.5 * HOUR)
    assert [at for _, at, _ in computed(one, shifted, rows)[0]] == [0, 0.5, 1, 1.5]
    assert starts_of(first_hours(1), 60) == Window(START - HOUR + timedelta(seconds=1), START + timedelta(seconds=1))


def test_meters_beside_the_grid_have_their_own_slots() -> None:
    rows = [(11, 0.5, "3"), (12, 0.5, "1"), (11, 2.5, "3")]
    assert computed(TWO, first_hours(4), rows) == (
        [(1, 0.5, "2.000000")],
        [(1, 1, "missing_operand"), (1, 2.5, "missing_operand"), (1, 3, "missing_operand")],
    )


def test_a_constant_has_the_slots_of_the_grid() -> None:
    assert [at for _, at, _ in computed(register({1: "5"}), first_hours(2), [], minutes=30)[0]] == [0, 0.5, 1, 1.5]


def test_a_window_shorter_than_a_slot_has_none() -> None:
    assert computed(TWO, Window(START, START + HOUR / 2), [(11, 0, "1"), (12, 0, "1")]) == ([], [])


CHAIN = register(
    {1: "a + b/4", 2: "v1 / (b - 1)", 3: "v1 - v2"},
    [(1, "a", "meter", 11), (1, "b", "meter", 12), *above((2, 1), (3, 1), (3, 2)), (2, "b", "meter", 12)],
)
ROWS = st.dictionaries(
    st.tuples(st.sampled_from([11, 12]), st.integers(-4, 20).map(lambda n: n / 2)),
    st.sampled_from(["0", "1", "2.5", "1000000.000001", "7"]),
    max_size=40,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.integers(1, 15), max_size=3), st.sampled_from([30, 60]), st.sampled_from([3, 6]))
def test_any_cut_gives_what_the_plain_way_gives(
    values: dict[tuple[int, float], str], cuts: list[int], minutes: int, places: int
) -> None:
    rows = [(meter, hour, value) for (meter, hour), value in values.items()]
    ends = [START + n * HOUR / 2 for n in sorted({0, 16, *cuts})]
    found = [computed(CHAIN, Window(*part), rows, minutes=minutes, places=places) for part in pairwise(ends)]
    assert sorted(each for part, _ in found for each in part) == plain(values, minutes, places)
    keys = [(meter, at) for part, findings in found for meter, at, _ in (*part, *findings)]
    assert len(keys) == len(set(keys))
    whole = computed(CHAIN, Window(ends[0], ends[-1]), rows, minutes=minutes, places=places)
    assert whole[1] == sorted(each for _, findings in found for each in findings)


def plain(values: Mapping[tuple[int, float], str], minutes: int, places: int) -> list[tuple[int, float, str]]:
    """CHAIN's rows, slot by slot."""

    def rounded(value: Decimal) -> Decimal:
        return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0  # there is no -0

    rows: list[tuple[int, float, Decimal]] = []
    for hour in (n / 2 for n in range(-4, 21)):
        if not 0 < hour + minutes / 60 <= 8 or not {(11, hour), (12, hour)} <= set(values):
            continue
        a, b = (Decimal(values[meter, hour]) for meter in (11, 12))
        first = rounded(a + b / 4)
        rows.append((1, hour, first))
        if b != 1:
            second = rounded(first / (b - 1))
            rows += [(2, hour, second), (3, hour, first - second)]
    return sorted((meter, hour, f"{value:.6f}") for meter, hour, value in rows)


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.sets(st.tuples(st.integers(1, 6), st.integers(1, 6)).filter(lambda pair: pair[0] > pair[1])), st.data())
def test_above_and_needed_are_every_meter_on_the_way(pairs: set[tuple[int, int]], data: st.DataObject) -> None:
    """Meter n also has the meter n; virtual ones may have those of smaller numbers."""
    own = [(number, "m", "meter", number) for number in range(1, 7)]
    equations = {n: "+".join(["m", *(f"v{below}" for high, below in sorted(pairs) if high == n)]) for n in range(1, 7)}
    found = register(equations, [*own, *above(*pairs)])
    chosen = data.draw(st.sets(st.integers(1, 6)))
    up, down = set(chosen), set(chosen)
    for number in range(1, 7):
        if any((number, below) in pairs for below in up):
            up.add(number)
    for number in range(6, 0, -1):
        if any((high, number) in pairs for high in down):
            down.add(number)
    assert found.above(("meter", number) for number in chosen) == up
    assert {meter.id for meter in found.needed_by(chosen).meters} == down
    assert found.above([("offline_meter", 1)]) == set()
