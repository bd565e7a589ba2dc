"""When messages count as stuck, and which heartbeat is the newest: on a real MongoDB."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from pymongo import MongoClient

from wattline.alerts.deliver import Channels, drain
from wattline.alerts.notice import Person
from wattline.alerts.oncall import Message
from wattline.alerts.outbox import document
from wattline.platform import messages, status
from wattline.storage.documents import documents

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
_numbers = count()


@pytest.fixture
def database(fresh_mongo: str) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](fresh_mongo) as client:
        yield client.get_default_database()


def _queued(database: Any, channel: str, due: int, **more: Any) -> None:
    """A message that was due so many minutes ago."""
    person = Person("mina", "en", "010-0000-0001", "mina@example.org")
    identity, words = (f"event {next(_numbers)}", "raised"), Message("subject", "text", "html", "sms")
    fields = {"key": {"message": "x"}, "type": 0, "quiet": None, "at": NOW, "queued_at": NOW} | more
    made = document(identity, person, channel, words, due_at=NOW - due * MINUTE, **fields)
    documents(database, "outbox").insert_one(made)


def _found(database: Any, now: datetime = NOW) -> dict[str, tuple[bool, float]]:
    rows = messages.check(database, now).iter_rows(named=True)
    return {row["subject"]: (row["ok"], row["value"]) for row in rows}


FINE = (True, 0.0)


@pytest.mark.parametrize(
    ("channel", "due", "more", "expected"),
    [
        ("sms", 30, {}, (False, 30.0)),
        ("sms", 29, {}, FINE),
        ("mail", 90, {}, (False, 90.0)),
        ("sms", -300, {}, FINE),
        # Refused again and again: each time it is put off.
        ("sms", -29, {"first_at": NOW - 45 * MINUTE, "attempts": 6, "reason": "busy"}, (False, 45.0)),
        ("sms", -29, {"first_at": NOW - 29 * MINUTE, "attempts": 6, "reason": "busy"}, FINE),
        ("sms", 40, {"first_at": NOW - 40 * MINUTE, "status": "sending", "attempts": 1}, (False, 40.0)),
        ("sms", 31, {"first_at": NOW - MINUTE, "status": "sending", "attempts": 1}, (False, 31.0)),
        # Quiet hours hold back what was refused in the evening.
        ("sms", -500, {"first_at": NOW - 60 * MINUTE, "attempts": 1, "reason": "busy"}, FINE),
        *[("sms", 90, {"status": gone}, FINE) for gone in ("sent", "failed", "dropped", "unknown")],
    ],
)
def test_a_message_may_wait_for_half_an_hour(
    database: Any, channel: str, due: int, more: dict[str, Any], expected: tuple[bool, float]
) -> None:
    _queued(database, channel, due, **more)
    subject = messages.SUBJECTS[channel]
    assert _found(database) == {each: expected if each == subject else FINE for each in messages.SUBJECTS.values()}


def test_one_that_is_refused_while_others_are_taken_is_no_trouble_of_the_channel(database: Any) -> None:
    _queued(database, "mail", -5, first_at=NOW - 50 * MINUTE, attempts=5, reason="452 mailbox full")
    assert _found(database)[messages.SUBJECTS["mail"]] == (False, 50.0)
    _queued(database, "sms", 0, status="sent", sent_at=NOW)
    assert _found(database)[messages.SUBJECTS["mail"]][0] is False, "by another channel"
    _queued(database, "mail", 0, status="sent", sent_at=NOW + timedelta(days=1))
    assert _found(database)[messages.SUBJECTS["mail"]][0] is False, "a clock was ahead"
    _queued(database, "mail", 0, status="sent", sent_at=NOW - 45 * MINUTE)
    assert _found(database)[messages.SUBJECTS["mail"]] == FINE
    _queued(database, "mail", -5, first_at=NOW - 40 * MINUTE, attempts=5, reason="no answer")
    assert _found(database)[messages.SUBJECTS["mail"]] == (False, 40.0), "none was taken since"
    assert "no answer" in messages.check(database, NOW)["detail"][0]
    _queued(database, "mail", 35)
    _queued(database, "mail", 0, status="sent", sent_at=NOW)
    assert _found(database)[messages.SUBJECTS["mail"]] == (False, 35.0), "one that nobody tries is stuck all the same"


def test_a_server_that_is_gone_is_noticed_within_the_half_hour(database: Any) -> None:
    """What the sender leaves of a message that it cannot get rid of is what is looked for."""
    _queued(database, "mail", 0)
    for minutes in range(0, 30, 2):
        drain(database, Channels(mail_url="mailto://127.0.0.1:9/?from=w@example.org"), NOW + minutes * MINUTE)
        assert _found(database, NOW + minutes * MINUTE)[messages.SUBJECTS["mail"]] == FINE
    drain(database, Channels(mail_url="mailto://127.0.0.1:9/?from=w@example.org"), NOW + 31 * MINUTE)
    assert _found(database, NOW + 32 * MINUTE)[messages.SUBJECTS["mail"]][0] is False


def test_the_newest_heartbeat_is_that_of_now(database: Any) -> None:
    def beat(minutes: int) -> None:
        at = NOW + minutes * MINUTE
        status.store(database, {"_id": {"at": at}, "at": at, "measured_at": at, "checks": {}, "incidents": []})

    assert status.newest(database, NOW) is None
    for minutes in (300, 305):
        beat(minutes)
    found = status.newest(database, NOW)
    assert found is not None
    assert found["at"] == NOW + 305 * MINUTE, "none but those of the future: the watchdog is to know"
    for minutes in (-10, -5):
        beat(minutes)
    found = status.newest(database, NOW)
    assert found is not None
    assert found["at"] == NOW - 5 * MINUTE
    assert status.remove_future(database, NOW) == 2
    assert status.newest(database, NOW + 400 * MINUTE) == found
