"""The platform's own pipelines on real servers: heartbeat, commands, sessions, duplicates, the daily digest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from pymongo.errors import WriteError

from tests.integration.pipeline_runs import Killed, Platform
from wattline import settings as settings_module
from wattline.errors import TransientError
from wattline.platform import status
from wattline.platform.sessions import expire
from wattline.platform.watchdog import Heartbeat
from wattline.solar import commands, duplicates
from wattline.solar.availability import RELIABILITY_DAY
from wattline.solar.legacy_tables import EVENT, POWER_STATION, REMOTE_IP, USERS
from wattline.solar.tables import CUSTOMER, INVERTER, TICK_ROW
from wattline.storage.coverage import record
from wattline.storage.documents import documents
from wattline.storage.store import Condition
from wattline.window import Window
from wattline_operators import platform as operators

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
"""In Korea."""
STEP = timedelta(minutes=5)


@pytest.fixture
def platform(fresh_mysql: str, fresh_mongo: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setenv("WATTLINE_AIRFLOW_URL", "http://airflow.example")
    settings_module.settings.cache_clear()
    made = Platform(fresh_mysql, fresh_mongo, monkeypatch)

    @contextmanager
    def open_documents(_: str) -> Iterator[Any]:
        yield made.database

    @contextmanager
    def open_store(conn_id: str) -> Iterator[Any]:
        yield made.mysql if "mysql" in conn_id else made.mongo

    # How busy the machine of the tests is does not matter.
    monkeypatch.setattr("psutil.getloadavg", lambda: (0.1, 0.1, 0.1))
    for name in ("virtual_memory", "disk_usage"):
        monkeypatch.setattr(f"psutil.{name}", lambda *_: SimpleNamespace(percent=50.0))
    monkeypatch.setattr(operators, "open_documents", open_documents)
    monkeypatch.setattr(operators, "open_store", open_store)
    _register(made)
    yield made
    made.close()
    settings_module.settings.cache_clear()


def _rows(table: Any, *rows: dict[str, Any]) -> pl.DataFrame:
    blank = dict.fromkeys(table.schema)
    return pl.DataFrame([blank | row for row in rows], table.schema)


def _register(platform: Platform) -> None:
    """Plants 1 and 2 with two inverters each, a manager, an administrator."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    place = {"latitude": 36.0, "longitude": 127.5, "timezone": "Asia/Seoul", "status": "in_use", "updated_at": at}
    plants = [{"mcno": mcno, "name": f"Plant {mcno}", **place} for mcno in (1, 2)]
    inverters = [
        {"mcno": mcno, "invno": invno, "serial_no": f"S{mcno}{invno}", "installed_at": at, "updated_at": at, "at": NOON}
        for mcno in (1, 2)
        for invno in (1, 2)
    ]
    users = [
        {"user_id": "admin", "authority": "administrator", "language": "en", "mail": "admin@example.org"},
        {
            "user_id": "boss",
            "authority": "manager",
            "language": "ko",
            "mail": "boss@example.org",
            "phone": "010-0000-0001",
        },
    ]
    platform.mysql.upsert(CUSTOMER, _rows(CUSTOMER, *plants))
    platform.mysql.upsert(INVERTER, _rows(INVERTER, *inverters))
    platform.mongo.upsert(INVERTER, _rows(INVERTER, *inverters))
    platform.mongo.upsert(POWER_STATION, _rows(POWER_STATION, *[plant | {"manager_id": "boss"} for plant in plants]))
    platform.mongo.upsert(
        USERS, _rows(USERS, *[user | {"name": user["user_id"], "created_at": at, "updated_at": at} for user in users])
    )


def _messages(platform: Platform) -> list[tuple[str, str, str]]:
    """Transition, recipient and channel of every message that was ever queued."""
    found = platform.database["outbox"].find().sort("_id")
    return sorted((each["_id"]["transition"], each["_id"]["recipient"], each["_id"]["channel"]) for each in found)


def _beat(platform: Platform, minutes: int, **options: Any) -> dict[str, Any]:
    end = NOON + timedelta(minutes=minutes)
    return platform.start("heartbeat", Window(end - STEP, end), **options)


class Down:
    """A MySQL that does not answer."""

    def count(self, table: object) -> int:
        raise TransientError("MySQL: can't connect to server")


