"""Administrators are told of messages that were given up and of those whose fate nobody knows, each once."""

from __future__ import annotations

from datetime import datetime

from pymongo.database import Database

from wattline.alerts.event_words import compose
from wattline.alerts.notice import Person
from wattline.alerts.outbox import document, insert_once, outbox
from wattline.alerts.recipients import load
from wattline.storage.documents import Document, translated

_AT_ONCE = 1_000


def tell(database: Database[Document], now: datetime) -> int:
    """Queue one message per lost one and administrator, by mail or else by SMS; returns how many are new.

    Nobody is told that such a message is lost in turn.

    Raises:
        TransientError: the server cannot be reached; the rest is told by the next call.
    """
    collection = outbox(database)
    lost = {"status": {"$in": ["unknown", "failed"]}, "transition": {"$ne": "undelivered"}, "told_lost": None}
    with translated():
        found = list(collection.find(lost).limit(_AT_ONCE))
    if not found:
        return 0
    people = load(database, ()).administrators
    messages = [message for one in found for person in people for message in _messages(one, person, now)]
    new = insert_once(collection, messages)
    with translated():
        collection.update_many({"_id": {"$in": [one["_id"] for one in found]}}, {"$set": {"told_lost": now}})
    return new


def _messages(one: Document, person: Person, now: datetime) -> list[Document]:
    channel = "mail" if person.mail else "sms" if person.phone else None
    if channel is None:
        return []
    about = one["message"].get("subject") or one["message"].get("sms", "")
    values = {
        "transition": "undelivered",
        "about": about.removeprefix("[Wattline] "),
        "recipient": one["recipient"],
        "channel": one["channel"],
        "detail": f"{one['status']}: {one['reason']}",
    }
    # The key names the message itself, so that each of them is told of by its own.
    number = ".".join((one["event"], one["transition"], one["recipient"], one["channel"]))
    more = {"key": {"message": number}, "type": 0, "at": now, "queued_at": now, "quiet": None}
    words = compose(values, person.language)
    return [document((number, "undelivered"), person, channel, words, due_at=now, **more)]
