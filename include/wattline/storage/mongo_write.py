"""Encoded documents into a collection, by key, so that writing them again writes nothing.

What is stored under the documents' keys is read and compared byte by byte; what is missing is inserted, what differs is
replaced. A sample of the keys saves work: where none of it is stored, all documents are taken for new at first; where
all of it differs, they are replaced without a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import polars as pl
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure

from wattline.storage.bson_frames import id_of
from wattline.storage.contract import MYSQL, ORIGIN_FIELD
from wattline.storage.documents import Document
from wattline.storage.store import WriteResult

CHUNK = 10_000
"""Documents that are compared and written at once."""
_COMMAND_BYTES = 8_000_000
"""Documents of one update command; MongoDB takes 16 MB, and the filters need room too."""
Conditions = Callable[[], Sequence[Document]]
NOTHING = WriteResult(0, 0, 0)
"""What writing no document does."""
_SAMPLE = 64
_BY_ID = {"_id": 1}
_DUPLICATE = 11000


class Guard(Protocol):
    """What stored documents must fulfil to be replaced."""

    def __call__(self, rows: pl.DataFrame, documents: Sequence[bytes]) -> Sequence[Document]:
        """The condition, as a filter of MongoDB, under which each row's document may take the place of what is there.

        Args:
            rows: the rows, as MongoDB keeps them.
            documents: the same, encoded.
        """
        ...


def not_legacy(rows: pl.DataFrame, documents: Sequence[bytes]) -> list[Document]:
    """A `Guard` that keeps the documents of the old system."""
    return [{ORIGIN_FIELD: {"$ne": MYSQL}}] * rows.height


def write(
    collection: Collection[Document], documents: list[bytes], conditions: Conditions | None = None
) -> WriteResult:
    """Bring one chunk in: insert what is missing, replace what differs.

    Args:
        collection: where the documents belong.
        documents: encoded, one a key.
        conditions: gives for each of them what a stored document must fulfil to be replaced; the others are kept.

    Raises:
        PyMongoError: as the driver raises it; some of the documents may be written.
    """
    raw = collection.with_options(CodecOptions(document_class=RawBSONDocument))
    sample = {id_of(document): document for document in documents[:: max(len(documents) // _SAMPLE, 1)]}
    there = _stored(raw, list(sample))
    if not there:
        taken = _insert(raw, documents)
        if not taken:
            return WriteResult(len(documents), 0, 0)
        return WriteResult(len(documents) - len(taken), 0, 0) + _bring(raw, taken, _by_id(documents, conditions))
    if len(there) == len(sample) and all(there[key] != document for key, document in sample.items()):
        return _replace(raw, documents, _by_id(documents, conditions))
    return _bring(raw, documents, _by_id(documents, conditions))


def _by_id(documents: list[bytes], conditions: Conditions | None) -> Mapping[bytes, Document]:
    return dict(zip(map(id_of, documents), conditions(), strict=True)) if conditions else {}


def _bring(raw: Collection[RawBSONDocument], documents: list[bytes], filters: Mapping[bytes, Document]) -> WriteResult:
    by_id = {id_of(document): document for document in documents}
    there = _stored(raw, list(by_id))
    missing = [document for key, document in by_id.items() if key not in there]
    taken = _insert(raw, missing)
    different = [document for key, document in by_id.items() if key in there and there[key] != document]
    replaced = _replace(raw, different + taken, filters)
    same = len(there) - len(different)
    return replaced + WriteResult(len(missing) - len(taken), 0, same)


def _stored(raw: Collection[RawBSONDocument], keys: list[bytes]) -> dict[bytes, bytes]:
    """The documents under `keys`, by key."""
    found = raw.find({"_id": {"$in": [RawBSONDocument(key) for key in keys]}})
    return {id_of(document): document for document in (bytes(one.raw) for one in found)}


def _insert(collection: Collection[RawBSONDocument], documents: list[bytes]) -> list[bytes]:
    """Insert; returns the documents whose key another writer took in the meantime."""
    if not documents:
        return []
    try:
        collection.insert_many(map(RawBSONDocument, documents), ordered=False)
    except BulkWriteError as error:
        failed = error.details["writeErrors"]
        if error.details["writeConcernErrors"] or any(one["code"] != _DUPLICATE for one in failed):
            raise
        return [documents[one["index"]] for one in failed]
    return []


def _replace(
    collection: Collection[RawBSONDocument], documents: list[bytes], filters: Mapping[bytes, Document]
) -> WriteResult:
    """Replace by key; as a plain command, which takes encoded documents at twice the speed of `bulk_write`.

    Where a filter forbids it, the update finds nothing, and its insert fails on the key: the document is kept.
    """
    total = NOTHING
    for batch in _commands(documents):
        updates = [
            {"q": {"_id": RawBSONDocument(id_of(one)), **filters.get(id_of(one), {})}}
            # With a filter beside the key, the server would weigh other indexes against the key's, each time.
            | {"u": RawBSONDocument(one), "upsert": True, "hint": _BY_ID}
            for one in batch
        ]
        concern = {"writeConcern": collection.write_concern.document} if collection.write_concern.document else {}
        command: dict[str, Any] = {"update": collection.name, "updates": updates, "ordered": False, **concern}
        reply = collection.database.command(command)
        errors = reply.get("writeErrors", [])
        kept = [error for error in errors if filters and error["code"] == _DUPLICATE]
        failed = [error for error in errors if error not in kept]
        failed += filter(None, [reply.get("writeConcernError")])
        if failed:
            raise OperationFailure(failed[0]["errmsg"], failed[0]["code"], failed[0])
        inserted = len(reply.get("upserted", []))
        same = reply["n"] - inserted - reply["nModified"]
        total += WriteResult(inserted, reply["nModified"], same, len(kept))
    return total


def _commands(documents: list[bytes]) -> Iterator[list[bytes]]:
    """The documents in parts that one command can carry."""
    batch: list[bytes] = []
    size = 0
    for document in documents:
        if batch and size + len(document) > _COMMAND_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document)
    if batch:
        yield batch
