"""Frames as BSON and back, column by column, energy exact.

A document holds its key as `_id` and every column again at the top level, in the contract's order; null is stored as
null. Energy is Decimal128 with the contract's number of places, so the same value is always the same bytes. A day is
local, no instant: it is stored as text, `2026-11-30`. Instants are BSON dates, which count milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import bson
import numpy as np
import polars as pl
import pyarrow as pa
from bson.decimal128 import Decimal128
from pymongoarrow.api import Schema
from pymongoarrow.types import Decimal128Type

from wattline.errors import TerminalError
from wattline.storage.contract import Column, Table
from wattline.storage.documents import Document, schema_validator
from wattline.storage.store import Condition, Operator, Value

_BIAS = 6176
"""What the exponent field of a Decimal128 holds for the exponent 0."""
_DIGITS = 34
"""Decimal digits of a Decimal128; its bits are sign (1), exponent (14), coefficient (113), lowest bytes first."""
_COEFFICIENT = np.uint64((1 << 49) - 1)
_SIGN = np.uint64(1 << 63)
_ARROW: dict[pl.DataType, pa.DataType] = {
    pl.Int32(): pa.int32(),
    pl.Int64(): pa.int64(),
    pl.Float64(): pa.float64(),
    pl.Boolean(): pa.bool_(),
    pl.String(): pa.string(),
    pl.Date(): pa.string(),
    pl.Datetime("us", "UTC"): pa.timestamp("ms"),
}
_BSON: dict[pl.DataType, list[str]] = {
    pl.Int32(): ["int"],
    pl.Int64(): ["int", "long"],
    pl.Float64(): ["double"],
    pl.Boolean(): ["bool"],
    pl.String(): ["string"],
    pl.Date(): ["string"],
    pl.Datetime("us", "UTC"): ["date"],
}


def validator(table: Table) -> Document:
    """A MongoDB validator of the contract's names and types. Ranges are the gates' matter, not the database's."""
    key = {"bsonType": "object", "required": list(table.key)}
    return schema_validator({"_id": key, **{column.name: _property(column) for column in table.columns}})


def encode(table: Table, rows: pl.DataFrame) -> list[bytes]:
    """One BSON document a row of a conforming frame."""
    values = [_to_bson(series) for series in rows]
    at = [rows.columns.index(name) for name in table.key]
    keys = zip(*(values[index] for index in at), strict=True)
    return [
        bson.encode({"_id": dict(zip(table.key, key, strict=True)), **dict(zip(rows.columns, row, strict=True))})
        for key, row in zip(keys, zip(*values, strict=True), strict=True)
    ]


def id_of(document: bytes) -> bytes:
    """The `_id` of an encoded document; it is the first field, and a document itself."""
    start = 9  # length (4), type (1), "_id" and its end (4)
    return document[start : start + int.from_bytes(document[start : start + 4], "little")]


def arrow_schema(table: Table, names: Iterable[str]) -> Schema:
    """How pymongoarrow reads these columns."""
    types = ((name, table.column(name).dtype) for name in names)
    return Schema({name: Decimal128Type() if dtype.is_decimal() else _ARROW[dtype] for name, dtype in types})


def decode(table: Table, read: pa.Table) -> pl.DataFrame:
    """What pymongoarrow read by `arrow_schema`, in the contract's types.

    Raises:
        TerminalError: an energy has more digits than its column or is no number, or a day is none.
    """
    try:
        return pl.DataFrame([_from_arrow(table, name, read[name].combine_chunks()) for name in read.column_names])
    except pl.exceptions.PolarsError as error:
        raise TerminalError(f"{table.name}: a value in MongoDB does not fit its column: {error}") from error


def operand(condition: Condition) -> Any:
    """The value of a checked condition, such that comparing it with what is stored says the right thing."""
    if isinstance(condition.value, list):
        return [_operand(value, condition.operator) for value in condition.value]
    return _operand(cast("Value", condition.value), condition.operator)


def _operand(value: Value, operator: Operator) -> Any:
    if isinstance(value, datetime):
        excess = timedelta(microseconds=value.microsecond % 1000)
        up = timedelta(milliseconds=1) if excess and operator in ("<", ">=") else timedelta(0)
        return value - excess + up
    if isinstance(value, date):
        return value.isoformat()
    return Decimal128(value) if isinstance(value, Decimal) else value


def _property(column: Column) -> Document:
    types = _bson_types(column.dtype)
    day = {"pattern": r"^\d{4}-\d{2}-\d{2}$"} if isinstance(column.dtype, pl.Date) else {}
    return {"bsonType": [*types, "null"] if column.nullable else types, "description": column.doc} | day


