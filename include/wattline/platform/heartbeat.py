"""What heartbeat makes of its measurements: the document of `server_status`, and what people are told of it.

The newest document is the memory: every run begins with the one before. A subject that goes down is an *incident*, an
event 301 of the plant 0, until it is back. A run tells of every incident that is open or ended lately, each time: the
outbox takes what it has already for told, so a run that was killed loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from wattline.alerts.notice import Notice, Transition
from wattline.platform.events import PlatformEvent
from wattline.platform.pipelines import PREFIX
from wattline.solar.event_types import PLATFORM_DOWN

Document = dict[str, Any]

PATIENCE = {"memory": 3, "load": 3}
"""So many measurements in a row are needed to call a subject down, or back; one of any other subject."""
UP, DOWN, UNKNOWN = "up", "down", "unknown"
_KEPT = timedelta(days=1)
"""How long an incident that ended stays in the documents."""
_SHOWN_SILENT = 50
_NO_STATE: Document = {"state": UNKNOWN, "streak": 0, "since": None}


def status(
    previous: Document | None,
    checks: pl.DataFrame,
    *,
    at: datetime,
    measured_at: datetime,
    period: timedelta,
) -> Document:
    """The document of one run, without gateways and administrators.

    Args:
        previous: the newest earlier document; None before the first.
        checks: rows of `wattline.platform.checks.CHECK`, one a subject.
        at: the run, UTC; it names incidents.
        measured_at: when it was measured, UTC; the watchdog looks at it.
        period: the distance of two runs.
    """
    before = previous or {"checks": {}, "incidents": [], "beating_since": at, "measured_at": measured_at}
    # Who was silent does not know what happened meanwhile; pipelines stood as it did, and get their time to catch up.
    silent = measured_at - before["measured_at"] > 3 * period
    beating_since = at if silent else before["beating_since"]
    states = {
        row["subject"]: _judged(row, before["checks"].get(row["subject"], _NO_STATE), at, at - beating_since)
        for row in checks.iter_rows(named=True)
    }
    return {
        "_id": {"at": at},
        "at": at,
        "measured_at": measured_at,
        "beating_since": beating_since,
        "ok": all(state["state"] != DOWN for state in states.values()),
        "checks": states,
        "incidents": _incidents(before["incidents"], states, at),
    }


def with_gateways(document: Document, gateways: pl.DataFrame, administrators: Sequence[str]) -> Document:
    """The document with how many gateways there are, which of them are silent, and the names of who is told."""
    silent = gateways.filter("silent").head(_SHOWN_SILENT)
    return document | {
        "gateways": {
            "plants": gateways.height,
            "silent": int(gateways["silent"].sum()),
            "some_silent": silent.to_dicts(),
        },
        "administrators": list(administrators),
    }


def notices(document: Document) -> list[Notice]:
    """What the outbox is to be given of a document: a raise an incident, and a restart where it is over."""
    found = []
    for incident in document["incidents"]:
        found.append(_notice(incident, "raised", incident["raised_at"]))
        if incident["cleared_at"] is not None:
            found.append(_notice(incident, "restart", incident["cleared_at"]))
    return found


def down(document: Document) -> list[str]:
    """The subjects that are down."""
    return [subject for subject, state in document["checks"].items() if state["state"] == DOWN]


def events(document: Document) -> list[PlatformEvent]:
    """The incidents of a document as events 301 of the plant 0, which stands for the platform."""
    return [PlatformEvent(_key(each), _line(each), each["cleared_at"]) for each in document["incidents"]]


def _notice(incident: Mapping[str, Any], transition: Transition, at: datetime) -> Notice:
    values = {"what": incident["subject"], "detail": _line(incident)}
    return Notice(_key(incident), transition, None, None, PLATFORM_DOWN, at, values)


def _key(incident: Mapping[str, Any]) -> dict[str, Any]:
    return {"mcno": 0, "invno": 0, "type": PLATFORM_DOWN, "raised_at": incident["raised_at"]}


def _line(incident: Mapping[str, Any]) -> str:
    return f"{incident['subject']}: {incident['detail']}"


def _judged(row: Mapping[str, Any], before: Document, at: datetime, beating: timedelta) -> Document:
    """One subject's state after a measurement."""
    seen = _seen(row, before, beating)
    measured = {name: row[name] for name in ("value", "limit", "detail")} | {"ok": row["ok"]}
    if seen in (None, before["state"]):
        return {**measured, **_state(before), "streak": 0}
    streak = before["streak"] + 1
    # The first good measurement says enough of a subject of which nothing is known.
    if streak < PATIENCE.get(row["subject"], 1) and (before["state"], seen) != (UNKNOWN, UP):
        return {**measured, **_state(before), "streak": streak}
    return {**measured, "state": seen, "since": at, "streak": 0}


def _state(before: Document) -> Document:
    return {name: before[name] for name in ("state", "since")}


def _seen(row: Mapping[str, Any], before: Document, beating: timedelta) -> str | None:
    """What a measurement says of the state; None where it says nothing."""
    if row["ok"] is None or row["ok"]:
        return UP if row["ok"] else None
    if not row["subject"].startswith(PREFIX):
        return DOWN
    # A pipeline that was never seen in time is not in use: windows of the past were computed by hand.
    young = beating <= timedelta(minutes=row["limit"])
    return None if before["state"] == UNKNOWN or young else DOWN


def _incidents(before: Sequence[Document], states: Mapping[str, Document], at: datetime) -> list[Document]:
    """The incidents after a measurement: for every subject that is down exactly one that is open."""
    down = {subject: state["detail"] for subject, state in states.items() if state["state"] == DOWN}
    kept = [each for each in before if each["cleared_at"] is None or at - each["cleared_at"] < _KEPT]
    for number, incident in enumerate(kept):
        if incident["cleared_at"] is None and incident["subject"] not in down:
            kept[number] = incident | {"cleared_at": _moment(kept, "cleared_at", at)}
    known = {each["subject"] for each in kept if each["cleared_at"] is None}
    for subject, detail in down.items():
        if subject not in known:
            raised_at = _moment(kept, "raised_at", at)
            kept.append({"raised_at": raised_at, "cleared_at": None, "subject": subject, "detail": detail})
    return kept


def _moment(incidents: Sequence[Document], name: str, at: datetime) -> datetime:
    """`at`, or the first millisecond after it that no incident has: an event's key does not name the subject."""
    taken = {incident[name] for incident in incidents}
    while at in taken:
        at += timedelta(milliseconds=1)
    return at
