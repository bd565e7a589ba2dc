"""MyEMS's energy database made ready: Wattline's own tables, and one row a slot in the hourly tables.

MyEMS puts no unique key on its hourly tables, so a rerun of its services, or two of them at once, doubled hours. Every
double is shown with the row that is kept and why; the others move to `tbl_meter_hourly_duplicates`, so nothing is lost.
All of it can be run again at any time, also after a kill, and changes nothing where all is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import MySQLdb
import polars as pl
import sqlalchemy as sa

from wattline.errors import TerminalError
from wattline.meters.tables import BIG, CLOSURE, FINDING, HOURLY, METER_KINDS, OWN, VALUE
from wattline.storage import sql
from wattline.storage.contract import UTC_TIME, Table
from wattline.storage.mysql import MySQLStore

REMOVED = "tbl_meter_hourly_duplicates"
"""Where rows that shared a slot with a kept one are moved: every column of theirs, and when that was."""
EQUAL = "all values are equal: the oldest row stays"
DIFFERENT = "the values differ: the newest row stays, it was computed last"

GROUPS = pl.Schema(
    {
        "kind": pl.String(),
        "meter_id": BIG,
        "start_datetime_utc": UTC_TIME,
        "rows": pl.Int64(),
        "kept_id": BIG,
        "kept_value": VALUE,
        "removed_ids": pl.List(BIG),
        "removed_values": pl.List(VALUE),
        "why": pl.String(),
    }
)
"""One row a slot that has several rows in its hourly table. `why` is EQUAL or DIFFERENT."""

_LONG_TEXT = {(FINDING.name, "detail"), (CLOSURE.name, "finding")}
"""Sentences that may be longer than the 255 characters of other texts."""
_TEXT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_GOING = "wattline_going"
_METERS_AT_ONCE = 10
_GROUPS_AT_ONCE = 1_000
_ATTEMPTS = 3
_DUPLICATE_ENTRY = 1062

Tell = Callable[[pl.DataFrame], None]
"""Takes some GROUPS, before anything of them is changed."""


def duplicates(store: MySQLStore, kinds: Sequence[str] = METER_KINDS) -> Iterator[pl.DataFrame]:
    """The slots that have several rows, as frames of the schema GROUPS, some meters at a time; nothing is changed.

    Args:
        store: the energy database.
        kinds: which of METER_KINDS.

    Raises:
        TerminalError: MyEMS's tables are not there, or the user may not read them.
        TransientError: the server cannot be reached.
    """
    for kind in kinds:
        if not is_unique(store, kind):
            yield from _doubled(store, kind)


def upgrade(store: MySQLStore, tell: Tell) -> None:
    """Create Wattline's tables where they are missing, move doubled rows away, and add the unique keys.

    Args:
        store: the energy database, as a user who may create and alter tables.
        tell: is handed the doubled slots, each before it is changed.

    Raises:
        TerminalError: MyEMS's tables are not there, its own service goes on doubling rows, or the user may not do this.
        TransientError: the server cannot be reached.
    """
    create_own(store)
    for kind in METER_KINDS:
        for _ in range(_ATTEMPTS):
            if is_unique(store, kind):
                break
            for groups in _doubled(store, kind):
                tell(groups)
                _move_away(store, kind, groups)
            _add_key(store, kind)
    require_unique(store)


def create_own(store: MySQLStore) -> None:
    """Create Wattline's tables in the energy database where they are missing, by their contracts.

    Raises:
        TerminalError: the user may not do this.
        TransientError: the server cannot be reached.
    """
    with store._cursor() as cursor:
        for table in OWN:
            cursor.execute(_create_table(table))
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {REMOVED} (number BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, "
            "kind VARCHAR(32) NOT NULL, id BIGINT NOT NULL, meter_id BIGINT NOT NULL, "
            "start_datetime_utc DATETIME NOT NULL, actual_value DECIMAL(21,6) NOT NULL, kept_id BIGINT NOT NULL, "
            f"removed_at DATETIME(6) NOT NULL, KEY (kind, meter_id, start_datetime_utc)) {_TEXT}"
        )


def is_unique(store: MySQLStore, kind: str) -> bool:
    """Whether the hourly table of a kind of meter has a key that allows one row a slot.

    Raises:
        TerminalError: there is no such table.
        TransientError: the server cannot be reached.
    """
    slot = set(HOURLY[kind].key)
    return any(unique and set(columns) == slot for unique, columns in _indexes(store, kind).values())


def require_unique(store: MySQLStore, kinds: Sequence[str] = METER_KINDS) -> None:
    """Refuse to go on where an hourly table may hold several rows of a slot: an upsert would double its energy.

    Raises:
        TerminalError: a key is missing; the message says how to get it.
        TransientError: the server cannot be reached.
    """
    for kind in kinds:
        if not is_unique(store, kind):
            raise TerminalError(
                f"{HOURLY[kind].mysql} has no unique key on ({', '.join(HOURLY[kind].key)}), so hours could be "
                "counted twice. Stop MyEMS's own normalization services and run `wattline meters upgrade`"
            )


def _doubled(store: MySQLStore, kind: str) -> Iterator[pl.DataFrame]:
    """GROUPS of one kind; the table may change meanwhile."""
    meter, start = HOURLY[kind].key
    table = HOURLY[kind].mysql
    several = f"GROUP BY {meter}, {start} HAVING COUNT(*) > 1"
    for low, high in _meter_ranges(store, kind):
        with store._cursor() as cursor:
            cursor.execute(
                f"SELECT t.{meter}, t.{start}, t.id, t.actual_value FROM {table} t JOIN "  # noqa: S608 - own names
                f"(SELECT {meter}, {start} FROM {table} WHERE {meter} BETWEEN %s AND %s {several}) d "
                f"ON d.{meter} = t.{meter} AND d.{start} = t.{start} ORDER BY t.{meter}, t.{start}, t.id",
                (low, high),
            )
            rows = cursor.fetchall()
        if rows:
            yield _groups(kind, rows)


def _meter_ranges(store: MySQLStore, kind: str) -> Iterator[tuple[int, int]]:
    """First and last meter of some at a time, so that no statement and no answer is large."""
    with store._cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT {kind}_id FROM {HOURLY[kind].mysql} ORDER BY 1")  # noqa: S608 - own names
        meters = [meter for (meter,) in cursor.fetchall()]
    for first in range(0, len(meters), _METERS_AT_ONCE):
        some = meters[first : first + _METERS_AT_ONCE]
        yield some[0], some[-1]


def _groups(kind: str, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {"meter_id": BIG, "start_datetime_utc": pl.Datetime("us"), "id": BIG, "value": VALUE}
    slot = ("meter_id", "start_datetime_utc")
    equal = pl.col("value").n_unique().over(*slot) == 1
    oldest, newest = pl.col("id").min().over(*slot), pl.col("id").max().over(*slot)
    stays = pl.col("id") == pl.col("kept_id")
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .with_columns(
            pl.col("start_datetime_utc").dt.replace_time_zone("UTC"),
            kind=pl.lit(kind),
            kept_id=pl.when(equal).then(oldest).otherwise(newest),
            why=pl.when(equal).then(pl.lit(EQUAL)).otherwise(pl.lit(DIFFERENT)),
        )
        .group_by("kind", *slot, "kept_id", "why", maintain_order=True)
        .agg(
            rows=pl.len(),
            kept_value=pl.col("value").filter(stays).first(),
            removed_ids=pl.col("id").filter(~stays),
            removed_values=pl.col("value").filter(~stays),
        )
        .select(GROUPS.names())
        .cast(GROUPS)
    )


def _move_away(store: MySQLStore, kind: str, groups: pl.DataFrame) -> None:
    """Copy the rows that do not stay, and remove them, some slots at a time: a kill leaves whole slots."""
    meter, start = HOURLY[kind].key
    table = HOURLY[kind].mysql
    copy = (
        f"INSERT INTO {REMOVED} (kind, id, meter_id, start_datetime_utc, actual_value, kept_id, removed_at) "  # noqa: S608
        f"SELECT %s, t.id, t.{meter}, t.{start}, t.actual_value, g.kept_id, UTC_TIMESTAMP(6) "
        f"FROM {table} t JOIN {_GOING} g ON g.id = t.id"
    )
    for some in groups.iter_slices(_GROUPS_AT_ONCE):
        going = some.select("kept_id", id="removed_ids").explode("id").select("id", "kept_id").rows()
        with store._cursor() as cursor:
            cursor.execute(f"DROP TEMPORARY TABLE IF EXISTS {_GOING}")
            cursor.execute(f"CREATE TEMPORARY TABLE {_GOING} (id BIGINT PRIMARY KEY, kept_id BIGINT NOT NULL)")
            cursor.executemany(f"INSERT INTO {_GOING} (id, kept_id) VALUES (%s, %s)", going)  # noqa: S608
            cursor.execute("START TRANSACTION")
            try:
                cursor.execute(copy, (kind,))
                cursor.execute(f"DELETE t FROM {table} t JOIN {_GOING} g ON g.id = t.id")
                cursor.execute("COMMIT")
            except BaseException:
                store.close()  # the server takes back what was not committed
                raise


def _add_key(store: MySQLStore, kind: str) -> None:
    """Make the slot unique; where rows were doubled meanwhile, nothing happens.

    MyEMS's own index on the same columns is replaced under its name: two of them would cost time with every write.
    """
    columns = ", ".join(HOURLY[kind].key)
    same = [name for name, (_, found) in _indexes(store, kind).items() if found == HOURLY[kind].key]
    drop = "".join(f"DROP INDEX `{name}`, " for name in same)
    name = same[0] if same else f"{HOURLY[kind].mysql}_slot"
    with store._cursor() as cursor:
        try:
            cursor.execute(f"ALTER TABLE {HOURLY[kind].mysql} {drop}ADD UNIQUE INDEX `{name}` ({columns})")
        except MySQLdb.IntegrityError as error:
            if error.args[0] != _DUPLICATE_ENTRY:
                raise


def _indexes(store: MySQLStore, kind: str) -> dict[str, tuple[bool, tuple[str, ...]]]:
    """Name of each index of an hourly table → whether it is unique, and its columns in their order."""
    found: dict[str, tuple[bool, tuple[str, ...]]] = {}
    with store._cursor() as cursor:
        cursor.execute(
            "SELECT index_name, non_unique, column_name FROM information_schema.statistics "
            "WHERE table_schema = DATABASE() AND table_name = %s ORDER BY index_name, seq_in_index",
            (HOURLY[kind].mysql,),
        )
        for name, ambiguous, column in cursor.fetchall():
            found[name] = (not ambiguous, (*found.get(name, (False, ()))[1], column))
    if not found:
        raise TerminalError(
            f"there is no table {HOURLY[kind].mysql}: this is not MyEMS's energy database. Name that one in "
            "WATTLINE_MYEMS_OWNER_URL and WATTLINE_MYEMS_ENERGY_URL, or make one for a trial: `wattline meters create`"
        )
    return found


def _create_table(table: Table) -> str:
    """One statement with all keys and indexes, so that a kill leaves the whole table or none."""
    rows = sql.sql_table(table).to_metadata(sa.MetaData())
    parts = []
    for column in rows.c:
        if (table.name, column.name) in _LONG_TEXT:
            column.type = sa.Text()
        column.autoincrement = False
        parts.append(str(sa.schema.CreateColumn(column).compile(dialect=sql.DIALECT)))
    parts += [f"PRIMARY KEY ({', '.join(table.key)})"]
    parts += [f"KEY ({', '.join(index)})" for index in table.indexes]
    return f"CREATE TABLE IF NOT EXISTS {table.mysql} ({', '.join(parts)}) {_TEXT}"
