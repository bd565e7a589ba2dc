"""Messages of an incident whose beginning was computed anew: they go with it, so that nobody hears of it twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo.database import Database

from wattline.alerts.notice import key_text
from wattline.alerts.outbox import ENDS, NOT_SUMMARISED, OVER, REPLACED, drop, outbox
from wattline.storage.documents import Document, translated
from wattline.storage.store import Value

_NOT_DROPPED: Document = {"$or": [{"status": {"$ne": "dropped"}}, {"summary": {"$ne": None}}]}
_BEGUN: Document = {"transition": "raised", **_NOT_DROPPED}
_WAITING_END: Document = {"transition": {"$in": list(ENDS)}, "status": "waiting", **NOT_SUMMARISED}
_CHECK = {"_id": 0, "checked": 1, "checked_at": 1, "checked_by": 1}


def current(database: Database[Document], identifier: str) -> str:
    """The `event_id` of the event that the messages of `identifier` speak of by now.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        moved = outbox(database).find_one({"_id.event": identifier, "event": {"$ne": identifier}}, {"event": 1})
    return str(moved["event"]) if moved else identifier


def repoint(database: Database[Document], old: Mapping[str, Value], new: Mapping[str, Value]) -> int:
    """Messages of the event `old` speak of `new` from now on, with which it is one incident. Returns how many.

    What was dropped stays with `old`, as nobody heard it. Where `new` has messages of its beginning already, those of
    `old` that still wait are dropped, so that nobody hears twice. An end that still waits is taken back. Who has
    checked `old` has checked `new`.

    Raises:
        TransientError: the server cannot be reached; doing it again does no harm.
    """
    collection, event = outbox(database), {"event": key_text(old)}
    with translated():
        checked = database["event"].find_one({"_id": dict(old), "checked": True}, _CHECK)
        if checked:
            database["event"].update_one({"_id": dict(new), "checked": {"$ne": True}}, {"$set": checked})
        collection.delete_many({**event, **_WAITING_END})
        if collection.find_one({"event": key_text(new), **_BEGUN}):
            drop(database, old, REPLACED)
        change = {"$set": {"event": key_text(new), "key": dict(new)}}
        return collection.update_many({**event, **_NOT_DROPPED}, change).modified_count


def revive(database: Database[Document], keys: Sequence[Mapping[str, Value]]) -> int:
    """Events last after all: ends that still wait are taken back, beginnings that were all given up wait again.

    Returns:
        How many messages wait again.

    Raises:
        TransientError: the server cannot be reached; doing it again does no harm.
    """
    collection, events = outbox(database), [key_text(key) for key in keys]
    with translated():
        collection.delete_many({"event": {"$in": events}, **_WAITING_END})
        begun = set(collection.distinct("event", {"event": {"$in": events}, **_BEGUN}))
        given_up = {"transition": "raised", "status": "dropped", "reason": {"$in": [OVER, REPLACED]}}
        which = {"event": {"$in": [event for event in events if event not in begun]}, **given_up}
        return collection.update_many(which, {"$set": {"status": "waiting", "reason": None}}).modified_count
