"""Equations of virtual meters, `x1 + x2 - 0.5*x3/(y - 1)`: read without `eval`, computed without loss.

An equation has names, decimal constants, `+ - * /`, signs and parentheses; names count the same in capitals. It is
read by the shunting-yard algorithm, which needs no recursion. Python's `ast` would turn constants into floats and
let in a language of which nearly everything has to be refused.

Values are ratios of Python's integers, so `a/3*3` is `a`. They are rounded once, at the end. A ratio grows only by `*`
and `/`, whose number is limited: no equation can hang the computation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from wattline.errors import BadInputError
from wattline.meters.exact import PLACES, UNIT, Units

MAX_LENGTH = 10_000
"""Characters of an equation; a sum of a thousand meters has 6,000."""
MAX_DEPTH = 100
"""Parentheses within each other."""
MAX_FACTORS = 500
"""`*` and `/` of an equation."""
MAX_NUMBER = 40
"""Characters of a constant."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)(?![\w.])"
    r"|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|[-+*/()]))"
)
_SPLIT = "use several virtual meters"
_PRECEDENCE = {"(": 0, "+": 1, "-": 1, "*": 2, "/": 2, "negate": 3}


@dataclass(frozen=True)
class _Ratio:
    """`top` / `bottom`, each one integer for all slots, or an array with one a slot; `bottom` is never 0."""

    top: Any
    bottom: Any


@dataclass(frozen=True)
class _Step:
    """One step of a computation on a stack: put a constant or a name's value on it, or an operator on its top."""

    operator: str = ""
    name: str = ""
    constant: _Ratio | None = None


@dataclass(frozen=True)
class Expression:
    """An equation that can be computed; made by `parse`.

    Attributes:
        text: as it was written.
        names: the names in it, in small letters, in the order in which they first stand there.
        steps: what is done, in order.
    """

    text: str
    names: tuple[str, ...]
    steps: tuple[_Step, ...]

    def evaluate(self, operands: Mapping[str, Units], slots: int, places: int) -> tuple[Units, npt.NDArray[np.bool_]]:
        """The equation's value in each of `slots` slots.

        Args:
            operands: name → units of 10^-6, one a slot, dtype object.
            slots: how many.
            places: decimal places to which the exact value is rounded, half away from zero.

        Returns:
            Units of 10^-6, dtype object; and where the equation has no value as something is divided by zero.
        """
        work = _Work(np.zeros(slots, dtype=bool))
        stack: list[_Ratio] = []
        for step in self.steps:
            if step.constant is not None:
                stack.append(step.constant)
            elif step.name:
                stack.append(_Ratio(operands[step.name], UNIT))
            else:
                last = stack.pop()
                stack.append(_negated(last) if step.operator == "negate" else work.do(step.operator, stack.pop(), last))
        return _rounded(stack.pop(), slots, places), work.undefined


def parse(equation: str) -> Expression:
    """Read an equation.

    Raises:
        BadInputError: it cannot be read, or is too large; the message shows the place.
    """
    if len(equation) > MAX_LENGTH:
        raise _error(
            f"it has {len(equation)} characters", f"Up to {MAX_LENGTH} can be read; use several virtual meters"
        )
    reader = _Reader()
    for kind, text, place in _tokens(equation):
        reader.take(kind, text, f"{text!r} at character {place}")
    steps = reader.finish()
    names = tuple(dict.fromkeys(step.name for step in steps if step.name))
    return Expression(equation, names, tuple(steps))


