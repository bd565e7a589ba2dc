"""Sinks for mail and SMS as processes, and a small world of plants, people and events for tests of the outbox."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mirakuru import TCPExecutor
from pymongo.database import Database

from local.servers import HOST, free_port
from wattline.alerts import outbox
from wattline.alerts.deliver import Channels
from wattline.alerts.notice import EventType, Notice, Transition, event_key
from wattline.alerts.recipients import load

ACCOUNT = {"WATTLINE_SMS_SINK_KEY": "SINKKEY", "WATTLINE_SMS_SINK_SECRET": "right"}
BLACKOUT = EventType(201, "정전", "blackout", "fault", True, True, ("owner", "manager"), escalate_minutes=60)
SILENT = EventType(202, "통신 이상", "communication error", "fault", True, False, ("manager",), escalate_minutes=60)
STARTED = EventType(101, "발전 시작", "generation started", "notice")
DOWN = EventType(301, "시스템 중단", "platform down", "fault", True, True, ("administrators",), quiet=False)
TYPES = {each.type: each for each in (BLACKOUT, SILENT, STARTED, DOWN)}
SECONDS = timedelta(0)
"""Events of a test are raised so long before the full minute."""


@dataclass
class Sinks:
    """Both sinks as processes of their own, as the local stack runs them."""

    folder: Path
    mail_port: int
    sms_port: int

    @property
    def mail_url(self) -> str:
        """The mail server, without recipient."""
        return f"mailto://{HOST}:{self.mail_port}/?from=wattline@example.org"

    def sms_url(self, secret: str = "right") -> str:
        """The SMS account, without recipient."""
        return f"solapi://SINKKEY:{secret}@{HOST}:{self.sms_port}/01000000001"

    @property
    def channels(self) -> Channels:
        """Both."""
        return Channels(self.mail_url, self.sms_url())

    def heard(self, name: str) -> list[dict[str, Any]]:
        """What the sink has taken and what it refused."""
        path = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def got(self, name: str) -> list[dict[str, Any]]:
        """What the sink has taken."""
        return [entry for entry in self.heard(name) if "refused" not in entry]

    def fail(self, name: str, failing: bool = True) -> None:
        """Let a sink answer as a provider in trouble does, or no more."""
        (self.folder / f"{name}.fail").touch() if failing else (self.folder / f"{name}.fail").unlink()

    def clear(self) -> None:
        """Forget everything."""
        for file in self.folder.iterdir():
            file.unlink()


@contextmanager
def serving(folder: Path) -> Iterator[Sinks]:
    """Sinks that run until the end of the block."""
    sinks = Sinks(folder, free_port(), free_port())

    def sink(name: str, port: int) -> TCPExecutor:
        command = [sys.executable, "-m", "wattline.alerts.sinks", name, f"--port={port}", f"--folder={folder}"]
        return TCPExecutor(command, host=HOST, port=port, timeout=60, envvars=ACCOUNT)

    with sink("mail", sinks.mail_port), sink("sms", sinks.sms_port):
        yield sinks


def noon() -> datetime:
    """Noon of today at the plants, in UTC: far from quiet hours, and near enough to the sinks' clock."""
    return datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0)


def person(user_id: str, authority: str, phone: str | None, *, language: str = "ko", mail: bool = True) -> Any:
    """A document of `users`."""
    address = f"{user_id}@example.org" if mail else None
    who = {"user_id": user_id, "authority": authority, "phone": phone, "mail": address, "language": language}
    return {"_id": {"user_id": user_id}, **who}


def settle(database: Database[Any], plants: int = 2) -> None:
    """Plants 1, 2, …: owners without account, one manager, two administrators."""
    database["users"].insert_many(
        [
            person("mina", "manager", "010-1111-0001", language="en"),
            person("root", "administrator", "01099990001"),
            person("anna", "administrator", None, language="en"),
        ]
    )
    for mcno in range(1, plants + 1):
        station = {"name": f"해남 {mcno}호 발전소", "timezone": "Asia/Seoul", "manager_id": "mina", "owner_id": None}
        database["power_station"].insert_one({"_id": {"mcno": mcno}, "mcno": mcno, **station})
        owner = {"owner_phone": f"010-2222-{mcno:04}", "owner_mail": f"owner{mcno}@example.org"}
        database["customer"].insert_one({"_id": {"mcno": mcno}, "mcno": mcno, "owner_id": None, **owner})


def store_event(
    database: Database[Any], identifier: str, *, cleared_at: datetime | None = None, level: str = "fault"
) -> None:
    """The event as a pipeline stores it."""
    key = event_key(identifier)
    more = {"level": level, "message": "x", "checked": False, "checked_at": None, "checked_by": None}
    document = {"_id": key, **key, **more, "cleared_at": cleared_at}
    database["event"].replace_one({"_id": key}, document, upsert=True)


def notice(identifier: str, transition: Transition, at: datetime, wait: timedelta | None = None) -> Notice:
    """A notice of an event."""
    key = event_key(identifier)
    not_before = at + wait if wait else None
    return Notice(key, transition, key["mcno"], key["invno"], key["type"], at, not_before=not_before)


def queue(database: Database[Any], *notices: Notice) -> int:
    """Queue as a pipeline does."""
    return outbox.queue(database, notices, load(database, {one.mcno for one in notices if one.mcno}), TYPES)


def states(database: Database[Any]) -> dict[tuple[str, str, str], str]:
    """(transition, recipient, channel) → status."""
    return {(one["transition"], one["recipient"], one["channel"]): one["status"] for one in database["outbox"].find()}
