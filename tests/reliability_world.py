"""Tick rows and runs of `reliability_inverter` in memory, for the tests of states and events."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from tests.memory_store import MemoryStore
from wattline.alerts.notice import FAULTS
from wattline.solar import collect_reliability, events
from wattline.solar.event_types import NAMES
from wattline.solar.legacy_tables import EVENT, EVENT_LOG
from wattline.solar.reliability_check import check
from wattline.solar.reliability_span import Span, planned
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG
from wattline.solar.reliability_ticks import TICK_STATE
from wattline.solar.targets import TARGET
from wattline.storage.contract import Table
from wattline.window import Window

TICK = timedelta(minutes=10)
NEVER = datetime(2020, 1, 1, tzinfo=UTC)
Key = tuple[int, int, int, datetime]
Message = tuple[int, int, int, datetime, str]


class Killed(Exception):  # noqa: N818 - what happens to a run
    """The run ended before its time."""


class World:
    """Targets with tick rows, and what runs have stored.

    Attributes:
        store: `run_alert`, `run_alert_log`, `event_log`.
        events: natural key → the other columns of `event`.
        messages: natural key and transition → how often it was queued; more than once is once for the outbox.
        known: how far all is computed, as MongoDB has it.
    """

    def __init__(self, targets: pl.DataFrame, rows: pl.DataFrame) -> None:
        self.targets = targets
        self.store, self.events = MemoryStore(), dict[Key, dict[str, Any]]()
        self.messages: dict[Message, int] = {}
        self._about: dict[Message, Key] = {}
        self.dropped: set[Key] = set()
        self.known: dict[str, Any] = {}
        self.at = {at: part for (at,), part in rows.group_by("at")}

    def run(
        self, window: Window, *, live: bool = True, kill: random.Random | None = None, steps: int | None = None
    ) -> None:
        """What the DAG does; with `kill` an exception may end the run anywhere, with `steps` it is given up after them.

        Raises:
            Killed: it did.
        """
        span = planned(self.known, window, str(len(self.known)), live=live)
        self.known["computed_to"] = min(self.known.get("computed_to", window.start), window.start)
        inputs = {"targets": self.targets, "good_ticks": self._rows(span.window), "span": span.frame}
        inputs |= {"raised": self._raised(span.window), **collect_reliability.states(self.store, window, inputs)}
        found = check(window, inputs)
        told = live and not span.behind
        storers: list[Callable[[], Any]] = [
            lambda: self._upsert(RUN_ALERT_LOG, found["run_alert_log"]),
            lambda: self._upsert(RUN_ALERT, found["run_alert"]),
            lambda: self._store_events(found["event"], window.end),
            lambda: self._upsert(EVENT_LOG, found["event_log"]),
            lambda: self._tell(found["actions"], found["moved"], window.end, live=told),
            lambda: self._finish(span, found["settled"].item()),
        ]
        for step in storers[:steps]:
            _maybe(kill)
            step()
        _maybe(kill)

    def said(self, transition: str = "raised") -> Counter[Key]:
        """How many messages speak of each event by now."""
        return Counter(event for message, event in self._about.items() if message[-1] == transition)

    def _upsert(self, table: Table, rows: pl.DataFrame) -> None:
        if rows.height:
            self.store.upsert(table, rows)

    def _rows(self, window: Window) -> pl.DataFrame:
        ticks = [window.start + n * TICK for n in range((window.end - window.start) // TICK + 1)]
        return pl.concat([TICK_STATE.schema.to_frame(), *(self.at[tick] for tick in ticks if tick in self.at)])

    def _raised(self, window: Window) -> pl.DataFrame:
        keys = [key for key in self.events if window.start < key[3] <= window.end]
        return pl.DataFrame(keys, {name: EVENT.schema[name] for name in events.KEY}, orient="row")

    def _store_events(self, rows: pl.DataFrame, end: datetime) -> None:
        """As `events.store_events` does it in MongoDB."""
        for row in rows.iter_rows(named=True):
            key = tuple(row.pop(name) for name in events.KEY)
            cleared_at = self.events.get(key, {}).get("cleared_at")
            if row["cleared_at"] or cleared_at is None or cleared_at <= end:
                self.events[key] = row

    def _tell(self, actions: pl.DataFrame, moves: pl.DataFrame, end: datetime, *, live: bool) -> None:
        """As `event_messages.tell` does it, for one recipient who gets everything at once."""
        self.dropped |= {tuple(key.values()) for key in events.superseded(actions)}
        for row in moves.iter_rows(named=True):
            old, new = (tuple(row[name] for name in (*events.KEY[:-1], at)) for at in ("raised_at", "begins_at"))
            self._about |= {message: new for message, event in self._about.items() if event == old}
        if not live:
            return
        told = Counter((*event, message[-1]) for message, event in self._about.items())
        for notice in events.notices(actions):
            self._say(tuple(notice.key.values()), notice.transition, told)
        key = ("mcno", "invno", "event_type", "event_raised_at")
        open_now = self.store.read(RUN_ALERT).filter(pl.col("event_type") >= FAULTS.start, ~pl.col("void"))
        for event in open_now.select(key).rows():
            if not told[*event, "raised"]:
                self._say(event, "raised", told)
        for *event, transition in list(told):
            if transition == "raised" and event[2] >= FAULTS.start and not told[*event, "cleared"]:
                stored = self.events[tuple(event)]
                if stored["cleared_at"] and stored["cleared_at"] <= end and stored["message"] == NAMES[event[2]]:
                    self._say(tuple(event), "cleared", told)

    def _say(self, event: Key, transition: str, told: Counter[Message]) -> None:
        message = (*event, transition)
        if (message in self.messages or not told[message]) and (transition == "raised" or told[*event, "raised"]):
            self.messages[message] = self.messages.get(message, 0) + 1
            told[message] += self._about.setdefault(message, event) == event

    def _finish(self, span: Span, settled: bool) -> None:
        self.known = {
            "computed_to": span.reached(settled=settled),
            "newest": max(span.end, self.known.get("newest", span.end)),
        }


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
