"""The storage protocol on frames in memory: the reference that the conformance suite and the property tests use."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce

import polars as pl

from wattline.errors import TerminalError
from wattline.storage.contract import Table
from wattline.storage.store import Capabilities, Condition, Value, WriteResult

_COMPARE = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def _expression(table: Table, condition: Condition) -> pl.Expr:
    dtype = table.column(condition.column).dtype
    if condition.operator == "in":
        return pl.col(condition.column).is_in(pl.Series(list(condition.value), dtype=dtype).implode())
    return _COMPARE[condition.operator](pl.col(condition.column), pl.lit(condition.value).cast(dtype))


class MemoryStore:
    def __init__(self, *, knows_origin: bool = False) -> None:
        self.capabilities = Capabilities(
            "memory", atomic_upsert=True, chunk_rows=1_000_000, time_unit="us", knows_origin=knows_origin
        )
        self._tables: dict[str, pl.DataFrame] = {}
        self._legacy: dict[str, pl.DataFrame] = {}

    def read(self, table: Table, where: Sequence[Condition] = (), columns: Sequence[str] | None = None) -> pl.DataFrame:
        rows = self._tables.get(table.name, pl.DataFrame(schema=table.schema))
        keep = reduce(operator.and_, (_expression(table, condition) for condition in where), pl.lit(value=True))
        return rows.filter(keep).sort(table.key).select(columns or table.schema.names())

    def scan(self, table: Table, where: Sequence[Condition] = (), columns: Sequence[str] | None = None) -> pl.DataFrame:
        return self.read(table, where, columns)[::-1]

    def newest(self, table: Table, by: Sequence[str], order: str, where: Sequence[Condition] = ()) -> pl.DataFrame:
        return self.read(table, where).sort(*by, order).unique(by, keep="last", maintain_order=True)

    def maximum(self, table: Table, column: str, where: Sequence[Condition] = ()) -> Value | None:
        return self.read(table, where)[column].max()

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        return self.read(table, where).height

    def upsert(self, table: Table, frame: pl.DataFrame, *, keep_legacy: bool = False) -> WriteResult:
        new = table.conform(frame)
        if new.select(table.key).is_duplicated().any():
            raise TerminalError("a key twice")
        old, rows = self.read(table), new.height
        same = new.join(old, on=table.schema.names(), how="semi", nulls_equal=True).height
        if keep_legacy:
            changed = new.join(old, on=table.schema.names(), how="anti", nulls_equal=True)
            new = new.join(changed.join(self._legacy_of(table), on=table.key, how="semi"), on=table.key, how="anti")
        elif table.name in self._legacy:
            self._legacy[table.name] = self._legacy[table.name].join(new, on=table.key, how="anti")
        known = new.join(old, on=table.key, how="semi").height
        self._tables[table.name] = pl.concat([old.join(new, on=table.key, how="anti"), new])
        return WriteResult(new.height - known, known - same, same, rows - new.height)

    def migrate(self, table: Table, frame: pl.DataFrame) -> None:
        """Put rows there as the old system's."""
        self.upsert(table, frame)
        self._legacy[table.name] = table.conform(frame).select(table.key)

    def _legacy_of(self, table: Table) -> pl.DataFrame:
        """The rows that are, or may be, the old system's."""
        rows = self.read(table)
        if self.capabilities.knows_origin:
            return rows.join(self._legacy.get(table.name, rows.clear()).select(table.key), on=table.key, how="semi")
        return rows.filter(pl.col(table.own_column).is_null()) if table.own_column else rows

    def close(self) -> None:
        return
