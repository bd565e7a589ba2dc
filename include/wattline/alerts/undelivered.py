"""Messages that are given up, and what administrators are told of those and of the ones whose fate nobody knows."""

from __future__ import annotations

import logging
from datetime import datetime

from pymongo.database import Database

from wattline.alerts.event_words import Links, compose
from wattline.alerts.notice import Person
from wattline.alerts.outbox import NOT_SUMMARISED, document, insert_once, outbox
from wattline.alerts.recipients import load
from wattline.storage.documents import Document, translated

_AT_ONCE = 1_000
_NEVER_TRIED = "nobody sent it for a day: alert_outbox was paused, or its channel has no URL"
log = logging.getLogger(__name__)


def give_up(database: Database[Document], now: datetime) -> int:
    """Let fail what was not sent by `expires_at`, tried or not; returns how many.

    Raises:
        TransientError: the server cannot be reached.
    """
    reason = {"$concat": ["given up: ", {"$ifNull": ["$reason", _NEVER_TRIED]}]}
    with translated():
        old = {"status": "waiting", "expires_at": {"$lte": now}, **NOT_SUMMARISED}
        return outbox(database).update_many(old, [{"$set": {"status": "failed", "reason": reason}}]).modified_count


def tell(database: Database[Document], now: datetime, run: str = "") -> int:
    """Queue one message per lost one and administrator; returns how many are new.

    It goes by the channel that has not lost the message, where the administrator has an address there. Nobody is told
    that such a message is lost in turn. While no administrator has an address, what is lost stays to be told.

    Args:
        database: MongoDB.
        now: time-zone-aware.
        run: the run that tells, `dag_id/run_id`.

    Raises:
        TransientError: the server cannot be reached; the rest is told by the next call.
    """
    collection = outbox(database)
    lost = {"status": {"$in": ["unknown", "failed"]}, "transition": {"$ne": "undelivered"}, "told_lost": None}
    with translated():
        found = list(collection.find(lost).limit(_AT_ONCE))
    if not found:
        return 0
    people = [one for one in load(database, ()).administrators if one.mail or one.phone]
    if not people:
        log.warning("%d messages are lost, and no administrator has an address to be told of it", len(found))
        return 0
    new = insert_once(collection, [_message(one, person, now, run) for one in found for person in people])
    with translated():
        collection.update_many({"_id": {"$in": [one["_id"] for one in found]}}, {"$set": {"told_lost": now}})
    return new


def _message(one: Document, person: Person, now: datetime, run: str) -> Document:
    by_mail = bool(person.mail) and (one["channel"] == "sms" or not person.phone)
    about = one["message"].get("subject") or one["message"].get("sms", "")
    values = {
        "transition": "undelivered",
        "about": about.removeprefix("[Wattline] "),
        "recipient": one["recipient"],
        "channel": one["channel"],
        "detail": f"{one['status']}: {one['reason']}",
        **Links.of_settings().of_other("undelivered", run),
    }
    # The key names the message itself, so that each of them is told of by its own.
    number = ".".join(one["_id"][name] for name in ("event", "transition", "recipient", "channel"))
    more = {"key": {"message": number}, "type": 0, "at": now, "queued_at": now, "quiet": None}
    words = compose(values, person.language)
    return document((number, "undelivered"), person, "mail" if by_mail else "sms", words, due_at=now, **more)
