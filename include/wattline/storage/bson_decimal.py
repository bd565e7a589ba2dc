"""Columns of exact numbers as Decimal128 and back, computed on the 128-bit integers behind both.

Every number is written with its column's number of places, so the same value is always the same bytes. UInt64 goes the
same way, with no places: BSON's own integers end at 2⁶³ - 1.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
from bson.decimal128 import Decimal128

from wattline.errors import TerminalError

DIGITS = 34
"""Decimal digits of a Decimal128; its bits are sign (1), exponent (14), coefficient (113), lowest bytes first."""
_BIAS = 6176
"""What the exponent field of a Decimal128 holds for the exponent 0."""
_COEFFICIENT = np.uint64((1 << 49) - 1)
_SIGN = np.uint64(1 << 63)
_UNSIGNED = pl.Decimal(20, 0)
"""What holds every UInt64."""
_EXACT = Context(prec=2 * DIGITS)
"""Python's own context rounds to 28 digits."""


def is_decimal128(dtype: pl.DataType) -> bool:
    """Whether every value of `dtype` is one Decimal128, exactly, and is kept so."""
    return _as_decimal(dtype) is not None


def buffered(values: pa.Array, dtype: str) -> Any:
    """The numbers in an Arrow array as numpy sees them: shape (n,) of `dtype`; null is anything."""
    if not len(values):
        return np.empty(0, dtype)
    return np.frombuffer(values.buffers()[1], dtype, values.offset + len(values))[values.offset :]


def to_decimal128(values: pa.Array, dtype: pl.DataType) -> Any:
    """Each number as the two 64-bit halves of a Decimal128, the low one first: shape (n, 2); null is anything."""
    exponent = _exponent(cast("pl.Decimal", _as_decimal(dtype)))
    if isinstance(dtype, pl.UInt64):
        low = buffered(values, "<u8")
        return np.stack([low, np.full_like(low, exponent)], axis=1)
    low, high = _halves(values).T
    negative = (high & _SIGN) != 0
    low, high = _negated(low, high, negative)
    return np.stack([low, high | exponent | np.where(negative, _SIGN, np.uint64(0))], axis=1)


def from_decimal128(where: str, values: pa.Array, dtype: pl.DataType) -> pl.Series:
    """What pymongoarrow read of a Decimal128 column, as `dtype`.

    Args:
        where: table and column, for messages; the column's name is the series'.
        values: an array of pymongoarrow's Decimal128Type.
        dtype: a type for which `is_decimal128` holds.

    Raises:
        TerminalError: a number has more digits or places than `dtype`, or is none.
        polars.exceptions.PolarsError: a number is too large for `dtype`.
    """
    exact = cast("pl.Decimal", _as_decimal(dtype))
    valid = values.is_valid()
    stored = values.storage.fill_null(bytes(8) + int(_exponent(exact)).to_bytes(8, "little"))
    low, high = _halves(stored).T
    if ((high & ~(_SIGN | _COEFFICIENT)) != _exponent(exact)).any():
        return _slowly(where, stored, valid, dtype)
    low, high = _negated(low, high & _COEFFICIENT, (high & _SIGN) != 0)
    numbers = np.stack([low, high], axis=1)
    kind = pa.decimal128(38, exact.scale)
    made = pa.Array.from_buffers(kind, len(stored), [None, pa.py_buffer(numbers.tobytes())])
    column = cast("pl.Series", pl.from_arrow(made)).alias(where.rpartition(".")[2]).cast(dtype)
    there = cast("pl.Series", pl.from_arrow(valid))
    return pl.select(pl.when(there).then(column)).to_series()


def _as_decimal(dtype: pl.DataType) -> pl.Decimal | None:
    if isinstance(dtype, pl.UInt64):
        return _UNSIGNED
    return dtype if isinstance(dtype, pl.Decimal) and dtype.precision <= DIGITS else None


def _slowly(where: str, stored: pa.Array, valid: pa.Array, dtype: pl.DataType) -> pl.Series:
    """For numbers that somebody else wrote, with other numbers of places."""
    exact = cast("pl.Decimal", _as_decimal(dtype))
    step, limit = Decimal(1).scaleb(-exact.scale), Decimal(10) ** (exact.precision - exact.scale)
    kept: list[Decimal | None] = []
    for bid, there in zip(stored.to_pylist(), valid.to_pylist(), strict=True):
        number = Decimal128.from_bid(bid).to_decimal()
        fits = number.is_finite() and number.copy_abs() < limit
        shaped = number.quantize(step, context=_EXACT) if fits else None
        if shaped != number:
            raise TerminalError(f"{where} holds {number}, which is no {dtype}")
        kept.append(shaped if there else None)
    return pl.Series(where.rpartition(".")[2], kept, dtype=exact).cast(dtype)


def _halves(values: pa.Array) -> Any:
    """The low and high 64 bits of 16-byte values, shape (n, 2)."""
    return buffered(values, "2<u8")


def _negated(low: Any, high: Any, where: Any) -> tuple[Any, Any]:
    """128-bit integers in two halves, the sign changed where `where` holds."""
    other = ~low + np.uint64(1)
    carry = (other == 0).astype("u8")
    return np.where(where, other, low), np.where(where, ~high + carry, high)


def _exponent(dtype: pl.Decimal) -> np.uint64:
    return np.uint64((_BIAS - dtype.scale) << 49)
