"""The platform's own pipelines on real servers: heartbeat, commands, sessions, duplicates, the daily digest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from tests.integration.pipeline_runs import Killed, Platform
from wattline import settings as settings_module
from wattline.errors import TransientError
from wattline.platform.sessions import expire
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
    from wattline.solar import commands

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


def test_inverters_registered_twice_are_reported_and_told_once(platform: Platform) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    calls = [{"mcno": mcno, "ip": "203.0.113.5", "port": 502, "called_at": at} for mcno in (1, 2)]
    platform.mongo.upsert(
        REMOTE_IP, _rows(REMOTE_IP, *[row | {"bytes_received": 0, "updated_at": at} for row in calls])
    )
    assert _days(platform, "reliability_dup_inverter", 20)["store_duplicates"] == {"pairs": 2, "new": 2}
    assert _days(platform, "reliability_dup_inverter", 20)["queue_messages"] == {"queued": 0}
    assert _days(platform, "reliability_dup_inverter", 21)["store_duplicates"] == {"pairs": 2, "new": 0}
    assert _messages(platform) == [("raised", "admin", "mail")] * 2
    assert "203.0.113.5:502" in str(platform.database["outbox"].find_one())

    platform.mongo.upsert(REMOTE_IP, _rows(REMOTE_IP, calls[0] | {"port": 503, "bytes_received": 0, "updated_at": at}))
    assert _days(platform, "reliability_dup_inverter", 22)["store_duplicates"] == {"pairs": 0, "new": 0}
    assert platform.database["event"].count_documents({"type": 302, "cleared_at": None}) == 0
    platform.mongo.upsert(REMOTE_IP, _rows(REMOTE_IP, calls[0] | {"bytes_received": 0, "updated_at": at}))
    assert _days(platform, "reliability_dup_inverter", 23, live=False)["queue_messages"] == {"queued": 0}
    assert platform.database["event"].count_documents({"type": 302, "cleared_at": None}) == 2
    assert platform.database["event"].count_documents({"type": 302}) == 4, "what comes back is a new event"
    assert len(_messages(platform)) == 2


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
    record(platform.database, "reliability_inverter", Window(datetime(2026, 11, 1, tzinfo=UTC), NOON))

    assert _days(platform, "reliability_digest", 19)["queue_digests"] == {"queued": 1}
    assert _days(platform, "reliability_digest", 19)["queue_digests"] == {"queued": 0}
    assert _days(platform, "reliability_digest", 19, live=False)["queue_digests"] == {"queued": 0}
    rows = {(row["mcno"], row["invno"]): row for row in platform.mongo.read(RELIABILITY_DAY).to_dicts()}
    assert {row["day"] for row in rows.values()} == {date(2026, 11, 19)}
    expected = rows[1, 1]["expected"]
    assert 58 < expected < 64
    assert (rows[1, 1]["received"], rows[1, 2]["received"]) == (expected, expected - 6)
    assert (rows[2, 1]["down"], rows[2, 1]["repairs"], rows[2, 1]["repair_minutes"]) == (6, 1, 60)
    assert rows[2, 0]["availability"] == pytest.approx(1 - 6 / expected)
    (mail,) = platform.database["outbox"].find()
    assert (mail["_id"]["recipient"], mail["_id"]["channel"], mail["language"]) == ("boss", "mail", "ko")
    text = str(mail)
    assert text.index("Plant 2 (2)") < text.index("Plant 1 (1)")
    assert "평균 복구 60분" in text
