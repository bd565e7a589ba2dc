"""Virtual meters as MyEMS has them: an equation, what its names stand for, and in which order meters depend on others.

A virtual meter that cannot be computed is refused, with every one that depends on it; the others are not concerned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import polars as pl

from wattline.errors import BadInputError
from wattline.meters.expression import Expression, parse
from wattline.meters.myems import contract
from wattline.meters.tables import METER_KINDS
from wattline.storage.mysql import MySQLStore

KIND = "virtual_meter"
_METERS = contract("tbl_virtual_meters", ("name", "equation"))
_VARIABLES = contract("tbl_variables", ("name", "virtual_meter_id", "meter_type", "meter_id"))

Operand = tuple[str, int]
"""Kind and number of a meter."""


@dataclass(frozen=True)
class VirtualMeter:
    """A virtual meter that can be computed.

    Attributes:
        id: its number.
        name: its name.
        expression: its equation.
        operands: each name of the equation → the meter that it stands for.
    """

    id: int
    name: str
    expression: Expression
    operands: Mapping[str, Operand]

    @property
    def below(self) -> list[int]:
        """The virtual meters of the equation."""
        return [number for kind, number in self.operands.values() if kind == KIND]


@dataclass(frozen=True)
class Refusal:
    """Why a virtual meter is not computed: a fixed word, and a sentence with the remedy."""

    subject: str
    detail: str


@dataclass(frozen=True)
class Register:
    """All virtual meters: those to compute, each after those of its equation, and the others by number."""

    meters: list[VirtualMeter]
    refused: dict[int, Refusal]

    def above(self, operands: Iterable[Operand]) -> set[int]:
        """The virtual meters to compute that depend on one of these meters, directly or by other virtual ones."""
        reached, found = set(operands), set()
        for meter in self.meters:
            if not reached.isdisjoint(meter.operands.values()):
                reached.add((KIND, meter.id))
                found.add(meter.id)
        return found

    def needed_by(self, numbers: Collection[int]) -> Register:
        """Of the meters to compute, these and those that their values are made of."""
        needed = set(numbers)
        for meter in reversed(self.meters):
            if meter.id in needed:
                needed.update(meter.below)
        return Register([meter for meter in self.meters if meter.id in needed], self.refused)


def read_register(system: MySQLStore) -> Register:
    """The virtual meters of an installation.

    Raises:
        TerminalError: a table is not there or has other columns than MyEMS 6.
        TransientError: the server cannot be reached.
    """
    meters, refused = define(system.read(_METERS), system.read(_VARIABLES))
    return order(meters, refused)


def define(meters: pl.DataFrame, variables: pl.DataFrame) -> tuple[list[VirtualMeter], dict[int, Refusal]]:
    """The virtual meters whose equation can be read and whose names are all known, and the others.

    Args:
        meters: id, name, equation of `tbl_virtual_meters`.
        variables: virtual_meter_id, name, meter_type, meter_id of `tbl_variables`.
    """
    named: dict[int, dict[str, set[Operand]]] = {}
    for row in variables.iter_rows(named=True):
        of_meter = named.setdefault(row["virtual_meter_id"], {})
        of_meter.setdefault(row["name"].strip().lower(), set()).add((row["meter_type"].lower(), row["meter_id"]))
    defined, refused = [], {}
    for row in meters.iter_rows(named=True):
        try:
            defined.append(_defined(row, named.get(row["id"], {})))
        except BadInputError as error:
            refused[row["id"]] = Refusal("bad_equation", f"{row['name']}: {error}")
    return defined, refused


def order(meters: Sequence[VirtualMeter], refused: Mapping[int, Refusal]) -> Register:
    """The meters, each after those that it depends on; who depends on itself or on a refused one is refused, too.

    Args:
        meters: the virtual meters that can be computed by themselves.
        refused: the others.
    """
    good, bad = {each.id: each for each in meters}, dict(refused)
    while (cycle := _cycle(good.values())) is not None:
        names = " → ".join(good[number].name for number in cycle)
        detail = f"the virtual meters depend on each other: {names}. Change one of their equations"
        bad |= {number: Refusal("cycle", f"{good.pop(number).name}: {detail}") for number in dict.fromkeys(cycle)}
    ordered: dict[int, VirtualMeter] = {}
    for number in TopologicalSorter({each.id: each.below for each in good.values()}).static_order():
        if number not in good:
            continue
        stops = [below for below in good[number].below if below not in ordered]
        if stops:
            detail = f"depends on virtual meter {stops[0]}, which is not there or cannot be computed. Mend that one"
            bad[number] = Refusal("refused_operand", f"{good[number].name}: {detail}")
        else:
            ordered[number] = good[number]
    return Register(list(ordered.values()), bad)


def _cycle(meters: Iterable[VirtualMeter]) -> list[int] | None:
    """The numbers of a cycle, the first one again at its end."""
    try:
        TopologicalSorter({each.id: each.below for each in meters}).prepare()
    except CycleError as error:
        found: list[int] = error.args[1]
        return found[::-1]
    return None


def _defined(row: Mapping[str, Any], named: Mapping[str, set[Operand]]) -> VirtualMeter:
    expression = parse(row["equation"])
    for name in expression.names:
        meant = named.get(name, set())
        if len(meant) != 1 or not {kind for kind, _ in meant} <= set(METER_KINDS):
            problem = f"{name!r} stands for {'several meters' if len(meant) > 1 else 'no meter'}"
            raise BadInputError(problem, field="equation", remedy="Give it one variable in MyEMS")
    operands = {name: next(iter(named[name])) for name in expression.names}
    return VirtualMeter(row["id"], row["name"], expression, operands)
