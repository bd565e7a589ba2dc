"""The flood cap: where too many messages wait for one address, one summary tells them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database

from wattline.alerts.event_words import Links, compose
from wattline.alerts.outbox import NOT_SUMMARISED, document, insert_once, number_of, outbox, recipient_of
from wattline.alerts.recheck import Stop, recheck
from wattline.storage.documents import Document, translated

CAP = 20
"""Messages that one address gets in an hour; more become a summary."""
_HOUR = timedelta(hours=1)
_FOLDED = ("raised", "cleared", "escalated", "restart", "undelivered")
_PREFIX = "[Wattline] "
_MOST_LINES = 200


def fold(database: Database[Document], now: datetime, drain: str, run: str = "") -> int:
    """Make summaries where they are due, and give the drain what is due besides; returns how many they tell.

    A drain sends only what has its number, so nothing is sent that was not counted. A summary is made in three steps,
    each of which can be done again: mark its messages, store it, drop them. A process that is killed in between leaves
    marks, by which the next one goes on.

    Args:
        database: MongoDB.
        now: what is due at this time.
        drain: number of the drain.
        run: the run that drains, `dag_id/run_id`; summaries lead to it.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        folded = _finish(database, now, drain, run)
        due = {"status": "waiting", "due_at": {"$lte": now}, **NOT_SUMMARISED, "lease.until": {"$not": {"$gt": now}}}
        outbox(database).update_many(due, {"$set": {"drain": drain}})
        mine = {"status": "waiting", "drain": drain, "transition": {"$in": list(_FOLDED)}, **NOT_SUMMARISED}
        sent = _counted(database, _under_way(now))
        for (address, channel), waiting in _counted(database, mine).items():
            room = CAP - sent.get((address, channel), 0)
            if waiting > room:
                _mark(database, mine, {"reaches": address, "channel": channel}, now, room)
        return folded + _finish(database, now, drain, run)


def _under_way(now: datetime) -> Document:
    """What was sent within the hour, or may have been."""
    lately = {"$gt": now - _HOUR}
    perhaps = {"status": {"$in": ["sending", "unknown"]}, "sending_at": lately}
    return {"$or": [{"sent_at": lately}, perhaps]}


def _counted(database: Database[Document], which: Document) -> dict[tuple[str, str], int]:
    """Messages by address and channel."""
    by = {"address": "$reaches", "channel": "$channel"}
    groups = outbox(database).aggregate([{"$match": which}, {"$group": {"_id": by, "n": {"$sum": 1}}}])
    return {(group["_id"]["address"], group["_id"]["channel"]): group["n"] for group in groups}


def _mark(database: Database[Document], mine: Document, whom: Mapping[str, Any], now: datetime, room: int) -> None:
    """Choose what the summary tells; where one went out within the hour, put everything off until that is over."""
    collection = outbox(database)
    last = collection.find_one({**whom, "transition": "summary", "at": {"$gt": now - _HOUR}}, sort=[("at", -1)])
    free = {**mine, **whom}
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
        number = f"summary.{now:%Y%m%dT%H%M%S}.{mine['drain']}"
        collection.update_many({**free, "_id": {"$in": chosen}}, {"$set": {"summary": number}})


def _finish(database: Database[Document], now: datetime, drain: str, run: str) -> int:
    """Store the summary of each group of marked messages, then drop those that it tells; returns how many they are."""
    collection = outbox(database)
    marked: dict[tuple[str, str, str], list[Document]] = {}
    for one in collection.find({"status": "waiting", "summary": {"$ne": None}}).sort([("at", 1), ("_id", 1)]):
        marked.setdefault((one["summary"], one["reaches"], one["channel"]), []).append(one)
    dropped = 0
    for members in marked.values():
        summary = _summary(members, now, run) | {"drain": drain}
        insert_once(collection, [summary])
        # Another drain may have stored it while some were not marked yet: those are told by themselves, or by the next.
        stored = collection.find_one({"_id": summary["_id"]}, {"tells": 1}) or summary
        tells = set(stored["tells"])
        told = [one["_id"] for one in members if number_of(one) in tells]
        ours = {"_id": {"$in": [one["_id"] for one in members]}, "status": "waiting"}
        change = {"status": "dropped", "reason": "told in a summary", "lease": None}
        dropped += collection.update_many({**ours, "_id": {"$in": told}}, {"$set": change}).modified_count
        collection.update_many(ours, {"$set": {"summary": None, "drain": None}})
    return dropped


def _summary(members: list[Document], now: datetime, run: str) -> Document:
    """The summary of messages to one address by one channel: the first one's language and quiet hours hold."""
    first = members[0]
    lines = [_line(one) for one in members]
    shown = lines[:_MOST_LINES] + ["..."] * (len(lines) > _MOST_LINES)
    values = {"transition": "summary", "lines": shown, "number": len(lines), "about": lines[0]}
    words = compose(values | Links.of_settings().of_other("summary", run), first["language"])
    number = first["summary"]
    more = {"key": {"summary": number}, "type": 0, "at": now, "queued_at": now, "quiet": first.get("quiet")}
    # Under its address: which name comes first may be another one when it is done again.
    person = replace(recipient_of(first), name=first["reaches"])
    tells = [number_of(one) for one in members]
    return document((number, "summary"), person, first["channel"], words, due_at=now, tells=tells, **more)


def _line(one: Document) -> str:
    message = one["message"]
    return str(message.get("subject") or message.get("sms", "")).removeprefix(_PREFIX)
