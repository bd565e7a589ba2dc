"""Which days have a verdict, and which lack one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from tests.memory_store import MemoryStore
from wattline.migrate.entry import ORIGIN
from wattline.solar.summary_tables import GENERATION_CHECK
from wattline.solar.tables import DAY_GENERATION
from wattline.solar.verdicts import verdicts
from wattline.storage.contract import Table
from wattline.storage.store import Condition

WITH_ORIGIN = replace(DAY_GENERATION, columns=(*DAY_GENERATION.columns, ORIGIN))


def test_unchecked_are_days_that_are_over_have_energy_and_are_ours() -> None:
    store = MemoryStore()
    now = datetime(2025, 6, 4, 15, tzinfo=UTC)
    kwh, of = Decimal(5), date(2025, 6, 1)
    days = [
        *((1, 0, of + timedelta(days=n), kwh, None) for n in range(-70, 5)),
        (2, 0, of, Decimal(0), None),
        (3, 0, of, kwh, "mysql"),
        (4, 1, of, kwh, None),
        (5, 0, of, kwh, None),
    ]
    store.upsert(WITH_ORIGIN, pl.DataFrame(days, WITH_ORIGIN.schema, orient="row"))
    verdict = dict.fromkeys(GENERATION_CHECK.schema) | {
        "mcno": 5,
        "invno": 0,
        "day": of,
        "difference": 0,
        "agrees": True,
    }
    store.upsert(GENERATION_CHECK, pl.DataFrame([verdict], GENERATION_CHECK.schema))
    found = verdicts(store, of - timedelta(days=50), now)
    assert found.unchecked.rows() == [(1, date(2025, 4, 12), date(2025, 6, 3), 53)]
    assert (found.checked, found.apart.height) == (1, 0)
    earlier = verdicts(store, of, now - timedelta(seconds=1))
    assert earlier.unchecked.rows() == [(1, of, date(2025, 6, 2), 2)]


def test_only_days_that_do_not_agree_are_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = MemoryStore(), []
    read = store.read

    def noting(table: Table, where: Sequence[Condition] = (), columns: Sequence[str] | None = None) -> pl.DataFrame:
        if table is GENERATION_CHECK and columns != ("mcno", "day"):
            asked.append([each.value for each in where if each.column == "agrees"])
        return read(table, where, columns)

    monkeypatch.setattr(store, "read", noting)
    monkeypatch.setattr(store, "count", lambda table, where: 4_015_000)
    found = verdicts(store, date(2026, 10, 1), datetime(2026, 11, 1, tzinfo=UTC))
    assert (found.checked, found.unexplained) == (4_015_000, 0)
    assert asked == [[False]]
