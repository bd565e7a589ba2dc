"""Which periods must be computed again, by pipeline: a mark is set by whoever changes what they are made of.

A *mark* is a document of the collection `recompute`: the pipeline, a period `[start, end)` that it computes (a local
hour or day, in UTC), the plants whose period it is, and a `revision` that is new with every marking. A run takes the
marks that are due when it begins and removes them when it is done, unless they were set again meanwhile.
"""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import uuid4

import polars as pl
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database

from wattline.storage.contract import UTC_TIME
from wattline.storage.documents import documents, translated
from wattline.window import Window

Document = dict[str, Any]

MARKS = pl.Schema({"pipeline": pl.String(), "mcno": pl.Int32(), "start": UTC_TIME, "end": UTC_TIME})
"""Periods to be marked, one row a pipeline, plant and period."""
DUE = pl.Schema({"mcno": pl.Int32(), "start": UTC_TIME, "end": UTC_TIME, "revision": pl.String()})
"""Marked periods of one pipeline, one row a plant and period."""

_COLLECTION = "recompute"
_AT_ONCE = 100
"""Marks of one answer; each names up to all plants."""


def mark(database: Database[Document], marks: pl.DataFrame) -> None:
    """Set marks: plants join those that are there already, and the marks get a new revision.

    Args:
        database: holds the collection `recompute`.
        marks: schema MARKS.

    Raises:
        TransientError: the server cannot be reached; marking again does no harm.
    """
    grouped = marks.group_by("pipeline", "start", "end", maintain_order=True).agg(pl.col("mcno").unique().sort())
    revision = uuid4().hex
    orders = []
    for row in grouped.iter_rows(named=True):
        period = {name: row[name] for name in ("pipeline", "start", "end")}
        # `$addToSet` would compare each plant with each.
        plants = {"$setUnion": [{"$ifNull": ["$plants", []]}, row["mcno"]]}
        values = {**period, "plants": plants, "revision": revision}
        orders.append(UpdateOne({"_id": period}, [{"$set": values}], upsert=True))
    if orders:
        with translated():
            documents(database, _COLLECTION).bulk_write(orders, ordered=False)


def due(database: Database[Document], pipeline: str, window: Window, *, live: bool, most_days: int) -> pl.DataFrame:
    """The marks that a run of `pipeline` may remove once it is done, by the schema DUE, in order of time.

    A period that ends in `(window.start, window.end]` is computed by the run in any case. A live run computes earlier
    ones besides, those of the oldest `most_days` days (UTC) that have any, so that a backlog of weeks makes no run
    longer. A period that ends later is left to later runs.

    Raises:
        TransientError: the server cannot be reached.
    """
    own = {"pipeline": pipeline, "end": {"$gt": window.start, "$lte": window.end}}
    with translated():
        marks = documents(database, _COLLECTION)
        found = _oldest(marks, {"pipeline": pipeline, "end": {"$lte": window.start}}, most_days) if live else []
        found += marks.find(own)
    rows = [(row["plants"], row["start"], row["end"], row["revision"]) for row in found]
    names = ("mcno", "start", "end", "revision")
    schema = dict(zip(names, (pl.List(DUE["mcno"]), *list(DUE.values())[1:]), strict=True))
    earlier = pl.col("end") <= window.start
    marked = pl.DataFrame(rows, schema, orient="row").explode("mcno").sort("start", "end", "mcno")
    return pl.concat([marked.filter(earlier), marked.filter(~earlier)])


def clear(database: Database[Document], pipeline: str, done: pl.DataFrame) -> pl.DataFrame:
    """Remove the marks behind the rows of `due`.

    Returns:
        The rows, by the schema MARKS, whose mark was not there any more, or was another. Somebody else has computed
        their period meanwhile, or changed what it is made of; what the run has stored may be older.

    Raises:
        TransientError: the server cannot be reached; clearing again does no harm.
    """
    gone = []
    with translated():
        marks = documents(database, _COLLECTION)
        for start, end, revision in done.select("start", "end", "revision").unique(maintain_order=True).iter_rows():
            # One by one, as only so the server says which of them it removed.
            mark = {"_id": {"pipeline": pipeline, "start": start, "end": end}, "revision": revision}
            if not marks.delete_one(mark).deleted_count:
                gone.append((start, end))
    missed = pl.DataFrame(gone, {name: DUE[name] for name in ("start", "end")}, orient="row")
    rows = done.join(missed, on=["start", "end"], how="semi").with_columns(pipeline=pl.lit(pipeline))
    return rows.select(MARKS.names())


def _oldest(marks: Collection[Document], match: Document, most_days: int) -> list[Document]:
    """The marks of the oldest `most_days` days; however many wait behind them, they are not read."""
    days: set[date] = set()
    found = []
    for row in marks.find(match).sort("end").batch_size(_AT_ONCE):
        days.add(row["start"].date())
        if len(days) > most_days:
            break
        found.append(row)
    return found
