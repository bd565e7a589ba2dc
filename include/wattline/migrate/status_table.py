"""How a migration stands, in words: the same for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from wattline.migrate.status import Status

HEADINGS = ("table", "collection", "watermark (UTC)", "lag", "last run", "documents", "verified (UTC)", "quarantine")
"""What `cells` gives, in this order."""

_COUNTED = {
    "inserted": "new",
    "updated": "changed",
    "kept": "kept",
    "deleted": "deleted",
    "quarantined": "bad",
}
_UNITS = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("min", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
)


def cells(status: Status) -> tuple[str, ...]:
    """One text a heading.

    A whole table has no watermark; its lag is the time since its last run.
    """
    watermark = "whole table" if status.whole else _time(status.watermark)
    lag = status.since_run if status.whole else status.lag
    return (
        status.name,
        status.collection,
        watermark,
        "not run yet" if lag is None else elapsed(lag),
        _run(status.counts) if status.run_at else "",
        f"{status.documents:,}",
        _verdict(status),
        f"{status.quarantined:,}" if status.quarantined else "",
    )


def remarks(status: Status) -> tuple[str, ...]:
    """What somebody should look at, a line each; none where all is well."""
    lines = [f"{status.name}: {line}" for line in status.drift]
    if status.error:
        lines.insert(0, f"{status.name} failed at {_time(status.failed_at)} UTC: {status.error}")
    return tuple(lines)


def elapsed(span: timedelta) -> str:
    """A length of time in its two largest units, rounded down: `4 h 10 min`."""
    left, parts = max(span, timedelta(0)), list[str]()
    for name, unit in _UNITS:
        count, left = divmod(left, unit)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0 s"


def _run(counts: Mapping[str, int]) -> str:
    if not counts.get("rows"):
        return "nothing to move"
    parts = [f"{counts[name]:,} {word}" for name, word in _COUNTED.items() if counts.get(name)]
    return f"{counts['rows']:,} rows, {', '.join(parts) or 'nothing new'}"


def _verdict(status: Status) -> str:
    if status.checked_at is None:
        return "not yet"
    return f"{_time(status.checked_at)} " + (f"{status.differing:,} differ" if status.differing else "agrees")


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
