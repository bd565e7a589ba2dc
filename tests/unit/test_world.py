"""The live mode: what arrives is written as time passes, and a database that is away loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.memory_store import MemoryStore
from wattline.errors import TransientError
from wattline.solar import world as world_module
from wattline.solar.legacy_store import SOURCES
from wattline.solar.tables import INVERTER, READING
from wattline.solar.world import World
from wattline.storage.contract import Table
from wattline.storage.store import WriteResult
from wattline.window import Window

START = datetime(2026, 11, 20, tzinfo=UTC)
STEP = timedelta(minutes=7)


class FlakyStore(MemoryStore):
    """Away for some upserts of readings."""

    def __init__(self, away: set[int]) -> None:
        super().__init__()
        self._away = away
        self._calls = 0

    def upsert(self, table: Table, frame: pl.DataFrame) -> WriteResult:
        if table is READING:
            self._calls += 1
            if self._calls in self._away:
                raise TransientError("the server has gone away")
        return super().upsert(table, frame)


def clock(steps: int, stop: Event) -> Iterator[datetime]:
    for number in range(1, steps + 1):
        yield START + number * STEP
    stop.set()
    yield START + steps * STEP


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "LIVE_STEP", timedelta(0))
    monkeypatch.setattr(world_module, "_AHEAD", timedelta(minutes=30))


@pytest.mark.parametrize("away", [set(), {2, 3, 9}])
def test_live_writes_the_same_rows_as_one_window(away: set[int]) -> None:
    live, at_once, stop = FlakyStore(away), MemoryStore(), Event()
    world = World.open(live, 2, 7, START, with_faults=True)
    times = clock(25, stop)
    lines = list(world.follow(live, START, now=lambda: next(times), stop=stop))
    done = live.read(READING)["received_at"].max()
    assert isinstance(done, datetime)
    assert sum("will try again: the server has gone away" in line for line in lines) == len(away)
    world.send(at_once, Window(START, done + timedelta(microseconds=1)))
    for table in (READING, INVERTER):
        assert_frame_equal(live.read(table), at_once.read(table))
    for table in (SOURCES[name] for name in ("event_log", "smslog", "conn_box_log", "temperature")):
        written = live.read(table).filter(pl.col("updated_at") <= done)
        assert_frame_equal(written, at_once.read(table))
        assert written.height
    assert live.read(READING).height > 400
    assert len([line for line in lines if line.endswith(" readings")]) >= 15


def test_a_world_goes_on_where_it_began_with_plants_that_join_later() -> None:
    store = MemoryStore()
    first = World.open(store, 2, 7, START, with_faults=False)
    first.send(store, Window(START, START + STEP))
    more = World.open(store, 3, 7, START + timedelta(days=1), with_faults=False)
    assert {plant.since for plant in more.plants} == {START}
    assert more.plants[:2] == first.plants
