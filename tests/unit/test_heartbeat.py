"""What heartbeat makes of its measurements: who is down, since when, and what is told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattline.alerts.notice import Notice
from wattline.errors import TransientError
from wattline.platform import heartbeat
from wattline.platform.checks import CHECK, MAX_DISK, server
from wattline.platform.pipelines import PIPELINES, check
from wattline.solar import gateways

START = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
PERIOD = timedelta(minutes=5)
TICK = timedelta(milliseconds=1)


def checks(**found: bool | None) -> pl.DataFrame:
    """One row a subject; `pipeline_x` is the subject `pipeline x`, which may be 50 minutes behind."""
    rows = [(name.replace("_", " "), ok, 1.0, 50.0, f"{name} is {ok}") for name, ok in found.items()]
    return pl.DataFrame(rows, CHECK, orient="row")


class Beats:
    """Heartbeats one after the other, and everything that they ever wanted told."""

    def __init__(self) -> None:
        self.now = START
        self.document: dict[str, Any] | None = None
        self.told: dict[tuple[Any, ...], Notice] = {}

    def beat(self, after: timedelta = PERIOD, **found: bool | None) -> list[tuple[str, datetime, str]]:
        """One run; what was not told before: transition, begin of the incident, subjects."""
        self.now += after
        self.document = heartbeat.status(
            self.document, checks(**found), at=self.now, measured_at=self.now, period=PERIOD
        )
        new = []
        for notice in heartbeat.notices(self.document):
            key = (notice.key["raised_at"], notice.transition)
            if key not in self.told:
                self.told[key] = notice
                new.append((notice.transition, notice.key["raised_at"], str(notice.values["what"])))
        return new


def test_down_and_back_are_told_once_each() -> None:
    beats = Beats()
    assert beats.beat(mysql=True, disk=True) == []
    assert beats.beat(mysql=False, disk=True) == [("raised", began := beats.now, "mysql")]
    assert beats.beat(mysql=False, disk=True) == []
    assert beats.beat(mysql=True, disk=True) == [("restart", began, "mysql")]
    assert beats.beat(mysql=True, disk=True) == []
    assert beats.document is not None
    assert beats.document["ok"]


def test_what_falls_together_is_told_apart_and_each_ends_by_itself() -> None:
    beats = Beats()
    beats.beat(mysql=True, mongodb=True, disk=True)
    fallen = beats.beat(mysql=False, mongodb=False, disk=True)
    assert fallen == [("raised", beats.now, "mysql"), ("raised", beats.now + TICK, "mongodb")]
    assert beats.beat(mysql=True, mongodb=True, disk=False) == [
        ("restart", fallen[0][1], "mysql"),
        ("restart", fallen[1][1], "mongodb"),
        ("raised", beats.now, "disk"),
    ]
    assert beats.document is not None
    logged = [(each.key["raised_at"], each.cleared_at) for each in heartbeat.events(beats.document)]
    assert len({cleared for _, cleared in logged}) == 3, "event_log's key does not name the subject either"


def test_what_stays_down_silences_nothing_that_fell_with_it() -> None:
    beats = Beats()
    beats.beat(pipeline_a=True, mysql=True)
    beats.beat(timedelta(hours=1), pipeline_a=True, mysql=True)
    for _ in range(12):
        beats.beat(pipeline_a=True, mysql=True)
    first = beats.beat(pipeline_a=False, mysql=False)
    assert [what for _, _, what in first] == ["pipeline a", "mysql"]
    for _ in range(3):  # switched off for good, while the database comes and goes
        ((transition, _, what),) = beats.beat(pipeline_a=False, mysql=True)
        assert (transition, what) == ("restart", "mysql")
        assert beats.beat(pipeline_a=False, mysql=False) == [("raised", beats.now, "mysql")]
    assert beats.beat(pipeline_a=True, mysql=False) == [("restart", first[0][1], "pipeline a")]


def test_a_peak_of_load_is_no_trouble() -> None:
    beats = Beats()
    beats.beat(load=True)
    assert [beats.beat(load=ok) for ok in (False, False, True, False, False)] == [[]] * 5
    assert beats.beat(load=False) == [("raised", began := beats.now, "load")]
    assert [beats.beat(load=ok) for ok in (True, True, False, True, True)] == [[]] * 5
    assert beats.beat(load=True) == [("restart", began, "load")]


def test_a_pipeline_is_watched_once_it_was_in_time() -> None:
    beats = Beats()
    for _ in range(20):
        assert beats.beat(pipeline_a=False, pipeline_b=True, pipeline_c=None) == []
    assert beats.beat(pipeline_a=True, pipeline_b=None, pipeline_c=True) == []
    assert beats.beat(pipeline_a=False, pipeline_b=None, pipeline_c=True)[0][2] == "pipeline a"


def test_after_a_silence_pipelines_get_their_time_to_catch_up() -> None:
    beats = Beats()
    for _ in range(20):
        beats.beat(pipeline_a=True, disk=True)
    assert beats.beat(timedelta(hours=5), pipeline_a=False, disk=True) == []
    assert [beats.beat(pipeline_a=False, disk=True) for _ in range(10)] == [[]] * 10
    assert beats.beat(pipeline_a=False, disk=True)[0][2] == "pipeline a"


def test_what_ended_is_told_for_a_day_in_case_somebody_was_killed_and_then_forgotten() -> None:
    beats = Beats()
    beats.beat(disk=False)
    beats.beat(disk=True)
    assert beats.document is not None
    assert [notice.transition for notice in heartbeat.notices(beats.document)] == ["raised", "restart"]
    beats.beat(timedelta(days=1), disk=True)
    assert heartbeat.notices(beats.document) == []


@given(st.lists(st.tuples(*[st.sampled_from([True, False, None])] * 3), min_size=1, max_size=40))
def test_every_raise_has_one_end_and_every_subject_down_one_open_incident(runs: list[tuple[bool | None, ...]]) -> None:
    beats = Beats()
    for mysql, disk, load in runs:
        beats.beat(mysql=mysql, disk=disk, load=load)
        assert beats.document is not None
        open_ones = [each for each in beats.document["incidents"] if each["cleared_at"] is None]
        listed = [each["subject"] for each in open_ones]
        assert sorted(listed) == sorted(heartbeat.down(beats.document))
    beats.beat(mysql=True, disk=True, load=True)
    for _ in range(3):
        beats.beat(mysql=True, disk=True, load=True)
    raised = {key[0]: notice.values for key, notice in beats.told.items() if key[1] == "raised"}
    assert raised == {key[0]: notice.values for key, notice in beats.told.items() if key[1] == "restart"}
    falls = sum(after != before for before, after in pairwise([True, *(run[0] for run in runs if run[0] is not None)]))
    assert sum(values["what"] == "mysql" for values in raised.values()) == (falls + 1) // 2


def test_a_pipeline_is_late_beyond_its_interval_and_its_time() -> None:
    limit = PIPELINES["inverterlog"].limit
    ends = {"inverterlog": START - limit, "time_generation": START - timedelta(hours=1, minutes=51)}
    found = {row["subject"]: row for row in check(ends, START).iter_rows(named=True)}
    assert found["pipeline inverterlog"]["ok"] is True
    assert found["pipeline time_generation"]["ok"] is False
    assert found["pipeline meter_cleaning"]["ok"] is None
    later = check(ends, START + timedelta(seconds=1)).filter(subject="pipeline inverterlog")
    assert later["ok"].item() is False


class Database:
    """A database that answers, or does not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def count(self, table: object) -> int:
        if self.error:
            raise self.error
        return 3


