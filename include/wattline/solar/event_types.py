"""Who hears of which events: the collection `event_type`, filled once, then edited by people.

Its documents are those of `EventType`, `_id` being the type. `wattline schema upgrade` adds types that are missing and
leaves the others as people have made them.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pymongo import UpdateOne
from pymongo.database import Database

from wattline.alerts.notice import EventType
from wattline.storage.documents import Document, documents, translated

STARTED, STOPPED = 101, 102
BLACKOUT, COMM_ERROR, NOT_GENERATING, FLAPPING = 201, 202, 203, 204
PLATFORM_DOWN, REGISTERED_TWICE = 301, 302

EVENT_TYPES = (
    EventType(STARTED, "발전 시작", "generation started", "notice", tells_clear=False),
    EventType(STOPPED, "발전 정지", "generation stopped", "notice", tells_clear=False),
    EventType(BLACKOUT, "정전", "blackout", "fault", True, True, ("owner", "manager"), escalate_minutes=240),
    EventType(COMM_ERROR, "통신 이상", "communication error", "fault", True, True, ("manager",), escalate_minutes=480),
    EventType(
        NOT_GENERATING, "발전 불능", "not generating", "fault", True, True, ("owner", "manager"), escalate_minutes=240
    ),
    EventType(FLAPPING, "상태 불안정", "flapping", "fault", True, False, ("manager",), escalate_minutes=480),
    EventType(PLATFORM_DOWN, "시스템 중단", "platform down", "fault", True, True, ("administrators",), quiet=False),
    EventType(
        REGISTERED_TWICE, "중복 등록", "registered twice", "notice", True, False, ("administrators",), tells_clear=False
    ),
)
"""What a new platform begins with: faults go to those who can do something about them, notices to nobody."""

LEVELS = {each.type: each.level for each in EVENT_TYPES}
"""Notice or fault, by type."""
NAMES = {each.type: each.name_en for each in EVENT_TYPES}
"""The English names, by type."""

_COLLECTION = "event_type"
_FIELDS = tuple(field.name for field in fields(EventType) if field.name != "type")
_TYPE = TypeAdapter(EventType)
log = logging.getLogger(__name__)


def seed(database: Database[Document]) -> int:
    """Add the types that are missing; returns how many were.

    Raises:
        TransientError: the server cannot be reached; seeding again does no harm.
    """
    orders = [UpdateOne({"_id": each.type}, {"$setOnInsert": _document(each)}, upsert=True) for each in EVENT_TYPES]
    with translated():
        return int(documents(database, _COLLECTION).bulk_write(orders, ordered=False).upserted_count)


def load(database: Database[Document]) -> dict[int, EventType]:
    """Every type that is stored, by its number; of types that are missing what a new platform begins with.

    A document that a person has left unreadable counts as missing, and the log names it: it must not silence the rest.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        rows = list(documents(database, _COLLECTION).find())
    stored = [found for found in map(_event_type, rows) if found]
    return {each.type: each for each in (*EVENT_TYPES, *stored)}


def _document(each: EventType) -> Document:
    values = asdict(each) | {"to": list(each.to)}
    return {name: values[name] for name in _FIELDS}


def _event_type(row: dict[str, Any]) -> EventType | None:
    """The type of a document; None where it says no such thing."""
    known = {name: row[name] for name in _FIELDS if name in row}
    try:
        return _TYPE.validate_python(known | {"type": row["_id"]})
    except ValidationError as error:
        problems = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
        log.warning("event_type %s cannot be read and is not followed until it is mended: %s", row["_id"], problems)
        return None
