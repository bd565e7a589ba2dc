"""Plans of migrations without a server: tables as a source would describe them."""

from __future__ import annotations

import re
from collections.abc import Collection

import polars as pl

from wattline.migrate.checks import Plan
from wattline.migrate.columns import travel
from wattline.migrate.entry import Entry
from wattline.migrate.kinds import SourceColumn, kind_of
from wattline.migrate.statements import Index, SourceTable

_DECLARED: dict[pl.DataType, str] = {
    pl.Int32(): "int(11)",
    pl.Int64(): "bigint(20)",
    pl.UInt64(): "bigint(20) unsigned",
    pl.Float64(): "double",
    pl.Boolean(): "tinyint(1)",
    pl.String(): "varchar(255)",
    pl.Date(): "date",
    pl.Datetime("us", "UTC"): "datetime(6)",
}


def source_column(name: str, declared: str, *, nullable: bool = False) -> SourceColumn:
    """A column of a declared type."""
    kind = kind_of(declared)
    digits = re.search(r"\((\d+),(\d+)\)", declared)
    return SourceColumn(name, kind, declared, nullable, (int(digits[1]), int(digits[2])) if digits else (0, 0))


def plan_of(entry: Entry, nullable: Collection[str] = (), **declared: str) -> Plan:
    """A plan for a table whose columns are declared as the contract suggests, or as `declared` says."""
    columns = {}
    for target, name in entry.sources.items():
        dtype = entry.documents.column(target).dtype
        usual = f"decimal({dtype.precision},{dtype.scale})" if isinstance(dtype, pl.Decimal) else _DECLARED[dtype]
        columns[name] = source_column(name, declared.get(name, usual), nullable=name in nullable)
    key = Index("PRIMARY", tuple(entry.sources[name] for name in entry.target.key), True)
    travels = tuple(
        travel(entry, entry.documents.column(target), columns[name]) for target, name in entry.sources.items()
    )
    return Plan(entry, SourceTable(entry.source, columns, (key,)), travels, ())