@contextmanager
def _mysql_down(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    @contextmanager
    def open_store(conn_id: str) -> Iterator[Any]:
        yield Down() if "mysql" in conn_id else platform.mongo

    with monkeypatch.context() as patch:
        patch.setattr(operators, "open_store", open_store)
        yield


def test_heartbeat_tells_administrators_once_and_once_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _beat(platform, 0)["store_server_status"] == {"stored": True, "ok": True, "down": []}
    with _mysql_down(platform, monkeypatch):
        down = _beat(platform, 5, run="down")
        assert down["store_server_status"]["down"] == ["mysql"]
        assert down["queue_messages"] == {"queued": 1}
        again = _beat(platform, 5, run="again")
        assert again["queue_messages"] == {"queued": 0}
        assert _beat(platform, 10)["queue_messages"] == {"queued": 0}
    platform.database["outbox"].update_many({}, {"$set": {"status": "sent"}})
    assert _beat(platform, 15)["queue_messages"] == {"queued": 1}
    assert _beat(platform, 20)["queue_messages"] == {"queued": 0}
    assert _messages(platform) == [("raised", "admin", "mail"), ("restart", "admin", "mail")]
    text = platform.database["outbox"].find_one({"_id.transition": "raised"})
    assert "mysql" in str(text)
    (event,) = platform.mongo.read(EVENT, (Condition("type", "=", 301),)).to_dicts()
    assert (event["mcno"], event["invno"]) == (0, 0)
    assert (event["raised_at"], event["cleared_at"]) == (NOON + STEP, NOON + 3 * STEP)
    assert [row["action"] for row in platform.database["event_log"].find().sort("at")] == ["raised", "cleared"]
    newest = platform.database["server_status"].find_one(sort=[("at", -1)])
    assert newest is not None
    assert newest["gateways"] == {"plants": 2, "silent": 0, "some_silent": []}
    assert newest["administrators"] == ["admin"]
    assert platform.database["migration_state"].count_documents({"table": "heartbeat"}) == 1


def test_a_killed_heartbeat_leaves_its_messages_to_the_next(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    _beat(platform, 0)
    with _mysql_down(platform, monkeypatch), pytest.raises(Killed):
        _beat(platform, 5, before="queue_messages")
    assert _messages(platform) == []
    with _mysql_down(platform, monkeypatch):
        assert _beat(platform, 10)["queue_messages"] == {"queued": 1}


def test_a_run_by_hand_or_after_a_later_one_only_measures(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    _beat(platform, 10)
    with _mysql_down(platform, monkeypatch):
        assert _beat(platform, 5)["store_server_status"] == {"stored": False}
        assert _beat(platform, 15, live=False)["store_server_status"] == {"stored": False}
    assert platform.database["server_status"].count_documents({}) == 1
    assert _messages(platform) == []


def test_all_gateways_silent_is_told_to_administrators(platform: Platform) -> None:
    _beat(platform, 0)
    assert _beat(platform, 25)["store_server_status"]["down"] == ["all gateways"]
    # A plant that nobody watches does not speak for the others.
    (plant,) = platform.mongo.read(POWER_STATION, (Condition("mcno", "=", 2),)).to_dicts()
    platform.mongo.upsert(POWER_STATION, _rows(POWER_STATION, plant | {"status": "in_progress"}))
    _beat(platform, 30)
    newest = platform.database["server_status"].find_one(sort=[("at", -1)])
    assert newest is not None
    assert newest["gateways"]["plants"] == 1


def test_documents_of_the_future_blind_nobody(platform: Platform) -> None:
    _beat(platform, 0)
    ahead = datetime.now(UTC) + timedelta(days=1)
    collection = platform.database["server_status"]
    ordinary = collection.find_one({})
    assert ordinary is not None
    for at in (ahead, ahead + STEP):
        collection.insert_one(ordinary | {"_id": {"at": at}, "at": at, "measured_at": at})
    assert _beat(platform, 5)["store_server_status"]["stored"]
    assert [each["at"] for each in collection.find().sort("at")] == [NOON, NOON + STEP]
    # Ahead of its run's own time, and of no other: it is a later run's.
    later = NOON + 2 * STEP
    collection.insert_one(ordinary | {"_id": {"at": later}, "at": later, "measured_at": later})
    assert _beat(platform, 5)["store_server_status"] == {"stored": False}


def test_messages_that_do_not_leave_are_a_subject_and_the_watchdog_hears_of_it(platform: Platform) -> None:
    _beat(platform, 0)
    waiting = {"event": "x", "transition": "raised", "recipient": "boss", "channel": "sms", "status": "waiting"}
    documents(platform.database, "outbox").insert_one({"_id": "x", **waiting, "due_at": NOON, "attempts": 0})
    assert _beat(platform, 25)["store_server_status"]["down"] == ["all gateways"]
    assert "messages by SMS" in _beat(platform, 30)["store_server_status"]["down"]
    document = status.newest(platform.database, datetime.now(UTC))
    assert document is not None
    (trouble,) = Heartbeat.of(document).troubles.items()
    assert trouble[0] == "messages by SMS"
    assert "waiting since 2026-11-20 03:00 UTC: not tried yet" in trouble[1].reason


def test_a_pipeline_that_stands_is_down_and_who_never_ran_is_not(platform: Platform) -> None:
    record(platform.database, "inverterlog", Window(NOON - 2 * STEP, NOON))
    _beat(platform, 0)
    for minutes in range(5, 50, 5):
        assert "pipeline inverterlog" not in _beat(platform, minutes)["store_server_status"]["down"]
    assert "pipeline inverterlog" in _beat(platform, 60)["store_server_status"]["down"]


def _command(number: int, **more: Any) -> dict[str, Any]:
    asked = {"_id": f"c{number}", "mcno": 1, "invno": 2, "command": "reset", "requested_at": NOON, "ok": True}
    return asked | {"phone": "010-0000-0001", "finished_at": NOON + STEP} | more


def _complete(platform: Platform, **options: Any) -> dict[str, int]:
    end = NOON + timedelta(minutes=7)
    window = Window(end - timedelta(minutes=1), end)
    found: dict[str, int] = platform.start("command_complete", window, **options)["complete_commands"]
    return found


def test_a_finished_reset_moves_to_the_history_and_its_number_is_told_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, history = (documents(platform.database, f"command_{name}") for name in ("queue", "history"))
    queue.insert_many(
        [
            _command(1),
            _command(2, finished_at=None),
            _command(3, command="reboot"),
            _command(4, ok=False),
            _command(5, phone=None),
        ]
    )

    def killed(*_: Any) -> int:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(commands, "remove", killed)
        with pytest.raises(Killed):
            _complete(platform)
    assert queue.count_documents({}) == 5
    assert _complete(platform) == {"commands": 3, "queued": 0}
    assert _complete(platform) == {"commands": 0, "queued": 0}
    assert [each["_id"] for each in history.find().sort("_id")] == ["c1", "c4", "c5"]
    assert [each["_id"] for each in queue.find().sort("_id")] == ["c2", "c3"]
    (message,) = platform.database["outbox"].find()
    assert (message["_id"]["transition"], message["_id"]["channel"]) == ("reset", "sms")
    assert message["language"] == "ko"


def test_a_command_that_cannot_be_told_stops_no_other(platform: Platform) -> None:
    queue, history = (documents(platform.database, f"command_{name}") for name in ("queue", "history"))
    queue.insert_many(
        [
            _command(1, phone=1000000001),
            _command(2, finished_at="2026-11-20T03:05:00Z"),
            _command(3, phone=["010-0000-0001"]),
            _command(4, mcno={"number": 1}),
            _command(5, finished_at=datetime(9999, 12, 31, 23, tzinfo=UTC)),
            _command(6),
        ],
        bypass_document_validation=True,
    )
    platform.database["users"].update_one(
        {"_id.user_id": "admin"}, {"$set": {"phone": 5}}, bypass_document_validation=True
    )
    assert _complete(platform) == {"commands": 5, "queued": 1}
    assert _complete(platform) == {"commands": 0, "queued": 0}
    assert [each["_id"] for each in history.find().sort("_id")] == ["c1", "c3", "c4", "c5", "c6"]
    assert [each["_id"] for each in queue.find()] == ["c2"], "only a date says that it is finished"
    assert [each["key"] for each in platform.database["outbox"].find()] == [{"command": "c6"}]
    with pytest.raises(TypeError, match="no text"):
        commands.notice(_command(3, phone=["010-0000-0001"]), {})


@pytest.mark.parametrize("wrong", [{"phone": 1000000001}, {"finished_at": "2026-11-20T03:05:00Z"}])
def test_the_queue_of_commands_takes_no_number_for_a_phone_and_no_text_for_a_time(
    platform: Platform, wrong: dict[str, Any]
) -> None:
    queue = documents(platform.database, "command_queue")
    with pytest.raises(WriteError, match="failed validation"):
        queue.insert_one(_command(1, **wrong))
    for name in wrong:
        queue.insert_one(_command(2, **{name: None}))
        queue.insert_one({key: value for key, value in _command(3).items() if key != name})


def test_idle_sessions_expire_forty_minutes_after_their_last_use(platform: Platform) -> None:
    sessions = documents(platform.database, "login_history")
    minutes = {"idle": 40, "used": 39, "ended": 90, "refused": 90, "long": 500}
    for name, ago in minutes.items():
        kind = "refused" if name == "refused" else "login"
        seen = NOON - timedelta(minutes=ago)
        ended = NOON if name == "ended" else None
        sessions.insert_one(
            {"_id": name, "user_id": "boss", "kind": kind, "at": seen, "last_seen": seen, "ended_at": ended}
        )
    window = Window(NOON - timedelta(minutes=10), NOON)
    assert platform.start("authority_expiry", window)["expire_sessions"] == {"expired": 2}
    assert platform.start("authority_expiry", window)["expire_sessions"] == {"expired": 0}
    expired = {each["_id"]: each["expired_at"] for each in sessions.find({"expired_at": {"$ne": None}})}
    assert expired == {"idle": NOON, "long": NOON - timedelta(minutes=460)}
    assert expire(platform.database, NOON + timedelta(minutes=1)) == 1


def _days(platform: Platform, dag_id: str, day: int, **options: Any) -> dict[str, Any]:
    start = datetime(2026, 11, day, tzinfo=UTC)
    return platform.start(dag_id, Window(start, start + timedelta(days=1)), **options)


def _call(platform: Platform, mcno: int, port: int = 502) -> None:
    """The gateway of a plant calls from the address that all have, and from a port."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    call = {"mcno": mcno, "ip": "203.0.113.5", "port": port, "called_at": at, "bytes_received": 0, "updated_at": at}
    platform.mongo.upsert(REMOTE_IP, _rows(REMOTE_IP, call))


def _open_302(platform: Platform) -> int:
    return int(platform.database["event"].count_documents({"type": 302, "cleared_at": None}))


def test_inverters_registered_twice_are_reported_and_told_once(platform: Platform) -> None:
    _call(platform, 1)
    _call(platform, 2)
    assert _days(platform, "reliability_dup_inverter", 20)["store_duplicates"] == {"pairs": 2, "new": 2}
    assert _days(platform, "reliability_dup_inverter", 20)["queue_messages"] == {"queued": 0}
    assert _days(platform, "reliability_dup_inverter", 21)["store_duplicates"] == {"pairs": 2, "new": 0}
    assert _messages(platform) == [("raised", "admin", "mail")] * 2
    assert "203.0.113.5:502" in str(platform.database["outbox"].find_one())

    _call(platform, 1, port=503)
    assert _days(platform, "reliability_dup_inverter", 22)["store_duplicates"] == {"pairs": 0, "new": 0}
    assert _open_302(platform) == 0
    _call(platform, 1)
    assert _days(platform, "reliability_dup_inverter", 23, live=False)["queue_messages"] == {"queued": 0}
    assert _open_302(platform) == 2
    assert platform.database["event"].count_documents({"type": 302}) == 4, "what comes back is a new event"
    assert len(_messages(platform)) == 2
    # The next live run tells of what a run by hand has found, because it lasts.
    assert _days(platform, "reliability_dup_inverter", 24)["queue_messages"] == {"queued": 2}
    assert _days(platform, "reliability_dup_inverter", 25)["queue_messages"] == {"queued": 0}


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_is_older_than_the_report_of_duplicates_changes_nothing(
    platform: Platform, live: bool, finished: bool
) -> None:
    _call(platform, 1)
    _call(platform, 2)
    _days(platform, "reliability_dup_inverter", 20)
    _call(platform, 1, port=503)
    if finished:
        _days(platform, "reliability_dup_inverter", 21)
    else:
        with pytest.raises(Killed):
            _days(platform, "reliability_dup_inverter", 21, before="queue_messages")
    _call(platform, 1)
    before = (_report(platform), _messages(platform))
    again = _days(platform, "reliability_dup_inverter", 20, live=live)
    assert (again["store_duplicates"]["new"], again["queue_messages"]) == (0, {"queued": 0})
    assert (_report(platform), _messages(platform)) == before
    assert _open_302(platform) == 0
    # The same window again says what there is now.
    _days(platform, "reliability_dup_inverter", 21)
    assert _open_302(platform) == 2
    _call(platform, 1, port=503)
    _days(platform, "reliability_dup_inverter", 21)
    assert _open_302(platform) == 0


def test_without_any_pair_an_old_run_leaves_the_report_to_the_next(platform: Platform) -> None:
    _days(platform, "reliability_dup_inverter", 20)
    _call(platform, 1)
    _call(platform, 2)
    _days(platform, "reliability_dup_inverter", 19)
    assert _report(platform) == []
    assert _days(platform, "reliability_dup_inverter", 21)["queue_messages"] == {"queued": 2}


def _report(platform: Platform) -> list[dict[str, Any]]:
    return list(documents(platform.database, "duplicate_inverter").find().sort("_id"))


def test_a_duplicate_whose_queueing_failed_is_told_by_the_next_run(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    _call(platform, 1)
    _call(platform, 2)
    with pytest.raises(Killed):
        _days(platform, "reliability_dup_inverter", 20, before="queue_messages")
    assert _days(platform, "reliability_dup_inverter", 19)["queue_messages"] == {"queued": 0}
    assert _messages(platform) == []

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(duplicates, "queued", killed)
        with pytest.raises(Killed):
            _days(platform, "reliability_dup_inverter", 22)
    assert _messages(platform) == [("raised", "admin", "mail")] * 2
    due = {each["due_at"] for each in documents(platform.database, "outbox").find()}
    assert due == {datetime(2026, 11, 23, tzinfo=UTC)}, "old messages are given up"
    assert _days(platform, "reliability_dup_inverter", 23)["queue_messages"] == {"queued": 0}
    # Who becomes administrator later hears of new ones only.
    platform.database["users"].update_one({"_id.user_id": "boss"}, {"$set": {"authority": "administrator"}})
    assert _days(platform, "reliability_dup_inverter", 24)["queue_messages"] == {"queued": 0}


def test_a_killed_run_leaves_no_duplicate_open_that_was_gone(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    _call(platform, 1)
    _call(platform, 2)
    _days(platform, "reliability_dup_inverter", 20)
    _call(platform, 1, port=503)

    stored = duplicates.store

    def stored_and_killed(*given: Any) -> int:
        stored(*given)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(duplicates, "store", stored_and_killed)
        with pytest.raises(Killed):
            _days(platform, "reliability_dup_inverter", 21)
    _call(platform, 1)
    _days(platform, "reliability_dup_inverter", 22)
    assert _open_302(platform) == 2
    assert platform.database["event"].count_documents({"type": 302}) == 4


def test_the_digest_counts_a_day_and_tells_each_manager_once(platform: Platform) -> None:
    start = datetime(2026, 11, 18, 15, tzinfo=UTC)
    ticks = [
        {
            "mcno": mcno,
            "invno": invno,
            "at": at,
            "reading_at": at,
            "stale": (mcno, invno) == (1, 2) and at.hour == 3,
            **dict.fromkeys(("counter_reset", "daykw_carried"), False),
            **dict.fromkeys(("ackw", "dckw", "daykw", "totkw", "day_peak", "segment_offset"), 0),
        }
        for mcno in (1, 2)
        for invno in (1, 2)
        for at in (start + timedelta(minutes=10 * n) for n in range(1, 145))
    ]
    platform.mongo.upsert(TICK_ROW, _rows(TICK_ROW, *ticks))
    broken = {"mcno": 2, "invno": 0, "type": 201, "level": "fault", "checked": False}
    event = broken | {"raised_at": NOON - timedelta(days=1), "cleared_at": NOON - timedelta(hours=23)}
    platform.mongo.upsert(EVENT, _rows(EVENT, event))
    # The old system has never closed its own.
    left_open = broken | {"mcno": 1, "invno": 1, "type": 203, "raised_at": NOON - timedelta(days=40)}
    platform.mongo.upsert(EVENT, _rows(EVENT, left_open))
    platform.database["event"].update_one({"_id.mcno": 1}, {"$set": {"origin": "mysql"}})
    record(platform.database, "reliability_inverter", Window(datetime(2026, 11, 1, tzinfo=UTC), NOON))

    assert _days(platform, "reliability_digest", 19)["queue_digests"] == {"queued": 1}
    assert _days(platform, "reliability_digest", 19)["queue_digests"] == {"queued": 0}
    assert _days(platform, "reliability_digest", 19, live=False)["queue_digests"] == {"queued": 0}
    rows = {(row["mcno"], row["invno"]): row for row in platform.mongo.read(RELIABILITY_DAY).to_dicts()}
    assert {row["day"] for row in rows.values()} == {date(2026, 11, 19)}
    expected = rows[1, 1]["expected"]
    assert 58 < expected < 64
    assert (rows[1, 1]["received"], rows[1, 2]["received"]) == (expected, expected - 6)
    assert rows[1, 1]["availability"] == 1
    assert (rows[2, 1]["down"], rows[2, 1]["repairs"], rows[2, 1]["repair_minutes"]) == (6, 1, 60)
    assert rows[2, 0]["availability"] == pytest.approx(1 - 6 / expected)
    (mail,) = platform.database["outbox"].find()
    assert (mail["_id"]["recipient"], mail["_id"]["channel"], mail["language"]) == ("boss", "mail", "ko")
    text = str(mail)
    assert text.index("Plant 2 (2)") < text.index("Plant 1 (1)")
    assert "평균 복구 60분" in text
