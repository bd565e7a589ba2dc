"""From events to what people get: the real `event`, outbox, senders and sinks, by a clock that goes on in steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database

from tests import alert_world
from tests.alert_world import Sinks, settle
from tests.reliability_week import EXPECTED, WEEK, at, during, fleet, power, script, unit
from tests.reliability_world import TICK, World, cut, silence, targets, tick_rows
from wattline.alerts.deliver import drain
from wattline.alerts.notice import event_id
from wattline.alerts.outbox import NOT_SUMMARISED, outbox
from wattline.solar import collect_reliability
from wattline.solar.event_messages import tell
from wattline.solar.event_types import NAMES
from wattline.solar.events import store_events
from wattline.solar.reliability_state import RUN_ALERT
from wattline.storage.contract import Table
from wattline.storage.mongo import MongoStore
from wattline.window import Window

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)
DELAY = 5 * MINUTE
"""The run of a tick has ended so long after it."""
WATCHED = (1, 2, *sorted({key[0] for key in EXPECTED}))
"""Plants with a scripted fault, and two without."""
Told = tuple[str, str, str, str]
"""Event, transition, recipient, channel."""


class ToldWorld(World):
    """Runs whose events and messages go to MongoDB, and senders whose messages go to sinks.

    Attributes:
        told: what a sink has got → at which times of the stepped clock.
    """

    def __init__(self, units: pl.DataFrame, rows: pl.DataFrame, client: MongoClient[Any], sinks: Sinks) -> None:
        super().__init__(units, rows)
        self.database: Database[Any] = client.get_default_database().with_options(CodecOptions(tz_aware=True))
        self.mongo, self.sinks = MongoStore(client, self.database.name), sinks
        self.told: dict[Told, list[datetime]] = {}
        self._got = Counter[str]()
        settle(self.database, max(units["mcno"]))

    def go_on(self, window: Window) -> None:
        """One tick's run, which ends DELAY after it, between two looks of the sender."""
        self.send(window.end + DELAY - MINUTE)
        self.run(window)
        self.send(window.end + DELAY)

    def send(self, now: datetime) -> None:
        """What the sender does at `now`, if anything is due."""
        box = outbox(self.database)
        if box.find_one({"status": "waiting", "due_at": {"$lte": now}, **NOT_SUMMARISED}) is None:
            return
        drain(self.database, self.sinks.channels, now)
        sent = {one["provider_id"]: one for one in box.find({"status": "sent"})}
        got = [each["message_id"] for name in ("mail", "sms") for each in self.sinks.got(name)]
        before, self._got = self._got, Counter(got)
        for number, times in (self._got - before).items():
            one = sent[number]
            key = (one["event"], one["transition"], one["recipient"], one["channel"])
            self.told.setdefault(key, []).extend([now] * times)

    def _upsert(self, table: Table, rows: pl.DataFrame) -> None:
        super()._upsert(table, rows)
        if table is RUN_ALERT and rows.height:
            self.mongo.upsert(table, rows)

    def _store_events(self, rows: pl.DataFrame, end: datetime) -> None:
        store_events(self.database, rows, end)

    def _raised(self, window: Window) -> pl.DataFrame:
        return collect_reliability.events(self.mongo, window, {})["raised"]

    def _tell(self, actions: pl.DataFrame, moves: pl.DataFrame, end: datetime, *, live: bool) -> None:
        tell(self.database, actions, moves, end, live=live)


@pytest.fixture(scope="module")
def running_sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sinks]:
    with alert_world.serving(tmp_path_factory.mktemp("sinks")) as sinks:
        yield sinks


@pytest.fixture
def sinks(running_sinks: Sinks) -> Sinks:
    running_sinks.clear()
    return running_sinks


