from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wattline.errors import BadInputError
from wattline.storage.months import collection_name, collection_names, union

NAIVE = datetime(2026, 11, 1)  # noqa: DTZ001 - without a zone on purpose
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
times = st.timedeltas(timedelta(0), timedelta(days=40_000)).map(lambda age: EPOCH + age)
lengths = st.timedeltas(MICROSECOND, timedelta(days=800))


def test_the_name_follows_the_utc_month() -> None:
    assert collection_name("inverterlog", date(2026, 11, 30)) == "inverterlog_202611"
    seoul = timezone(timedelta(hours=9))
    assert collection_name("inverterlog", datetime(2027, 1, 1, 8, 59, tzinfo=seoul)) == "inverterlog_202612"
    assert collection_name("inverterlog", datetime(2027, 1, 1, 9, 0, tzinfo=seoul)) == "inverterlog_202701"


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(BadInputError, match="time zone"):
        collection_name("inverterlog", NAIVE)
    with pytest.raises(BadInputError, match="time zone"):
        collection_names("inverterlog", NAIVE, EPOCH)


@given(times, lengths, st.floats(0, 1, exclude_max=True))
@example(datetime(2026, 12, 31, 23, 59, 59, 999999, UTC), MICROSECOND, 0.0)
def test_every_time_of_a_range_is_in_its_collections(start: datetime, length: timedelta, share: float) -> None:
    names = collection_names("log", start, start + length)
    last = start + length - MICROSECOND
    assert names == sorted(set(names))
    assert (names[0], names[-1]) == (collection_name("log", start), collection_name("log", last))
    assert collection_name("log", min(start + length * share, last)) in names
    assert len(names) == (last.year - start.year) * 12 + last.month - start.month + 1


def test_the_end_of_a_month_is_not_in_the_next() -> None:
    month = (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert collection_names("log", *month) == ["log_202612"]
    assert collection_names("log", month[0], month[1] + MICROSECOND) == ["log_202612", "log_202701"]
    assert collection_names("log", month[1], month[0]) == []
    assert collection_names("log", month[0], month[0]) == []


def test_a_union_runs_the_same_stages_on_every_collection() -> None:
    stages = [{"$match": {"mcno": 7}}]
    assert union(["a", "b"], stages) == [*stages, {"$unionWith": {"coll": "b", "pipeline": stages}}]
