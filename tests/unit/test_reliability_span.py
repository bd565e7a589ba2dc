"""What a run of `reliability_inverter` computes, by how far all is right when it begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.reliability_world import TICK
from wattline.solar.reliability_span import BACK, Span, planned, span_window
from wattline.window import Window

NOON = datetime(2026, 6, 21, 3, tzinfo=UTC)
WINDOW = Window(NOON, NOON + TICK)
"""Of the run."""


def at(ticks: int | None) -> datetime | None:
    return None if ticks is None else NOON + ticks * TICK


@pytest.mark.parametrize(
    ("computed_to", "live", "start", "settled", "unsettled"),
    [
        (None, True, 0, 1, 1),
        (0, True, 0, 1, 1),
        (-3, True, -3, 1, 1),  # a run failed, or runs were left out
        (-3, False, 0, -3, -3),  # what is not right before a run by hand stays so
        (5, True, 0, 5, 1),  # an old run that is cleared
        (5, False, 0, 5, 1),
        (-1000, True, 1 - BACK // TICK, 1, 1),
    ],
)
def test_a_live_run_goes_back_to_what_is_not_right(
    computed_to: int | None, live: bool, start: int, settled: int, unsettled: int
) -> None:
    known: dict[str, Any] = {} if computed_to is None else {"computed_to": at(computed_to)}
    span = planned(known, WINDOW, "r", live=live)
    assert (span.start, span.end) == (at(start), WINDOW.end)
    assert (span.reached(settled=True), span.reached(settled=False)) == (at(settled), at(unsettled))


@pytest.mark.parametrize(("newest", "behind"), [(None, False), (0, False), (1, False), (2, True)])
def test_a_run_is_behind_where_a_later_time_was_computed(newest: int | None, behind: bool) -> None:
    assert planned({"newest": at(newest)}, WINDOW, "r", live=True).behind is behind


def test_a_window_longer_than_the_way_back_is_computed_as_a_whole() -> None:
    long = Window(NOON, NOON + 3 * BACK)
    assert planned({"computed_to": NOON - timedelta(days=9)}, long, "r", live=True).start == NOON


def test_steps_compute_the_staged_span_or_else_the_window() -> None:
    span = planned({"computed_to": at(-2)}, WINDOW, "r", live=True)
    assert Span.of(span.frame) == span
    assert span_window(WINDOW, {"span": span.frame}) == Window(NOON - 2 * TICK, WINDOW.end)
    assert span_window(WINDOW, {}) == WINDOW
