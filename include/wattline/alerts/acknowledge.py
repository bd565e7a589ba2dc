"""Somebody has seen an event: it says so, its log says so, and nobody else is told of it any more."""

from __future__ import annotations

from datetime import datetime

from pymongo.database import Database

from wattline.alerts.incident import current
from wattline.alerts.notice import event_key
from wattline.alerts.outbox import outbox
from wattline.alerts.recheck import CHECKED, stored_event
from wattline.errors import TerminalError
from wattline.storage.documents import Document, put, translated


def check(database: Database[Document], identifier: str, user: str, now: datetime) -> bool:
    """Mark an event as checked by `user` at `now`; False where somebody had done so already.

    Its raises and escalations that still wait are dropped; that it is over is told all the same.

    Args:
        database: MongoDB.
        identifier: `event_id` of the event, also where its messages speak of another by now: then that is marked.
        user: who has seen it, a `user_id`.
        now: time-zone-aware.

    Raises:
        BadInputError: the identifier is none.
        TerminalError: there is no such event.
        TransientError: the server cannot be reached; checking again completes it.
    """
    identifier = current(database, identifier)
    key = event_key(identifier)
    event = stored_event(database, key)
    if event is None:
        raise TerminalError(f"there is no event {identifier}; `wattline events list` shows those of the last days")
    change = {"checked": True, "checked_at": now, "checked_by": user}
    with translated():
        marked = database["event"].update_one({"_id": key, "checked": {"$ne": True}}, {"$set": change}).modified_count
        if not marked:
            # A check that was killed half-way is completed under its own time.
            event = stored_event(database, key) or event
            now, user = event["checked_at"] or now, event["checked_by"] or user
        entry = {name: key[name] for name in ("mcno", "invno", "type")} | {"at": now, "action": "checked"}
        put(database["event_log"], {"_id": entry, **entry, "message": f"by {user}"})
        waiting = {"event": identifier, "transition": {"$in": ["raised", "escalated"]}}
        collection = outbox(database)
        collection.update_many(
            {**waiting, "status": "waiting", "summary": None}, {"$set": {"status": "dropped", "reason": CHECKED}}
        )
        collection.update_many(waiting, {"$set": {"escalation": None}})
    return bool(marked)
