"""Contracts: what a table holds, once, for every database and check that needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import polars as pl

from wattline.errors import TerminalError

UTC_TIME = pl.Datetime("us", "UTC")
"""Every instant: microseconds, UTC."""
ENERGY = pl.Decimal(18, 6)
"""Exact energy in kWh; MySQL DECIMAL(18,6), MongoDB Decimal128."""
ORIGIN_FIELD, MYSQL = "origin", "mysql"
"""What a document says that a migration wrote into a collection of the platform's: it is the old system's."""
POWER = pl.Float64()
"""Power in kW."""


@dataclass(frozen=True)
class Column:
    """One column: type, meaning, unit and the range in which a value makes sense.

    `minimum` and `maximum` are in `unit`, both inclusive. A date column is `pl.Date` and a *local* day. A list column
    always has its list, in which numbers may be null where it is `nullable`; only MongoDB keeps lists.
    """

    name: str
    dtype: pl.DataType
    doc: str
    unit: str | None = None
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Table:
    """One table: its columns, its natural key and its name in each database.

    Attributes:
        name: the logical name, used in messages, staging and manifests.
        key: the natural key; MySQL PRIMARY KEY and MongoDB `_id`, in this order.
        columns: every column, key columns first.
        mysql: table name in MySQL, or None where it does not live there.
        mongo: collection name in MongoDB (the stem, where `month_column` is set), or None.
        month_column: a UTC_TIME column by whose UTC month the collection is split.
        indexes: secondary indexes, each a tuple of column names.
        own_column: a nullable column that only the platform fills, in a MySQL table that the old system fills too.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    mysql: str | None = None
    mongo: str | None = None
    month_column: str | None = None
    indexes: tuple[tuple[str, ...], ...] = ()
    own_column: str | None = None
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column.name: column for column in self.columns})
        for name in (*self.key, *filter(None, (self.month_column, self.own_column)), *sum(self.indexes, ())):
            self.column(name)

    def column(self, name: str) -> Column:
        """The column called `name`.

        Raises:
            TerminalError: there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise TerminalError(f"{self.name} has no column {name!r}; it has {', '.join(self._by_name)}") from None

    @property
    def schema(self) -> pl.Schema:
        """Column name → polars type, in order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` with exactly this table's columns, in order, in this table's types.

        Raises:
            TerminalError: a column is missing, a value does not fit its type or is no finite number, a key is null or a
                not-null column is.
        """
        missing = [name for name in self.schema if name not in frame.columns]
        if missing:
            raise TerminalError(f"{self.name}: the frame lacks {', '.join(missing)}")
        try:
            shaped = frame.select(pl.col(name).cast(dtype, strict=True) for name, dtype in self.schema.items())
        except pl.exceptions.PolarsError as error:
            raise TerminalError(f"{self.name}: a value does not fit its column: {error}") from error
        lists = [c.name for c in self.columns if isinstance(c.dtype, pl.List)]
        floats = [c.name for c in self.columns if values_of(c.dtype).is_float()]
        whole = [c.name for c in self.columns if not c.nullable]
        self._refuse(shaped, "null", dict.fromkeys([*whole, *lists], _null))
        self._refuse(shaped, "null in a list", {name: _null_inside for name in lists if name in whole})
        inside = {name: _not_finite_inside if name in lists else _not_finite for name in floats}
        self._refuse(shaped, "NaN or infinity", inside)
        return shaped

    def batch(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` as a store writes it: conforming, one row a key, in key order.

        Raises:
            TerminalError: as `conform`, or one key is there twice.
        """
        rows = self.conform(frame).sort(self.key)
        doubled = rows.filter(pl.struct(self.key).is_duplicated())
        if doubled.height:
            key = dict(zip(self.key, doubled.select(self.key).row(0), strict=True))
            raise TerminalError(
                f"{self.name}: {doubled.height} rows share a key, the first {key}; one row a key, please"
            )
        return rows

    def _refuse(self, frame: pl.DataFrame, what: str, tests: Mapping[str, Callable[[pl.Expr], pl.Expr]]) -> None:
        counts = frame.select(test(pl.col(name)).sum() for name, test in tests.items()).row(0) if tests else ()
        kinds = ("values" if test in _OF_VALUES else "rows" for test in tests.values())
        named = zip(tests, counts, kinds, strict=True)
        found = [f"{name} ({count} {kind})" for name, count, kind in named if count]
        if found:
            raise TerminalError(f"{self.name}: {what} in {', '.join(found)}, which must have a value")


def values_of(dtype: pl.DataType) -> pl.DataType:
    """The type of a column's values; of a list column, that of the values in its lists."""
    return cast("pl.DataType", dtype.inner) if isinstance(dtype, pl.List) else dtype


def _null(column: pl.Expr) -> pl.Expr:
    return column.is_null()


def _null_inside(column: pl.Expr) -> pl.Expr:
    return column.explode(keep_nulls=False).is_null()


def _not_finite(column: pl.Expr) -> pl.Expr:
    return ~column.is_finite()


def _not_finite_inside(column: pl.Expr) -> pl.Expr:
    return ~column.explode().is_finite()


_OF_VALUES = (_null_inside, _not_finite_inside)
"""Tests that give a row for each value of a list."""
