"""The gate: what it calls bad, what it leaves alone, and when it blocks."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tests.quality_batches import START, WINDOW, batch
from wattline.errors import TerminalError
from wattline.quality.gate import GateResult, check
from wattline.quality.result import result_document
from wattline.quality.suite import Check, Suite, range_checks
from wattline.solar.checks import READINGS
from wattline.solar.tables import READING

POWERS = st.sampled_from([None, 0.0, 80.0, 150.0, 150.1, 200.1, 20_001.0, -200.0, -200.5, float("nan"), float("inf")])
ENERGIES = st.sampled_from([None, "0", "-0.000001", "3600", "3600.000001", "480000", "480000.000001", "999999999999"])
ROW = st.fixed_dictionaries(
    {
        "ackw": POWERS,
        "dckw": POWERS,
        "daykw": ENERGIES.map(lambda text: None if text is None else Decimal(text)),
        "totkw": ENERGIES.map(lambda text: None if text is None else Decimal(text)),
        "capacity_kw": st.sampled_from([100.0, None, 0.0]),
        "registered": st.sampled_from([True, True, True, False, None]),
        "at": st.sampled_from([START, START + timedelta(minutes=11)]),
    }
)


def faulty(row: dict[str, Any]) -> bool:
    """Whether a reading is bad, said once more in plain Python."""
    power, energy, rated = (row["ackw"], row["dckw"]), (row["daykw"], row["totkw"]), row["capacity_kw"]
    if None in power or None in energy or not all(-200 <= value <= 20_000 for value in power):
        return True
    if not (0 <= energy[0] <= 480_000 and energy[1] >= 0):
        return True
    if rated and (power[0] > 1.5 * rated or power[1] > 2 * rated or energy[0] > 36 * Decimal(rated)):
        return True
    return row["registered"] is not True or row["at"] > START + timedelta(minutes=10)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.just({}), ROW), max_size=25))
def test_every_row_comes_out_once_unchanged_and_on_its_side(rows: list[dict[str, Any]]) -> None:
    frame = batch(READINGS, rows)
    result = check(READINGS, frame, max_bad_share=0.05)
    assert result.good.schema == frame.schema
    assert_frame_equal(pl.concat([result.good, result.bad.drop("reasons")]).sort("row"), frame)
    assert result.good["row"].is_sorted()
    assert result.bad["row"].is_sorted()
    assert result.bad["row"].to_list() == [place for place, row in enumerate(rows) if row and faulty(row)]
    assert result.bad["reasons"].list.len().min() != 0


def test_a_row_with_several_faults_is_one_bad_row_with_its_reasons_in_the_suites_order() -> None:
    result = check(READINGS, batch(READINGS, [{}, {"daykw": None, "ackw": 1e9, "registered": False}]), 1.0)
    (bad,) = result.bad.to_dicts()
    assert [(reason["field"], reason["reason"]) for reason in bad["reasons"]] == [
        ("invno", "the inverter is not in the register, or its plant has no time zone"),
        ("daykw", "daykw is missing"),
        ("ackw", "ackw is below -200 or above 20,000 kW"),
        ("ackw", "ackw is above 1.5 x rated AC power"),
    ]
    assert all(reason["remedy"] for reason in bad["reasons"])


def test_one_bad_row_in_a_thousand_is_taken_out_alone() -> None:
    rows: list[dict[str, Any]] = [{} for _ in range(1000)]
    rows[137] = {"totkw": Decimal(-1)}
    result = check(READINGS, batch(READINGS, rows), max_bad_share=0.05)
    assert (result.rows, result.good.height, result.bad["row"].to_list(), result.blocked) == (1000, 999, [137], False)
    assert [(line.check.field, line.checked, line.bad) for line in result.statistics if line.bad] == [
        ("totkw", 1000, 1)
    ]


@pytest.mark.parametrize(
    ("bad", "rows", "blocked"), [(20, 100, True), (6, 100, True), (5, 100, False), (0, 0, False), (1, 1, True)]
)
def test_a_larger_share_than_allowed_blocks(bad: int, rows: int, blocked: bool) -> None:
    frame = batch(READINGS, [{"ackw": -9999.0}] * bad + [{}] * (rows - bad))
    result = check(READINGS, frame, max_bad_share=0.05)
    assert (result.bad.height, result.blocked) == (bad, blocked)


def test_rows_of_earlier_batches_are_judged_and_measure_nothing() -> None:
    old = [{"in_window": False, "ackw": -9999.0}] * 40 + [{"in_window": False}] * 60
    frame = batch(READINGS, old + [{"ackw": -9999.0}] * 6 + [{}] * 94)
    result = check(READINGS, frame, max_bad_share=0.05)
    assert (result.rows, result.bad.height, result.blocked) == (100, 6, True)
    assert result.good["row"].to_list() == [*range(40, 100), *range(106, 200)]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda frame: frame.drop("registered"), "registered is missing instead of Boolean"),
        (lambda frame: frame.with_columns(pl.col("daykw").cast(pl.Float64)), "daykw is Float64 instead of Decimal"),
        (lambda frame: frame.with_columns(pl.col("at").dt.replace_time_zone(None)), "at is Datetime"),
    ],
)
def test_a_batch_of_another_shape_is_refused(spoil: Any, named: str) -> None:
    with pytest.raises(TerminalError, match=named):
        check(READINGS, spoil(batch(READINGS, [{}])), 1.0)


@pytest.mark.parametrize(
    "broken",
    [
        Check("ExpectColumnValuesToMatchRegex", "ackw", "reason", "remedy", {"regex": "["}),
        Check("ExpectColumnValuesToBeBetween", "at", "reason", "remedy", {"min_value": 5}),
        Check("ExpectColumnMaxToBeBetween", "ackw", "reason", "remedy", {"max_value": 5}),
    ],
)
def test_a_check_that_cannot_judge_rows_stops_the_gate(broken: Check) -> None:
    suite = Suite("broken", READING, (broken,))
    with pytest.raises(TerminalError, match=f"suite broken: {broken.expectation} on {broken.field} judges no rows"):
        check(suite, batch(suite, [{}, {}]), 1.0)


def test_a_suite_that_reports_an_unknown_field_or_a_range_nobody_gave_is_refused() -> None:
    with pytest.raises(TerminalError, match="has no acwk"):
        Suite("typo", READING, (Check("ExpectColumnValuesToNotBeNull", "acwk", "reason", "remedy"),))
    with pytest.raises(TerminalError, match="received_at has no range"):
        range_checks(READING, ("received_at",), "remedy")


@pytest.fixture(scope="module")
def verdict() -> GateResult:
    """Three bad rows, one of them not a number and one infinite, in a hundred."""
    rows = [{"ackw": float("nan")}, {"dckw": float("inf")}, {"daykw": Decimal(-1)}, *[{} for _ in range(97)]]
    return check(READINGS, batch(READINGS, rows), 0.05)


def test_the_stored_result_is_plain_and_the_same_for_the_same_batch(verdict: GateResult) -> None:
    again = check(READINGS, pl.concat([verdict.good, verdict.bad.drop("reasons")]).sort("row"), 0.05)
    ids = {"dag_id": "inverterlog", "run_id": "scheduled__1", "task_id": "gate", "window": WINDOW, "html": "gate.html"}
    document = result_document(verdict, **ids)
    assert bson.encode(document) == bson.encode(result_document(again, **ids))
    assert "Infinity" in json.dumps(document["validation"], allow_nan=False)
    assert document["_id"] == {"dag_id": "inverterlog", "run_id": "scheduled__1", "task_id": "gate"}
    assert (document["rows"], document["bad"], document["blocked"], document["html"]) == (100, 3, False, "gate.html")
    assert document["window"] == {"start": WINDOW.start, "end": WINDOW.end}
    assert [(line["field"], line["reason"], line["bad"]) for line in document["checks"] if line["bad"]] == [
        ("ackw", "ackw is missing or not a number", 1),
        ("dckw", "dckw is below -200 or above 20,000 kW", 1),
        ("daykw", "daykw is below 0 or above 480,000 kWh", 1),
        ("dckw", "dckw is above 2 x rated AC power", 1),
    ]


def test_a_result_of_many_bad_rows_keeps_the_first_twenty_values_of_a_check() -> None:
    result = check(READINGS, batch(READINGS, [{"ackw": -9999.0 - place} for place in range(500)]), 0.05)
    values = [part for line in result.validation["results"] for part in line["result"].values()]
    assert max(len(part) for part in values if isinstance(part, list)) == 20
    assert result.bad.height == 500


def test_the_page_shows_every_check_and_loads_nothing(verdict: GateResult) -> None:
    page = verdict.html()
    assert "3 of 100 rows are bad" in page
    assert all(line.check.reason.replace("'", "&#39;") in page for line in verdict.statistics)
    assert "default-src 'none'" in page
    assert not [mark for mark in ("http://", "https://", "<script", "<link", "<img") if mark in page]


def test_the_page_escapes_what_a_suite_says() -> None:
    suite = Suite("angle", READING, (Check("ExpectColumnValuesToNotBeNull", "ackw", "<i>reason</i>", "<b>remedy</b>"),))
    page = check(suite, batch(suite, [{"ackw": None}]), 1.0).html()
    assert "&lt;i&gt;reason&lt;/i&gt;" in page
    assert "<b>remedy" not in page


def test_great_expectations_is_imported_late_and_leaves_no_trace(tmp_path: Path) -> None:
    program = """
import sys
from tests.quality_batches import batch
from wattline.quality.gate import check
from wattline.solar.checks import READINGS
assert "great_expectations" not in sys.modules
assert "pandas" not in sys.modules
check(READINGS, batch(READINGS, [{}, {"ackw": None}]), 0.5).html()
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
