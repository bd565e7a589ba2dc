"""How a column of each MySQL type becomes a column of a document, and is hashed on both sides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from wattline.storage.contract import Column

MAX_TEXT_BYTES = 4 * 1024 * 1024
"""Longer text is quarantined: a document of MongoDB holds 16 MiB, a statement often no more."""
ZERO_DATE = -(2**63)
"""What a date with zeros in it travels as."""

_ZERO = str(ZERO_DATE + 1) + " - 1"
_EPOCH_DAY = 719_528
"""TO_DAYS('1970-01-01')."""
_FRACTION_STEPS = 2**52
_WHOLE_LIMIT = 9e15
_INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"}
_RANGES: dict[Any, tuple[int, int]] = {
    pl.Boolean: (0, 1),
    pl.Int32: (-(2**31), 2**31 - 1),
    pl.Int64: (-(2**63), 2**63 - 1),
    pl.UInt64: (0, 2**64 - 1),
}
_LONG_DIGITS = 20
"""Digits of the largest integer of 64 bits."""
LONG_TEXTS = frozenset({"mediumtext", "longtext", "json"})
_FAULT_ZERO, FAULT_LONG = "is a zero date", f"is longer than {MAX_TEXT_BYTES // 2**20} MiB"
_FAULT_GAP, _FAULT_FOLD = "is a local time that the clocks skipped", "is a local time that the clocks passed twice"


@dataclass(frozen=True)
class SourceColumn:
    """A column as the source's information_schema describes it.

    Attributes:
        name: its name.
        kind: the base type, lower case (`int`, `datetime`).
        declared: the whole type (`decimal(18,6)`, `int(10) unsigned`).
        nullable: whether it takes NULL.
        digits: of a decimal: all digits, and those behind the point.
    """

    name: str
    kind: str
    declared: str
    nullable: bool
    digits: tuple[int, int] = (0, 0)

    @property
    def quoted(self) -> str:
        """The name as SQL."""
        return "`" + self.name.replace("`", "``") + "`"

    @property
    def unsigned(self) -> bool:
        """Whether it takes no negative numbers."""
        return "unsigned" in self.declared or self.kind == "bit"


@dataclass(frozen=True)
class Travel:
    """One column's way.

    Attributes:
        column: the document's column.
        sql: what the server sends, a line's part.
        arrow: the type by which the part is read.
        check: what the server hashes.
        value: the received column → the document's value; null where it cannot be.
        text: the document's column → what `check` gives for it.
        faults: why a value cannot be; each with an expression over the received column that finds such rows.
        long: SQL for whether a text is too long to travel; empty where it cannot be.
    """

    column: Column
    sql: str
    arrow: pa.DataType
    check: str
    value: Callable[[pl.Expr], pl.Expr]
    text: Callable[[pl.Expr], pl.Expr]
    faults: tuple[tuple[str, Callable[[pl.Expr], pl.Expr]], ...] = ()
    long: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a value may be refused."""
        return (*(reason for reason, _ in self.faults), *((FAULT_LONG,) if self.long else ()))


def way(column: Column, source: SourceColumn, zone: str, encoding: str | None) -> Travel | None:
    """How `source` becomes `column`; None where its values cannot become the contract's type exactly.

    Args:
        column: the document's column.
        source: the source's column.
        zone: IANA zone of DATETIME values.
        encoding: what the bytes of a text really are, where its declared charset is wrong.
    """
    kind, dtype = source.kind, column.dtype
    made: Travel | None = None
    if kind in _TEXTS and dtype == pl.String():
        made = _encoded(column, source, encoding) if encoding else _text(column, source)
    elif encoding:
        return None
    elif kind in _INTEGERS or kind in ("bit", "year"):
        made = _integer(column, source)
    elif kind == "decimal":
        made = _decimal(column, source)
    elif kind in ("float", "double") and dtype == pl.Float64():
        made = _double(column, source)
    elif kind in ("datetime", "timestamp"):
        made = _instant(column, source, "UTC" if kind == "timestamp" else zone)
    elif kind == "date" and dtype == pl.Date():
        made = _day(column, source)
    return made


