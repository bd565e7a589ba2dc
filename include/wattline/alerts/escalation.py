"""Faults that nobody checks are told to the plant's manager, and then to the administrators, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pymongo.database import Database

from wattline.alerts.notice import EventType, Notice, Person
from wattline.alerts.outbox import outbox, queue
from wattline.alerts.recheck import stored_event
from wattline.alerts.recipients import Recipients, load
from wattline.storage.documents import Document, translated


def escalate(database: Database[Document], event_types: Mapping[int, EventType], now: datetime) -> int:
    """Queue the escalations that are due; returns how many messages are new.

    The time of a fault runs from when the first was told of it, by itself or in a summary; where nobody could be, from
    its raise; while nobody was and a message still waits, it does not run. After `escalate_minutes` the manager is told
    (without one, the administrators at once), after twice as long the administrators. A fault that a backfill recorded
    has no message in the outbox, and is never escalated.

    Raises:
        TransientError: the server cannot be reached; calling again goes on.
    """
    collection = outbox(database)
    owed = {"transition": "raised", "escalation": {"$in": ["owed", "manager"]}}
    with translated():
        found = list(collection.find(owed).sort("queued_at", 1))
    recipients = load(database, {one["mcno"] for one in found if one["mcno"]}) if found else Recipients({}, ())
    events: dict[str, list[Document]] = {}
    for one in found:
        events.setdefault(one["event"], []).append(one)
    new = 0
    for event, raised in events.items():
        step, people = _step(database, raised, recipients, event_types, now)
        if people:
            new += queue(database, [_notice(raised[0], now, people)], recipients, event_types)
        # Marked after it is queued: a kill in between queues the same again, which changes nothing.
        with translated():
            if step != raised[0]["escalation"]:
                collection.update_many({"event": event, "transition": "raised"}, {"$set": {"escalation": step}})
    return new


def _step(
    database: Database[Document],
    raised: Sequence[Document],
    recipients: Recipients,
    event_types: Mapping[int, EventType],
    now: datetime,
) -> tuple[str | None, Sequence[Person]]:
    """What is owed after this, and who is told now."""
    first = raised[0]
    kind = event_types.get(first["type"])
    event = stored_event(database, first["key"])
    if kind is None or kind.escalate_minutes is None or event is None or event["checked"] or event["cleared_at"]:
        return None, ()
    told_at = _told_at(database, raised)
    if told_at is None:
        return first["escalation"], ()
    patience = timedelta(minutes=kind.escalate_minutes)
    manager = recipients.site(first["mcno"]).manager
    if now >= told_at + 2 * patience or (manager is None and now >= told_at + patience):
        return None, recipients.administrators
    if now >= told_at + patience and first["escalation"] == "owed" and manager:
        return "manager", (manager,)
    return first["escalation"], ()


def _told_at(database: Database[Document], raised: Sequence[Document]) -> datetime | None:
    """When the first heard of a fault; its raise where nobody ever will; None where somebody still may."""
    numbers = {one["summary"] for one in raised if one["summary"]}
    found: list[Document] = []
    if numbers:
        with translated():
            found = list(outbox(database).find({"event": {"$in": list(numbers)}, "transition": "summary"}))
    summaries = {(one["event"], one["reaches"], one["channel"]): one for one in found}
    went = [summaries.get((one["summary"], one["reaches"], one["channel"]), one) for one in raised]
    told: list[datetime] = [one["sent_at"] for one in went if one["status"] == "sent"]
    if not told and any(one["status"] in ("waiting", "sending") for one in went):
        return None
    return min(told or (one["queued_at"] for one in raised), default=None)


def _notice(raised: Document, now: datetime, people: Sequence[Person]) -> Notice:
    what = (raised["mcno"], raised["invno"], raised["type"])
    return Notice(raised["key"], "escalated", *what, now, to=tuple(people), run=raised.get("run") or "")
