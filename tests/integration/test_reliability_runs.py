"""`reliability_inverter` on real servers: what it stores, kills between its steps, and what people do to events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tests.integration.pipeline_runs import Killed, Platform, dags
from tests.reliability_world import NEVER, TICK, cut
from wattline.alerts.notice import EventType
from wattline.solar import event_messages, event_types
from wattline.solar.events import PATIENCE
from wattline.solar.legacy_tables import EVENT, EVENT_LOG
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG
from wattline.solar.tables import CUSTOMER, INVERTER, TICK_ROW
from wattline.storage.coverage import record
from wattline.window import Window
from wattline_operators import reliability

pytestmark = pytest.mark.integration

_NOW = datetime.now(UTC)
START = _NOW - (_NOW - NEVER) % TICK - 12 * TICK
STATES = {"_id.states": True}
"""How far all is computed."""
TABLES = (EVENT, EVENT_LOG, RUN_ALERT, RUN_ALERT_LOG)
# Ten ticks of the first two inverters of plant 1 and of the one of plant 2: `b`lackout or `r`unning.
SEEN = {(1, 1): "rrbbbbbrrr", (1, 2): "rrrbbbrrrr", (2, 1): "rrrrbrrrbb"}


@pytest.fixture
def platform(fresh_mysql: str, fresh_mongo: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    made = Platform(fresh_mysql, fresh_mongo, monkeypatch)

    @contextmanager
    def open_documents(_: str) -> Iterator[Any]:
        yield made.database

    monkeypatch.setattr(reliability, "open_documents", open_documents)
    _fill(made)
    yield made
    made.close()


def _fill(platform: Platform) -> None:
    """Registers, people, tick rows, and that they are complete."""
    plants = [(n, f"Plant {n}", None, None, 37.5, 127.0, "Asia/Seoul", "in_use", 100.0, NEVER) for n in (1, 2)]
    platform.mysql.upsert(CUSTOMER, pl.DataFrame(plants, CUSTOMER.schema, orient="row"))
    nothing = dict.fromkeys(INVERTER.schema) | {"installed_at": NEVER, "updated_at": NEVER}
    units = [nothing | {"mcno": mcno, "invno": invno} for mcno, invno in SEEN]
    platform.mysql.upsert(INVERTER, pl.DataFrame(units, INVERTER.schema))
    platform.mongo.upsert(TICK_ROW, tick_rows(SEEN))
    record(platform.database, "inverterlog", Window(NEVER, START + 10 * TICK))
    user = {"name": "Kim", "language": "en", "phone": "010", "mail": "kim@example.com", "authority": "manager"}
    platform.database["users"].insert_one(
        {"_id": {"user_id": "kim"}, "user_id": "kim", **user}, bypass_document_validation=True
    )
    for mcno in (1, 2):
        station = {"mcno": mcno, "name": f"Plant {mcno}", "timezone": "Asia/Seoul", "manager_id": "kim"}
        platform.database["power_station"].insert_one(
            {"_id": {"mcno": mcno}, **station}, bypass_document_validation=True
        )


def tick_rows(seen: dict[tuple[int, int], str]) -> pl.DataFrame:
    rows = []
    for (mcno, invno), letters in seen.items():
        for n, letter in enumerate(letters):
            at = START + n * TICK
            row = dict.fromkeys(TICK_ROW.schema, 0) | {"mcno": mcno, "invno": invno, "at": at}
            row |= {"ackw": 9.0 if letter == "r" else 0.0, "status": 2 if letter == "b" else 1}
            row |= {"reading_at": at - timedelta(minutes=1), "previous_at": None}
            row |= dict.fromkeys(("stale", "counter_reset", "daykw_carried"), False)
            rows.append(row)
    return pl.DataFrame(rows, TICK_ROW.schema)


WINDOW = Window(START - TICK, START + 9 * TICK)
EVENTS = [
    (1, 0, 201, 3, 6),
    (1, 1, 201, 2, 3),
    (1, 1, 201, 6, 7),
    (2, 1, 201, 4, 5),
    (2, 1, 201, 8, None),
]
"""Plant, inverter, type, first tick, tick after the last."""


def found(platform: Platform) -> list[tuple[Any, ...]]:
    rows = platform.mongo.read(EVENT).filter(pl.col("type") >= 200)
    ticks = [((pl.col(name) - START) / TICK).cast(pl.Int64) for name in ("raised_at", "cleared_at")]
    return [tuple(row) for row in rows.select("mcno", "invno", "type", *ticks).iter_rows()]


def stored(platform: Platform) -> list[pl.DataFrame]:
    return [platform.mongo.read(table) for table in TABLES]


def outbox(platform: Platform) -> list[dict[str, Any]]:
    return list(platform.database["outbox"].find({}, sort=[("_id", 1)]))


def mails(platform: Platform) -> list[dict[str, Any]]:
    """Messages by mail of faults, in order of their events."""
    return [row for row in outbox(platform) if row["channel"] == "mail" and row["type"] >= 200]


def test_live_runs_and_one_backfill_store_the_same_and_only_live_runs_tell(platform: Platform) -> None:
    platform.start("reliability_inverter", WINDOW, live=False)
    assert found(platform) == EVENTS
    backfilled = stored(platform)
    assert outbox(platform) == []
    for table in TABLES:
        for name in platform.database.list_collection_names(filter={"name": {"$regex": f"^{table.mongo}(_[0-9]+)?$"}}):
            platform.database[name].delete_many({})
    platform.database["migration_state"].delete_one(STATES)
    for window in cut(WINDOW, TICK):
        platform.start("reliability_inverter", window)
    assert all(one.equals(other) for one, other in zip(stored(platform), backfilled, strict=True))
    said = [
        (*(row["key"][name] for name in ("mcno", "invno")), row["transition"], row["status"]) for row in mails(platform)
    ]
    # Nothing was sent meanwhile: who raised and cleared, or was merged, is silent, the last one waits for its plant.
    over = [(1, 0), (1, 1), (1, 1), (2, 1)]
    assert said == [(*unit, "raised", "dropped") for unit in over] + [(2, 1, "raised", "waiting")]
    assert mails(platform)[-1]["not_before"] == START + 8 * TICK + PATIENCE


def test_kills_between_the_steps_and_reruns_leave_the_same(platform: Platform) -> None:
    steps = [task.task_id for task in dags()["reliability_inverter"].topological_sort()][1:]
    for number, window in enumerate(cut(WINDOW, TICK)):
        before = steps[number % len(steps)]
        with pytest.raises(Killed):
            platform.start("reliability_inverter", window, run=f"r{number}", before=before)
        platform.start("reliability_inverter", window, run=f"r{number}", since=before if number % 2 else None)
    messages = outbox(platform)
    rows = stored(platform)
    assert found(platform) == EVENTS
    for window in (*cut(WINDOW, 3 * TICK), WINDOW):
        platform.start("reliability_inverter", window)
    assert all(one.equals(other) for one, other in zip(stored(platform), rows, strict=True))
    assert [row["_id"] for row in outbox(platform)] == [row["_id"] for row in messages]


def test_what_people_did_to_an_event_stays(platform: Platform) -> None:
    platform.start("reliability_inverter", Window(START - TICK, START + 5 * TICK))
    checked = {"checked": True, "checked_at": START, "checked_by": "kim"}
    platform.database["event"].update_one({"_id.invno": 0}, {"$set": checked})
    # A document of the migration becomes the platform's own.
    platform.database["event"].update_one({"_id.invno": 0}, {"$set": {"origin": "mysql"}})
    platform.start("reliability_inverter", Window(START + 5 * TICK, START + 9 * TICK))
    platform.start("reliability_inverter", Window(START - TICK, START + 5 * TICK))
    row = platform.mongo.read(EVENT).row(by_predicate=pl.col("invno") == 0, named=True)
    assert {name: row[name] for name in checked} == checked
    assert row["cleared_at"] == START + 6 * TICK
    assert "origin" not in platform.database["event"].find_one({"_id.invno": 0})


def test_a_live_run_tells_what_a_history_run_has_recorded_and_lasts(platform: Platform) -> None:
    # A run by hand over the gap finds what lasts, (2, 1) from tick 8 on, and tells nobody.
    platform.start("reliability_inverter", Window(START - TICK, START + 8 * TICK), live=False)
    assert outbox(platform) == []
    for _ in range(2):
        platform.start("reliability_inverter", Window(START + 8 * TICK, START + 9 * TICK))
        told = [(row["key"]["mcno"], row["key"]["raised_at"], row["not_before"]) for row in mails(platform)]
        assert told == [(2, START + 8 * TICK, START + 8 * TICK + PATIENCE)]


def test_a_live_run_tells_the_end_that_a_history_run_has_recorded(platform: Platform) -> None:
    for window in cut(Window(START - TICK, START + 4 * TICK), TICK):
        platform.start("reliability_inverter", window)
    platform.database["outbox"].update_many({}, {"$set": {"status": "sent"}})
    platform.start("reliability_inverter", Window(START + 4 * TICK, START + 6 * TICK), live=False)
    assert {row["transition"] for row in outbox(platform)} == {"raised"}
    for number in (7, 8):
        platform.start("reliability_inverter", Window(START + (number - 1) * TICK, START + number * TICK))
    ends = [(row["key"]["mcno"], row["invno"], row["at"]) for row in mails(platform) if row["transition"] == "cleared"]
    # The plant's and plant 2's; inverter 1's first was merged, and its second was over before it was sent.
    assert ends == [(1, 0, START + 6 * TICK), (2, 1, START + 5 * TICK)]


def test_what_began_long_ago_and_was_never_told_stays_untold(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_messages, "MISSED", TICK)
    platform.start("reliability_inverter", Window(START - TICK, START + 8 * TICK), live=False)
    platform.start("reliability_inverter", Window(START + 8 * TICK, START + 9 * TICK))
    assert outbox(platform) == []


def test_a_run_of_long_ago_tells_nobody(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_messages, "NEWS", timedelta(minutes=10))
    platform.start("reliability_inverter", Window(START - TICK, START + 5 * TICK))
    assert platform.mongo.count(EVENT) > 0
    assert outbox(platform) == []


def test_types_of_events_are_filled_in_once_and_then_belong_to_people(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    database = platform.database
    assert event_types.seed(database) == len(event_types.EVENT_TYPES)
    assert event_types.load(database) == {each.type: each for each in event_types.EVENT_TYPES}
    database["event_type"].update_one({"_id": 101}, {"$set": {"to": ["owner"], "mail": True}})
    assert event_types.seed(database) == 0
    mine = event_types.load(database)[101]
    assert isinstance(mine, EventType)
    assert (mine.to, mine.mail, mine.name_en) == (("owner",), True, "generation started")
    database["event_type"].update_one({"_id": 101}, {"$set": {"to": ["neighbour"]}})
    database["event_type"].update_one({"_id": 102}, {"$set": {"escalate_minutes": "soon"}})
    database["event_type"].update_one({"_id": 201}, {"$set": {"escalate_minutes": 60.0}})
    with caplog.at_level("WARNING"):
        found = event_types.load(database)
    assert (found[101], found[102]) == event_types.EVENT_TYPES[:2]
    assert found[201].escalate_minutes == 60
    assert [name for name in ("101", "102", "201") if f"event_type {name} cannot be read" in caplog.text] == [
        "101",
        "102",
    ]
