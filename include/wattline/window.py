"""The half-open time window `[start, end)` in UTC that one run computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from wattline.errors import BadInputError


@dataclass(frozen=True)
class Window:
    """A half-open interval `[start, end)`; both ends are time-zone-aware and kept in UTC.

    Raises:
        BadInputError: an end without time zone, or `end` not after `start`.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value = getattr(self, name)
            if value.tzinfo is None:
                raise BadInputError(f"{value} has no time zone", field=name, remedy="Write it with an offset, e.g. Z")
            object.__setattr__(self, name, value.astimezone(UTC))
        if self.end <= self.start:
            raise BadInputError(f"{self.end} is not after {self.start}", field="end", remedy="Swap the ends")

    def ticks(self, step: timedelta) -> list[datetime]:
        """Every multiple of `step` (since the epoch) in `(start, end]`: the ends of the intervals inside."""
        first = _floor(self.start, step) + step
        return [first + step * n for n in range((self.end - first) // step + 1)]

    def require_grid(self, step: timedelta, field: str) -> None:
        """Refuse a window whose ends are no multiples of `step` since the epoch: runs compute whole intervals.

        Raises:
            BadInputError: an end lies between; it names `field`.
        """
        if (self.start, self.end) != (_floor(self.start, step), _floor(self.end, step)):
            minutes = f"{step.total_seconds() / 60:g}"
            raise BadInputError(f"{self} is off the grid", field=field, remedy=f"Give ends at full {minutes} minutes")

    def require_past(self, field: str) -> None:
        """Refuse a window that is not over: rows of the hours to come would be inventions, and count as complete.

        Raises:
            BadInputError: the window ends in the future; it names `field`.
        """
        if self.end > datetime.now(UTC):
            raise BadInputError(f"{self} is not over yet", field=field, remedy="Give an end that has passed")

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%dT%H:%M:%SZ}, {self.end:%Y-%m-%dT%H:%M:%SZ})"


def parse_time(value: str, field: str) -> datetime:
    """Parse one ISO 8601 time with offset into UTC.

    Raises:
        BadInputError: not ISO 8601, or without an offset.
    """
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError as error:
        raise BadInputError(f"{value!r} is no ISO 8601 time", field=field, remedy="Use 2026-11-01T00:00Z") from error
    if parsed.tzinfo is None:
        raise BadInputError(f"{value!r} has no offset", field=field, remedy="Add Z or +09:00")
    return parsed.astimezone(UTC)


def resolve(
    params: Mapping[str, Any],
    interval: tuple[datetime, datetime] | None,
    run_after: datetime,
    step: timedelta,
) -> Window:
    """The one rule for what a run computes.

    Explicit `from`/`to` parameters win, else the data interval, else the last closed step before `run_after`.

    Raises:
        BadInputError: only one of `from` and `to` is given, or one is not a time with offset.
    """
    low, high = params.get("from"), params.get("to")
    if low or high:
        if not (low and high):
            raise BadInputError("only one end is given", field="from/to", remedy="Give both from and to")
        return Window(parse_time(low, "from"), parse_time(high, "to"))
    if interval is not None and interval[0] < interval[1]:
        return Window(*interval)
    end = _floor(run_after, step)
    return Window(end - step, end)


def _floor(instant: datetime, step: timedelta) -> datetime:
    return instant - (instant - datetime(1970, 1, 1, tzinfo=UTC)) % step
