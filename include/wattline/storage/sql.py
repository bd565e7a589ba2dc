"""Contracts as SQL: the types of MySQL, and SELECT statements with every value written in.

connectorx takes no bound parameters. So SQLAlchemy writes the values into the statement, by their column's type, after
`conditions.checked` has refused all but numbers, times, days and text. Text goes in as hexadecimal bytes, and names
come from contracts only.

Instants and days travel as integers (microseconds and days since 1970). A zero date, which an old MySQL lets a client
store, so becomes null and is left to the quality gate; as a date it would end the reading process.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from wattline.errors import TerminalError
from wattline.storage.conditions import checked
from wattline.storage.contract import Table
from wattline.storage.store import Condition, Value

DIALECT = mysql.dialect(paramstyle="named")
_EPOCH_DAY = 719_528
"""TO_DAYS('1970-01-01')."""
_COMPARE = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
"""How LOAD DATA wants the characters that would end a field or a line."""
_READABLE_DIGITS, _READABLE_SCALE = 28, 10
"""connectorx hands decimals over as 96-bit numbers with ten places."""


class _Text(mysql.VARCHAR):
    """Text that is written into a statement by its bytes: connectorx misreads a colon after an escaped quote."""

    def literal_processor(self, dialect: sa.Dialect) -> Callable[[str], str]:
        """How a value is written: `_utf8mb4 x'…'`."""
        return lambda value: f"_utf8mb4 x'{value.encode().hex()}'"


def mysql_type(dtype: pl.DataType) -> sa.types.TypeEngine[Any]:
    """The MySQL type of a contract's type.

    Raises:
        TerminalError: no type of MySQL holds and gives back its values exactly.
    """
    if isinstance(dtype, pl.Decimal) and dtype.scale <= _READABLE_SCALE and dtype.precision <= _READABLE_DIGITS:
        return mysql.DECIMAL(dtype.precision, dtype.scale)
    types: dict[pl.DataType, sa.types.TypeEngine[Any]] = {
        pl.Int32(): mysql.INTEGER(),
        pl.Int64(): mysql.BIGINT(),
        pl.Float64(): mysql.DOUBLE(),
        pl.Boolean(): mysql.TINYINT(1),
        pl.String(): _Text(255),
        pl.Date(): mysql.DATE(),
        pl.Datetime("us", "UTC"): mysql.DATETIME(fsp=6),
    }
    try:
        return types[dtype]
    except KeyError:
        raise TerminalError(f"MySQL has no exact column type for {dtype}") from None


@lru_cache(maxsize=256)
def sql_table(table: Table) -> sa.Table:
    """The MySQL table of a contract.

    Raises:
        TerminalError: the table does not live in MySQL.
    """
    if table.mysql is None:
        raise TerminalError(f"{table.name} is not kept in MySQL")
    columns = (
        sa.Column(c.name, mysql_type(c.dtype), primary_key=c.name in table.key, nullable=c.nullable)
        for c in table.columns
    )
    return sa.Table(table.mysql, sa.MetaData(), *columns)


def select_rows(table: Table, where: Sequence[Condition], columns: Sequence[str]) -> str:
    """`columns` of the rows that fulfil `where`."""
    rows = sql_table(table)
    return text(sa.select(*_travelling(table, rows, columns)).where(*_clauses(table, where)))


def select_newest(table: Table, by: Sequence[str], order: str, where: Sequence[Condition]) -> str:
    """Per distinct `by`, the rows with the largest `order`; several where they share it."""
    rows, clauses = sql_table(table), _clauses(table, where)
    newest = sa.select(*(rows.c[name] for name in by), sa.func.max(rows.c[order]).label("_newest")).where(*clauses)
    top = newest.group_by(*(rows.c[name] for name in by)).subquery("top")
    same = [rows.c[name].is_not_distinct_from(top.c[name]) for name in by]
    joined = rows.join(top, sa.and_(*same, rows.c[order] == top.c["_newest"]))
    return text(sa.select(*_travelling(table, rows, table.schema.names())).select_from(joined).where(*clauses))


def select_maximum(table: Table, column: str, where: Sequence[Condition]) -> str:
    """One row with the largest `column`."""
    largest = sa.select(sa.func.max(sql_table(table).c[column]).label(column)).where(*_clauses(table, where))
    return text(sa.select(*_travelling(table, largest.subquery("largest"), [column])))


def select_count(table: Table, where: Sequence[Condition]) -> str:
    """One row with the number of rows as `n`."""
    return text(sa.select(sa.func.count().label("n")).select_from(sql_table(table)).where(*_clauses(table, where)))


def nothing_of(table: Table) -> str:
    """A SELECT with the table's columns and no row."""
    return text(sa.select(*sql_table(table).c).limit(0))