def test_the_server_says_how_it_is_and_which_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = type("Usage", (), {"percent": 91.0})
    monkeypatch.setattr("psutil.disk_usage", lambda _: disk)
    stores: Any = {"mysql": Database(TransientError("no route to host")), "mongodb": Database()}
    found = {row["subject"]: row for row in server(stores).iter_rows(named=True)}
    assert list(found) == ["disk", "memory", "load", "mysql", "mongodb"]
    assert (found["disk"]["ok"], found["disk"]["value"], found["disk"]["limit"]) == (False, 0.91, MAX_DISK)
    assert (found["mysql"]["ok"], found["mysql"]["detail"]) == (False, "no route to host")
    assert found["mongodb"]["ok"] is True


def _gateways(*readings: int | None, said: int | None = None) -> pl.DataFrame:
    """Plants whose newest reading is so many minutes old."""
    times = [None if minutes is None else START - timedelta(minutes=minutes) for minutes in readings]
    numbers = list(range(1, len(times) + 1))
    schema = gateways.GATEWAY
    newest = pl.DataFrame(
        {"mcno": numbers, "reading_at": times}, {"mcno": schema["mcno"], "reading_at": schema["reading_at"]}
    )
    words = [] if said is None else [(1, START - timedelta(minutes=said))]
    spoken = pl.DataFrame(words, {"mcno": schema["mcno"], "said_at": schema["said_at"]}, orient="row")
    return gateways.gateways(newest.select("mcno"), spoken, newest, START)


def test_a_gateway_is_silent_after_an_hour_without_any_word() -> None:
    assert _gateways(60, 61, None, 5)["silent"].to_list() == [False, True, True, False]
    assert _gateways(500, 61, said=10)["silent"].to_list() == [False, True]


@pytest.mark.parametrize(
    ("readings", "ok"),
    [((20, 90), True), ((21, 90), False), ((500,), None), ((None, None), None), ((21, None), False)],
)
def test_all_gateways_of_two_plants_together_may_be_silent_for_two_ticks(
    readings: tuple[int | None, ...], ok: bool | None
) -> None:
    row = gateways.check(_gateways(*readings), START)
    assert row["ok"].item() is ok
    assert row["subject"].item() == "all gateways"
