"""The source of migrations: what a MySQL table looks like, and its rows in pages that never hold the server long.

A page is one statement: the next rows in the order of an index, after the last row of the page before. The server ends
a statement that takes longer than the limit; then the page is halved. A page aims at a quarter of the limit, and at a
few megabytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import MySQLdb
import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from wattline.errors import BadInputError, TerminalError, TransientError
from wattline.migrate.kinds import LONG_TEXTS, SourceColumn, kind_of
from wattline.migrate.lines import Parts, line_of, parse, sent_sql, types_of
from wattline.migrate.session import Effort, prepare, text_of
from wattline.migrate.statements import (
    Position,
    Range,
    SourceTable,
    behind,
    bounds,
    hint,
    indexes_of,
    order_of,
    position_sql,
    where,
)
from wattline.storage.mysql import connect
from wattline.storage.mysql_errors import server_error

_TOO_LONG = frozenset({1969, 3024})
"""The server ended a statement at the time limit."""
_FIRST_PAGE, _SMALLEST_PAGE, _LARGEST_PAGE = 5_000, 50, 50_000
_COUNTED_ROWS = 250_000
"""Counting as many entries of an index takes a tenth of a second."""
_KEYS_AT_ONCE = 250
_LARGEST_LONG_PAGE, _LARGEST_TEXT_PAGE = 64, 1_000
"""Rows a page of a table with text of any length, and of up to 64 KiB; the longest that travel fill some 256 MiB."""
_PAGE_BYTES = 16 * 1024 * 1024
_POSITION = "_position_{}"


@dataclass
class Page:
    """One statement's rows.

    Attributes:
        frame: the parts by name, as they were sent.
        position: where the page ends; the next one goes on behind it.
        last: whether there is nothing behind it.
        seconds: how long the statement held the server.
        size: bytes of the lines.
    """

    frame: pl.DataFrame
    position: Position | None
    last: bool
    seconds: float
    size: int


class Source:
    """A session with the source; it reads, and nothing else.

    Args:
        open_connection: opens a connection of mysqlclient.
        seconds: no statement holds the server longer.
        secrets: texts that must not appear in errors.
    """

    def __init__(self, open_connection: Callable[[], Any], seconds: float = 2.0, secrets: Sequence[str] = ()) -> None:
        self._open = open_connection
        self._secrets = secrets
        self._connection: Any = None
        self._description: Any = ()
        self.seconds = seconds
        self.effort = Effort()
        self._page_rows: dict[str, int] = {}

    @classmethod
    def from_url(cls, url: str, seconds: float = 2.0) -> Source:
        """A session on `mysql://user:password@host:port/database`; it connects when it is first used.

        Raises:
            TerminalError: the URL cannot be read; the message does not show it.
        """
        try:
            parsed = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError):
            raise TerminalError(
                "the MySQL URL cannot be read; write mysql://user:password@host:port/database"
            ) from None
        return cls(lambda: connect(parsed), seconds, [url, *([str(parsed.password)] if parsed.password else [])])

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(MySQLdb.Error):
                connection.close()

    def now(self) -> datetime:
        """The source's clock, UTC; change stamps are set by it."""
        return cast("datetime", self.query("SELECT UTC_TIMESTAMP(6)")[0][0]).replace(tzinfo=UTC)

    def table(self, name: str) -> SourceTable:
        """What the table looks like now.

        Raises:
            BadInputError: there is no such table, or the user may not see it.
        """
        columns = self.query(
            "SELECT column_name, column_type, is_nullable, numeric_precision, numeric_scale"
            " FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = %s"
            " ORDER BY ordinal_position",
            (name,),
        )
        if not columns:
            raise BadInputError("there is no such table", field=name, remedy="Correct the entry, or grant SELECT on it")
        keys = self.query(
            "SELECT index_name, column_name, non_unique, nullable FROM information_schema.statistics"
            " WHERE table_schema = DATABASE() AND table_name = %s AND index_type = 'BTREE'"
            " ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index",
            (name,),
        )
        found = [
            SourceColumn(
                column, kind_of(text_of(declared)), text_of(declared).lower(), nullable == "YES", (p or 0, s or 0)
            )
            for column, declared, nullable, p, s in columns
        ]
        return SourceTable(name, {column.name: column for column in found}, indexes_of(keys))

    def query(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one small statement."""
        with self._cursor() as cursor:
            started = time.perf_counter()
            cursor.execute(statement, tuple(arguments))
            rows = list(cursor.fetchall())
            self.effort.add(time.perf_counter() - started, 0)
        return rows

    def size(self, table: SourceTable, rows: Range) -> int:
        """How many rows a range of an index holds: counted where the server guesses that they are few, else its guess.

        Its guesses are off by a factor of two either way.
        """
        guess = self._guess(table, rows)
        if guess > _COUNTED_ROWS:
            return guess
        condition, arguments = bounds(table, rows)
        try:
            statement = f"SELECT COUNT(*) FROM {table.quoted}{hint(table, rows)}{where(condition)}"  # noqa: S608
            return int(self._raw(statement, arguments)[0][0])
        except _TooLongError:
            return guess

    def _guess(self, table: SourceTable, rows: Range) -> int:
        condition, arguments = bounds(table, rows)
        statement = f"EXPLAIN SELECT 1 FROM {table.quoted}{hint(table, rows)}{where(condition)}"  # noqa: S608
        found = self.query(statement, arguments)
        names = [column[0] for column in self._description]
        return int(found[0][names.index("rows")] or 0)

    def pages(self, table: SourceTable, rows: Range, parts: Parts, after: Position | None = None) -> Iterator[Page]:
        """The rows of a range, page by page, from behind `after` on.

        Raises:
            TransientError: the source is away, or even a small page takes longer than the limit.
        """
        while True:
            page = self._page(table, rows, parts, after)
            yield page
            if page.last:
                return
            after = page.position

    def matching(self, table: SourceTable, parts: Parts, clause: str, arguments: pl.DataFrame) -> pl.DataFrame:
        """The rows that fulfil `clause` with the values of one of `arguments`; for a few thousand at the most.

        Args:
            table: the table.
            parts: what to send of each row.
            clause: a condition with a `%s` for each column of `arguments`.
            arguments: values, in the clause's order.
        """
        found = [parse([], types_of(parts))]
        chunks = list(arguments.iter_slices(_KEYS_AT_ONCE))
        while chunks:
            chunk = chunks.pop()
            either = " OR ".join([f"({clause})"] * chunk.height)
            statement = f"SELECT {sent_sql(parts)} FROM {table.quoted} WHERE {either}"  # noqa: S608
            try:
                rows = self._raw(statement, [value for row in chunk.rows() for value in row])
            except _TooLongError:
                if chunk.height == 1:
                    raise TransientError(
                        f"MySQL: one key of {table.name} takes longer than {self.seconds:g} s to look up"
                    ) from None
                chunks += chunk.iter_slices(-(-chunk.height // 2))
                continue
            found.append(parse([line_of(row[0], table.name) for row in rows], types_of(parts)))
        return pl.concat(found)

    def has(self, table: SourceTable, rows: Range) -> bool:
        """Whether a range of an index holds any row."""
        condition, arguments = bounds(table, rows)
        statement = f"SELECT 1 FROM {table.quoted}{hint(table, rows)}{where(condition)} LIMIT 1"  # noqa: S608
        return bool(self.query(statement, arguments))

    def _page(self, table: SourceTable, rows: Range, parts: Parts, after: Position | None) -> Page:
        order = order_of(table, rows)
        texts = (position_sql(table.columns[name]) for name in order)
        positions = {_POSITION.format(n): (text, pa.large_string()) for n, text in enumerate(texts)}
        sent = {**positions, **parts}
        inside, arguments = bounds(table, rows)
        rest, more = behind(table, order, after)
        names = ", ".join(table.columns[name].quoted for name in order)
        condition = where(" AND ".join(filter(None, (inside, rest))))
        statement = (
            f"SELECT {sent_sql(sent)} FROM {table.quoted}{hint(table, rows)}{condition} ORDER BY {names} LIMIT %s"  # noqa: S608
        )
        limit = min(self._page_rows.get(table.name, _FIRST_PAGE), _largest_page(table))
        while True:
            started = time.perf_counter()
            try:
                found = self._raw(statement, [*arguments, *more, limit])
                break
            except _TooLongError:
                if limit <= _SMALLEST_PAGE:
                    raise TransientError(
                        f"MySQL: {limit} rows of {table.name} take longer than {self.seconds:g} s to read"
                    ) from None
                limit = max(limit // 4, _SMALLEST_PAGE)
                self._page_rows[table.name] = limit
        seconds = time.perf_counter() - started
        lines = [line_of(row[0], table.name) for row in found]
        size = sum(map(len, lines))
        self.effort.size += size
        self._page_rows[table.name] = _next_rows(limit, seconds / (self.seconds / 4), size)
        frame = parse(lines, types_of(sent))
        position = cast("Position", frame.select(list(positions)).row(-1)) if frame.height else after
        return Page(frame.drop(list(positions)), position, frame.height < limit, seconds, size)

    def _raw(self, statement: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement that may run into the time limit."""
        with self._cursor() as cursor:
            started = time.perf_counter()
            try:
                cursor.execute(statement, tuple(arguments))
                return list(cursor.fetchall())
            except MySQLdb.Error as error:
                if error.args[0] in _TOO_LONG:
                    raise _TooLongError from None
                raise
            finally:
                self.effort.add(time.perf_counter() - started, 0)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        try:
            cursor = self._living().cursor()
            yield cursor
            self._description = cursor.description
        except _TooLongError:
            raise
        except (MySQLdb.Error, OSError) as error:
            self.close()
            raise server_error(error, self._secrets) from None

    def _living(self) -> Any:
        if self._connection is not None:
            try:
                self._connection.ping()
            except MySQLdb.Error:
                self.close()
        if self._connection is None:
            connection = self._open()
            connection.set_character_set("utf8mb4")
            connection.autocommit(True)
            cursor = connection.cursor()
            prepare(cursor, self.seconds)
            self._connection = connection
        return self._connection


class _TooLongError(Exception):
    """The server ended a statement at the time limit."""


def _largest_page(table: SourceTable) -> int:
    kinds = {column.kind for column in table.columns.values()}
    return _LARGEST_LONG_PAGE if kinds & LONG_TEXTS else _LARGEST_TEXT_PAGE if "text" in kinds else _LARGEST_PAGE


def _next_rows(rows: int, share: float, size: int) -> int:
    """The next page's rows: towards the time and the bytes that a page may take, at most doubled."""
    factor = min(2.0, 1 / max(share, 0.01), _PAGE_BYTES / max(size, 1))
    return int(min(max(rows * factor, _SMALLEST_PAGE), _LARGEST_PAGE))
