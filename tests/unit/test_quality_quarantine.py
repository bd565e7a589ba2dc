"""Rejected rows as documents: pure, complete, the same for the same rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bson
from bson import Decimal128

from tests.quality_batches import START, WINDOW, batch
from wattline.quality.gate import check
from wattline.quality.quarantine import quarantine_documents
from wattline.quality.suite import Suite, required
from wattline.solar.checks import READINGS
from wattline.solar.tables import READING
from wattline.window import Window


def test_a_document_holds_key_window_reasons_with_values_and_the_whole_row() -> None:
    frame = batch(
        READINGS, [{}, {"ackw": 160.0, "totkw": Decimal("-0.000001"), "at": START + timedelta(microseconds=1500)}]
    )
    (document,) = quarantine_documents(check(READINGS, frame, 1.0), "inverterlog", WINDOW)
    at = START + timedelta(milliseconds=1)
    assert document.pop("row") == {
        "mcno": 7,
        "invno": 2,
        "at": at,
        "ackw": 160.0,
        "dckw": 63.25,
        "daykw": Decimal128("180.250000"),
        "totkw": Decimal128("-0.000001"),
        "status": 1,
        "received_at": START + timedelta(seconds=40),
        "capacity_kw": 100.0,
        "registered": True,
        "row": 1,
    }
    assert [(reason["field"], reason["value"], reason["reason"]) for reason in document["reasons"]] == [
        ("totkw", Decimal128("-0.000001"), "totkw is below 0 or above 999,999,999,999 kWh"),
        ("ackw", 160.0, "ackw is above 1.5 x rated AC power"),
    ]
    assert all(reason["remedy"] for reason in document.pop("reasons"))
    assert document == {
        "_id": {"table": "reading", "key": {"mcno": 7, "invno": 2, "at": at}},
        "table": "reading",
        "pipeline": "inverterlog",
        "window": {"start": WINDOW.start, "end": WINDOW.end},
        "status": "open",
    }


def test_the_same_rows_in_any_order_give_the_same_bytes() -> None:
    frame = batch(READINGS, [{"ackw": None}, {}, {"dckw": float("nan")}, {"daykw": None}])
    rows = [check(READINGS, each, 1.0) for each in (frame, frame.reverse())]
    first, second = ([bson.encode(each) for each in quarantine_documents(row, "inverterlog", WINDOW)] for row in rows)
    assert len(first) == 3
    assert first == second


def test_rows_that_share_a_broken_key_are_all_kept() -> None:
    keys = Suite("keys", READING, required(READING, READING.key, "correct it"))
    frame = batch(keys, [{"mcno": None, "invno": 4, "ackw": power} for power in (3.0, 1.0, 2.0)])
    built = quarantine_documents(check(keys, frame, 1.0), "migration_inverter_m10", WINDOW)
    assert [(each["row"]["ackw"], each["_id"].get("copy")) for each in built] == [(1.0, None), (2.0, 1), (3.0, 2)]
    assert len({bson.encode(each["_id"]) for each in built}) == 3


def test_a_batch_without_bad_rows_gives_no_documents() -> None:
    assert quarantine_documents(check(READINGS, batch(READINGS, [{}]), 1.0), "inverterlog", WINDOW) == []


def test_window_ends_are_cut_to_what_mongodb_keeps() -> None:
    end = datetime(2026, 11, 1, 4, 0, 0, 123_456, tzinfo=UTC)
    verdict = check(READINGS, batch(READINGS, [{"ackw": None}]), 1.0)
    (document,) = quarantine_documents(verdict, "inverterlog", Window(START, end))
    assert document["window"]["end"] == end.replace(microsecond=123_000)
