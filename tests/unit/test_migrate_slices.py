"""Slices: whatever the rows, they cover what a run must read, once, in parts of about the same size."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.migration_plans import plan_of
from wattline.errors import TransientError
from wattline.migrate import slices
from wattline.migrate.slices import FIRST, Slice, cut
from wattline.migrate.statements import Range
from wattline.solar.migrations import entry
from wattline.window import Window

NOW = datetime(2026, 11, 20, 12, 0, 7, tzinfo=UTC)
WINDOW = Window(datetime(2026, 11, 20, 11, 50, tzinfo=UTC), datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
LOG, REGISTER = plan_of(entry("inverterlog")), plan_of(entry("inverter"))
OVERLAP = timedelta(minutes=2)


class Clocked:
    """A source that knows its time and when its rows were written; each also speaks of that time."""

    def __init__(self, times: list[datetime], now: datetime = NOW) -> None:
        self.times, self.clock = times, now

    def now(self) -> datetime:
        return self.clock

    def size(self, table: Any, rows: Range) -> int:
        return max(sum(self._inside(moment, rows) for moment in self.times), 1)

    def has(self, table: Any, rows: Range) -> bool:
        return any(self._inside(moment, rows) for moment in self.times)

    def _inside(self, moment: datetime, rows: Range) -> bool:
        text = f"{moment:%Y-%m-%d %H:%M:%S.%f}"
        low, high = rows.start or "", rows.end or "9"
        left_out = rows.without is not None and rows.without[1] <= text < rows.without[2]
        return low <= text < high and not left_out


_EARLY, _LATE = datetime(1990, 1, 1), datetime(2026, 11, 20, 12)  # noqa: DTZ001 - hypothesis adds the zone
_EDGES = [WINDOW.start + timedelta(seconds=n) for n in (-180, -121, -120, -1, 0, 1, 599)] + [WINDOW.end]
"""Around the window and its overlap, where times drawn from decades hardly ever fall."""
moments = st.lists(st.datetimes(_EARLY, _LATE, timezones=st.just(UTC)) | st.sampled_from(_EDGES), max_size=60)


@given(
    times=moments, live=st.booleans(), watermark=st.none() | st.just(WINDOW.start) | st.just(NOW - timedelta(days=900))
)
def test_each_row_that_a_run_must_read_is_in_exactly_one_slice(
    times: list[datetime], live: bool, watermark: datetime | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "SLICE_ROWS", 5)
        source = Clocked(times)
        parts = cut(LOG, source, WINDOW, watermark, live=live)  # type: ignore[arg-type] # what cut asks of a source
    since = (
        FIRST
        if live and watermark is None
        else (min(watermark or WINDOW.start, WINDOW.start) if live else WINDOW.start)
    )
    since = since - OVERLAP if since > FIRST else since
    for moment in times:
        holders = [part for part in parts if source._inside(moment, part.range(LOG.entry))]
        measured = not live and WINDOW.start <= moment <= WINDOW.end
        assert len(holders) == (since <= moment < WINDOW.end or measured)
    assert [part.number for part in parts] == list(range(len(parts)))
    for part, following in pairwise([each for each in parts if each.by == "changed"]):
        # A run that is not live leaves out the parts that add nothing to what it reads by the measured time.
        assert part.end == following.start if live else part.end <= following.start
    assert all(Slice.from_json(part.to_json()) == part for part in parts)


def test_slices_have_about_the_same_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 100)
    dense = [NOW - timedelta(days=300) + timedelta(seconds=5 * n) for n in range(1_000)]
    sparse = [NOW - timedelta(days=n) for n in range(1, 290)]
    source = Clocked(dense + sparse)
    parts = cut(LOG, source, WINDOW, None, live=True)  # type: ignore[arg-type]
    sizes = [sum(source._inside(moment, part.range(LOG.entry)) for moment in source.times) for part in parts]
    assert sum(sizes) == 1_289
    assert max(sizes) <= 100
    assert len(parts) <= 30


def test_rows_that_may_still_arrive_are_not_settled() -> None:
    (part,) = cut(LOG, Clocked([WINDOW.start]), WINDOW, WINDOW.start, live=True)  # type: ignore[arg-type]
    assert (part.start, part.end) == (WINDOW.start - OVERLAP, WINDOW.end)
    assert part.settled == NOW - OVERLAP


def test_a_zero_date_is_found_by_every_run() -> None:
    long_ago = datetime(999, 12, 31, tzinfo=UTC)
    source = Clocked([])
    source.has = lambda table, rows: rows.start is None  # type: ignore[method-assign]
    parts = cut(LOG, source, WINDOW, WINDOW.start, live=True)  # type: ignore[arg-type]
    assert [(part.by, part.start) for part in parts] == [("changed", FIRST)]
    assert parts[0].end > long_ago


def test_a_whole_table_is_one_slice() -> None:
    (part,) = cut(REGISTER, Clocked([]), WINDOW, None, live=False)  # type: ignore[arg-type]
    assert part.by == "all"
    assert part.range(REGISTER.entry) == Range()


def test_a_clock_that_is_behind_is_waited_for() -> None:
    with pytest.raises(TransientError, match="NTP"):
        cut(LOG, Clocked([], WINDOW.end - timedelta(seconds=1)), WINDOW, None, live=True)  # type: ignore[arg-type]
