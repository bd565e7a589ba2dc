"""The `wattline history` that computes a time again, to be copied from a message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

_HOUR = timedelta(hours=1)
_MOMENT = timedelta(microseconds=1)


def history_command(pipelines: Sequence[str], start: datetime, end: datetime) -> str | None:
    """The command over `[start, end)`, widened to full hours, as far as these have passed; None where none has.

    Args:
        pipelines: in the order in which they depend on each other.
        start: with time zone.
        end: likewise.
    """
    first, last = _full_hour(start), min(_full_hour(end + _HOUR - _MOMENT), _full_hour(datetime.now(UTC)))
    if last <= first:
        return None
    return f"wattline history {' '.join(pipelines)} --from {first:%Y-%m-%dT%H:%MZ} --to {last:%Y-%m-%dT%H:%MZ}"


def _full_hour(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
