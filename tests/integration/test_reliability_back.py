"""Live runs of `reliability_inverter` put right what others have left behind them, and nobody hears twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.pipeline_runs import Killed, Platform, dags
from tests.integration.test_reliability_runs import (
    EVENTS,
    SEEN,
    START,
    STATES,
    TABLES,
    WINDOW,
    found,
    mails,
    platform,
    tick_rows,
)
from tests.reliability_world import TICK, cut
from wattline.solar.reliability_span import finish, hold, plan
from wattline.solar.tables import TICK_ROW
from wattline.storage.coverage import covered
from wattline.window import Window

pytestmark = pytest.mark.integration
__all__ = ["platform"]
DAG = "reliability_inverter"
TICKS = cut(WINDOW, TICK)


def correct(platform: Platform, **letters: str) -> None:
    """Other tick rows of inverters, `i1_2` that of plant 1, number 2."""
    seen = {(int(name[1]), int(name[3])): each for name, each in letters.items()}
    platform.mongo.upsert(TICK_ROW, tick_rows(seen))


def rows(platform: Platform) -> list[Any]:
    """What is stored, but for what was taken back."""
    kept = []
    for table in TABLES:
        frame = platform.mongo.read(table)
        kept.append(frame.filter(~frame["void"]) if "void" in frame.columns else frame)
    return kept


def state(platform: Platform) -> dict[str, Any]:
    return platform.database["migration_state"].find_one(STATES) or {}


def test_runs_that_were_given_up_anywhere_are_put_right_by_the_next(platform: Platform) -> None:
    steps = [task.task_id for task in dags()[DAG].topological_sort()][1:]
    for number, window in enumerate(TICKS[:-1]):
        if number % 4 == 3:
            platform.start(DAG, window)
            continue
        with pytest.raises(Killed):
            platform.start(DAG, window, before=steps[-1 - number])
    platform.start(DAG, TICKS[-1])
    assert found(platform) == EVENTS
    assert covered(platform.database, DAG, WINDOW)
    healed = rows(platform)
    platform.start(DAG, WINDOW, live=False)
    assert all(one.equals(other) for one, other in zip(rows(platform), healed, strict=True))
    told = [(row["mcno"], row["invno"], row["at"]) for row in mails(platform) if row["status"] == "waiting"]
    assert told == [(2, 1, START + 8 * TICK)]


def test_a_run_that_goes_on_with_old_frames_is_put_right_by_the_next(platform: Platform) -> None:
    platform.start(DAG, Window(WINDOW.start, TICKS[2].start))
    correct(platform, i2_1="rrbrbrrrbb")
    with pytest.raises(Killed):
        platform.start(DAG, TICKS[2], run="old", before="store_run_alert_log")
    correct(platform, i2_1=SEEN[2, 1])
    platform.start(DAG, TICKS[3])
    assert [row for row in found(platform) if row[0] == 2] == []
    platform.start(DAG, TICKS[2], run="old", since="store_run_alert_log")
    assert state(platform)["computed_to"] == TICKS[2].start
    for window in TICKS[4:]:
        platform.start(DAG, window)
    assert found(platform) == sorted([*EVENTS, (2, 1, 201, 2, 2)])


@pytest.mark.parametrize("killed", [False, True])
def test_a_corrected_beginning_is_not_told_again_and_its_end_is(platform: Platform, killed: bool) -> None:
    correct(platform, i2_1="rrrbbbbbrr")
    for window in TICKS[:5]:
        platform.start(DAG, window)
    platform.database["outbox"].update_many({}, {"$set": {"status": "sent"}})
    correct(platform, i2_1="rrbbbbbbrr")
    platform.database["recompute"].delete_many({})
    if killed:
        with pytest.raises(Killed):
            platform.start(DAG, TICKS[2], live=False, before="store_run_alert_log")
    else:
        platform.start(DAG, TICKS[2], live=False)
    assert state(platform)["computed_to"] == (TICKS[2].start if killed else TICKS[2].end)
    for window in TICKS[5:]:
        platform.start(DAG, window)
    marks = list(platform.database["recompute"].find({"pipeline": "reliability_digest"}))
    assert {2} <= {mcno for mark in marks for mcno in mark["plants"]}
    of_plant = [row for row in found(platform) if row[0] == 2]
    assert of_plant == [(2, 1, 201, 2, 8), (2, 1, 201, 3, 3)]
    said = [(row["transition"], row["key"]["raised_at"], row["at"]) for row in mails(platform) if row["mcno"] == 2]
    begin = START + 2 * TICK
    assert sorted(said) == [("cleared", begin, START + 8 * TICK), ("raised", begin, START + 3 * TICK)]


def test_a_correction_over_two_windows_takes_back_what_one_over_both_would(platform: Platform) -> None:
    correct(platform, i2_1="rrbbbbbrrr")
    platform.start(DAG, WINDOW)
    for letters, end in (("rrbrrrrrrr", 3), ("rrrrrrrrrr", 2), ("rrbbbbbrrr", 7)):
        correct(platform, i2_1=letters)
        for window in cut(WINDOW, 4 * TICK):
            platform.start(DAG, window, live=False)
        assert [row for row in found(platform) if row[0] == 2] == [(2, 1, 201, 2, end)]


def test_a_cleared_run_behind_others_tells_nothing_and_the_next_live_run_does(platform: Platform) -> None:
    correct(platform, i2_1="rrrrrrrrrr")
    for window in TICKS[:6]:
        platform.start(DAG, window)
    before = len(mails(platform))
    correct(platform, i2_1="rrrrbbbbbb")
    platform.start(DAG, TICKS[4])
    assert (len(mails(platform)), state(platform)["computed_to"]) == (before, TICKS[4].end)
    platform.start(DAG, TICKS[6])
    assert [row["at"] for row in mails(platform) if row["mcno"] == 2] == [START + 4 * TICK]


def test_a_fault_that_was_over_before_it_was_told_and_lasts_after_all_is_told(platform: Platform) -> None:
    correct(platform, i2_1="rrrbrrrrrr")
    for window in TICKS[:6]:
        platform.start(DAG, window)
    assert [row["status"] for row in mails(platform) if row["mcno"] == 2] == ["dropped"]
    correct(platform, i2_1="rrrbbbbbbb")
    platform.start(DAG, TICKS[4], live=False)
    platform.start(DAG, TICKS[6])
    assert [(row["at"], row["status"]) for row in mails(platform) if row["mcno"] == 2] == [
        (START + 3 * TICK, "waiting")
    ]


def test_what_is_too_long_ago_is_left_and_named(platform: Platform) -> None:
    database, old = platform.database, Window(START - timedelta(days=9), START - timedelta(days=8))
    span, left = plan(database, old, live=False)
    assert left is None
    finish(database, span, settled=False)
    assert state(platform)["computed_to"] == old.end
    span, left = plan(database, TICKS[0], live=True)
    assert left == Window(old.end, TICKS[0].end - timedelta(days=1))
    assert span.start == left.end


def test_a_run_that_is_overtaken_leaves_the_time_to_the_next(platform: Platform) -> None:
    database = platform.database
    first, _ = plan(database, TICKS[2], live=True)
    hold(database, first)
    assert state(platform)["revision"] == first.revision
    second, _ = plan(database, TICKS[3], live=True)
    assert second.start == first.start
    finish(database, second, settled=True)
    assert state(platform)["computed_to"] == TICKS[3].end
    hold(database, first)
    assert state(platform)["computed_to"] == first.start
    finish(database, first, settled=True)
    assert state(platform)["computed_to"] == first.start