def merge(table: Table, staged: str, *, keep_legacy: bool = False) -> str:
    """Insert every row of the table `staged`, replacing all but the key where the key is there.

    Args:
        table: the contract.
        staged: a table with the same columns.
        keep_legacy: replace only rows that the platform filled, by the contract's `own_column`; without one, none.
    """
    rows = sql_table(table)
    source = rows.to_metadata(sa.MetaData(), name=staged)
    insert = mysql.insert(rows).from_select(list(rows.c.keys()), sa.select(*source.c))
    names = [c.name for c in rows.c if not c.primary_key] or [table.key[0]]
    values: dict[str, sa.ColumnElement[Any]] = {name: source.c[name] for name in names}
    if keep_legacy:
        # `own_column` never becomes null here, so what it says is the same for every assignment.
        legacy = _legacy(table, rows)
        values = {name: sa.case((legacy, rows.c[name]), else_=new) for name, new in values.items()}
    return str(insert.on_duplicate_key_update(values).compile(dialect=DIALECT))


def count_kept(table: Table, staged: str) -> str:
    """How many rows `merge` leaves with other values than those of `staged`, as they are the old system's."""
    rows = sql_table(table)
    source = rows.to_metadata(sa.MetaData(), name=staged)
    same_key = sa.and_(*(rows.c[name] == source.c[name] for name in table.key))
    other = sa.or_(*(rows.c[name].is_distinct_from(source.c[name]) for name in table.schema.names()))
    return text(sa.select(sa.func.count()).select_from(source.join(rows, same_key)).where(_legacy(table, rows), other))


def _legacy(table: Table, rows: sa.Table) -> sa.ColumnElement[bool]:
    return rows.c[table.own_column].is_(None) if table.own_column else sa.true()


def fill(table: Table, staged: str) -> str:
    """Insert rows of bound parameters (`%s`, in column order) into the table `staged`."""
    source = sql_table(table).to_metadata(sa.MetaData(), name=staged)
    return str(source.insert().compile(dialect=mysql.dialect(paramstyle="format")))


def load(table: Table, into: str) -> str:
    """Load a tab-separated UTF-8 file, whose name is the one bound parameter, with a table's columns `into` a table."""
    columns = ", ".join(map(DIALECT.identifier_preparer.quote, table.schema.names()))
    return rf"LOAD DATA LOCAL INFILE %s INTO TABLE {into} CHARACTER SET utf8mb4 ({columns})"


def as_text(rows: pl.DataFrame) -> pl.DataFrame:
    """Every value as MySQL reads it."""
    return rows.with_columns(
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%S%.6f"), pl.col(pl.Boolean).cast(pl.Int8)
    ).with_columns(pl.all().cast(pl.String))


def arrived(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """What a statement of this module returned, in the contract's types."""
    return frame.select(_arrived(table, name) for name in frame.columns)


def _arrived(table: Table, name: str) -> pl.Expr:
    dtype = table.column(name).dtype
    if isinstance(dtype, pl.Datetime):
        return pl.from_epoch(pl.col(name).cast(pl.Int64), "us").dt.replace_time_zone("UTC").alias(name)
    if isinstance(dtype, pl.Date):
        return pl.col(name).cast(pl.Int32).cast(dtype)
    return pl.col(name).cast(dtype)


def _travelling(table: Table, source: sa.FromClause, names: Sequence[str]) -> list[sa.ColumnElement[Any]]:
    return [_number(table, source.c[name]).label(name) for name in names]


def _number(table: Table, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    dtype = table.column(str(column.key)).dtype
    if isinstance(dtype, pl.Datetime):
        return sa.func.timestampdiff(sa.text("MICROSECOND"), sa.literal("1970-01-01"), column)
    if isinstance(dtype, pl.Date):
        return sa.func.to_days(column) - _EPOCH_DAY
    return column


def _clauses(table: Table, where: Sequence[Condition]) -> list[sa.ColumnElement[bool]]:
    return [_clause(sql_table(table).c[condition.column], condition) for condition in checked(table, where)]


def _clause(column: sa.ColumnElement[Any], condition: Condition) -> sa.ColumnElement[bool]:
    if condition.operator == "in":
        return column.in_([_literal(value) for value in condition.value])  # type: ignore[union-attr] # checked: a list
    compare: Callable[[Any, Any], sa.ColumnElement[bool]] = _COMPARE[condition.operator]
    return compare(column, _literal(condition.value))  # type: ignore[arg-type] # checked: one value


def _literal(value: Value) -> Value:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def text(statement: sa.SelectBase) -> str:
    """A statement with its values written in, as connectorx takes it."""
    return str(statement.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
