"""Rows that a gate rejected, kept with their reasons until a later run finds them good or gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bson
import polars as pl
import polars.selectors as cs
from pymongo import ReplaceOne, UpdateMany
from pymongo.database import Database

from wattline.quality.result import GateResult
from wattline.storage.documents import bson_value, documents, translated
from wattline.window import Window

Document = dict[str, Any]

_COPY = "__copy"
_CHUNK = 5_000


@dataclass(frozen=True)
class QuarantineCount:
    """Documents written as open, and earlier ones of the same pipeline set to resolved."""

    open: int
    resolved: int


def quarantine_documents(result: GateResult, pipeline: str, window: Window) -> list[Document]:
    """One document a bad row, the same for the same rows: no clock and no run in it.

    The `_id` is `{table, key}`; where several bad rows of a batch share a key (it may be the key that is broken), the
    second and later ones have `copy: 1, 2, …` in it too, so that every row is kept.
    """
    table = result.suite.table
    rejected = result.bad if result.suite.counted is None else result.bad.drop(result.suite.counted)
    key, columns = list(table.key), rejected.drop("reasons").columns
    bad = _as_stored(rejected).sort(columns, nulls_last=True)
    bad = bad.with_columns(pl.int_range(pl.len()).over(key).alias(_COPY))
    bounds = _bounds(window)
    built = []
    for row in bad.iter_rows(named=True):
        copy, reasons = row.pop(_COPY), row.pop("reasons")
        values = {name: bson_value(value) for name, value in row.items()}
        identity = {"table": table.name, "key": {name: values[name] for name in key}}
        built.append(
            {
                "_id": identity | ({"copy": copy} if copy else {}),
                "table": table.name,
                "pipeline": pipeline,
                "window": bounds,
                "reasons": [
                    {"field": each["field"], "value": values[each["field"]], "reason": each["reason"]}
                    | {"remedy": each["remedy"]}
                    for each in reasons
                ],
                "row": values,
                "status": "open",
            }
        )
    return built


def write_quarantine(
    database: Database[Document], result: GateResult, pipeline: str, window: Window, *, further: bool = False
) -> QuarantineCount:
    """Store the bad rows of a batch, and resolve what an earlier run rejected and this one did not.

    Resolved is a row of the same table and pipeline that this batch holds as good, or that the same window rejected and
    now does not hold any more. Nothing is deleted; a row that turns bad again is open again. Writing the same result
    twice changes nothing.

    Args:
        database: where the collection `quarantine` is.
        result: the gate's verdict.
        pipeline: the DAG that the gate belongs to.
        window: what the run computes.
        further: the window has several batches, and this is not the first. The first one resolves what the window
            rejected before; what a further one rejects again is open again.

    Raises:
        TransientError: the database is away; part of the documents may be written.
        TerminalError: the database refuses the documents.
    """
    rejected = quarantine_documents(result, pipeline, window)
    quarantine = documents(database, "quarantine")
    before = None if further else _bounds(window)
    with translated():
        for start in range(0, len(rejected), _CHUNK):
            chunk = rejected[start : start + _CHUNK]
            quarantine.bulk_write(
                [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in chunk], ordered=False
            )
        candidates = list(quarantine.find(_maybe_resolved(result, pipeline, before), {"window": 1}))
        resolved = _resolved(candidates, {bson.encode(document["_id"]) for document in rejected}, result, before)
        changes = [
            UpdateMany({"_id": {"$in": resolved[start : start + _CHUNK]}}, {"$set": {"status": "resolved"}})
            for start in range(0, len(resolved), _CHUNK)
        ]
        if changes:
            quarantine.bulk_write(changes, ordered=False)
    return QuarantineCount(open=len(rejected), resolved=len(resolved))


def _as_stored(frame: pl.DataFrame) -> pl.DataFrame:
    """MongoDB keeps milliseconds: what is compared with stored documents must be cut likewise."""
    return frame.with_columns(cs.datetime().dt.truncate("1ms"))


def _bounds(window: Window) -> Document:
    """The window as MongoDB gives it back, to the millisecond."""
    ends = {"start": window.start, "end": window.end}
    return {name: moment.replace(microsecond=moment.microsecond // 1000 * 1000) for name, moment in ends.items()}


def _maybe_resolved(result: GateResult, pipeline: str, window: Document | None) -> Document:
    """A filter for the open documents of this window, and of any window around the keys of the good rows."""
    table = result.suite.table
    ways: list[Document] = [{"window": window}]
    if result.good.height:
        keys = _as_stored(result.good.select(table.key))
        low, high = keys.min().row(0, named=True), keys.max().row(0, named=True)
        ways.append(
            {f"_id.key.{name}": {"$gte": bson_value(low[name]), "$lte": bson_value(high[name])} for name in table.key}
        )
    return {"table": table.name, "pipeline": pipeline, "status": "open", "$or": ways}


def _resolved(
    candidates: Sequence[Document], rejected: set[bytes], result: GateResult, window: Document | None
) -> list[Document]:
    """The `_id`s among open documents that are good by now, or gone from the window that rejected them."""
    table = result.suite.table
    # A day is stored as its text.
    schema = {name: pl.String() if table.schema[name] == pl.Date() else table.schema[name] for name in table.key}
    found = pl.DataFrame([document["_id"]["key"] for document in candidates], schema=schema)
    keys = found.with_row_index("place")
    passed = _as_stored(result.good.select(table.key)).with_columns(cs.date().dt.to_string())
    good = keys.join(passed, on=table.key, how="semi")
    known_good = set(good["place"])
    return [
        document["_id"]
        for place, document in enumerate(candidates)
        if (place in known_good or document["window"] == window) and bson.encode(document["_id"]) not in rejected
    ]
