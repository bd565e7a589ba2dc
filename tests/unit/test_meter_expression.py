"""Equations of virtual meters: exact whatever they are, refused with the place where they cannot be read."""

from __future__ import annotations

import re
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from wattline.errors import BadInputError
from wattline.meters.exact import UNIT, Units
from wattline.meters.expression import MAX_DEPTH, MAX_FACTORS, MAX_LENGTH, parse

NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?")


def units(*values: int) -> Units:
    return np.array(values, dtype=object)


def value(equation: str, places: int = 6, **operands: int) -> int | None:
    """The equation's value in one slot, in units; None where it has none."""
    found, undefined = parse(equation).evaluate({name: units(each) for name, each in operands.items()}, 1, places)
    return None if undefined[0] else found[0]


def oracle(equation: str, operands: dict[str, int], places: int) -> int | None:
    """The same by Python's own parser and Fraction."""
    exact = re.sub(r"(?<![a-z])" + NUMBER.pattern, lambda match: f"F('{match[0]}')", equation.lower())
    names = {name: Fraction(each, UNIT) for name, each in operands.items()}
    try:
        result = eval(exact.strip(), {"F": Fraction, **names})
    except ZeroDivisionError:
        return None
    nearest = (abs(result) * 10**places + Fraction(1, 2)) // 1
    return (nearest if result >= 0 else -nearest) * (UNIT // 10**places)


def chains(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Parts joined by operators, in parentheses or not."""
    tail = st.lists(st.tuples(st.sampled_from(["+", " - ", "*", "/", " * -", "/ +", "--"]), part), max_size=4)
    chain = st.tuples(part, tail).map(lambda each: each[0] + "".join(a + b for a, b in each[1]))
    return chain.flatmap(lambda text: st.sampled_from([f"({text})", f"-({text} )", text]))


LEAVES = st.sampled_from(["x1", "X1", "x2", "Y", "0", "0.5", "3", ".25", "7.", "1e-3", "2.5E2", "1000000.000001"])
EQUATIONS = st.recursive(LEAVES, chains, max_leaves=12)
OPERAND = st.sampled_from([0, 1, -1, 5, UNIT, 3 * UNIT]) | st.integers(-(10**21), 10**21)


@hypothesis_settings(max_examples=300, deadline=None)
@example("x1/3*1.5", (1, 0, 0), 6)
@example("x1/(x1-x2)", (5, 5, 0), 6)
@example("1/(1/x1)", (0, 1, 1), 6)
@example("2-3-4", (0, 0, 0), 3)
@example("12/2/3*-2", (0, 0, 0), 3)
@given(EQUATIONS, st.tuples(OPERAND, OPERAND, OPERAND), st.sampled_from([3, 6]))
def test_the_value_is_the_exact_one_rounded_once(
    equation: str, given_values: tuple[int, int, int], places: int
) -> None:
    operands = dict(zip(("x1", "x2", "y"), given_values, strict=True))
    assert value(equation, places, **operands) == oracle(equation, operands, places)


def test_slots_are_computed_each_by_itself() -> None:
    x, y = units(6 * UNIT, UNIT, 0, -7 * UNIT), units(3 * UNIT, 0, UNIT, 2 * UNIT)
    found, undefined = parse("X/y + 1").evaluate({"x": x, "y": y}, 4, 6)
    assert undefined.tolist() == [False, True, False, False]
    assert found[~undefined].tolist() == [3 * UNIT, UNIT, -2_500_000]


def test_halves_are_rounded_away_from_zero() -> None:
    assert [value("x/2", x=each) for each in (1, -1, 3, -3)] == [1, -1, 2, -2]
    assert [value("x/2", places=3, x=each) for each in (1_000, -1_000, 999)] == [1_000, -1_000, 0]


def test_an_equation_without_names_has_a_value_in_every_slot() -> None:
    found, undefined = parse("-3/7").evaluate({}, 2, 3)
    assert found.tolist() == [-429_000] * 2
    assert not undefined.any()
    assert parse("5/(1-1)").evaluate({}, 2, 3)[1].all()


def test_names_are_the_same_in_capitals_and_stand_once() -> None:
    assert parse("Main_Meter2 + main_METER2*급전 - x").names == ("main_meter2", "급전", "x")


@pytest.mark.parametrize(
    ("equation", "problem"),
    [
        ("", "it ends where a name or a number should follow"),
        ("x +", "it ends where a name or a number should follow"),
        ("x ** 2", r"'\*\*' at character 3 is a power"),
        ("x^2", r"'\^2' at character 2 cannot be read"),
        ("2x", "'2x' at character 1 cannot be read"),
        ("x 2", "before '2' at character 3 there is no operator"),
        ("(x)(y)", r"before '\(' at character 4 there is no operator"),
        ("(x", "a parenthesis is not closed"),
        ("x)", r"'\)' at character 2 closes nothing"),
        ("()", r"'\)' at character 2 stands where a name or a number should"),
        ("*x", r"'\*' at character 1 stands where"),
        ("x + 0,5", "',5' at character 6 cannot be read"),
        ("1.2.3", "cannot be read"),
        ("1_000", "cannot be read"),
        ("0x10", "cannot be read"),
        ("1e999", "cannot be read"),
        ("x.real", "'.real' at character 2 cannot be read"),
        ("x = 1", "'= 1' at character 3 cannot be read"),
        ("x # y", "'# y' at character 3 cannot be read"),
        ("sum(x)", r"before '\(' at character 4 there is no operator"),
        ("__import__('os').abort()", r"before '\(' at character 11"),
        ("lambda: 0", "': 0' at character 7 cannot be read"),
        ("1" * 41, "the number 1111111111… has 41 characters"),
        ("(" * (MAX_DEPTH + 1) + "x" + ")" * (MAX_DEPTH + 1), "parentheses are too deep"),
        ("x" + "*x" * (MAX_FACTORS + 1), "it multiplies and divides too often"),
        ("x" * (MAX_LENGTH + 1), f"it has {MAX_LENGTH + 1} characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(equation: str, problem: str) -> None:
    with pytest.raises(BadInputError, match=f"^equation: .*{problem}.*[.] "):
        parse(equation)


@pytest.mark.parametrize(
    "equation",
    ["(" * MAX_DEPTH + "x" + ")" * MAX_DEPTH, "x" + "/x" * MAX_FACTORS, "x" + "+x" * 4_900, "-" * 9_000 + "x"],
)
def test_the_largest_equations_are_computed_at_once(equation: str) -> None:
    begin = time.process_time()
    found, undefined = parse(equation).evaluate({"x": units(*range(10**14, 10**14 + 24))}, 24, 6)
    assert found.size == 24
    assert not undefined.any()
    assert time.process_time() - begin < 2


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.text(alphabet="xy1.0e+-*/() \n\t^%,;'\"[]{}=<>!&|~@:\\\0é", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = parse(text)
    except BadInputError:
        return
    found, undefined = expression.evaluate({name: units(UNIT) for name in expression.names}, 1, 6)
    assert found.size == undefined.size == 1
