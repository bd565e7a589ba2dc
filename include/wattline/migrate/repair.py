"""Repair: mend just the keys that a verification found to differ.

Documents are read before the source rows, so no document of a run can be newer than the row beside it; and a document
is replaced only while it is the one that was seen. A run that writes meanwhile wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
import polars.selectors as cs

from wattline.migrate.checks import Plan
from wattline.migrate.entry import ORIGIN, Entry
from wattline.migrate.load import discard, prepare
from wattline.migrate.lookup import source_rows, stored
from wattline.migrate.source import Source
from wattline.migrate.suite import batch, suite_of
from wattline.migrate.verify import DOUBLED, LEFT
from wattline.quality.gate import check
from wattline.storage.bson_frames import id_of
from wattline.storage.contract import MYSQL
from wattline.storage.documents import Document
from wattline.storage.mongo import MongoStore
from wattline.storage.mongo_write import Guard

_NEVER: Document = {"$nor": [{}]}
"""A filter that no document fulfils."""


def repair(plan: Plan, source: Source, store: MongoStore, differences: pl.DataFrame) -> dict[str, int]:
    """Bring the documents of some keys to what the source says of them now.

    A row that the gate would not let pass is not written, nor is a document of another pipeline touched. A document
    whose row is gone is marked or removed, by the entry's rule. Which of several rows of one key is right (`doubled`),
    nobody can tell.

    Args:
        plan: the entry and its table.
        source: where the rows are.
        store: where the documents are.
        differences: of a `Verdict`: the key's columns and `kind`.

    Returns:
        How many keys were `mended` (written, or found as they should be), `removed`, `unmended`.

    Raises:
        TerminalError, TransientError: a side cannot be read or written; some keys may be mended.
    """
    entry, key = plan.entry, list(plan.entry.target.key)
    # No document has a key with nulls, and which of two rows is meant cannot be known.
    keys = differences.filter(pl.col("kind") != DOUBLED).drop_nulls(key)
    before = stored(entry, store, keys)
    rows = _rows(plan, source, keys)
    prepare(entry, store)
    # Encoded as a load encodes it, so that the next load finds nothing to do.
    written = store.upsert(entry.documents, _good(plan, rows), _guard(entry, before))
    removed = 0
    if entry.deletions != "keep":
        left = keys.filter(pl.col("kind") == LEFT).select(key)
        gone = left.join(_kept(rows).select(key), on=key, how="anti")
        removed = discard(entry, store, gone, source.now())
    mended = written.rows - written.kept
    return {"mended": mended, "removed": removed, "unmended": differences.height - mended - removed}


def _rows(plan: Plan, source: Source, keys: pl.DataFrame) -> pl.DataFrame:
    """The source rows of exactly these keys."""
    key = list(plan.entry.target.key)
    rows = source_rows(plan, source, keys)
    if plan.entry.unique:
        # To a collation several keys may be one: then each of them finds the row.
        rows = rows.unique(maintain_order=True)
    wanted = _kept(rows).select(key).with_row_index("place").join(keys, on=key, how="semi")["place"]
    return rows[wanted.to_list()]


def _good(plan: Plan, rows: pl.DataFrame) -> pl.DataFrame:
    """What the gate lets pass of source rows, as documents."""
    judged = batch(plan, rows)
    if rows.height:
        judged = check(suite_of(plan), judged, max_bad_share=1.0).good
    return judged.select(plan.entry.documents.schema.names())


def _guard(entry: Entry, before: Mapping[bytes, Document]) -> Guard:
    """Which stored documents may be replaced: those that were seen, in the version that was seen."""

    def guard(rows: pl.DataFrame, documents: Sequence[bytes]) -> list[Document]:
        return [condition(before.get(id_of(each))) for each in documents]

    def condition(seen: Document | None) -> Document:
        if seen is None:
            return _NEVER
        version = {entry.written: seen.get(entry.written)} if entry.written else {}
        return version | ({ORIGIN.name: MYSQL} if entry.shared else {})

    return guard


def _kept(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as MongoDB keeps them."""
    return rows.with_columns(cs.datetime().dt.truncate("1ms"))
