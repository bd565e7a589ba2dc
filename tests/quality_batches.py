"""Batches for the gates' tests: rows without a fault, to be spoilt by the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from wattline.quality.suite import Suite
from wattline.window import Window

START = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(minutes=10))
LATER = Window(WINDOW.end, WINDOW.end + timedelta(minutes=10))

_FLAWLESS: dict[str, Any] = {
    "mcno": 7,
    "at": START,
    "ackw": 61.5,
    "dckw": 63.25,
    "daykw": Decimal("180.250000"),
    "totkw": Decimal("123456.789012"),
    "status": 1,
    "poa_kw_m2": 0.6,
    "day_peak": Decimal("180.250000"),
    "stale": False,
    "counter_reset": False,
    "reading_at": START - timedelta(minutes=4),
    "received_at": START + timedelta(seconds=40),
    "updated_at": START + timedelta(seconds=40),
    "installed_at": datetime(2024, 3, 1, tzinfo=UTC),
    "serial_no": "SIM-0001",
    "removed_at": None,
    "capacity_kw": 100.0,
    "registered": True,
    "in_window": True,
    "fault": None,
    "copies": 1,
}


def batch(suite: Suite, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows that pass `suite` but for what each of `rows` says differently; `invno` counts from 1, `row` from 0."""
    full = [{**_FLAWLESS, "invno": place + 1, **row} for place, row in enumerate(rows)]
    data = {name: [row[name] for row in full] for name in suite.schema}
    frame = pl.DataFrame(data, schema=suite.schema)
    return frame.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
