"""MongoDB: bulk reads by pymongoarrow, bulk writes that touch only what differs.

`mongo_write` says how an upsert goes about it. On two shared cores reading TICK_ROW takes 6 µs a row (documents by
pymongo 20), a scan of five of its columns 1, making its BSON 1 to 2. Plain update commands replace 48 k documents/s,
`ReplaceOne` 20 to 28 k.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, cast

import polars as pl
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConfigurationError
from pymongoarrow.api import aggregate_arrow_all

from wattline.errors import TerminalError
from wattline.storage.bson_batch import Bytes, first_batch, read_columns
from wattline.storage.bson_frames import arrow_schema, decode, encode, operand, validator
from wattline.storage.bson_lists import BOOL, DATE, DOUBLE, INT
from wattline.storage.conditions import checked
from wattline.storage.contract import Table
from wattline.storage.documents import Document, create_collection, translated
from wattline.storage.mongo_write import CHUNK, NOTHING, Conditions, Guard, not_legacy, write
from wattline.storage.months import collection_name, union
from wattline.storage.store import Capabilities, Condition, Value, WriteResult

_PATIENCE_MS = 5_000
_KINDS = {pl.Int32(): INT, pl.Float64(): DOUBLE, pl.Boolean(): BOOL, pl.Datetime("us", "UTC"): DATE}
"""Types whose values always have the same size in a document, and are of no other type there."""
_ROWS = 10_000_000
"""More than fit into an answer, which holds 16 MB."""
_CHUNK_BYTES = 8 * 2**20
"""Memory of the rows that are written at once; their documents, and what is stored under their keys, take twice that
each."""
_COMPARE = {"=": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte", "in": "$in"}


class MongoStore:
    """A `Store` on MongoDB ≥ 6. Its user needs the role readWrite.

    Args:
        client: the driver's client; the store closes it.
        database: name of the database.
    """

    def __init__(self, client: MongoClient[Document], database: str) -> None:
        self._client = client
        self._database = client.get_database(database, codec_options=CodecOptions(tz_aware=True))
        self._ready: set[str] = set()
        # Always the same thread: what one gives back, another's allocations do not find.
        self._writer = ThreadPoolExecutor(1)

    @classmethod
    def from_url(cls, url: str) -> MongoStore:
        """A store on `mongodb://user:password@host:port/database`; it connects when it is first used.

        Raises:
            TerminalError: the URL cannot be read or names no database; the message does not show it.
        """
        try:
            client: MongoClient[Document] = MongoClient(url, serverSelectionTimeoutMS=_PATIENCE_MS)
            return cls(client, client.get_default_database().name)
        except (ConfigurationError, ValueError):
            example = "mongodb://user:password@host:port/database"
            raise TerminalError(f"the MongoDB URL cannot be read; write {example}") from None

    @property
    def capabilities(self) -> Capabilities:
        """A killed upsert leaves whole documents, some written; times have milliseconds."""
        return Capabilities("MongoDB", atomic_upsert=False, chunk_rows=CHUNK, time_unit="ms", knows_origin=True)

    def read(
        self,
        table: Table,
        where: Sequence[Condition] = (),
        columns: Sequence[str] | None = None,
        only: Document | None = None,
    ) -> pl.DataFrame:
        """The rows that fulfil every condition, in key order, in the contract's types.

        Args:
            table: the contract.
            where: conditions on its columns.
            columns: which columns; None: all.
            only: a filter of MongoDB on other fields of the documents.
        """
        names = list(columns if columns is not None else table.schema.names())
        wanted = list(dict.fromkeys((*table.key, *names)))
        each: list[Document] = [{"$match": only}] if only else []
        return self._frame(table, where, [], wanted, each).sort(table.key).select(names)

    def scan(self, table: Table, where: Sequence[Condition] = (), columns: Sequence[str] | None = None) -> pl.DataFrame:
        """As `read`, in any order; fast for columns of numbers and times, up to 200,000 rows a month's collection.

        More rows than fit into one answer, or documents that differ in their layout, are read as `read` does.
        """
        names = list(columns if columns is not None else table.schema.names())
        kinds = {name: _KINDS.get(table.column(name).dtype, 0) for name in names}
        if not all(kinds.values()):
            return self.read(table, where, names)
        found = [pl.DataFrame(schema={name: table.schema[name] for name in names})]
        conditions = checked(table, where)
        match = _match(conditions)
        for name in self._collections(table, conditions):
            answer = self._one_answer(name, {"filter": match, "projection": {"_id": 0, **dict.fromkeys(names, 1)}})
            values = None if answer is None else read_columns(answer, kinds)
            if values is None:
                return self.read(table, where, names)
            found.append(pl.DataFrame(_series(table, name, one) for name, one in zip(names, values, strict=True)))
        return pl.concat(found)

    def newest(self, table: Table, by: Sequence[str], order: str, where: Sequence[Condition] = ()) -> pl.DataFrame:
        """Per distinct `by`, the row with the largest `order` among those that fulfil every condition, in key order."""
        first = {"sortBy": dict.fromkeys((order, *table.key), -1), "output": "$$ROOT"}
        stages: list[Document] = [
            {"$match": {table.column(order).name: {"$ne": None}}},
            {"$group": {"_id": {name: f"${table.column(name).name}" for name in by}, "row": {"$top": first}}},
            {"$replaceRoot": {"newRoot": "$row"}},
        ]
        return self._frame(table, where, stages, table.schema.names()).sort(table.key)

    def maximum(self, table: Table, column: str, where: Sequence[Condition] = ()) -> Value | None:
        """The largest value of `column`, or None where no row fulfils the conditions."""
        name = table.column(column).name
        # With an index on the column, the first of each collection is found without looking at the others.
        first: list[Document] = [{"$sort": {name: -1}}, {"$limit": 1}]
        largest = {"$group": {"_id": None, name: {"$max": f"${name}"}}}
        found = self._frame(table, where, [largest], [name], first)
        return cast("Value | None", found.item()) if found.height else None

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        """How many rows fulfil every condition."""
        with translated():
            collection, pipeline = self._query(table, where)
            return sum(int(group["n"]) for group in collection.aggregate([*pipeline, {"$count": "n"}]))

    def upsert(
        self, table: Table, frame: pl.DataFrame, guard: Guard | None = None, *, keep_legacy: bool = False
    ) -> WriteResult:
        """Insert the rows whose key is new, replace the others.

        Args:
            table: the contract.
            frame: the rows.
            guard: what a stored document must fulfil to be replaced; the others are kept, and counted as such.
            keep_legacy: keep the documents that a migration wrote.

        Raises:
            TerminalError: the frame breaks the table's contract or holds one key twice; nothing was written.
        """
        rows = table.batch(self.capabilities.kept(frame))
        guard = not_legacy if keep_legacy else guard
        total = NOTHING
        for name, part in self.by_collection(table, rows):
            self._ensure(table, name)
            written: Future[WriteResult] | None = None
            for chunk in part.iter_slices(_rows_at_once(part)):
                # One chunk is made while the server writes the one before.
                documents = encode(table, chunk)
                conditions = partial(guard, chunk, documents) if guard else None
                total += written.result() if written else NOTHING
                written = self._writer.submit(self._write, name, documents, conditions)
            total += written.result() if written else NOTHING
        return total

    def _write(self, name: str, documents: list[bytes], conditions: Conditions | None) -> WriteResult:
        with translated():
            return write(self._database[name], documents, conditions)

    @property
    def database(self) -> Database[Document]:
        """The database behind the store, for what is no table."""
        return self._database

    def exists(self, name: str) -> None:
        """Take a collection for made: an upsert leaves its validator and indexes as they are."""
        self._ready.add(name)

    def by_collection(self, table: Table, rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        """The rows of each of the table's collections, oldest month first."""
        if table.month_column is None:
            yield _stem(table), rows
            return
        month = pl.col(table.month_column).dt.truncate("1mo").alias("_month")
        for (first,), part in rows.sort(table.month_column).group_by(month, maintain_order=True):
            yield collection_name(_stem(table), cast("datetime", first)), part

    def close(self) -> None:
        """Close the client."""
        self._writer.shutdown()
        self._client.close()

    def _frame(
        self,
        table: Table,
        where: Sequence[Condition],
        stages: list[Document],
        names: list[str],
        each: Sequence[Document] = (),
    ) -> pl.DataFrame:
        schema = arrow_schema(table, names)
        with translated():
            collection, pipeline = self._query(table, where, each)
            try:
                read = aggregate_arrow_all(collection, [*pipeline, *stages], schema=schema, allowDiskUse=True)
            except (TypeError, ValueError) as error:
                raise TerminalError(f"{table.name}: a document in MongoDB is of other types: {error}") from error
        return decode(table, read)

    def _one_answer(self, collection: str, find: Document) -> Bytes | None:
        """The array of documents that a `find` gives; None where one answer does not hold all of them."""
        raw: Any = CodecOptions(document_class=RawBSONDocument)
        with translated():
            answer = self._database.command({"find": collection, "batchSize": _ROWS, **find}, codec_options=raw)
            documents, more = first_batch(bytes(answer.raw))
            if more:
                self._database.command({"killCursors": collection, "cursors": [Int64(more)]})
        return None if more else documents

    def _query(
        self, table: Table, where: Sequence[Condition], each: Sequence[Document] = ()
    ) -> tuple[Collection[Document], list[Document]]:
        """The collection to ask, and a pipeline for the matching documents of all of the table's collections.

        The stages `each` run on every collection by itself.
        """
        conditions = checked(table, where)
        names = self._collections(table, conditions)
        return self._database[names[0]], union(names, [{"$match": _match(conditions)}, *each])

    def _collections(self, table: Table, conditions: Sequence[Condition]) -> list[str]:
        """Where matching documents may be; a split table without any month yet is asked by its stem, which is empty."""
        stem = _stem(table)
        if table.month_column is None:
            return [stem]
        pattern = {"$regex": rf"^{re.escape(stem)}_\d{{6}}$"}
        names = sorted(self._database.list_collection_names(filter={"name": pattern}))
        for condition in conditions:
            if condition.column == table.month_column:
                names = [name for name in names if _may_hold(stem, name, condition)]
        return names or [stem]

    def _ensure(self, table: Table, name: str) -> None:
        if name not in self._ready:
            create_collection(self._database, name, validator(table), table.indexes)
            self._ready.add(name)


