"""What pipelines say to people, and what each type of event asks for: plain values, for every part to make and read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from wattline.errors import BadInputError
from wattline.storage.store import Value

Transition = Literal["raised", "cleared", "escalated", "restart", "digest", "reset"]
Role = Literal["owner", "manager", "administrators"]
Language = Literal["ko", "en"]
FAULTS = range(200, 300)
"""Types of events that last until they are cleared, and that somebody should check."""

_STAMP = "%Y%m%dT%H%M%S"
_EVENT_ID = re.compile(
    r"(?P<mcno>\d{1,9})\.(?P<invno>\d{1,9})\.(?P<type>\d{3})\.(?P<at>\d{8}T\d{6})(?:\.(?P<fraction>\d{3}))?Z"
)


@dataclass(frozen=True)
class EventType:
    """One row of `event_type`: what an event of this type is called and who hears of it.

    Attributes:
        type: number of the type: 100 to 199 notices, 200 to 299 faults, 300 to 399 the platform itself.
        name_ko: its name in Korean.
        name_en: its name in English.
        level: notice or fault.
        mail: whether it is told by mail.
        sms: whether it is told by SMS.
        to: who is told; empty: nobody, it is only recorded.
        tells_clear: whether its end is told too.
        escalate_minutes: a fault that nobody checked for so long is told to the manager, then to administrators; None:
            never.
        quiet: whether quiet hours delay it.
    """

    type: int
    name_ko: str
    name_en: str
    level: str
    mail: bool = False
    sms: bool = False
    to: tuple[Role, ...] = ()
    tells_clear: bool = True
    escalate_minutes: int | None = None
    quiet: bool = True


@dataclass(frozen=True)
class Person:
    """Somebody who can be told.

    Attributes:
        name: `user_id`; for who has no account `owner:MCNO`, or the bare number.
        language: ko or en.
        phone: number for SMS, None or empty where there is none.
        mail: address for mail, None or empty where there is none.
        administrator: quiet hours do not hold for administrators.
    """

    name: str
    language: Language = "ko"
    phone: str | None = None
    mail: str | None = None
    administrator: bool = False


@dataclass(frozen=True)
class Notice:
    """One transition that people are to be told of; the same notice twice is told once.

    Attributes:
        key: the event's natural key {mcno, invno, type, raised_at}, or that of a digest {digest, user, day} or of a
            command {command}.
        transition: what became of it; `restart` is the end of a 300 event.
        mcno: the plant, None where none is meant.
        invno: the inverter, 0 the whole plant, None where none is meant.
        type: type of the event, 0 for digests and commands.
        at: when it happened, UTC.
        values: what its template needs: of 300 events `what` (server, pipeline, gateway) and `detail`; of digests
            `lines_ko`, `lines_en` (a line a row); of a reset nothing. `detail` may stand in every event: one line.
        not_before: not sent earlier, UTC; None: at once.
        to: whom to tell, where the type does not say it: a manager of a digest, the number that a command names.
        run: the run that tells of it, `dag_id/run_id`; empty where it is not known.
    """

    key: Mapping[str, Value]
    transition: Transition
    mcno: int | None
    invno: int | None
    type: int
    at: datetime
    values: Mapping[str, str | int | float] = field(default_factory=dict)
    not_before: datetime | None = None
    to: tuple[Person, ...] = ()
    run: str = ""


def event_id(mcno: int, invno: int, type: int, raised_at: datetime) -> str:  # noqa: A002 - the column's name
    """An event's key as one word for shells and URLs: `17.3.201.20261122T094000Z`; fractions of a second follow a dot.

    Args:
        mcno: the plant.
        invno: the inverter, 0 the whole plant.
        type: type of the event.
        raised_at: when it was raised, time-zone-aware; MongoDB keeps milliseconds, and so does this.
    """
    moment = raised_at.astimezone(UTC)
    milliseconds = moment.microsecond // 1000
    fraction = f".{milliseconds:03}" if milliseconds else ""
    return f"{mcno}.{invno}.{type}.{moment:{_STAMP}}{fraction}Z"


def event_key(identifier: str) -> dict[str, Any]:
    """The key {mcno, invno, type, raised_at} behind an `event_id`.

    Raises:
        BadInputError: it is none.
    """
    found = _EVENT_ID.fullmatch(identifier)
    try:
        if found is None:
            raise ValueError
        raised_at = datetime.strptime(found["at"], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise BadInputError(
            f"{identifier!r} is no event id", remedy="Write mcno.invno.type.time, such as 17.3.201.20261122T094000Z"
        ) from None
    raised_at += timedelta(milliseconds=int(found["fraction"] or 0))
    return {**{name: int(found[name]) for name in ("mcno", "invno", "type")}, "raised_at": raised_at}


def key_text(key: Mapping[str, Value]) -> str:
    """A notice's key as one word: the `event_id` of an event, else its values, joined by dots."""
    if "raised_at" in key:
        return event_id(**cast("dict[str, Any]", dict(key)))
    return ".".join(str(part) for pair in key.items() for part in pair)
