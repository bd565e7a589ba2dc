"""A suite is a table of declared checks on one contract; the gate runs all of them over a batch at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from wattline.errors import TerminalError
from wattline.storage.contract import Table


def as_it_is(frame: pl.DataFrame) -> pl.DataFrame:
    """The batch without helper columns."""
    return frame


@dataclass(frozen=True)
class Check:
    """One demand on every value of one column.

    Attributes:
        expectation: class name of a Great Expectations column-map expectation, e.g. `ExpectColumnValuesToBeBetween`.
            Null and NaN pass every expectation but `ExpectColumnValuesToNotBeNull`.
        field: the batch's column that a failure is reported for.
        reason: what is wrong with a failing row, with the limit and its unit.
        remedy: what somebody can do about it.
        arguments: what the expectation takes beside the column, e.g. `{"max_value": 1.5}`.
        column: the column to look at, where it is a helper of `Suite.prepare` and not `field` itself.
    """

    expectation: str
    field: str
    reason: str
    remedy: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    column: str | None = None

    @property
    def tested(self) -> str:
        """The column whose values the expectation sees."""
        return self.column or self.field


@dataclass(frozen=True)
class Suite:
    """Everything a gate demands of one batch.

    Attributes:
        name: name in results and messages.
        table: contract of the batch; its key names a row.
        checks: the demands.
        context: columns, with types, that the batch carries beside the table's, because checks compare with them.
        counted: name of a boolean column in `context`. Rows where it is false are judged, and dropped where they are
            bad; the batch is not measured by them, as an earlier batch answered for them. None: every row counts.
        prepare: adds helper columns to a copy of the batch in which decimals are floats; pure, keeps rows and order.

    Raises:
        TerminalError: a check reports a field that the batch does not have.
    """

    name: str
    table: Table
    checks: tuple[Check, ...]
    context: Mapping[str, pl.DataType] = dataclasses.field(default_factory=dict)
    counted: str | None = None
    prepare: Callable[[pl.DataFrame], pl.DataFrame] = as_it_is

    def __post_init__(self) -> None:
        unknown = sorted({check.field for check in self.checks} - set(self.schema))
        if unknown:
            raise TerminalError(f"suite {self.name}: {self.table.name} has no {', '.join(unknown)} to report")

    @property
    def schema(self) -> pl.Schema:
        """Columns that a batch must have, with their types."""
        return pl.Schema({**self.table.schema, **self.context})

    def require(self, frame: pl.DataFrame) -> None:
        """Refuse a batch whose shape makes every verdict on its rows worthless.

        Raises:
            TerminalError: a column is missing or has another type than the contract says.
        """
        actual = frame.schema
        wrong = [
            f"{name} is {actual.get(name, 'missing')} instead of {dtype}"
            for name, dtype in self.schema.items()
            if actual.get(name) != dtype
        ]
        if wrong:
            raise TerminalError(f"suite {self.name}: {'; '.join(wrong)}")


def required(table: Table, columns: Sequence[str], remedy: str) -> tuple[Check, ...]:
    """One check a column that it has a value; a float must be a number too."""
    return tuple(
        Check("ExpectColumnValuesToNotBeNull", name, f"{table.column(name).name} is missing or not a number", remedy)
        if table.column(name).dtype.is_float()
        else Check("ExpectColumnValuesToNotBeNull", name, f"{table.column(name).name} is missing", remedy)
        for name in columns
    )


def range_checks(table: Table, columns: Sequence[str], remedy: str) -> tuple[Check, ...]:
    """One check a column that its values lie in the contract's range; null passes.

    Raises:
        TerminalError: the contract gives a column no range.
    """
    return tuple(_range_check(table, name, remedy) for name in columns)


def _range_check(table: Table, name: str, remedy: str) -> Check:
    column = table.column(name)
    limits = {"min_value": column.minimum, "max_value": column.maximum}
    arguments = {side: limit for side, limit in limits.items() if limit is not None}
    if not arguments:
        raise TerminalError(f"{table.name}.{name} has no range in its contract")
    low = "" if column.minimum is None else f"below {column.minimum:,.15g}"
    high = "" if column.maximum is None else f"above {column.maximum:,.15g}"
    bounds = " or ".join(bound for bound in (low, high) if bound)
    reason = f"{name} is {bounds} {column.unit or ''}".rstrip()
    return Check("ExpectColumnValuesToBeBetween", name, reason, remedy, arguments)