def _match(conditions: Sequence[Condition]) -> Document:
    clauses = [{c.column: {_COMPARE[c.operator]: operand(c)}} for c in conditions]
    return {"$and": clauses} if clauses else {}


def _series(table: Table, name: str, values: Any) -> pl.Series:
    """What `read_columns` found, in the contract's type."""
    dtype = table.schema[name]
    if isinstance(dtype, pl.Datetime):
        return pl.Series(name, values, pl.Datetime("ms", "UTC")).cast(dtype)
    return pl.Series(name, values, dtype)


def _rows_at_once(rows: pl.DataFrame) -> int:
    """How many rows are compared and written at once: fewer where they hold lists."""
    size = rows.estimated_size() / max(rows.height, 1)
    return max(1, min(CHUNK, int(_CHUNK_BYTES / max(size, 1))))


def _stem(table: Table) -> str:
    if table.mongo is None:
        raise TerminalError(f"{table.name} is not kept in MongoDB")
    return table.mongo


def _may_hold(stem: str, name: str, condition: Condition) -> bool:
    values = cast("list[datetime]", condition.value if condition.operator == "in" else [condition.value])
    months = [collection_name(stem, value) for value in values]
    if condition.operator in ("=", "in"):
        return name in months
    return name <= months[0] if condition.operator in ("<", "<=") else name >= months[0]
