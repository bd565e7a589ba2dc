"""Tick rows and runs of `reliability_inverter` in memory, for the tests of states and events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from tests.memory_store import MemoryStore
from wattline.solar import collect_reliability, events
from wattline.solar.legacy_tables import EVENT_LOG
from wattline.solar.reliability_check import check
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG
from wattline.solar.reliability_ticks import TICK_STATE
from wattline.solar.targets import TARGET
from wattline.storage.contract import Table
from wattline.window import Window

TICK = timedelta(minutes=10)
NEVER = datetime(2020, 1, 1, tzinfo=UTC)
Key = tuple[int, int, int, datetime]


class Killed(Exception):  # noqa: N818 - what happens to a run
    """The run ended before its time."""


class World:
    """Targets with tick rows, and what runs have stored.

    Attributes:
        store: `run_alert`, `run_alert_log`, `event_log`.
        events: natural key → the other columns of `event`.
        messages: (natural key, transition) → how often it was queued; more than once is once for the outbox.
    """

    def __init__(self, targets: pl.DataFrame, rows: pl.DataFrame) -> None:
        self.targets = targets
        self.store, self.events = MemoryStore(), dict[Key, dict[str, Any]]()
        self.messages: dict[tuple[Key, str], int] = {}
        self.dropped: set[Key] = set()
        self.at = {at: part for (at,), part in rows.group_by("at")}

    def run(self, window: Window, *, live: bool = True, kill: random.Random | None = None) -> None:
        """What the DAG does; with `kill` the storers come in any order, and an exception may end the run anywhere.

        Raises:
            Killed: it did.
        """
        inputs = {"targets": self.targets, "good_ticks": self._rows(window)}
        inputs |= collect_reliability.states(self.store, window, {})
        found = check(window, inputs)
        steps: list[Callable[[], Any]] = [
            lambda: self._upsert(RUN_ALERT, found["run_alert"]),
            lambda: self._upsert(RUN_ALERT_LOG, found["run_alert_log"]),
            lambda: self._upsert(EVENT_LOG, found["event_log"]),
            lambda: self._store_events(found["event"], window.end),
        ]
        if kill:
            kill.shuffle(steps)
        for step in steps:
            _maybe(kill)
            step()
        _maybe(kill)
        self.dropped |= {tuple(key.values()) for key in events.superseded(found["actions"])}
        if live:
            self._queue(found["actions"])
        _maybe(kill)

    def _upsert(self, table: Table, rows: pl.DataFrame) -> None:
        if rows.height:
            self.store.upsert(table, rows)

    def _rows(self, window: Window) -> pl.DataFrame:
        ticks = [window.start + n * TICK for n in range((window.end - window.start) // TICK + 1)]
        return pl.concat([TICK_STATE.schema.to_frame(), *(self.at[tick] for tick in ticks if tick in self.at)])

    def _store_events(self, rows: pl.DataFrame, end: datetime) -> None:
        """As `events.store_events` does it in MongoDB."""
        for row in rows.iter_rows(named=True):
            key = tuple(row.pop(name) for name in events.KEY)
            stored = self.events.setdefault(key, {"cleared_at": None})
            if stored["cleared_at"] is None or stored["cleared_at"] <= end:
                self.events[key] = row

    def _queue(self, actions: pl.DataFrame) -> None:
        for notice in events.notices(actions):
            key = (*notice.key.values(), notice.transition)
            self.messages[key] = self.messages.get(key, 0) + 1


def _maybe(kill: random.Random | None) -> None:
    if kill and kill.random() < 0.05:
        raise Killed


def cut(window: Window, length: timedelta) -> list[Window]:
    """Consecutive windows of `length`, the last one perhaps shorter."""
    count = -(-(window.end - window.start) // length)
    return [Window(window.start + n * length, min(window.start + (n + 1) * length, window.end)) for n in range(count)]


def targets(places: Iterable[tuple[int, int, float, float, str]], **more: Any) -> pl.DataFrame:
    """TARGET rows of inverters, each `mcno, inverters, latitude, longitude, timezone`."""
    rows = [
        {"mcno": m, "invno": i, "installed_at": NEVER, "removed_at": None}
        | more
        | {"latitude": latitude, "longitude": longitude, "timezone": zone}
        for m, inverters, latitude, longitude, zone in places
        for i in range(1, inverters + 1)
    ]
    return pl.DataFrame(rows, TARGET)


def tick_rows(window: Window, units: pl.DataFrame) -> pl.DataFrame:
    """TICK_STATE rows of `units` (`mcno, invno`) for every tick of the window: running, read a minute before."""
    at = pl.DataFrame({"at": pl.datetime_range(window.start, window.end, TICK, time_zone="UTC", eager=True)})
    rows = units.select("mcno", "invno").join(at.select(pl.col("at").cast(pl.Datetime("us", "UTC"))), how="cross")
    return rows.with_columns(
        ackw=pl.lit(10.0),
        status=pl.lit(1, pl.Int32()),
        stale=pl.lit(value=False),
        reading_at=pl.col("at") - timedelta(minutes=1),
    ).select(TICK_STATE.schema.names())


def silence(rows: pl.DataFrame, where: pl.Expr, start: datetime, end: datetime) -> pl.DataFrame:
    """No readings after `start` and before `end` where `where`: what was read last is carried."""
    gone = where & (pl.col("reading_at") > start) & (pl.col("reading_at") < end)
    return rows.with_columns(
        ackw=pl.when(gone).then(0.0).otherwise("ackw"),
        stale=gone | pl.col("stale"),
        reading_at=pl.when(gone).then(pl.lit(start)).otherwise("reading_at"),
    )