def _integer(column: Column, source: SourceColumn) -> Travel | None:
    sql = f"{source.quoted} + 0" if source.kind == "bit" else source.quoted
    wide = source.unsigned and (source.kind == "bigint" or source.declared == "bit(64)")
    arrow, widest = (pa.uint64(), _RANGES[pl.UInt64]) if wide else (pa.int64(), _RANGES[pl.Int64])
    kind = column.dtype.base_type()
    if kind in _RANGES:
        low, high = limits = _RANGES[kind]
        reason = f"is outside {low} to {high}"
        faults = () if _always_within(source, limits) else ((reason, lambda c: ~_within(c, limits, widest)),)
        value = partial(_fitting, limits=limits, widest=widest)
        if kind == pl.Boolean:
            return Travel(column, sql, arrow, sql, lambda c: value(c) == 1, _number_text, faults)
        return Travel(column, sql, arrow, sql, value, _number_text, faults)
    if isinstance(column.dtype, pl.Decimal) and (column.dtype.precision or 38) - column.dtype.scale >= _LONG_DIGITS:
        places = "." + "0" * column.dtype.scale if column.dtype.scale else ""
        return Travel(column, sql, arrow, f"CONCAT({sql}, '{places}')", lambda c: c, lambda c: c.cast(pl.String))
    return None


def _always_within(source: SourceColumn, limits: tuple[int, int]) -> bool:
    """Whether the source's type holds no number beyond `limits`."""
    bits = _INTEGERS.get(source.kind, 64)
    low, high = (0, 2**bits - 1) if source.unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return limits[0] <= low and high <= limits[1]


def _within(values: pl.Expr, limits: tuple[int, int], widest: tuple[int, int]) -> pl.Expr:
    """Whether integers lie in `limits`, of which only what their own type can hold is compared."""
    return values.is_between(max(limits[0], widest[0]), min(limits[1], widest[1]))


def _fitting(values: pl.Expr, limits: tuple[int, int], widest: tuple[int, int]) -> pl.Expr:
    return pl.when(_within(values, limits, widest)).then(values)


def _number_text(values: pl.Expr) -> pl.Expr:
    return values.cast(pl.Int128).cast(pl.String)


def _decimal(column: Column, source: SourceColumn) -> Travel | None:
    dtype, (precision, scale) = column.dtype, source.digits
    if not isinstance(dtype, pl.Decimal) or dtype.scale < scale or precision - scale > 38 - dtype.scale:
        return None
    padding = ("." if scale == 0 and dtype.scale else "") + "0" * (dtype.scale - scale)
    check = f"CONCAT({source.quoted}, '{padding}')" if padding else f"CAST({source.quoted} AS CHAR)"
    most = f"has more than {(dtype.precision or 38) - dtype.scale} digits before the point"

    def value(c: pl.Expr) -> pl.Expr:
        return c.cast(dtype, strict=False)

    fits = precision - scale <= (dtype.precision or 38) - dtype.scale
    faults = () if fits else ((most, lambda c: c.is_not_null() & value(c).is_null()),)
    arrow = pa.decimal128(max(precision, 1), scale) if precision <= 38 else pa.string()  # noqa: PLR2004 - Arrow's limit
    return Travel(column, source.quoted, arrow, check, value, lambda c: c.cast(pl.String), faults)


def _double(column: Column, source: SourceColumn) -> Travel:
    # Decimal digits of a double differ between servers and clients; its whole part and its binary fraction do not.
    double = f"CAST({source.quoted} AS DOUBLE)"
    whole = f"FLOOR(GREATEST(LEAST({double}, {_WHOLE_LIMIT!r}), -{_WHOLE_LIMIT!r}))"
    part = f"FLOOR(({double} - FLOOR({double})) * {_FRACTION_STEPS})"
    check = f"CONCAT(CAST({whole} AS SIGNED), ':', CAST({part} AS SIGNED))"

    def text(c: pl.Expr) -> pl.Expr:
        floor = c.clip(-_WHOLE_LIMIT, _WHOLE_LIMIT).floor().cast(pl.Int64)
        return pl.format("{}:{}", floor, ((c - c.floor()) * _FRACTION_STEPS).floor().cast(pl.Int64))

    return Travel(column, double, pa.float64(), check, lambda c: c, text)


