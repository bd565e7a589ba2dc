"""The watchdog: told once when heartbeat falls silent, once when it is back, through real sinks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mirakuru import TCPExecutor
from pymongo import MongoClient

from local.servers import HOST, free_port
from tests.e2e.conftest import until
from tests.servers import RunningServer
from wattline.alerts.channels import Channel, ChannelResult, open_channels
from wattline.alerts.oncall import Message
from wattline.errors import TransientError
from wattline.platform.watchdog import PLATFORM, Heartbeat, Watchdog, load, save

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Sinks:
    """The sinks for mail and SMS, as processes of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("mail", "sms")}
        account = {"WATTLINE_SMS_SINK_KEY": "SINKKEY", "WATTLINE_SMS_SINK_SECRET": "right"}
        for name, port in self.ports.items():
            command = [sys.executable, "-m", "wattline.alerts.sinks", name, f"--port={port}", f"--folder={folder}"]
            stack.enter_context(TCPExecutor(command, host=HOST, port=port, timeout=60, envvars=account))

    @property
    def urls(self) -> list[str]:
        mail = f"mailto://{HOST}:{self.ports['mail']}/?from=wattline@example.org&to=oncall@example.org"
        return [mail, f"solapi://SINKKEY:right@{HOST}:{self.ports['sms']}/01000000001/01000000002"]

    def got(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if "refused" not in line]

    def subjects(self) -> list[str]:
        return [mail["subject"].removeprefix("[Wattline] ") for mail in self.got("mail")]

    def break_(self, name: str) -> None:
        (self.folder / f"{name}.fail").touch()

    def mend(self, name: str) -> None:
        (self.folder / f"{name}.fail").unlink()


@pytest.fixture(scope="module")
def running_sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sinks]:
    with ExitStack() as stack:
        yield Sinks(tmp_path_factory.mktemp("sinks"), stack)


@pytest.fixture
def sinks(running_sinks: Sinks) -> Sinks:
    for file in running_sinks.folder.iterdir():
        file.unlink()
    return running_sinks


class Platform:
    """A platform whose heart beats when the test says so."""

    def __init__(self, sinks: Sinks, memory: Path) -> None:
        self.heard: datetime | None = NOW
        self.gone = False
        self.sinks, self.memory = sinks, memory
        self.started: datetime | None = None

    def newest(self, _: datetime) -> Heartbeat | None:
        if self.gone:
            raise TransientError("MongoDB: ServerSelectionTimeoutError: 127.0.0.1:27017 refused")
        return Heartbeat(self.heard) if self.heard else None

    def look(self, minutes: int, language: Any = "en") -> Any:
        dog = Watchdog(
            self.newest,
            open_channels(self.sinks.urls),
            self.memory,
            period=15 * MINUTE,
            language=language,
            airflow="http://airflow.example",
            started=self.started,
        )
        return dog.look(NOW + minutes * MINUTE)


@pytest.fixture
def platform(sinks: Sinks, tmp_path: Path) -> Platform:
    return Platform(sinks, tmp_path / "watchdog.json")


DOWN, BACK = "the platform is silent", "the platform is back"


def test_a_silence_and_its_end_are_told_once_each(platform: Platform, sinks: Sinks) -> None:
    for minutes in (0, 15):
        assert platform.look(minutes).trouble == ""
    assert platform.look(16).trouble == "platform: no heartbeat for more than 15 minutes"
    for minutes in (17, 18, 500):
        platform.look(minutes)
    assert sinks.subjects() == [DOWN]
    platform.heard = NOW + 501 * MINUTE
    for minutes in (501, 502):
        assert platform.look(minutes).trouble == ""
    assert sinks.subjects() == [DOWN, BACK]
    down, back = sinks.got("mail")
    assert "Since: 2026-11-20 03:00 UTC" in down["text"]
    assert "Last heartbeat: 2026-11-20 11:21 UTC" in back["text"]
    assert "Since: 2026-11-20 03:00 UTC" in back["text"]
    assert "docs/runbooks/platform.md#the-platform-is-silent" in down["text"]
    assert [each["type"] for each in sinks.got("sms")] == ["SMS", "SMS"]
    assert load(platform.memory).troubles == {}
    assert platform.look(600).trouble
    assert sinks.subjects() == [DOWN, BACK, DOWN]


def test_a_mongodb_that_does_not_answer_is_a_silence(platform: Platform, sinks: Sinks) -> None:
    platform.gone = True
    assert "refused" in platform.look(1, "ko").trouble
    assert sinks.got("mail") == [], "it may be a restart"
    assert "refused" in platform.look(2, "ko").trouble
    platform.gone = False
    platform.look(3, "ko")
    assert [mail["subject"] for mail in sinks.got("mail")] == ["[Wattline] 시스템 응답 없음", "[Wattline] 시스템 복구"]
    assert "ServerSelectionTimeoutError" in sinks.got("mail")[0]["text"]
    assert [each["bytes"] <= 90 for each in sinks.got("sms")] == [True, True]


