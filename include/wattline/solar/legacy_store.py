"""How gateways and the older screens write the legacy tables of MySQL `solar`; writing again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from wattline.migrate.entry import Entry
from wattline.solar.legacy_tables import CUSTOMER_OWNER, POWER_STATION, UPDATED_AT
from wattline.solar.migrations import ENTRIES
from wattline.solar.tables import CUSTOMER
from wattline.storage.contract import Column, Table
from wattline.storage.store import Condition, Store

BITS = {"client_status": ("online", "alarms"), "sensor_name": ("in_use",)}
"""The BIT columns of the legacy tables; the simulation sets the lower seven bits only."""
_APPEND_ONLY = ("conn_box_log", "temperature", "irradiance")
"""Logs whose rows are never changed: what is stored need not be looked at."""
_CHARACTERS = {number: chr(number) for number in range(128)}
_WIDE = pl.Decimal(20, 0)
"""Holds any BIGINT UNSIGNED."""


def source_table(entry: Entry) -> Table:
    """The source of an entry as a contract that a MySQL store can write: its names, and types that it takes as text."""
    columns = (
        Column(source, _written_as(entry.source, entry.documents.column(target)), target, nullable=True)
        for target, source in entry.sources.items()
    )
    key = tuple(entry.sources[name] for name in entry.target.key)
    ordered = sorted(columns, key=lambda column: column.name not in key)
    required = tuple(replace(column, nullable=column.name not in key) for column in ordered)
    return Table(f"mysql {entry.source}", key, required, mysql=entry.source)


def _written_as(table: str, column: Column) -> pl.DataType:
    if column.name in BITS.get(table, ()):
        return pl.String()  # MySQL takes text for the bits of its bytes
    return _WIDE if column.dtype == pl.UInt64() else column.dtype


_CONTACTS = ("owner_id", "owner_phone", "owner_mail", "manager_id")
_ENTRIES = [entry for entries in ENTRIES.values() for entry in entries if entry.source != "customer"]
SOURCES: Mapping[str, Table] = {
    **{entry.source: source_table(entry) for entry in _ENTRIES},
    "customer": replace(
        CUSTOMER,
        name="mysql customer",
        columns=(
            *CUSTOMER.columns,
            *((POWER_STATION if name == "manager_id" else CUSTOMER_OWNER).column(name) for name in _CONTACTS),
        ),
    ),
}
"""MySQL table → its contract for writing."""


def write(store: Store, frames: Mapping[str, pl.DataFrame]) -> None:
    """Write rows by natural key; a row that is stored already and was changed later, or at the same time, stays.

    Args:
        store: MySQL `solar`, as the gateways' user.
        frames: MySQL table → rows under its column names, in the types of the entries' documents.
    """
    for name, frame in frames.items():
        table = SOURCES[name]
        rows = table.conform(
            frame.with_columns(
                pl.col(bits).cast(pl.Int64).replace_strict(_CHARACTERS, return_dtype=pl.String)
                for bits in BITS.get(name, ())
            )
        )
        store.upsert(table, rows if name in _APPEND_ONLY else _news(store, table, rows))


def _news(store: Store, table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that are not stored, or stored as they were before."""
    if rows.is_empty():
        return rows
    dated = UPDATED_AT.name in rows.columns
    where = [Condition("mcno", "in", rows["mcno"].unique().to_list())] if "mcno" in table.key else []
    stored = store.read(table, where, [*table.key, *([UPDATED_AT.name] if dated else [])])
    if dated:
        stored = stored.rename({UPDATED_AT.name: "stored_at"})
        older = rows.join(stored, on=table.key).filter(pl.col("stored_at") < pl.col(UPDATED_AT.name))
        stored = stored.join(older, on=table.key, how="anti")
    return rows.join(stored, on=table.key, how="anti")
