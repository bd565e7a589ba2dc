"""What a source's table looks like, and the statements that read it in the order of an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from wattline.errors import BadInputError
from wattline.migrate.kinds import SourceColumn

Position = tuple[str, ...]
"""Where a page ends: the values of the order's columns, as text."""

_NUMBERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "bit"}
_TIMES = {"date", "datetime", "timestamp"}


@dataclass(frozen=True)
class Index:
    """An index: its columns in order, and whether its entries are unique and never NULL."""

    name: str
    columns: tuple[str, ...]
    identifies: bool


@dataclass(frozen=True)
class SourceTable:
    """A table as it is in the source now.

    Attributes:
        name: its name.
        columns: name → column.
        indexes: its indexes; the primary key first.
    """

    name: str
    columns: Mapping[str, SourceColumn]
    indexes: tuple[Index, ...]

    @property
    def quoted(self) -> str:
        """The name as SQL."""
        return "`" + self.name.replace("`", "``") + "`"

    @property
    def identity(self) -> Index | None:
        """The index by which rows are told apart, PRIMARY where there is one."""
        return next((index for index in self.indexes if index.identifies), None)

    def index_on(self, column: str) -> Index | None:
        """An index that begins with `column`."""
        return next((index for index in self.indexes if index.columns[0] == column), None)


@dataclass(frozen=True)
class Range:
    """Rows to read: those with `column` in the half-open `[start, end)`, in that order; or all, in key order.

    Attributes:
        column: a source column with an index; None: the whole table.
        start: lower bound as the column's text, None: open.
        end: upper bound (not included), likewise.
        without: a column and bounds whose rows are left out.
    """

    column: str | None = None
    start: str | None = None
    end: str | None = None
    without: tuple[str, str, str] | None = None


def indexes_of(keys: Sequence[tuple[Any, ...]]) -> tuple[Index, ...]:
    """The indexes behind rows of information_schema: name, column, whether it is not unique, whether it takes NULL."""
    names = list(dict.fromkeys(row[0] for row in keys))
    found = []
    for name in names:
        rows = [row for row in keys if row[0] == name]
        identifies = not any(int(row[2]) or row[3] == "YES" for row in rows)
        found.append(Index(name, tuple(row[1] for row in rows), identifies))
    return tuple(found)


def order_of(table: SourceTable, rows: Range) -> list[str]:
    """The columns in whose order a range is read; together they tell rows apart.

    Raises:
        BadInputError: the table has no unique index without NULL.
    """
    identity = table.identity
    if identity is None:
        raise BadInputError(
            "the table has no primary key, so its rows cannot be read page by page",
            field=table.name,
            remedy="Give it a primary key, or a unique index on columns that are NOT NULL",
        )
    first = [rows.column] if rows.column else []
    return [*first, *(name for name in identity.columns if name not in first)]


def bound(moment: datetime, zone: Any) -> str:
    """An instant as the text of a DATETIME column in `zone`."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S.%f}"


def hint(table: SourceTable, rows: Range) -> str:
    """The index that a range is read by; the server's guess is not asked."""
    index = table.index_on(rows.column) if rows.column else table.identity
    return f" FORCE INDEX (`{index.name}`)" if index else ""


def bounds(table: SourceTable, rows: Range) -> tuple[str, list[str]]:
    """The condition of a range and its parameters."""
    clauses, arguments = [], []
    if rows.column:
        name = table.columns[rows.column].quoted
        for operator, value in ((">=", rows.start), ("<", rows.end)):
            if value is not None:
                clauses.append(f"{name} {operator} %s")
                arguments.append(value)
    if rows.without:
        name = table.columns[rows.without[0]].quoted
        clauses.append(f"({name} IS NULL OR {name} < %s OR {name} >= %s)")
        arguments += rows.without[1:]
    return " AND ".join(clauses), arguments


def behind(table: SourceTable, order: Sequence[str], after: Position | None) -> tuple[str, list[Any]]:
    """The rows behind a position: `a > x OR (a = x AND (b > y OR …))`, which is a set of ranges of the index."""
    if after is None:
        return "", []
    values = [_bound(table.columns[name], value) for name, value in zip(order, after, strict=True)]
    names = [table.columns[name].quoted for name in order]
    ways, arguments = [], []
    for last in range(len(names)):
        ways.append(" AND ".join([*(f"{name} = %s" for name in names[:last]), f"{names[last]} > %s"]))
        arguments += values[: last + 1]
    return "(" + " OR ".join(f"({way})" for way in ways) + ")", arguments


def _bound(column: SourceColumn, value: str) -> Any:
    """A value of a position as a parameter: a number as a number, so that the index serves."""
    if column.kind in _NUMBERS:
        return Decimal(value) if "." in value else int(value)
    return value


def position_sql(column: SourceColumn) -> str:
    """A column of the order as the text that goes into a position."""
    if column.kind in _NUMBERS:
        return f"{column.quoted} + 0" if column.kind == "bit" else column.quoted
    if column.kind in _TIMES:
        return f"CAST({column.quoted} AS CHAR)"
    text = f"CONVERT({column.quoted} USING utf8mb4)"
    return f"""CONCAT('"', REPLACE({text}, '"', '""'), '"')"""


def where(condition: str) -> str:
    """The WHERE of a condition, nothing where there is none."""
    return f" WHERE {condition}" if condition else ""
