"""Whatever happens to runs and rows, in the end states and events are those of one run, and people know."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.reliability_world import TICK, Key, World, cut
from tests.unit.test_reliability import LETTERS, NOON, STARTS, UNITS, Seen, run, window_of, world
from wattline.alerts.notice import FAULTS
from wattline.solar.event_types import NAMES
from wattline.solar.events import KEY, SAME_INCIDENT, moved
from wattline.solar.reliability import ACTIONS
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG
from wattline.window import Window


@st.composite
def histories(draw: st.DrawFn) -> tuple[Seen, Seen, list[tuple[Any, ...]]]:
    """Rows as they were at first, as they are in the end, and what happens to runs in between, tick by tick."""
    last = {unit: draw(LETTERS) for unit in UNITS[:3]}
    first = {unit: letters if draw(st.booleans()) else draw(LETTERS) for unit, letters in last.items()}
    fates = st.sampled_from(["done"] * 4 + ["skipped"] + ["given up"] * 2)
    return first, last, [(draw(fates), draw(st.integers(0, 6))) for _ in range(30)]


@settings(max_examples=15, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(rows=histories(), start=STARTS, data=st.data())
def test_runs_given_up_or_left_out_and_rows_corrected_leave_the_same_as_one_run(
    rows: tuple[Seen, Seen, list[tuple[str, int]]], start: datetime, data: st.DataObject
) -> None:
    first, last, fates = rows
    whole, world_ = run(last, start), world(first, start)
    right, everything = world(last, start).at, window_of(last, start)
    windows = cut(everything, TICK)
    for n, (window, (fate, steps)) in enumerate(zip(windows, fates, strict=True)):
        if fate != "skipped":
            world_.run(window, steps=steps if fate == "given up" else None)
        if data.draw(st.integers(0, 4)) == 0:
            # A span's rows are corrected, and it is computed again: by hand or as cleared runs, in parts, or given up.
            low = data.draw(st.integers(0, n))
            span = Window(windows[low].start, windows[data.draw(st.integers(low, n))].end)
            correct(world_, right, span)
            live = data.draw(st.booleans())
            for part in cut(span, data.draw(st.integers(1, 9)) * TICK):
                world_.run(part, live=live, steps=data.draw(st.sampled_from([None, None, 1, 3])))
    correct(world_, right, everything)
    for part in cut(everything, data.draw(st.integers(1, 30)) * TICK):
        world_.run(part, live=False)
    after = Window(everything.end, everything.end + TICK)
    world_.run(after)
    twice = compare(world_, whole, after)
    assert first != last or twice == []


def correct(ran: World, right: dict[Any, pl.DataFrame], span: Window) -> None:
    others = {at: rows for at, rows in ran.at.items() if not span.start <= at <= span.end}
    ran.at = others | {at: rows for at, rows in right.items() if span.start <= at <= span.end}


def compare(ran: World, whole: World, after: Window) -> list[Key]:
    """`ran` stands as `whole` after one more run: states, events, and people know; returns what was told twice."""
    whole.run(after)
    gone = [key for key in ran.events if key not in whole.events]
    left = {key: ran.events[key] for key in gone if "does not show it" not in ran.events[key]["message"]}
    assert left == {}
    assert {key: event for key, event in ran.events.items() if key in whole.events} == whole.events
    for table in (RUN_ALERT, RUN_ALERT_LOG):
        mine = ran.store.read(table).filter(~pl.col("void"))
        assert mine.equals(whole.store.read(table))
    faults = {key: event for key, event in whole.events.items() if key[2] >= FAULTS.start}
    told, ends = ran.said(), ran.said("cleared")
    assert [key for key, event in faults.items() if event["cleared_at"] is None and not told[key]] == []
    over = [key for key, event in faults.items() if event["cleared_at"] and event["message"] == NAMES[key[2]]]
    assert [key for key in over if told[key] and not ends[key]] == []
    return [key for key in faults if told[key] > 1 or ends[key] > 1]


def test_a_run_that_took_a_row_back_and_was_given_up_leaves_no_state_of_it() -> None:
    first, last = ({(1, 1): letters, (1, 2): "rrrrr"} for letters in ("rrbrr", "rrrrr"))
    ran, whole, windows = world(first), world(last), cut(window_of(last), TICK)
    for window in windows[:3]:
        ran.run(window)
    ran.at = whole.at
    ran.run(windows[2], live=False, steps=1)
    ran.run(windows[3])
    ran.run(windows[4])
    whole.run(Window(windows[0].start, windows[3].end), live=False)
    assert compare(ran, whole, windows[4]) == []


def test_an_incident_is_the_nearest_event_of_the_same_inverter_and_type_within_a_day() -> None:
    def action(what: str, minutes: int, invno: int = 1, type_: int = 201) -> tuple[Any, ...]:
        begin = NOON + timedelta(minutes=minutes)
        return (1, invno, type_, begin, begin, what, True, 1)

    gone = [action("withdrawn", 0), action("withdrawn", 0, 2), action("withdrawn", 0, 1, 101)]
    raised = [action("raised", minutes) for minutes in (40, -30)] + [action("raised", 10, 1, 203)]
    actions = pl.DataFrame([*gone, *raised, action("raised", 5, 1, 101)], ACTIONS, orient="row")
    open_before = pl.DataFrame([(1, 2, 201, NOON - SAME_INCIDENT)], {name: ACTIONS[name] for name in KEY}, orient="row")
    assert moved(actions, open_before).rows() == [
        (1, 1, 201, NOON, NOON - timedelta(minutes=30)),
        (1, 2, 201, NOON, NOON - SAME_INCIDENT),
    ]
    earlier = open_before.with_columns(raised_at=pl.col("raised_at") - TICK)
    assert moved(actions, earlier).height == 1