def test_a_fault_that_a_plants_replaces_or_that_is_soon_over_is_not_told(fresh_mongo: str, sinks: Sinks) -> None:
    hours = Window(at(9, "12:00"), at(9, "14:00"))
    units = targets((mcno, 2, 37.5, 127.0, "Asia/Seoul") for mcno in (1, 2, 3))
    rows = tick_rows(hours, units)
    for where, start, end in (
        (unit(1, 1), "12:30", "13:20"),
        (unit(1, 2), "12:40", "13:20"),  # the plant, one tick later
        (unit(2, 1), "12:30", "12:40"),  # over after a tick
        (unit(3, 1), "12:30", "13:20"),
    ):
        rows = power(rows, where & during(at(9, start), at(9, end)), 2)
    with MongoClient[Any](fresh_mongo) as client:
        world = ToldWorld(units, rows, client, sinks)
        for window in cut(hours, TICK):
            world.go_on(window)
        statuses = {(one["mcno"], one["invno"], one["status"]) for one in outbox(world.database).find({"type": 201})}
    assert statuses == {(1, 0, "sent"), (1, 1, "dropped"), (2, 1, "dropped"), (3, 1, "sent")}
    plant, inverter = event_id(1, 0, 201, at(9, "12:40")), event_id(3, 1, 201, at(9, "12:30"))
    clocks = {plant: ("12:45", "13:25"), inverter: ("12:55", "13:25")}
    assert world.told == expected({key: ("both", *times) for key, times in clocks.items()}, 9)


# What is told, and when: event → to whom, the beginning, the end, by the clock in Seoul on the days of the week.
SAID = {
    (3, 2, 201, at(2, "10:00")): ("both", "2 10:25", "2 11:35"),
    (7, 0, 201, at(3, "13:00")): ("both", "3 13:05", "3 14:05"),
    (11, 1, 203, at(4, "09:20")): ("both", "4 09:45", "5 10:05"),
    (4, 1, 202, at(1, "13:00")): ("manager", "1 13:25", "1 15:15"),
    (15, 0, 202, at(2, "16:00")): ("manager", "2 16:05", "3 08:15"),
    # Told before the fourth fell silent; the end of the plant's is theirs.
    (19, 1, 202, at(3, "11:00")): ("manager", "3 11:25"),
    (19, 2, 202, at(3, "11:00")): ("manager", "3 11:25"),
    (19, 3, 202, at(3, "11:00")): ("manager", "3 11:25"),
    (19, 0, 202, at(3, "11:30")): ("manager", "3 11:35", "3 14:05"),
    (19, 2, 202, at(3, "14:00")): ("manager", "3 14:25", "3 14:45"),
    (19, 3, 202, at(3, "14:00")): ("manager", "3 14:25", "3 14:45"),
    (19, 4, 202, at(3, "14:00")): ("manager", "3 14:25", "3 14:45"),
    (23, 3, 201, at(4, "11:00")): ("both", "4 11:25", "4 15:15"),
    (27, 1, 203, at(4, "10:20")): ("both", "4 10:45", "4 13:05"),
    (27, 1, 202, at(4, "13:00")): ("manager", "4 13:25", "4 14:15"),
    (31, 2, 204, at(5, "10:40")): ("manager by mail", "5 11:05", "5 12:35"),
    (32, 1, 204, at(5, "10:40")): ("manager by mail", "5 11:05", "5 12:45"),
    (32, 1, 203, at(5, "12:40")): ("both", "5 13:05", "5 15:05"),
    (35, 0, 202, at(7, "13:20")): ("manager", "7 13:25", "7 15:15"),
    (39, 1, 201, at(6, "11:00")): ("both", "6 11:25", "6 12:05"),
    (39, 2, 203, at(6, "11:20")): ("both", "6 11:45", "6 12:05"),
    (39, 3, 203, at(6, "11:20")): ("both", "6 11:45", "6 12:05"),
    (39, 4, 203, at(6, "11:20")): ("both", "6 11:45", "6 12:05"),
    (43, 2, 201, at(4, "10:00")): ("both", "4 10:25", "4 12:05"),
    (47, 1, 203, at(7, "10:20")): ("both", "7 10:45"),
    # (51, 0): it was over before the night was.
    (55, 0, 201, at(2, "23:00")): ("both", "3 07:04", "3 09:05"),
    (59, 1, 201, at(2, "20:00")): ("both", "2 20:25", "3 07:04"),
}


def test_a_week_of_faults_is_told_as_expected_never_twice_and_not_at_night(fresh_mongo: str, sinks: Sinks) -> None:
    with MongoClient[Any](fresh_mongo) as client:
        world = ToldWorld(fleet(WATCHED), script(WATCHED), client, sinks)
        for window in cut(WEEK, TICK):
            world.go_on(window)
    assert world.told == expected({event_id(*key): said for key, said in SAID.items()})
    got = len(sinks.got("mail")) + len(sinks.got("sms"))
    assert got == len(world.told)
    assert all(
        7 <= time.astimezone(ZoneInfo("Asia/Seoul")).hour < 22 for times in world.told.values() for time in times
    )


