"""Load: good rows into MongoDB, chunk by chunk; a killed load goes on with its last chunk.

A document that is newer than the row, or that another pipeline owns, is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import polars as pl

from wattline.migrate.checks import Plan
from wattline.migrate.entry import DELETED_AT, ORIGIN, Entry
from wattline.migrate.extract import extracted, stem
from wattline.migrate.lookup import gone, identities
from wattline.migrate.slices import Slice
from wattline.migrate.source import Source
from wattline.storage.bson_frames import validator
from wattline.storage.contract import MYSQL
from wattline.storage.documents import DOCUMENTS, Document, create_collection, documents, translated
from wattline.storage.mongo import MongoStore
from wattline.storage.mongo_write import CHUNK, NOTHING, Guard
from wattline.storage.staging import Staging
from wattline.storage.store import WriteResult


def good_name(plan: Plan, part: Slice) -> str:
    """The frame of the slice's rows that passed the gate."""
    return f"{stem(plan, part)}-good"


def load(plan: Plan, store: MongoStore, part: Slice, staging: Staging) -> dict[str, Any]:
    """Bring in the slice's good rows.

    Returns:
        How many documents were inserted, updated, unchanged, kept.
    """
    name = f"{stem(plan, part)}-load"
    note = staging.read_note(name)
    if not note or note["done"]:
        note = {"rows": 0, "written": asdict(NOTHING), "done": False}
    rows = staging.read(good_name(plan, part))
    entry = plan.entry
    prepare(entry, store)
    for chunk in rows.slice(note["rows"]).iter_slices(CHUNK):
        written = WriteResult(**note["written"]) + store.upsert(entry.documents, chunk, guard_of(entry))
        note |= {"rows": note["rows"] + chunk.height, "written": asdict(written)}
        staging.write_note(name, note)
    staging.write_note(name, note | {"done": True})
    written_: dict[str, Any] = note["written"]
    return written_


def prepare(entry: Entry, store: MongoStore) -> None:
    """Make a shared collection as those who share it want it, with the index that the migration looks by."""
    if not entry.shared:
        return
    name, contract = str(entry.target.mongo), entry.target
    if name in DOCUMENTS:
        documents(store.database, name)
    else:
        create_collection(store.database, name, validator(contract), contract.indexes)
    with translated():
        store.database[name].create_index(str(entry.written))
    store.exists(name)


def remove_gone(plan: Plan, source: Source, store: MongoStore, part: Slice, staging: Staging) -> int:
    """After a full load: mark or remove the documents whose rows are gone from the source, by the entry's rule.

    Args:
        plan: an entry that is reconciled as a whole.
        source: asked once more for each row that seems gone, as it may be new.
        store: where the documents are.
        part: the slice of the whole table; its `settled` is what `deleted_at` says.
        staging: holds the rows that were read.

    Returns:
        How many documents were marked or removed.
    """
    if part.by != "all" or plan.entry.deletions == "keep":
        return 0
    key = list(plan.entry.target.key)
    read = store.capabilities.kept(extracted(plan, part, staging).select(key))
    stored = living(plan.entry, store, key)
    missing = gone(plan, source, stored.join(read, on=key, how="anti", nulls_equal=True))
    return discard(plan.entry, store, missing, part.settled)


def living(entry: Entry, store: MongoStore, columns: Sequence[str]) -> pl.DataFrame:
    """Columns of the migration's documents that are not marked as deleted, the whole collection's."""
    return store.read(entry.documents, columns=columns, only=own(entry))


def own(entry: Entry) -> Document:
    """The migration's documents, as a filter: not deleted, and not another pipeline's."""
    return {DELETED_AT: None} | ({ORIGIN.name: MYSQL} if entry.shared else {})


def discard(entry: Entry, store: MongoStore, keys: pl.DataFrame, noticed: datetime) -> int:
    """Mark or remove the documents of `keys` (the target's key columns), by the entry's rule; how many there were."""
    changed = 0
    for name, part in store.by_collection(entry.target, keys):
        for chunk in part.iter_slices(CHUNK):
            match: Document = {"_id": {"$in": identities(entry, chunk)}} | own(entry)
            with translated():
                collection = store.database[name]
                if entry.deletions == "hard":
                    changed += collection.delete_many(match).deleted_count
                else:
                    changed += collection.update_many(match, {"$set": {DELETED_AT: noticed}}).modified_count
    return changed


def guard_of(entry: Entry) -> Guard | None:
    """Which stored documents a row may replace: those that are not newer, and of a shared collection only its own."""
    written = entry.written
    if written is None and not entry.shared:
        return None

    def guard(rows: pl.DataFrame, documents: Sequence[bytes]) -> list[Document]:
        mine: Document = {ORIGIN.name: MYSQL} if entry.shared else {}
        if written is None:
            return [mine] * rows.height
        # BSON takes a naive time as UTC, and faster.
        return [{written: {"$lte": at}} | mine for at in rows[written].dt.replace_time_zone(None).to_list()]

    return guard