def _bson_types(dtype: pl.DataType) -> list[str]:
    if isinstance(dtype, pl.Decimal) and (dtype.precision or 38) <= _DIGITS:
        return ["decimal"]
    try:
        return _BSON[dtype]
    except KeyError:
        raise TerminalError(f"MongoDB has no exact type for {dtype}") from None


def _to_bson(column: pl.Series) -> list[Any]:
    if isinstance(column.dtype, pl.Decimal):
        return _to_decimal128(column, column.dtype)
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.replace_time_zone(None).to_list()  # BSON takes a naive time as UTC, and faster
    if isinstance(column.dtype, pl.Date):
        return column.dt.strftime("%Y-%m-%d").to_list()
    return column.to_list()


def _from_arrow(table: Table, name: str, values: pa.Array) -> pl.Series:
    dtype = table.column(name).dtype
    if isinstance(dtype, pl.Decimal):
        return _from_decimal128(f"{table.name}.{name}", values, dtype)
    column = cast("pl.Series", pl.from_arrow(values)).alias(name)
    if isinstance(dtype, pl.Datetime):
        return column.dt.replace_time_zone("UTC").cast(dtype)
    if isinstance(dtype, pl.Date):
        return column.str.to_date("%Y-%m-%d")
    return column.cast(dtype)


def _to_decimal128(column: pl.Series, dtype: pl.Decimal) -> list[Decimal128 | None]:
    """The same numbers with all their places, computed on the 128-bit integers behind them."""
    values = column.fill_null(0).to_arrow().cast(pa.decimal128(38, dtype.scale))
    low, high = _halves(values).T
    negative = (high & _SIGN) != 0
    low, high = _negated(low, high, negative)
    bid = np.stack([low, high | _exponent(dtype) | np.where(negative, _SIGN, np.uint64(0))], axis=1).tobytes()
    numbers: list[Decimal128 | None] = [Decimal128.from_bid(bid[at : at + 16]) for at in range(0, len(bid), 16)]
    for row in column.is_null().arg_true().to_list():
        numbers[row] = None
    return numbers


def _from_decimal128(where: str, values: pa.Array, dtype: pl.Decimal) -> pl.Series:
    valid = values.is_valid()
    stored = values.storage.fill_null(bytes(8) + int(_exponent(dtype)).to_bytes(8, "little"))
    low, high = _halves(stored).T
    if ((high & ~(_SIGN | _COEFFICIENT)) != _exponent(dtype)).any():
        return _slowly(where, stored, dtype, valid)
    low, high = _negated(low, high & _COEFFICIENT, (high & _SIGN) != 0)
    numbers = np.stack([low, high], axis=1)
    kind = pa.decimal128(38, dtype.scale)
    made = pa.Array.from_buffers(kind, len(stored), [None, pa.py_buffer(numbers.tobytes())])
    exact = cast("pl.Series", pl.from_arrow(made)).alias(where.rpartition(".")[2]).cast(dtype)
    there = cast("pl.Series", pl.from_arrow(valid))
    return pl.select(pl.when(there).then(exact)).to_series()


def _slowly(where: str, stored: pa.Array, dtype: pl.Decimal, valid: pa.Array) -> pl.Series:
    """For numbers that somebody else wrote, with other numbers of places."""
    numbers = [Decimal128.from_bid(bid).to_decimal() for bid in stored.to_pylist()]
    step, limit = Decimal(1).scaleb(-dtype.scale), Decimal(10) ** ((dtype.precision or 38) - dtype.scale)
    for number in numbers:
        if not (number.is_finite() and abs(number) < limit and number == number.quantize(step)):
            raise TerminalError(f"{where} holds {number}, which is no {dtype}")
    kept = [number if there else None for number, there in zip(numbers, valid.to_pylist(), strict=True)]
    return pl.Series(where.rpartition(".")[2], kept, dtype=dtype)


def _halves(values: pa.Array) -> Any:
    """The low and high 64 bits of 16-byte values, shape (n, 2)."""
    buffer = values.buffers()[1]
    if not len(values):
        return np.empty((0, 2), "<u8")
    return np.frombuffer(buffer, "<u8").reshape(-1, 2)[values.offset : values.offset + len(values)]


def _negated(low: Any, high: Any, where: Any) -> tuple[Any, Any]:
    """128-bit integers in two halves, the sign changed where `where` holds."""
    other = ~low + np.uint64(1)
    carry = (other == 0).astype("u8")
    return np.where(where, other, low), np.where(where, ~high + carry, high)


def _exponent(dtype: pl.Decimal) -> np.uint64:
    return np.uint64((_BIAS - dtype.scale) << 49)