def expected(said: dict[str, tuple[str, ...]], day: int = 0) -> dict[Told, list[datetime]]:
    """What sinks must have got, once each, of events with whom they are told to and when."""
    found = {}
    for event, (whom, *clocks) in said.items():
        people = ["mina"] + [f"owner:{event.split('.')[0]}"] * (whom == "both")
        for transition, clock in zip(("raised", "cleared"), clocks, strict=False):
            time = at(day, clock) if day else at(int(clock[0]), clock[2:])
            for person in people:
                for channel in ("mail", "sms")[: 1 if whom.endswith("mail") else 2]:
                    found[event, transition, person, channel] = [time]
    return found


HOURS = Window(at(9, "10:00"), at(9, "17:00"))
UNITS = targets([(1, 1, 37.5, 127.0, "Asia/Seoul"), (2, 2, 37.5, 127.0, "Asia/Seoul")])


def strange(chance: Random, rows: pl.DataFrame) -> pl.DataFrame:
    """Blackouts, standstills and silences of an hour or two."""
    for mcno, invno in UNITS.select("mcno", "invno").iter_rows():
        for _ in range(3):
            start = HOURS.start + chance.randrange(2, 40) * TICK
            end, which = start + chance.randrange(2, 14) * TICK, unit(mcno, invno)
            if chance.random() < 0.3:
                rows = silence(rows, which, start - MINUTE, end)
            else:
                rows = power(rows, which & during(start, end), chance.choice([2, 2, 3]))
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_runs_and_rows_people_hear_of_what_lasts_and_of_its_end(
    fresh_mongo: str, sinks: Sinks, seed: int
) -> None:
    chance, end = Random(seed), HOURS.end + 3 * TICK
    corrected = seed % 2 == 0
    right = strange(chance, tick_rows(Window(HOURS.start, end), UNITS))
    first = strange(chance, right) if corrected else right
    whole = World(UNITS, right)
    whole.run(Window(HOURS.start, end), live=False)
    with MongoClient[Any](fresh_mongo) as client:
        world, windows = ToldWorld(UNITS, first, client, sinks), cut(HOURS, TICK)
        for n, window in enumerate(windows):
            fate = chance.choice(["done", "done", "done", "given up", "left out"])
            if fate != "left out":
                world.run(window, steps=chance.randrange(6) if fate == "given up" else None)
            world.send(window.end + DELAY)
            if corrected and chance.random() < 0.2:
                low = chance.randrange(n + 1)
                span = Window(windows[low].start, window.end)
                world.at |= {time: rows for time, rows in whole.at.items() if span.start < time <= span.end}
                for part in cut(span, chance.randrange(1, 9) * TICK):
                    world.run(part, live=chance.random() < 0.5, steps=chance.choice([None, None, 3]))
        world.at = whole.at
        for part in cut(HOURS, 7 * TICK if corrected else TICK):
            world.run(part, live=False)
        for window in cut(Window(HOURS.end, end), TICK):
            world.run(window)
            world.send(window.end + DELAY)
        check_told(world, whole, twice=corrected)


def check_told(world: ToldWorld, whole: World, *, twice: bool) -> None:
    """Each fault that lasts is told or waits, once; and its end goes to who heard."""
    said = Counter[tuple[str, str, str, str]]()
    for one in outbox(world.database).find({"status": {"$in": ["waiting", "sent"]}}):
        said[one["event"], one["transition"], one["recipient"], one["channel"]] += 1
    assert twice or set(said.values()) == {1}
    assert [one for one in said if one[1] == "cleared" and said[one[0], "raised", *one[2:]] == 0] == []
    for key, event in whole.events.items():
        begun = [one[2:] for one in said if one[:2] == (event_id(*key), "raised")]
        if key[2] in (201, 203) and event["cleared_at"] is None:
            assert begun, key
        if key[2] >= 201 and event["cleared_at"] and event["message"] == NAMES[key[2]]:
            assert [who for who in begun if not said[event_id(*key), "cleared", *who]] == [], key
