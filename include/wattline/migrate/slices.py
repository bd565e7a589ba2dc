"""What a run reads, cut into slices that run by themselves: ranges of an index with about the same number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from wattline.errors import TransientError
from wattline.migrate.checks import Plan
from wattline.migrate.entry import Entry
from wattline.migrate.source import Source
from wattline.migrate.statements import Range, bound
from wattline.window import Window

SLICE_ROWS = 40_000
"""About how many rows a slice has at the most: a gate, a load and a verification hold them in memory."""
MAX_SLICES = 300
"""Of each kind; Airflow maps a task at most 1,024 times."""
FIRST, LAST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
"""The range of MySQL's times; what lies before is a zero date."""

_MILLISECOND = timedelta(milliseconds=1)
_SHORTEST = timedelta(seconds=1)

By = Literal["changed", "measured", "all"]


@dataclass(frozen=True)
class Slice:
    """Rows of one table: `by` says whether the bounds are of the watermark, of the measured time, or there are none.

    Attributes:
        number: its place among the slices of the table and run.
        by: `changed`, `measured` or `all`.
        start: lower bound, UTC, to the millisecond; included.
        end: upper bound, not included.
        settled: rows written at or after this instant may still change or arrive, so verification leaves them out.
        without: bounds of the measured time whose rows another slice has.
    """

    number: int
    by: By
    start: datetime
    end: datetime
    settled: datetime
    without: tuple[datetime, datetime] | None = None

    @property
    def undated(self) -> bool:
        """Whether it holds the rows whose watermark is a zero date, and only those."""
        return self.by == "changed" and self.end == FIRST + _SHORTEST

    @property
    def kind(self) -> str:
        """What its verification is remembered as."""
        return "rest" if self.without else self.by

    @property
    def window(self) -> Window:
        """The bounds as a window: what the rows that the slice rejects are remembered under."""
        return Window(self.start, self.end)

    def range(self, entry: Entry) -> Range:
        """The slice in the source's terms."""
        if self.by == "all":
            return Range()
        zone = ZoneInfo(entry.time_zone)
        column = entry.changed if self.by == "changed" else entry.measured
        start = None if self.start == FIRST else bound(self.start, zone)
        without = None
        if self.without and entry.measured:
            without = (entry.measured, bound(self.without[0], zone), bound(self.without[1], zone))
        return Range(column, start, bound(self.end, zone), without)

    def to_json(self) -> dict[str, Any]:
        """The slice as JSON types."""
        fields = asdict(self)
        fields |= {name: fields[name].isoformat() for name in ("start", "end", "settled")}
        return fields | {"without": [each.isoformat() for each in self.without] if self.without else None}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Slice:
        """The slice that `to_json` gave."""
        times = {name: datetime.fromisoformat(fields[name]) for name in ("start", "end", "settled")}
        low_high = [datetime.fromisoformat(each) for each in fields["without"] or ()]
        without = (low_high[0], low_high[1]) if low_high else None
        return cls(fields["number"], fields["by"], **times, without=without)


def cut(plan: Plan, source: Source, window: Window, watermark: datetime | None, *, live: bool) -> list[Slice]:
    """The slices of one run.

    A live run takes what was written since the watermark (everything, where there is none yet), a little earlier too:
    rows are committed late. Any other run takes what was written in its window, and what was measured in it.

    Args:
        plan: the entry and its table.
        source: where the rows are.
        window: what the run is for.
        watermark: up to which instant of `changed` everything is loaded and verified.
        live: whether the run moves the watermark.

    Raises:
        TransientError: the source's clock has not reached the window's end.
    """
    entry = plan.entry
    now = source.now()
    if now < window.end:
        raise TransientError(
            f"the source's clock says {now:%H:%M:%S}, the window ends at {window.end:%H:%M:%S}: set the clocks (NTP)"
        )
    settled = _floor(now - entry.overlap)
    if entry.changed is None:
        return [Slice(0, "all", FIRST, LAST, min(window.end, now))]
    start = window.start if not live else min(window.start, watermark) if watermark else FIRST
    start = start - entry.overlap if start > FIRST else start
    measured = _measured(window) if entry.measured and not live else None
    found = [
        *(_cut(plan, source, Slice(0, "measured", *measured, settled)) if measured else ()),
        *_cut(plan, source, Slice(0, "changed", start, window.end, settled, measured)),
        # A zero date is no time after the watermark, so nothing else would find it.
        *(_cut(plan, source, Slice(0, "changed", FIRST, FIRST + _SHORTEST, settled)) if start > FIRST else ()),
    ]
    return [replace(each, number=number) for number, each in enumerate(found)]


def _cut(plan: Plan, source: Source, whole: Slice) -> list[Slice]:
    """A slice in parts of about SLICE_ROWS rows; none where it is empty."""

    def rows(low: datetime, high: datetime) -> int:
        return source.size(plan.table, replace(whole, start=low, end=high, without=None).range(plan.entry))

    if not source.has(plan.table, replace(whole, without=None).range(plan.entry)):
        return []
    total = rows(whole.start, whole.end)
    wanted = max(SLICE_ROWS, total // MAX_SLICES)
    leaves = _halve(rows, whole.start, whole.end, total, wanted)
    parts = _merge(leaves, wanted)
    # The server's guess of the total may be half of the truth.
    while len(parts) > MAX_SLICES:
        wanted *= 2
        parts = _merge(leaves, wanted)
    found = [replace(whole, start=low, end=high) for low, high in parts]
    if whole.without is None:
        return found
    # Looked for part by part: what another slice has may be all there is, and all of it has to be passed over.
    return [part for part in found if source.has(plan.table, part.range(plan.entry))]


def _halve(rows: Any, start: datetime, end: datetime, size: int, wanted: int) -> list[tuple[datetime, datetime, int]]:
    if size <= wanted or end - start <= _SHORTEST:
        return [(start, end, size)]
    middle = _floor(start + (end - start) / 2)
    return [
        *_halve(rows, start, middle, rows(start, middle), wanted),
        *_halve(rows, middle, end, rows(middle, end), wanted),
    ]


def _merge(leaves: Sequence[tuple[datetime, datetime, int]], wanted: int) -> list[tuple[datetime, datetime]]:
    """Neighbours put together as long as they are small."""
    merged: list[tuple[datetime, datetime, int]] = []
    for start, end, size in leaves:
        if merged and merged[-1][2] + size <= wanted:
            merged[-1] = (merged[-1][0], end, merged[-1][2] + size)
        else:
            merged.append((start, end, size))
    return [(start, end) for start, end, _ in merged]


def _measured(window: Window) -> tuple[datetime, datetime]:
    """Both ends count: a reading at the window's end belongs to the tick there."""
    return window.start, window.end + _MILLISECOND


def _floor(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
