"""An entry against the table that it names: what contradicts is refused before anything moves, what differs is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from wattline.errors import BadInputError
from wattline.migrate.columns import travel
from wattline.migrate.entry import Entry
from wattline.migrate.kinds import Travel
from wattline.migrate.source import Source
from wattline.migrate.statements import Range, SourceTable, order_of

_FIXED = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "date", "datetime", "timestamp", "year"}
_TEXTS = {"char", "varchar"}


@dataclass(frozen=True)
class Plan:
    """An entry that fits its table.

    Attributes:
        entry: the entry.
        table: the source's table as it is now.
        travels: how each column travels, in the documents' order.
        drift: what the source has and the entry does not know, a line each.
    """

    entry: Entry
    table: SourceTable
    travels: tuple[Travel, ...]
    drift: tuple[str, ...]

    @property
    def identity(self) -> tuple[str, ...]:
        """The source columns that tell rows apart."""
        return tuple(order_of(self.table, Range()))

    def pick(self, names: Sequence[str]) -> tuple[Travel, ...]:
        """The ways of some of the documents' columns."""
        return tuple(one for one in self.travels if one.column.name in names)


def examine(entry: Entry, source: Source) -> Plan:
    """Look at the entry's table and refuse what cannot work.

    Raises:
        BadInputError: a column is gone or of another type, the natural key is not unique, the watermark has no index or
            may be NULL, the table has no primary key; the message names entry, column and remedy.
    """
    table = source.table(entry.source)
    for target, name in entry.sources.items():
        if name not in table.columns:
            raise _refusal(
                entry,
                f"{table.name} has no such column (for {target})",
                name,
                "Correct the entry, or restore the column",
            )
    travels = tuple(
        travel(entry, entry.documents.column(target), table.columns[name]) for target, name in entry.sources.items()
    )
    for name in (*filter(None, (entry.measured,)), *entry.ignored, *entry.encodings):
        if name not in table.columns:
            raise _refusal(entry, f"{table.name} has no such column", name, "Take it out of the entry, or correct it")
    for name in {entry.sources[key] for key in entry.target.key} & set(entry.encodings):
        raise _refusal(entry, "a key of another encoding cannot be looked up", name, "Take another natural key")
    _require_order(entry, table)
    _require_unique(entry, table)
    for name in filter(None, (entry.changed, entry.measured)):
        _require_index(entry, table, name)
    if entry.changed:
        _require_watermark(entry, table, entry.changed)
    unknown = sorted(set(table.columns) - set(entry.sources.values()) - set(entry.ignored))
    drift = tuple(f"{table.name}.{name} ({table.columns[name].declared}) is not in the entry" for name in unknown)
    return Plan(entry, table, travels, drift)


def _require_order(entry: Entry, table: SourceTable) -> None:
    for name in order_of(table, Range()):
        if table.columns[name].kind not in _FIXED | _TEXTS:
            raise _refusal(entry, "rows cannot be read in the order of such a key", name, "Use another unique index")


def _require_unique(entry: Entry, table: SourceTable) -> None:
    key = {entry.sources[name] for name in entry.target.key}
    if entry.unique and not any(index.identifies and set(index.columns) <= key for index in table.indexes):
        raise _refusal(
            entry,
            f"nothing in {table.name} keeps the key {', '.join(sorted(key))} unique",
            "key",
            "Add a unique index over NOT NULL columns, take another key, or say `unique=False`: doubled keys are then "
            "quarantined",
        )


def _require_index(entry: Entry, table: SourceTable, name: str) -> None:
    if table.index_on(name) is None:
        remedy = f"CREATE INDEX {table.name}_{name} ON {table.name} ({name}); each run would read the whole table"
        raise _refusal(entry, f"{table.name} has no index that begins with it", name, remedy)


def _require_watermark(entry: Entry, table: SourceTable, name: str) -> None:
    column = table.columns[name]
    if column.kind not in ("datetime", "timestamp"):
        raise _refusal(entry, f"{column.declared} is no time", name, "Take a DATETIME that each write sets")
    if column.nullable:
        raise _refusal(
            entry,
            "rows without it would never be found",
            name,
            f"Make {table.name}.{name} NOT NULL",
        )
    if entry.documents.column(entry.target_of(name)).dtype != pl.Datetime("us", "UTC"):
        raise _refusal(entry, "documents are compared by it", name, "Map it to a time (UTC_TIME)")


def _refusal(entry: Entry, problem: str, field: str, remedy: str) -> BadInputError:
    return BadInputError(problem, field=f"entry {entry.name}, {field}", remedy=remedy)