def _tokens(equation: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and place (from 1) of each part."""
    position, end = 0, len(equation.rstrip())
    while position < end:
        match = _TOKEN.match(equation, position)
        if match is None:
            rest = equation[position:].lstrip()
            place = len(equation) - len(rest) + 1
            raise _error(
                f"{rest[:10]!r} at character {place} cannot be read",
                "Use names, numbers as 0.5, + - * / and parentheses; write 2*x for 2x, x*x for a power",
            )
        kind = str(match.lastgroup)
        yield kind, match[kind], match.start(kind) + 1
        position = match.end()


class _Reader:
    """The shunting-yard algorithm: operators wait until one that binds less follows."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._waiting: list[str] = []
        self._operand_next = True
        self._factors = 0

    def take(self, kind: str, text: str, shown: str) -> None:
        """The next part of the equation; `shown` is how an error names it."""
        if text == "**":
            raise _error(f"{shown} is a power", "Powers are not supported; write x*x")
        if self._operand_next:
            self._operand(kind, text, shown)
        elif text == ")":
            self._close(shown)
        elif kind == "sign" and text != "(":
            self._operator(text)
        else:
            raise _error(f"before {shown} there is no operator", "Write 2*x for 2x")

    def finish(self) -> list[_Step]:
        """The steps of the whole equation."""
        if self._operand_next:
            raise _error("it ends where a name or a number should follow", "Complete it")
        while self._waiting:
            operator = self._waiting.pop()
            if operator == "(":
                raise _error("a parenthesis is not closed", "Close it")
            self._steps.append(_Step(operator))
        return self._steps

    def _operand(self, kind: str, text: str, shown: str) -> None:
        if kind == "name":
            self._put(_Step(name=text.lower()))
        elif kind == "number":
            if len(text) > MAX_NUMBER:
                raise _error(f"the number {text[:10]}… has {len(text)} characters", f"Use up to {MAX_NUMBER}")
            self._put(_Step(constant=_Ratio(*Decimal(text).as_integer_ratio())))
        elif text == "(":
            self._waiting.append(text)
            if self._waiting.count(text) > MAX_DEPTH:
                raise _error("its parentheses are too deep", f"Up to {MAX_DEPTH} can be read: {_SPLIT}")
        elif text == "-":
            self._waiting.append("negate")
        elif text != "+":
            raise _error(f"{shown} stands where a name or a number should", "Complete the equation")

    def _put(self, step: _Step) -> None:
        self._steps.append(step)
        self._operand_next = False

    def _operator(self, text: str) -> None:
        self._factors += text in "*/"
        if self._factors > MAX_FACTORS:
            raise _error("it multiplies and divides too often", f"Up to {MAX_FACTORS} times are read: {_SPLIT}")
        while self._waiting and _PRECEDENCE[self._waiting[-1]] >= _PRECEDENCE[text]:
            self._steps.append(_Step(self._waiting.pop()))
        self._waiting.append(text)
        self._operand_next = True

    def _close(self, shown: str) -> None:
        while self._waiting and self._waiting[-1] != "(":
            self._steps.append(_Step(self._waiting.pop()))
        if not self._waiting:
            raise _error(f"{shown} closes nothing", "Remove it, or open a parenthesis before it")
        self._waiting.pop()


@dataclass(frozen=True)
class _Work:
    """The operators; `undefined` remembers in which slots something was divided by zero."""

    undefined: npt.NDArray[np.bool_]

    def do(self, operator: str, left: _Ratio, right: _Ratio) -> _Ratio:
        """`left operator right`."""
        if operator == "+":
            return _sum(left, right)
        if operator == "-":
            return _sum(left, _negated(right))
        if operator == "*":
            return _Ratio(left.top * right.top, left.bottom * right.bottom)
        zero = right.top == 0
        self.undefined[:] |= zero
        divisor = np.where(zero, 1, right.top) if isinstance(zero, np.ndarray) else 1 if zero else right.top
        return _Ratio(left.top * right.bottom, left.bottom * divisor)


def _sum(left: _Ratio, right: _Ratio) -> _Ratio:
    if isinstance(left.bottom, int) and isinstance(right.bottom, int):
        common = math.lcm(left.bottom, right.bottom)
        return _Ratio(_scaled(left, common) + _scaled(right, common), common)
    return _Ratio(left.top * right.bottom + right.top * left.bottom, left.bottom * right.bottom)


def _scaled(value: _Ratio, bottom: int) -> Any:
    return value.top if value.bottom == bottom else value.top * (bottom // value.bottom)


def _negated(value: _Ratio) -> _Ratio:
    return _Ratio(-value.top, value.bottom)


def _rounded(value: _Ratio, slots: int, places: int) -> Units:
    top, bottom = (np.full(slots, part, dtype=object) for part in (value.top, value.bottom))
    negative = (top < 0) ^ (bottom < 0)
    top, bottom = np.abs(top), np.abs(bottom)
    kept = min(places, PLACES)
    nearest = (2 * 10**kept * top + bottom) // (2 * bottom) * 10 ** (PLACES - kept)
    rounded: Units = np.where(negative, -nearest, nearest)
    return rounded


def _error(problem: str, remedy: str) -> BadInputError:
    return BadInputError(problem, field="equation", remedy=remedy)
