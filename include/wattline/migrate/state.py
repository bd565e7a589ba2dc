"""What the platform knows of each migration: watermark, last load, last verification, last error, drift.

One document a table in `migration_state`, beside the windows that are complete; one a verified slice in
`migration_check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pymongo.database import Database

from wattline.migrate.entry import Entry
from wattline.migrate.slices import Slice
from wattline.storage.documents import Document, documents, put, translated

COLLECTION = "migration_state"
_FLAWS_KEPT = 100
_CHECKS_KEPT = timedelta(days=90)


def load_state(database: Database[Document], entry: Entry) -> Document:
    """The state of one table; empty before its first run."""
    with translated():
        return documents(database, COLLECTION).find_one(_identity(entry)) or {}


def watermark(database: Database[Document], entry: Entry) -> datetime | None:
    """Up to which instant of the watermark column everything is loaded and verified; None before the first live run."""
    found: datetime | None = load_state(database, entry).get("watermark")
    return found


def advance(
    database: Database[Document], entry: Entry, run: str, counts: Mapping[str, int], moved_to: datetime | None
) -> None:
    """Write down that a run has loaded and verified its slices; the watermark only ever moves forward.

    Args:
        database: the platform's.
        entry: the table.
        run: which run, for people.
        counts: rows read, inserted, updated and so on.
        moved_to: the new watermark; None where the run is no live one.
    """
    now = datetime.now(UTC)
    change: Document = {"$set": {"run": run, "counts": dict(counts), "run_at": now, "error": None}}
    if moved_to is not None:
        change["$max"] = {"watermark": moved_to}
    _update(database, entry, change)


def fail(database: Database[Document], entry: Entry, run: str, error: str) -> None:
    """Write down why a step of a run failed; the next complete run clears it."""
    _update(database, entry, {"$set": {"error": {"run": run, "error": error, "at": datetime.now(UTC)}}})


def unknown_drift(database: Database[Document], entry: Entry, drift: tuple[str, ...]) -> tuple[str, ...]:
    """What of `drift` nobody has been told yet."""
    known = load_state(database, entry).get("drift", [])
    return tuple(each for each in drift if each not in known)


def note_drift(database: Database[Document], entry: Entry, drift: tuple[str, ...]) -> None:
    """Write down what the source has and the entry does not know."""
    if list(drift) != load_state(database, entry).get("drift", []):
        _update(database, entry, {"$set": {"drift": list(drift), "drift_at": datetime.now(UTC)}})


def note_check(database: Database[Document], entry: Entry, part: Slice, verdict: Document, now: datetime) -> None:
    """Keep the verification of one slice, and as the table's last one."""
    flaws = verdict["differences"]
    entries = verdict | {"differences": flaws[:_FLAWS_KEPT], "flaws": len(flaws), "at": now}
    identity = {"table": entry.name, "by": part.kind, "start": part.start, "end": part.end}
    checks = documents(database, "migration_check")
    put(checks, {"_id": identity, "table": entry.name, **entries})
    with translated():
        checks.delete_many({"table": entry.name, "at": {"$lt": now - _CHECKS_KEPT}})
    _update(database, entry, {"$set": {"check": entries | {"start": part.start, "end": part.end}}})


def _identity(entry: Entry) -> Document:
    return {"_id": {"table": entry.name}}


def _update(database: Database[Document], entry: Entry, change: Document) -> None:
    change.setdefault("$set", {})["table"] = entry.name
    with translated():
        documents(database, COLLECTION).update_one(_identity(entry), change, upsert=True)
