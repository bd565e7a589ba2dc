"""How migrations stand: which verifications still count, and how it is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wattline.migrate.outstanding import unresolved
from wattline.migrate.slices import FIRST, LAST
from wattline.migrate.status import Status
from wattline.migrate.status_table import HEADINGS, cells, elapsed, remarks

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
STATUS = Status(
    name="inverterlog",
    dag_id="migration_inverter_m10",
    collection="inverter_reading_YYYYMM",
    whole=False,
    watermark=NOON - timedelta(minutes=12),
    lag=timedelta(minutes=12),
    run_at=NOON - timedelta(minutes=11),
    since_run=timedelta(minutes=11),
    counts={
        "rows": 12_000,
        "inserted": 9,
        "updated": 1,
        "unchanged": 11_989,
        "kept": 0,
        "quarantined": 1,
        "deleted": 0,
    },
    documents=2_000_000,
    checked_at=NOON - timedelta(minutes=11),
    differing=0,
    failed_at=None,
    error=None,
    drift=(),
    quarantined=1_500,
)


def _check(start: int, end: int, at: int, flaws: int, by: str = "changed") -> dict[str, Any]:
    """A verification of `[start, end)` in minutes after noon, done `at` minutes after noon."""
    low, high, moment = (NOON + timedelta(minutes=n) for n in (start, end, at))
    return {"by": by, "start": low, "end": high, "at": moment, "flaws": flaws}


WHOLE = {"by": "all", "start": FIRST, "end": LAST}
EVERYTHING = {"by": "changed", "start": FIRST}


@pytest.mark.parametrize(
    ("checks", "differing"),
    [
        ([], 0),
        ([_check(0, 10, 11, 3)], 3),
        # The slices of one run: one that agrees says nothing of another.
        ([_check(0, 10, 31, 3), _check(10, 20, 32, 0)], 3),
        # The run after it begins at the same watermark and goes further.
        ([_check(0, 10, 11, 3), _check(0, 20, 21, 0)], 0),
        ([_check(0, 10, 11, 3), _check(0, 20, 21, 3)], 3),
        ([_check(0, 10, 11, 3), _check(0, 5, 21, 0), _check(5, 10, 22, 0)], 0),
        ([_check(0, 10, 11, 3), _check(0, 5, 21, 0), _check(6, 10, 22, 0)], 3),
        ([_check(0, 10, 11, 3), _check(-9, -5, 20, 0), _check(0, 10, 21, 0), _check(20, 30, 31, 0)], 0),
        # One that was done before says nothing, however far it reaches.
        ([_check(0, 10, 11, 3), _check(0, 20, 10, 0)], 3),
        # Other times are compared by another column.
        ([_check(0, 10, 11, 3, "measured"), _check(0, 10, 21, 0)], 3),
        ([_check(0, 10, 11, 3, "measured"), _check(0, 10, 21, 0, "measured")], 0),
        ([_check(0, 10, 15, 3, "measured"), _check(0, 16, 21, 0) | EVERYTHING], 0),
        ([_check(0, 10, 15, 3, "measured"), _check(0, 14, 21, 0) | EVERYTHING], 3),
        ([_check(0, 0, 5, 3) | WHOLE], 3),
        ([_check(0, 10, 11, 3), _check(20, 30, 31, 4)], 7),
    ],
)
def test_a_verification_counts_until_later_ones_cover_it(checks: list[dict[str, Any]], differing: int) -> None:
    assert sum(check["flaws"] for check in unresolved(checks)) == differing
    assert unresolved(checks[::-1]) == unresolved(checks)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (3600 * 25 + 30, "1 d 1 h"),
        (86_400 + 60, "1 d"),
        (-5, "0 s"),
    ],
)
def test_a_length_of_time_in_words(seconds: int, text: str) -> None:
    assert elapsed(timedelta(seconds=seconds)) == text


def test_a_line_says_how_far_what_and_whether_it_agrees() -> None:
    assert dict(zip(HEADINGS, cells(STATUS), strict=True)) == {
        "table": "inverterlog",
        "collection": "inverter_reading_YYYYMM",
        "watermark (UTC)": "2026-11-22 11:48",
        "lag": "12 min",
        "last run": "12,000 rows, 9 new, 1 changed, 1 bad",
        "documents": "2,000,000",
        "verified (UTC)": "2026-11-22 11:49 agrees",
        "quarantine": "1,500",
    }
    assert remarks(STATUS) == ()


def test_a_table_before_its_first_run() -> None:
    nothing = replace(
        STATUS, watermark=None, lag=None, run_at=None, since_run=None, counts={}, checked_at=None, differing=None
    )
    assert cells(nothing)[2:5] == ("", "not run yet", "")
    assert cells(nothing)[6] == "not yet"


def test_a_whole_table_counts_from_its_last_run_and_an_empty_run_is_one() -> None:
    whole = replace(STATUS, whole=True, watermark=None, lag=None, counts={})
    assert cells(whole)[2:5] == ("whole table", "11 min", "nothing to move")
    assert cells(replace(whole, counts={"rows": 3, "unchanged": 3}))[4] == "3 rows, nothing new"


def test_what_is_wrong_is_said_line_by_line() -> None:
    wrong = replace(
        STATUS, differing=1_300, failed_at=NOON, error="verify: 1300 keys differ", drift=("inverterlog.x (int) is new",)
    )
    assert cells(wrong)[6] == "2026-11-22 11:49 1,300 differ"
    assert remarks(wrong) == (
        "inverterlog failed at 2026-11-22 12:00 UTC: verify: 1300 keys differ",
        "inverterlog: inverterlog.x (int) is new",
    )
