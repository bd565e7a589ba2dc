"""Recorded windows, taken together, against minutes counted one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from wattline.storage.coverage import holds
from wattline.window import Window

START = datetime(2026, 11, 1, tzinfo=UTC)
SPAN = st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda span: (span[0], span[0] + span[1]))


def _at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


@given(recorded=st.lists(SPAN, max_size=12), wanted=SPAN)
def test_a_window_is_covered_when_every_minute_of_it_is(
    recorded: list[tuple[int, int]], wanted: tuple[int, int]
) -> None:
    low, high = wanted
    overlapping = sorted(span for span in recorded if span[0] < high and span[1] > low)
    minutes = {minute for span in overlapping for minute in range(*span)}
    intervals = [(_at(first), _at(stop)) for first, stop in overlapping]
    assert holds(intervals, Window(_at(low), _at(high))) == (set(range(low, high)) <= minutes)
