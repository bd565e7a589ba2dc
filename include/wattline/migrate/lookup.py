"""Single rows by their keys: where a source row, a document or a quarantined row is, and what it says."""

from __future__ import annotations

import bson
import polars as pl
import polars.selectors as cs
import pyarrow as pa
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from wattline.migrate.checks import Plan
from wattline.migrate.columns import checksum_sql, line_parts, received
from wattline.migrate.entry import Entry
from wattline.migrate.source import Source
from wattline.storage.bson_frames import encode, id_of
from wattline.storage.contract import Table
from wattline.storage.documents import Document, bson_value, documents, translated
from wattline.storage.mongo import MongoStore
from wattline.storage.mongo_write import CHUNK

CHECKSUM = "checksum"
"""Column of a row's checksum, as the server computes it."""
_TIME = "%Y-%m-%d %H:%M:%S%.6f"


def identities(entry: Entry, keys: pl.DataFrame) -> list[RawBSONDocument]:
    """The `_id`s of documents with these keys."""
    target = entry.target
    only_key = Table(target.name, target.key, tuple(target.column(name) for name in target.key), mongo=target.mongo)
    return [RawBSONDocument(id_of(each)) for each in encode(only_key, keys.select(target.key))]


def stored(entry: Entry, store: MongoStore, keys: pl.DataFrame) -> dict[bytes, Document]:
    """The documents with these keys, whoever wrote them: encoded `_id` → document."""
    found: dict[bytes, Document] = {}
    for name, part in store.by_collection(entry.target, keys):
        for chunk in part.iter_slices(CHUNK):
            with translated():
                for document in store.database[name].find({"_id": {"$in": identities(entry, chunk)}}):
                    found[bson.encode(document["_id"])] = document
    return found


def source_rows(plan: Plan, source: Source, keys: pl.DataFrame) -> pl.DataFrame:
    """The source rows of these keys now: the documents' columns, `fault` and `checksum`."""
    parts = {**line_parts(plan.travels), CHECKSUM: (checksum_sql(plan.travels), pa.int64())}
    clauses, arguments = [], []
    for name in plan.entry.target.key:
        clause, values = _condition(plan, name)
        clauses.append(clause)
        arguments += [value.alias(f"{name} {n}") for n, value in enumerate(values)]
    raw = source.matching(plan.table, parts, " AND ".join(clauses), keys.select(arguments))
    return received(raw, plan.travels).with_columns(raw[CHECKSUM].cast(pl.UInt32))


def _condition(plan: Plan, name: str) -> tuple[str, list[pl.Expr]]:
    """What a source row must fulfil to have the key's value in its column `name`, and the values to fill in.

    A document's time has milliseconds, the row's perhaps more.
    """
    column = plan.table.columns[plan.entry.sources[name]]
    dtype = plan.entry.target.column(name).dtype
    value = pl.col(name)
    if column.kind not in ("datetime", "timestamp"):
        plain = value.cast(pl.Int64) if dtype == pl.Boolean() else value.dt.to_string() if dtype == pl.Date() else value
        return f"{column.quoted} = %s", [plain]
    zone = "UTC" if column.kind == "timestamp" else plan.entry.time_zone
    instant = pl.from_epoch(value, "us").dt.replace_time_zone("UTC") if dtype == pl.Int64() else value
    local = instant.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    if dtype == pl.Int64():
        return f"{column.quoted} = %s", [local.dt.strftime(_TIME)]
    after = (local.dt.truncate("1ms") + pl.duration(milliseconds=1)).dt.strftime(_TIME)
    return f"{column.quoted} >= %s AND {column.quoted} < %s", [local.dt.truncate("1ms").dt.strftime(_TIME), after]


def gone(plan: Plan, source: Source, keys: pl.DataFrame) -> pl.DataFrame:
    """Those of `keys` (the target's key columns, as documents have them) that no source row has now."""
    key = list(plan.entry.target.key)
    there = source_rows(plan, source, keys).select(key).with_columns(cs.datetime().dt.truncate("1ms"))
    return keys.select(key).join(there, on=key, how="anti")


def quarantined(database: Database[Document], entry: Entry, keys: pl.DataFrame) -> pl.DataFrame:
    """Those of `keys` that have an open row in quarantine; parts of a key may be null."""
    key = list(entry.target.key)
    found = []
    for chunk in keys.select(key).iter_slices(CHUNK):
        rows = list(chunk.iter_rows(named=True))
        keyed: list[Document] = [{name: bson_value(value) for name, value in row.items()} for row in rows]
        wanted = [{"table": entry.rejected, "key": each} for each in keyed]
        with translated():
            query = {"_id": {"$in": wanted}, "status": "open"}
            open_rows = documents(database, "quarantine").find(query, {"_id": 1})
            there = {bson.encode(dict(one["_id"]["key"])) for one in open_rows}
        found += [row for row, each in zip(rows, keyed, strict=True) if bson.encode(each) in there]
    return pl.DataFrame(found, schema=keys.select(key).schema)
