"""The one protocol of storage, its capabilities and its conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol

import polars as pl

from wattline.storage.contract import Table

Value = int | float | Decimal | str | datetime | date
Operator = Literal["=", "<", "<=", ">", ">=", "in"]


@dataclass(frozen=True)
class Condition:
    """`column operator value`; several conditions are joined by AND. `in` takes a sequence of values."""

    column: str
    operator: Operator
    value: Value | Sequence[Value]


def between(column: str, start: datetime, end: datetime) -> tuple[Condition, Condition]:
    """`column` in the half-open `[start, end)`."""
    return Condition(column, ">=", start), Condition(column, "<", end)


@dataclass(frozen=True)
class Capabilities:
    """What an adapter can promise.

    Attributes:
        name: the database's name, for messages.
        atomic_upsert: one `upsert` is all or nothing; otherwise a killed upsert leaves whole rows, some written.
        chunk_rows: rows sent in one round trip.
        time_unit: the finest step of an instant that it keeps; finer digits are cut off on writing.
        knows_origin: it knows the old system's rows of any table; else only of tables with an `own_column`.
    """

    name: str
    atomic_upsert: bool
    chunk_rows: int
    time_unit: Literal["us", "ms"] = "us"
    knows_origin: bool = False

    def kept(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` as this database gives it back: times cut to `time_unit`. To compare what two databases hold."""
        if self.time_unit == "us":
            return frame
        return frame.with_columns(pl.col(pl.Datetime).dt.truncate("1ms"))


@dataclass(frozen=True)
class WriteResult:
    """Row counts of one upsert.

    `unchanged` rows were there with the same values; `kept` ones were there with others that are protected.
    """

    inserted: int
    updated: int
    unchanged: int
    kept: int = 0

    @property
    def rows(self) -> int:
        """Every row that was handed in."""
        return self.inserted + self.updated + self.unchanged + self.kept

    def __add__(self, other: WriteResult) -> WriteResult:
        return WriteResult(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.kept + other.kept,
        )


class Store(Protocol):
    """A database that holds tables. Every method raises TransientError or TerminalError, nothing of its driver."""

    @property
    def capabilities(self) -> Capabilities:
        """What this adapter can promise."""
        ...

    def read(self, table: Table, where: Sequence[Condition] = (), columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows that fulfil every condition, in key order, in the contract's types."""
        ...

    def newest(self, table: Table, by: Sequence[str], order: str, where: Sequence[Condition] = ()) -> pl.DataFrame:
        """Per distinct `by`, the row with the largest `order` among those that fulfil every condition; in key order.

        Of rows with the same `order` the one with the last key is taken. Rows without `order` do not count.
        """
        ...

    def maximum(self, table: Table, column: str, where: Sequence[Condition] = ()) -> Value | None:
        """The largest value of `column`, or None where no row fulfils the conditions."""
        ...

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        """How many rows fulfil every condition."""
        ...

    def upsert(self, table: Table, frame: pl.DataFrame, *, keep_legacy: bool = False) -> WriteResult:
        """Insert the rows whose key is new, replace the others; writing the same frame twice changes nothing.

        Args:
            table: the contract.
            frame: the rows.
            keep_legacy: do not replace what is, or may be, the old system's. Where a database does not know whose a row
                is (see `Capabilities`), only rows whose key is new are written.

        Raises:
            TerminalError: the frame breaks the table's contract or holds one key twice; nothing was written.
        """
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class Scanner(Protocol):
    """A store from which millions of rows are read at once."""

    def scan(self, table: Table, where: Sequence[Condition] = (), columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The same rows as `Store.read` gives, in any order."""
        ...
