"""The documents of `server_status`: one a run of heartbeat, kept for 90 days."""

from __future__ import annotations

from datetime import datetime, timedelta

from pymongo import DESCENDING
from pymongo.database import Database

from wattline.storage.documents import Document, documents, put, translated

KEPT = timedelta(days=90)
_COLLECTION = "server_status"


def at(database: Database[Document], moment: datetime) -> Document | None:
    """The document of one run, None where it has stored none.

    Raises:
        TransientError: the server cannot be reached; so do the others.
    """
    with translated():
        return documents(database, _COLLECTION).find_one({"_id": {"at": moment}})


def before(database: Database[Document], moment: datetime) -> Document | None:
    """The newest document of an earlier run."""
    with translated():
        return documents(database, _COLLECTION).find_one({"at": {"$lt": moment}}, sort=[("at", DESCENDING)])


def newest(database: Database[Document], latest: datetime) -> Document | None:
    """The newest document that was measured up to `latest`; where all are of later, the newest of them."""
    collection, order = documents(database, _COLLECTION), [("measured_at", DESCENDING)]
    with translated():
        found = collection.find_one({"measured_at": {"$lte": latest}}, sort=order)
        return found or collection.find_one(sort=order)


def newer(database: Database[Document], moment: datetime) -> bool:
    """Whether a later run has stored its document already."""
    with translated():
        return documents(database, _COLLECTION).find_one({"at": {"$gt": moment}}, {"_id": 1}) is not None


def remove_future(database: Database[Document], latest: datetime) -> int:
    """Remove what a clock that was ahead has left beyond `latest`, for it would pass as newer than now; how many."""
    ahead = [{name: {"$gt": latest}} for name in ("at", "measured_at")]
    with translated():
        return int(documents(database, _COLLECTION).delete_many({"$or": ahead}).deleted_count)


def store(database: Database[Document], document: Document) -> None:
    """Store the document of a run, and remove those that are too old to be kept."""
    collection = documents(database, _COLLECTION)
    put(collection, document)
    with translated():
        collection.delete_many({"at": {"$lt": document["at"] - KEPT}})
