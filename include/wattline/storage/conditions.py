"""Conditions, checked against a table's contract before any database sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import get_args

import polars as pl

from wattline.errors import TerminalError
from wattline.storage.contract import Column, Table
from wattline.storage.store import Condition, Operator, Value

_TYPES: dict[type[pl.DataType], tuple[type, ...]] = {
    pl.Boolean: (bool,),
    pl.Int32: (int,),
    pl.Int64: (int,),
    pl.UInt64: (int,),
    pl.Float64: (int, float),
    pl.Decimal: (int, Decimal),
    pl.Datetime: (datetime,),
    pl.Date: (date,),
    pl.String: (str,),
}
"""What a condition on a column of each type may hold. Energy is exact, so it is not compared with a float.
Columns of other types, such as bytes, are not compared with anything."""


def checked(table: Table, where: Sequence[Condition]) -> list[Condition]:
    """The same conditions with every value in its column's Python type; times in UTC, `in` with a list.

    Raises:
        TerminalError: no such column or operator, or a value that does not fit the column's type.
    """
    return [_checked(table, condition) for condition in where]


def _checked(table: Table, condition: Condition) -> Condition:
    column = table.column(condition.column)
    if condition.operator not in get_args(Operator):
        raise TerminalError(f"{table.name}: {condition.operator!r} is no operator of a condition")
    if condition.operator == "in":
        if isinstance(condition.value, str) or not isinstance(condition.value, Sequence):
            raise TerminalError(f"{table.name}.{column.name}: `in` takes a list of values")
        return Condition(column.name, "in", [_fitting(table, column, value) for value in condition.value])
    return Condition(column.name, condition.operator, _fitting(table, column, condition.value))


def _fitting(table: Table, column: Column, value: object) -> Value:
    wanted = _TYPES.get(column.dtype.base_type(), ())
    fits = isinstance(value, wanted) and isinstance(value, bool) == (bool in wanted)
    if isinstance(value, datetime):
        fits = fits and datetime in wanted and value.tzinfo is not None
    if not fits or (isinstance(value, float | Decimal) and not math.isfinite(value)):
        raise TerminalError(f"{table.name}.{column.name} is {column.dtype}; {value!r} cannot be compared with it")
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if column.dtype.is_decimal() and isinstance(value, int):
        return Decimal(value)
    if column.dtype.is_float() and isinstance(value, int):
        return float(value)
    return value  # type: ignore[return-value] # one of the types of `wanted`