def _instant(column: Column, source: SourceColumn, zone: str) -> Travel | None:
    micros = f"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {source.quoted})"
    sql = f"IF({source.quoted} IS NULL, NULL, COALESCE({micros}, {_ZERO}))"

    def local(c: pl.Expr) -> pl.Expr:
        return pl.from_epoch(pl.when(c != ZERO_DATE).then(c), "us")

    def utc(c: pl.Expr, fold: str = "null") -> pl.Expr:
        at_zone = local(c).dt.replace_time_zone(zone, ambiguous=pl.lit(fold), non_existent="null")
        return at_zone.dt.convert_time_zone("UTC")

    faults: list[tuple[str, Callable[[pl.Expr], pl.Expr]]] = [(_FAULT_ZERO, lambda c: c == ZERO_DATE)]
    if zone != "UTC":
        faults.append((f"{_FAULT_GAP} in {zone}", lambda c: local(c).is_not_null() & utc(c, "earliest").is_null()))
        faults.append((f"{_FAULT_FOLD} in {zone}", lambda c: local(c).is_not_null() & utc(c).is_null()))

    def shown(c: pl.Expr) -> pl.Expr:
        return c.dt.convert_time_zone(zone).dt.replace_time_zone(None)

    way = partial(Travel, column, sql, pa.int64(), faults=tuple(faults))
    if column.dtype == pl.Datetime("us", "UTC"):
        # Documents keep milliseconds.
        return way(f"FLOOR({micros} / 1000)", utc, lambda c: shown(c).dt.epoch("ms").cast(pl.String))
    if column.dtype == pl.Int64():

        def since(c: pl.Expr) -> pl.Expr:
            return shown(pl.from_epoch(c, "us").dt.replace_time_zone("UTC")).dt.epoch("us")

        return way(micros, lambda c: utc(c).dt.epoch("us"), lambda c: since(c).cast(pl.String))
    return None


def _day(column: Column, source: SourceColumn) -> Travel:
    days = f"TO_DAYS({source.quoted}) - {_EPOCH_DAY}"
    sql = f"IF({source.quoted} IS NULL, NULL, COALESCE({days}, {_ZERO}))"
    faults = ((_FAULT_ZERO, lambda c: c == ZERO_DATE),)

    def day(c: pl.Expr) -> pl.Expr:
        return pl.when(c != ZERO_DATE).then(c).cast(pl.Int32).cast(pl.Date)

    return Travel(column, sql, pa.int64(), days, day, lambda c: c.cast(pl.Int32).cast(pl.String), faults)


def _text(column: Column, source: SourceColumn) -> Travel:
    quoted = f"""CONCAT('"', REPLACE(CONVERT({source.quoted} USING utf8mb4), '"', '""'), '"')"""
    long = ""
    if source.kind in LONG_TEXTS:
        long = f"IF(OCTET_LENGTH({source.quoted}) > {MAX_TEXT_BYTES}, 1, 0)"
        quoted = f"IF(OCTET_LENGTH({source.quoted}) > {MAX_TEXT_BYTES}, NULL, {quoted})"

    def text(c: pl.Expr) -> pl.Expr:
        return pl.format('"{}"', c.str.replace_all('"', '""', literal=True))

    return Travel(column, quoted, pa.large_string(), quoted, lambda c: c, text, long=long)


def _encoded(column: Column, source: SourceColumn, encoding: str) -> Travel:
    """Text whose bytes are of another encoding than its column says; Python decodes it, value by value."""

    def decoded(values: pl.Series) -> pl.Series:
        return pl.Series(values.name, [_decoded(value, encoding) for value in values.to_list()], pl.String)

    def encoded(values: pl.Series) -> pl.Series:
        found = [None if value is None else value.encode(encoding).hex().upper() for value in values.to_list()]
        return pl.Series(values.name, found, pl.String)

    def value(c: pl.Expr) -> pl.Expr:
        return c.map_batches(decoded, return_dtype=pl.String)

    def text(c: pl.Expr) -> pl.Expr:
        return pl.format('"{}"', c.map_batches(encoded, return_dtype=pl.String))

    faults = ((f"is no text in {encoding}", lambda c: c.is_not_null() & value(c).is_null()),)
    sql = f"CONCAT('\"', HEX({source.quoted}), '\"')"  # quoted, so that empty text is not NULL
    return Travel(column, sql, pa.large_string(), sql, value, text, faults)


def _decoded(value: str | None, encoding: str) -> str | None:
    if value is None:
        return None
    try:
        return bytes.fromhex(value).decode(encoding)
    except UnicodeDecodeError:
        return None


def kind_of(declared: str) -> str:
    """The base type of a declared one: `int(10) unsigned` → `int`."""
    match = re.match(r"[a-z]+", declared.lower())
    return {"integer": "int", "real": "double", "numeric": "decimal"}.get(match[0], match[0]) if match else ""
