"""MySQL and MariaDB: bulk reads by connectorx, bulk writes by LOAD DATA.

On two cores with 100,000 rows of TICK_ROW: connectorx reads 0.7 to 0.9 M rows/s, mysqlclient's fetchall 0.09 M;
LOAD DATA LOCAL writes 137 k rows/s, one JSON_TABLE parameter 48 k, executemany 37 k. So LOAD DATA it is, and
executemany where a server or client forbids `local_infile`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import connectorx
import MySQLdb
import polars as pl
import sqlalchemy as sa
from MySQLdb.constants import CLIENT

from wattline.errors import TerminalError, TransientError, WattlineError
from wattline.storage import sql
from wattline.storage.contract import Table
from wattline.storage.mysql_errors import LOCAL_INFILE_REFUSED, reader_error, server_error
from wattline.storage.store import Capabilities, Condition, Value, WriteResult

_SESSION = "SET SESSION time_zone = '+00:00', sql_mode = 'TRADITIONAL'"
_STAGED = "wattline_staged"
_CHUNK = 20_000
_STREAMED = 40_000
_REFUSED = "local_infile is refused"


class MySQLStore:
    """A `Store` on MySQL ≥ 8 or MariaDB ≥ 10.6. Its user needs CREATE TEMPORARY TABLES to write.

    Args:
        connect: opens a connection of mysqlclient; without CLIENT.FOUND_ROWS, which would hide what an upsert changed.
        url: `mysql://user:password@host:port/database` of the same database, for connectorx; options are ignored.
    """

    def __init__(self, connect: Callable[[], Any], url: str) -> None:
        parsed = sa.make_url(url)
        self._connect = connect
        self._secrets = [url, *([str(parsed.password)] if parsed.password else [])]
        plain = parsed.set(drivername="mysql", query={})
        self._url = plain.render_as_string(hide_password=False)
        self._connection: Any = None
        self._in_transaction = False
        self._local_infile = True

    @classmethod
    def from_url(cls, url: str) -> MySQLStore:
        """A store on `mysql://user:password@host:port/database`; it connects when it is first used.

        Raises:
            TerminalError: the URL cannot be read; the message does not show it.
        """
        try:
            parsed = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError):
            raise TerminalError(
                "the MySQL URL cannot be read; write mysql://user:password@host:port/database"
            ) from None
        return cls(lambda: connect(parsed), url)

    @property
    def capabilities(self) -> Capabilities:
        """One upsert is one statement: all or nothing."""
        return Capabilities("MySQL", atomic_upsert=True, chunk_rows=_CHUNK)

    def read(self, table: Table, where: Sequence[Condition] = (), columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows that fulfil every condition, in key order, in the contract's types."""
        names = list(columns if columns is not None else table.schema.names())
        wanted = list(dict.fromkeys((*table.key, *names)))
        return self._fetch(table, sql.select_rows(table, where, wanted)).sort(table.key).select(names)

    def newest(self, table: Table, by: Sequence[str], order: str, where: Sequence[Condition] = ()) -> pl.DataFrame:
        """Per distinct `by`, the row with the largest `order` among those that fulfil every condition, in key order."""
        rows = self._fetch(table, sql.select_newest(table, by, order, where)).sort(table.key)
        return rows.unique(list(by), keep="last", maintain_order=True)

    def maximum(self, table: Table, column: str, where: Sequence[Condition] = ()) -> Value | None:
        """The largest value of `column`, or None where no row fulfils the conditions."""
        largest: Value | None = self._fetch(table, sql.select_maximum(table, column, where)).item()
        return largest

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        """How many rows fulfil every condition."""
        return int(self._query(sql.select_count(table, where)).item())

    def fetch(self, statement: sa.SelectBase) -> pl.DataFrame:
        """The rows of a SELECT as they arrive; it holds only numbers, times and names of ours, which are written in."""
        return self._query(sql.text(statement))

    def stream(self, statement: sa.SelectBase) -> Iterator[pl.DataFrame]:
        """As `fetch`, batch by batch: the next one is received while one is used."""
        with self._reading():
            for batch in self._batches(sql.text(statement), _STREAMED):
                yield cast("pl.DataFrame", pl.from_arrow(batch))

    def upsert(
        self,
        table: Table,
        frame: pl.DataFrame,
        also: Sequence[Table] = (),
        *,
        expect_new: bool = False,
        keep_legacy: bool = False,
    ) -> WriteResult:
        """Insert the rows whose key is new, replace the others, all by one statement; what was done to the first table.

        Args:
            table: where the rows belong.
            frame: the rows.
            also: further tables, whose columns the first one has; they get the same rows, by a statement each.
            expect_new: probably no row is there; then writing takes two thirds of the time, else longer.
            keep_legacy: leave rows that the old system may have written as they are (`Table.own_column`).

        Raises:
            TerminalError: the frame breaks the table's contract or holds one key twice, or MySQL would have to change
                a value to store it; nothing was written.
        """
        rows = table.batch(frame)
        if rows.is_empty():
            return WriteResult(0, 0, 0)
        text = sql.as_text(rows)
        with self._cursor() as cursor:
            if expect_new and self._insert(cursor, (table, *also), text):
                return WriteResult(rows.height, 0, 0)
            cursor.execute(f"DROP TEMPORARY TABLE IF EXISTS {_STAGED}")
            cursor.execute(f"CREATE TEMPORARY TABLE {_STAGED} AS {sql.nothing_of(table)}")
            self._stage(cursor, table, text)
            kept = _one(cursor, sql.count_kept(table, _STAGED)) if keep_legacy else 0
            cursor.execute(sql.merge(table, _STAGED, keep_legacy=keep_legacy))
            result = _counted(rows.height, kept, cursor.rowcount, self._connection.info())
            for other in also:
                cursor.execute(sql.merge(other, _STAGED, keep_legacy=keep_legacy))
            cursor.execute(f"DROP TEMPORARY TABLE {_STAGED}")
        return result

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor of mysqlclient, in whose block every statement and upsert is committed at the end, or none is.

        Reads of this store go by another connection: they see what was committed before.

        Raises:
            TransientError: the connection broke; nothing was committed, unless it broke at the very end.
            TerminalError: the block is within another one.
        """
        if self._in_transaction:
            raise TerminalError("a MySQL transaction cannot begin within another one")
        with self._cursor() as cursor:
            self._in_transaction = True
            try:
                cursor.execute("START TRANSACTION")
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                self._discard()  # the server takes back what was not committed
                raise
            finally:
                self._in_transaction = False

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _fetch(self, table: Table, statement: str) -> pl.DataFrame:
        return sql.arrived(table, self._query(statement))

    def _query(self, statement: str) -> pl.DataFrame:
        with self._reading():
            return cast("pl.DataFrame", pl.from_arrow(self._batches(statement, _CHUNK)))

    def _batches(self, statement: str, rows: int) -> Any:
        return connectorx.read_sql(self._url, statement, return_type="arrow_stream", batch_size=rows)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Errors of connectorx become ours."""
        with self._cursor():
            pass  # connectorx tries for half a minute where a server is away or a password wrong; mysqlclient says so
        try:
            yield
        except BaseException as error:  # connectorx panics by a class that is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
                raise
            raise reader_error(error, self._secrets) from None

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor on a living connection; errors of the driver become ours, and a broken connection is dropped."""
        try:
            self._revive()
            yield self._connection.cursor()
        except (MySQLdb.Error, OSError) as error:
            self._discard()
            raise server_error(error, self._secrets) from None
        except WattlineError:
            self._discard()
            raise

    def _revive(self) -> None:
        if self._connection is not None:
            try:
                self._connection.ping()
            except MySQLdb.Error:
                self._discard()
        if self._connection is None:
            if self._in_transaction:
                raise TransientError("MySQL: the connection broke within a transaction; nothing of it was written")
            connection = self._connect()
            if connection.client_flag & CLIENT.FOUND_ROWS:
                connection.close()
                raise TerminalError("the MySQL connection counts found rows; open it without CLIENT.FOUND_ROWS")
            connection.set_character_set("utf8mb4")
            connection.autocommit(True)
            connection.cursor().execute(_SESSION)
            self._connection = connection

    def _discard(self) -> None:
        with suppress(MySQLdb.Error):
            self.close()

    def _insert(self, cursor: Any, tables: Sequence[Table], rows: pl.DataFrame) -> bool:
        """Load `rows`, all text, into tables; false, and nothing is written, where one is there or does not fit."""
        if self._in_transaction:
            return False
        cursor.execute("START TRANSACTION")
        for table in tables:
            problem = self._load(cursor, table, str(table.mysql), rows.select(table.schema.names()))
            if problem is not None:
                cursor.execute("ROLLBACK")
                return False
        cursor.execute("COMMIT")
        return True

    def _stage(self, cursor: Any, table: Table, rows: pl.DataFrame) -> None:
        """Bring `rows`, all text, into the staged table."""
        problem = self._load(cursor, table, _STAGED, rows)
        if problem == _REFUSED:
            for chunk in rows.iter_slices(_CHUNK):
                cursor.executemany(sql.fill(table, _STAGED), chunk.rows())
        elif problem is not None:
            raise TerminalError(f"{table.name}: MySQL cannot store every value as it is: {problem}")

    def _load(self, cursor: Any, table: Table, into: str, rows: pl.DataFrame) -> str | None:
        """LOAD DATA of a table's columns; what is wrong, or None."""
        if not self._local_infile:
            return _REFUSED
        with tempfile.NamedTemporaryFile(prefix="wattline-", suffix=".tsv") as file:
            escaped = rows.with_columns(pl.all().str.replace_many(sql.ESCAPES))
            escaped.write_csv(file.name, include_header=False, separator="\t", quote_style="never", null_value="\\N")
            try:
                cursor.execute(sql.load(table, into), (file.name,))
            except MySQLdb.Error as error:
                if error.args[0] not in LOCAL_INFILE_REFUSED:
                    raise
                self._local_infile = False
                return _REFUSED
        loaded, warnings = cursor.rowcount, self._connection.warning_count()
        if loaded == rows.height and not warnings:
            return None
        cursor.execute("SHOW WARNINGS LIMIT 1")
        first = cursor.fetchone() or ("", 0, f"{loaded} of {rows.height} rows arrived")
        return str(first[2])


def connect(url: sa.URL) -> Any:
    """A connection of mysqlclient to `url`; an unreachable server is given up after ten seconds."""
    return MySQLdb.connect(
        host=url.host or "localhost",
        port=url.port or 3306,
        user=url.username or "",
        passwd=url.password or "",
        db=url.database or "",
        charset="utf8mb4",
        connect_timeout=10,
        local_infile=1,
    )


def _one(cursor: Any, statement: str) -> int:
    cursor.execute(statement)
    return int(cursor.fetchone()[0])


def _counted(rows: int, kept: int, affected: int, info: str) -> WriteResult:
    """What `INSERT … ON DUPLICATE KEY UPDATE` did: a new row counts 1, a changed row 2 and as one duplicate."""
    summary = re.match(r"Records: (\d+)\s+Duplicates: (\d+)", info)
    if summary is None:
        raise TerminalError(f"MySQL did not say what it wrote: {info!r}")
    updated = int(summary[2])
    inserted = affected - 2 * updated
    return WriteResult(inserted, updated, rows - inserted - updated - kept, kept)
