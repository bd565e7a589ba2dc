"""What a run computes of its window, of marks, and what others compute after it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from wattline.solar import scope
from wattline.storage.recompute import DUE, MARKS
from wattline.window import Window

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ZONES = {1: "Asia/Seoul", 2: "Asia/Kolkata", 3: "Europe/Berlin", 4: "Asia/Kathmandu", 5: "America/Santiago"}
PLANTS = pl.DataFrame({"mcno": list(ZONES), "timezone": list(ZONES.values())}, schema_overrides={"mcno": pl.Int32})


def frame(*rows: tuple[int | None, datetime, datetime]) -> pl.DataFrame:
    return pl.DataFrame(rows, scope.SCOPE, orient="row")


def starts(periods: pl.DataFrame, mcno: int = 1) -> list[datetime]:
    return periods.filter(mcno=mcno)["start"].to_list()


def test_a_tick_belongs_to_the_hour_and_the_day_that_it_ends() -> None:
    midnight = datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert starts(scope.hours(frame((1, NOON, NOON + HOUR)), PLANTS)) == [NOON]
    assert starts(scope.hours(frame((1, NOON - HOUR / 2, NOON)), PLANTS)) == [NOON - HOUR]
    assert scope.days(frame((1, midnight - HOUR, midnight)), PLANTS)["day"].to_list() == [date(2026, 11, 20)]
    assert scope.days(frame((1, midnight, midnight + HOUR)), PLANTS)["day"].to_list() == [date(2026, 11, 21)]


def test_the_hour_that_begins_with_a_tick_depends_on_it_too() -> None:
    changed = frame((1, NOON - HOUR / 2, NOON))
    assert starts(scope.dependent_hours(changed, PLANTS)) == [NOON - HOUR, NOON]
    assert starts(scope.dependent_hours(frame((1, NOON, NOON + HOUR / 2)), PLANTS)) == [NOON]


def test_a_period_counts_once_it_is_over() -> None:
    own = scope.own(Window(NOON, NOON + HOUR))
    assert starts(scope.hours(own, PLANTS, NOON + HOUR), 2) == [NOON - HOUR / 2]
    assert starts(scope.hours(own, PLANTS), 2) == [NOON - HOUR / 2, NOON + HOUR / 2]
    assert scope.days(own, PLANTS, NOON + HOUR).is_empty()
    assert scope.days(own, PLANTS).height == len(ZONES)


def test_no_plant_and_no_scope_give_no_period() -> None:
    own = scope.own(Window(NOON, NOON + HOUR))
    assert scope.days(own, PLANTS.clear()).schema == scope.PERIOD
    assert scope.hours(own.clear(), PLANTS).schema == scope.PERIOD
    assert scope.hours(frame((77, NOON, NOON + HOUR)), PLANTS).is_empty()


def test_a_scope_is_the_window_and_what_is_due_before_it() -> None:
    window = Window(NOON, NOON + HOUR)
    marks = [(1, NOON - 3 * HOUR, NOON - 2 * HOUR, "a"), (2, NOON - HOUR / 2, NOON + HOUR / 2, "b")]
    due = pl.DataFrame(marks, DUE, orient="row")
    planned = scope.planned(window, due)
    assert planned.rows() == [(None, NOON, NOON + HOUR), (1, NOON - 3 * HOUR, NOON - 2 * HOUR)]
    assert scope.below(planned, window).rows() == [(1, NOON - 3 * HOUR, NOON - 2 * HOUR)]
    late = frame((1, NOON - HOUR, NOON + HOUR), (2, NOON, NOON + HOUR))
    assert scope.below(late, window).rows() == [(1, NOON - HOUR, NOON)]


def test_marks_are_whole_periods_of_each_reader() -> None:
    changed = frame((1, NOON - HOUR, NOON))
    marks = scope.marks(changed, PLANTS, scope.TICK_READERS)
    assert marks.schema == MARKS
    assert scope.marks(changed.clear(), PLANTS, scope.TICK_READERS).schema == MARKS
    day = (datetime(2026, 11, 19, 15, tzinfo=UTC), datetime(2026, 11, 20, 15, tzinfo=UTC))
    found = {name: part.select("start", "end").rows() for (name,), part in marks.group_by("pipeline")}
    assert found.pop("time_generation") == [(NOON - HOUR, NOON), (NOON, NOON + HOUR)]
    readers_of_days = {*scope.TICK_READERS} - {"time_generation"}
    assert len(readers_of_days) == 4
    assert found == {name: [day] for name in readers_of_days}


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001 - UTC, see below
    st.integers(1, 60 * 72),
    st.sampled_from(sorted(ZONES)),
)
def test_days_and_hours_leave_no_hole_and_a_run_computes_those_that_end_in_its_window(
    start: datetime, minutes: int, mcno: int
) -> None:
    begin = start.replace(second=0, microsecond=0, tzinfo=UTC)
    window = Window(begin, begin + timedelta(minutes=minutes))
    for cut, longest in ((scope.days, 25 * HOUR), (scope.hours, HOUR)):
        periods = cut(scope.own(window), PLANTS).filter(mcno=mcno)
        assert periods["start"][0] <= window.start
        assert periods["end"][-1] >= window.end
        assert periods["start"][1:].to_list() == periods["end"][:-1].to_list()
        assert (periods["end"] - periods["start"]).max() <= longest
        ended = cut(scope.own(window), PLANTS, window.end).filter(mcno=mcno)["end"].to_list()
        wide = scope.own(Window(window.start - 50 * HOUR, window.end + 50 * HOUR))
        every = cut(wide, PLANTS).filter(mcno=mcno)["end"].to_list()
        assert ended == [end for end in every if window.start < end <= window.end]
