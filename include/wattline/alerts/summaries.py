"""The flood cap: where too many messages wait for one person, one summary tells them all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database

from wattline.alerts.event_words import compose
from wattline.alerts.outbox import NOT_SUMMARISED, document, insert_once, outbox, recipient_of
from wattline.alerts.recheck import Stop, recheck
from wattline.storage.documents import Document, translated

CAP = 20
"""Messages that one recipient gets in an hour by one channel; more become a summary."""
_HOUR = timedelta(hours=1)
_FOLDED = ("raised", "cleared", "escalated", "restart", "undelivered")
_PREFIX = "[Wattline] "
_MOST_LINES = 200


def fold(database: Database[Document], now: datetime) -> int:
    """Make summaries where they are due; returns how many messages they tell.

    A summary is made in three steps, each of which can be done again: mark its messages, store it, drop them. A process
    that is killed in between leaves marks, by which the next one goes on.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        folded = _finish(database, now)
        sent = _sent(database, now)
        for (recipient, channel), due in _due(database, now).items():
            room = CAP - sent.get((recipient, channel), 0)
            if due > room:
                _mark(database, {"recipient": recipient, "channel": channel}, now, room)
        return folded + _finish(database, now)


def _due(database: Database[Document], now: datetime) -> dict[tuple[str, str], int]:
    due = {"status": "waiting", "due_at": {"$lte": now}, "transition": {"$in": list(_FOLDED)}, **NOT_SUMMARISED}
    return _counted(database, due)


def _sent(database: Database[Document], now: datetime) -> dict[tuple[str, str], int]:
    return _counted(database, {"sent_at": {"$gt": now - _HOUR}})


def _counted(database: Database[Document], which: Document) -> dict[tuple[str, str], int]:
    """Messages by recipient and channel."""
    by = {"recipient": "$recipient", "channel": "$channel"}
    groups = outbox(database).aggregate([{"$match": which}, {"$group": {"_id": by, "n": {"$sum": 1}}}])
    return {(group["_id"]["recipient"], group["_id"]["channel"]): group["n"] for group in groups}


def _mark(database: Database[Document], whom: Mapping[str, Any], now: datetime, room: int) -> None:
    """Choose what the summary tells; where one went out within the hour, put everything off instead."""
    collection = outbox(database)
    last = collection.find_one({**whom, "transition": "summary", "at": {"$gt": now - _HOUR}}, sort=[("at", -1)])
    due = {**whom, "status": "waiting", "due_at": {"$lte": now}, "transition": {"$in": list(_FOLDED)}}
    free = {**due, **NOT_SUMMARISED, "lease.until": {"$not": {"$gt": now}}}
    if last:
        collection.update_many(free, {"$set": {"due_at": last["at"] + _HOUR}})
        return
    chosen = []
    for one in collection.find(free):
        found = recheck(database, one, now)
        if isinstance(found, Stop):
            change = {"$set": {"status": "dropped", "reason": found.reason}}
            collection.update_one({"_id": one["_id"], "status": "waiting"}, change)
        elif found is None:
            chosen.append(one["_id"])
    if len(chosen) > room:
        number = f"summary.{now:%Y%m%dT%H%M%S}"
        collection.update_many({**free, "_id": {"$in": chosen}}, {"$set": {"summary": number}})


def _finish(database: Database[Document], now: datetime) -> int:
    """Store the summary of each group of marked messages, then drop them; returns how many they are."""
    collection = outbox(database)
    marked: dict[tuple[str, str, str], list[Document]] = {}
    for one in collection.find({"status": "waiting", "summary": {"$ne": None}}).sort("at", 1):
        marked.setdefault((one["summary"], one["recipient"], one["channel"]), []).append(one)
    for (number, _, _), members in marked.items():
        insert_once(collection, [_summary(number, members, now)])
        change = {"$set": {"status": "dropped", "reason": "told in a summary", "lease": None}}
        collection.update_many({"_id": {"$in": [one["_id"] for one in members]}, "status": "waiting"}, change)
    return sum(map(len, marked.values()))


def _summary(number: str, members: list[Document], now: datetime) -> Document:
    first = members[0]
    lines = [_line(one) for one in members]
    shown = lines[:_MOST_LINES] + ["..."] * (len(lines) > _MOST_LINES)
    values = {"transition": "summary", "lines": shown, "number": len(lines), "about": lines[0]}
    more = {"key": {"summary": number}, "type": 0, "at": now, "queued_at": now, "quiet": first.get("quiet")}
    words, person = compose(values, first["language"]), recipient_of(first)
    return document((number, "summary"), person, first["channel"], words, due_at=now, **more)


def _line(one: Document) -> str:
    message = one["message"]
    return str(message.get("subject") or message.get("sms", "")).removeprefix(_PREFIX)
