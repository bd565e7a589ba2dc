"""Two senders at once are killed at random moments, as real processes: no message twice, and none lost unnoticed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests import alert_world
from wattline.alerts.notice import Notice, Person

pytestmark = pytest.mark.integration

PEOPLE, KILLS = 60, 12


def fill(database: Database[Any]) -> None:
    """A mail and an SMS to each of many people."""
    at = datetime.now(UTC).replace(microsecond=0)
    key: dict[str, Any] = {"mcno": 0, "invno": 0, "type": 301, "raised_at": at}
    people = [Person(f"p{n}", "en", f"0105555{n:04}", f"p{n}@example.org") for n in range(PEOPLE)]
    notice = Notice(key, "raised", None, None, 301, at, {"what": "mongodb", "detail": "down"}, to=tuple(people))
    assert alert_world.queue(database, notice) == 2 * PEOPLE


def an_hour_passes(database: Database[Any]) -> None:
    """Leases run out; the clock itself stays, because the provider is asked for what it took since."""
    past = datetime.now(UTC) - timedelta(hours=1)
    database["outbox"].update_many({"lease": {"$ne": None}}, {"$set": {"lease.until": past}})


def wait_for_a_message_under_way(database: Database[Any], channel: str) -> None:
    """Until a sender of the channel is at work, or has nothing left to send."""
    waiting, sending = ({"status": status, "channel": channel} for status in ("waiting", "sending"))
    while database["outbox"].find_one(waiting) and not database["outbox"].find_one(sending):
        time.sleep(0.001)


def test_no_message_comes_twice_and_none_is_lost_unnoticed(fresh_mongo: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    with (
        alert_world.serving(tmp_path) as sinks,
        MongoClient[dict[str, Any]](fresh_mongo) as client,
        subprocess.Popen(
            [sys.executable, "-m", "tests.outbox_sender", fresh_mongo, sinks.mail_url, sinks.sms_url()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as sender,
    ):
        assert sender.stdin
        assert sender.stdout
        database = client.get_default_database()
        fill(database)
        # Most of the time of a message, the other side has it and the sender does not know.
        for name in ("mail", "sms"):
            (sinks.folder / f"{name}.slow").touch()
        under_way = 0
        for killed in [True] * KILLS + [False, False]:
            sender.stdin.write("drain\n")
            children = [int(pid) for pid in sender.stdout.readline().split()[1:]]
            if killed:
                wait_for_a_message_under_way(database, chance.choice(["mail", "sms"]))
                time.sleep(chance.uniform(0, 0.06))
                for child in chance.sample(children, chance.choice([1, 2, 2])):
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
            assert sender.stdout.readline() == "ended\n"
            under_way += database["outbox"].count_documents({"status": "sending"})
            an_hour_passes(database)
        sender.stdin.close()

        states = Counter((one["channel"], one["status"]) for one in database["outbox"].find())
        unknown = {one["recipient"] for one in database["outbox"].find({"status": "unknown"})}
    mails = Counter(one["to"][0].partition("@")[0] for one in sinks.got("mail"))
    texts = Counter(one["to"] for one in sinks.got("sms"))
    assert under_way > 0, "no kill hit a message under way"
    assert set(mails.values()) == set(texts.values()) == {1}
    assert len(texts) == states["sms", "sent"] == PEOPLE
    assert states["mail", "sent"] + states["mail", "unknown"] == PEOPLE
    assert {f"p{n}" for n in range(PEOPLE)} - set(mails) <= unknown
    assert len(unknown) <= 4 * KILLS