def test_a_channel_that_fails_is_tried_again_and_the_others_stay_quiet(platform: Platform, sinks: Sinks) -> None:
    sinks.break_("sms")
    assert list(platform.look(20).failed) == [open_channels(sinks.urls)[1].label]
    platform.look(21)
    assert (len(sinks.got("mail")), len(sinks.got("sms"))) == (1, 0)
    sinks.mend("sms")
    assert platform.look(22).sent == [open_channels(sinks.urls)[1].label]
    assert (len(sinks.got("mail")), len(sinks.got("sms"))) == (1, 1)
    sinks.break_("mail")
    platform.heard = NOW + 23 * MINUTE
    platform.look(23)
    sinks.mend("mail")
    platform.look(24)
    platform.look(25)
    assert sinks.subjects() == [DOWN, BACK]
    assert len(sinks.got("sms")) == 2


def test_a_watchdog_killed_between_two_channels_tells_only_the_second_again(
    platform: Platform, sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Channel.send

    def killed(self: Channel, message: Message) -> ChannelResult:
        if self.label.startswith("solapi"):
            raise KeyboardInterrupt
        return send(self, message)

    with monkeypatch.context() as patch:
        patch.setattr(Channel, "send", killed)
        with pytest.raises(KeyboardInterrupt):
            platform.look(20)
    platform.look(21)
    assert (sinks.subjects(), len(sinks.got("sms"))) == ([DOWN], 1)


def test_who_never_heard_of_a_silence_does_not_hear_of_its_end(platform: Platform, sinks: Sinks) -> None:
    sinks.break_("sms")
    platform.look(20)
    sinks.mend("sms")
    platform.heard = NOW + 21 * MINUTE
    platform.look(21)
    assert sinks.subjects() == [DOWN, BACK]
    assert sinks.got("sms") == []


def test_what_never_beat_is_not_watched_and_a_new_watchdog_waits_a_period(platform: Platform, sinks: Sinks) -> None:
    platform.heard = None
    assert platform.look(500).trouble == ""
    platform.heard, platform.started = NOW, NOW + 600 * MINUTE
    assert platform.look(615).trouble == ""
    assert sinks.subjects() == []
    platform.look(616)
    assert sinks.subjects() == [DOWN]


def test_a_broken_memory_costs_a_message_and_nothing_else(platform: Platform, sinks: Sinks) -> None:
    platform.look(20)
    platform.memory.write_text("{")
    platform.look(21)
    assert sinks.subjects() == [DOWN, DOWN]
    assert load(platform.memory).troubles[PLATFORM].channels


def test_the_command_remembers_through_a_kill(
    sinks: Sinks, mongo_server: RunningServer, fresh_mongo: str, tmp_path: Path
) -> None:
    """A process that is killed and started again tells nobody twice; the recovery comes by its own look."""
    # Closing a client asks its server once more, and this one's is away by then.
    with MongoClient[dict[str, Any]](fresh_mongo, serverSelectionTimeoutMS=500) as client:
        status = client.get_default_database()["server_status"]

        def beat(at: datetime) -> None:
            found = {"_id": {"at": at}, "at": at, "measured_at": at, "checks": {}, "incidents": []}
            status.replace_one({"_id": {"at": at}}, found, upsert=True)

        beat(datetime.now(UTC) - timedelta(hours=1))
        environment = {
            **os.environ,
            "WATTLINE_MONGO_URL": fresh_mongo,
            "WATTLINE_ONCALL_URLS": " ".join(sinks.urls),
            "WATTLINE_WATCHDOG_MINUTES": "0.02",
            "WATTLINE_DATA_DIR": str(tmp_path),
        }
        command = [Path(sys.executable).with_name("wattline"), "watchdog", "--every", "1"]
        memory = tmp_path / "watchdog.json"
        first = subprocess.Popen(command, env=environment)
        try:
            until(lambda: DOWN in sinks.subjects() and len(sinks.got("sms")) == 1, "the message")
            until(lambda: len(load(memory).troubles[PLATFORM].channels) == 2, "the file")
        finally:
            first.send_signal(signal.SIGKILL)
        assert first.wait(20) == -signal.SIGKILL
        once = subprocess.run([*command[:2], "--once"], env=environment, check=False, capture_output=True, text=True)
        assert (once.returncode, "no heartbeat" in once.stdout) == (1, True)
        assert sinks.subjects() == [DOWN]
        environment["WATTLINE_WATCHDOG_MINUTES"] = "15"
        beat(datetime.now(UTC))
        once = subprocess.run([*command[:2], "--once"], env=environment, check=False, capture_output=True, text=True)
        assert once.returncode == 0, once.stdout + once.stderr
        assert sinks.subjects() == [DOWN, BACK]
        mongo_server.stop()
        save(memory, replace(load(memory), unanswered=datetime.now(UTC)))  # the look before found nothing either
        once = subprocess.run([*command[:2], "--once"], env=environment, check=False, capture_output=True, text=True)
        assert once.returncode == 1
        assert sinks.subjects() == [DOWN, BACK, DOWN]
        assert "MongoDB" in sinks.got("mail")[-1]["text"]
