"""A message is looked at again right before it is sent: what it tells may be over, or seen, by now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo.database import Database

from wattline.alerts.notice import FAULTS
from wattline.alerts.outbox import ENDS, OVER, TOLD, outbox, quiet_end
from wattline.storage.documents import Document, translated

CHECKED = "somebody has checked it"
_SOON = timedelta(minutes=1)


@dataclass(frozen=True)
class Stop:
    """Do not send it."""

    reason: str


@dataclass(frozen=True)
class Later:
    """Do not send it before `at`."""

    at: datetime


def recheck(database: Database[Document], one: Document, now: datetime) -> Stop | Later | None:
    """Whether the message `one` is still to be sent at `now`; None: it is.

    Raises:
        TransientError: the server cannot be reached.
    """
    found = _end(database, one, now) if one["transition"] in ENDS else _begin(database, one)
    quiet = one.get("quiet")
    if found is None and quiet and quiet_end(quiet, now) > now:
        return Later(quiet_end(quiet, now))
    return found


def stored_event(database: Database[Document], key: Document) -> Document | None:
    """The event behind a key; its fields in the order of `_id`.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        return database["event"].find_one({"_id": {name: key[name] for name in ("mcno", "invno", "type", "raised_at")}})


def _begin(database: Database[Document], one: Document) -> Stop | None:
    # Notices of inverters last no time: they are over as soon as they are there.
    if "raised_at" not in one["key"] or one["type"] < FAULTS.start:
        return None
    event = stored_event(database, one["key"])
    if event and event.get("cleared_at") is not None:
        return Stop(OVER)
    return Stop(CHECKED) if event and event.get("checked") else None


def _end(database: Database[Document], one: Document, now: datetime) -> Stop | Later | None:
    """An end is told after its beginning was, or not at all."""
    same = {name: one[name] for name in ("event", "recipient", "channel")}
    with translated():
        begun = list(outbox(database).find({**same, "transition": {"$nin": list(ENDS)}}, {"status": 1, "summary": 1}))
    if any(each["status"] in ("sending", "waiting") for each in begun):
        return Later(now + _SOON)
    told = any(each["status"] in TOLD or each["summary"] for each in begun)
    return None if told else Stop("its beginning was not told")
