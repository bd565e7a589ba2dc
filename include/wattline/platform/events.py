"""Events that the platform raises itself (300 to 399): kept as any other, so that they can be looked up and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import UpdateOne
from pymongo.database import Database

from wattline.solar.event_types import LEVELS
from wattline.solar.legacy_tables import EVENT, EVENT_LOG
from wattline.storage.bson_frames import validator
from wattline.storage.documents import Document, create_collection, translated


@dataclass(frozen=True)
class PlatformEvent:
    """One event.

    Attributes:
        key: `mcno` (0: the platform), `invno`, `type`, `raised_at`.
        message: what happened, in one line.
        cleared_at: when it was over, UTC; None while it lasts.
    """

    key: Mapping[str, Any]
    message: str
    cleared_at: datetime | None = None


def record(database: Database[Document], events: Sequence[PlatformEvent]) -> None:
    """Write events to `event` and `event_log`; whatever people have noted on one that is there stays.

    Raises:
        TransientError: the server cannot be reached; writing again changes nothing.
    """
    orders = {"event": [_change(each) for each in events], "event_log": [log for each in events for log in _logs(each)]}
    for table in (EVENT, EVENT_LOG):
        create_collection(database, table.name, validator(table), table.indexes)
    with translated():
        for name, wanted in orders.items():
            if wanted:
                database[name].bulk_write(wanted, ordered=False)


def _change(event: PlatformEvent) -> UpdateOne:
    new: Document = dict.fromkeys(EVENT.schema) | dict(event.key)
    new |= {"level": LEVELS[event.key["type"]], "message": event.message, "checked": False}
    del new["cleared_at"]
    change = {"$setOnInsert": new, "$set": {"cleared_at": event.cleared_at}}
    return UpdateOne({"_id": {name: event.key[name] for name in EVENT.key}}, change, upsert=True)


def _logs(event: PlatformEvent) -> list[UpdateOne]:
    found = []
    for action, at in (("raised", event.key["raised_at"]), ("cleared", event.cleared_at)):
        if at is not None:
            row: Document = dict.fromkeys(EVENT_LOG.schema) | {"at": at, "action": action, "message": event.message}
            row |= {name: event.key[name] for name in ("mcno", "invno", "type")}
            key = {name: row[name] for name in EVENT_LOG.key}
            found.append(UpdateOne({"_id": key}, {"$setOnInsert": row}, upsert=True))
    return found
