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


def newest(database: Database[Document]) -> Document | None:
    """The newest document of all."""
    with translated():
        return documents(database, _COLLECTION).find_one(sort=[("measured_at", DESCENDING)])


def newer(database: Database[Document], moment: datetime) -> bool:
    """Whether a later run has stored its document already."""
    with translated():
        return documents(database, _COLLECTION).find_one({"at": {"$gt": moment}}, {"_id": 1}) is not None


def store(database: Database[Document], document: Document) -> None:
    """Store the document of a run, and remove those that are too old to be kept."""
    collection = documents(database, _COLLECTION)
    put(collection, document)
    with translated():
        collection.delete_many({"at": {"$lt": document["at"] - KEPT}})
