"""What the watchdog tells, to which channel, how often: on channels and a memory of the test's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from wattline.alerts.channels import ChannelResult
from wattline.alerts.oncall import Language, Message
from wattline.alerts.sms_text import SMS_BYTES, euc_kr_size
from wattline.cli import watchdog as command
from wattline.errors import TransientError
from wattline.platform import watchdog as module
from wattline.platform.messages import SUBJECTS
from wattline.platform.watchdog import PLATFORM, UNTOLD, Heartbeat, Look, Trouble, Watchdog, load, message

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OUTBOX = "pipeline alert_outbox"


class Ears:
    """A channel that hears, or does not."""

    def __init__(self, label: str) -> None:
        self.label, self.deaf = label, False
        self.heard: list[Message] = []

    def send(self, message: Message) -> ChannelResult:
        if self.deaf:
            return ChannelResult(self.label, ok=False, error="deaf")
        self.heard.append(message)
        return ChannelResult(self.label, ok=True)

    @property
    def subjects(self) -> list[str]:
        return [each.subject.removeprefix("[Wattline] ") for each in self.heard]


class Watched:
    """A watchdog, what it looks at, and whom it tells."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.ears = [Ears(name) for name in names or ("one", "two")]
        self.memory = folder / "watchdog.json"
        self.heartbeat: Heartbeat | None = Heartbeat(NOW)
        self.error: Exception | None = None
        self.dog = self.started()

    def started(self, at: datetime | None = None) -> Watchdog:
        """The process, begun again."""
        channels: Any = self.ears
        self.dog = Watchdog(self._newest, channels, self.memory, 15 * MINUTE, "en", started=at)
        return self.dog

    def _newest(self, latest: datetime) -> Heartbeat | None:
        if self.error:
            raise self.error
        return self.heartbeat

    def look(self, minutes: float) -> Look:
        return self.dog.look(NOW + minutes * MINUTE)

    @property
    def told(self) -> list[list[str]]:
        return [each.subjects for each in self.ears]


DOWN, BACK = "the platform is silent", "the platform is back"


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.fixture
def full(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The disk is full."""

    def save(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save", save)
    return watched


def test_a_full_disk_costs_nobody_a_message_and_nobody_a_second_one(full: Watched) -> None:
    for minutes in (16, 17, 18):
        look = full.look(minutes)
        assert look.failed == {str(full.memory): "[Errno 28] No space left on device"}
    assert full.told == [[DOWN]] * 2
    full.heartbeat = Heartbeat(NOW + 19 * MINUTE)
    for minutes in (19, 20):
        full.look(minutes)
    assert full.told == [[DOWN, BACK]] * 2


def test_a_memory_that_cannot_be_read_says_nothing(watched: Watched) -> None:
    watched.memory.mkdir()
    assert str(watched.memory) in watched.look(16).failed
    assert watched.told == [[DOWN]] * 2


def test_messages_that_do_not_leave_are_told_and_so_is_their_end(watched: Watched) -> None:
    trouble = {OUTBOX: Trouble(NOW - 20 * MINUTE, "complete up to 02:40")}
    watched.heartbeat = Heartbeat(NOW, trouble)
    assert [watched.look(minutes).trouble for minutes in (1, 2)] == [f"{OUTBOX}: complete up to 02:40"] * 2
    (first,) = watched.ears[0].heard
    assert "Since: 2026-11-20 02:40 UTC" in first.text
    assert "Reason: complete up to 02:40" in first.text
    assert "platform.md#messages-do-not-leave" in first.text
    # A second such trouble, and heartbeat's own silence, are not hidden behind the first.
    watched.heartbeat = Heartbeat(NOW + 3 * MINUTE, trouble | {SUBJECTS["sms"]: Trouble(NOW, "no answer")})
    watched.look(3)
    watched.look(30)
    watched.heartbeat = Heartbeat(NOW + 31 * MINUTE)
    watched.look(31)
    expected = [
        f"{OUTBOX} is down",
        "messages by SMS is down",
        DOWN,
        "messages by SMS is back",
        f"{OUTBOX} is back",
        BACK,
    ]
    assert watched.told == [expected] * 2
    assert load(watched.memory).troubles == {}


def test_who_is_silent_says_nothing_of_its_messages(watched: Watched) -> None:
    watched.heartbeat = Heartbeat(NOW, {OUTBOX: Trouble(NOW, "late")})
    watched.look(1)
    watched.look(60)
    watched.error = TransientError("MongoDB: refused")
    watched.look(61)
    watched.look(62)
    assert watched.told == [[f"{OUTBOX} is down", DOWN]] * 2


def test_a_document_says_what_its_messages_may_not_tell() -> None:
    def state(name: str) -> dict[str, Any]:
        return {"state": name, "since": NOW, "detail": "late", "streak": 0, "value": None, "limit": None, "ok": False}

    checks = {subject: state("down") for subject in (*UNTOLD, "mysql", "pipeline inverterlog")}
    checks[SUBJECTS["mail"]] = state("up")
    found = Heartbeat.of({"measured_at": NOW, "checks": checks})
    assert found == Heartbeat(NOW, {OUTBOX: Trouble(NOW, "late"), SUBJECTS["sms"]: Trouble(NOW, "late")})


def test_one_look_without_an_answer_is_not_told(watched: Watched) -> None:
    for minutes in (1, 3, 5):
        watched.error = TransientError("MongoDB: refused")
        assert watched.look(minutes).trouble == "MongoDB: refused"
        watched.error = None
        assert watched.look(minutes + 1).trouble == ""
    assert watched.told == [[], []]
    watched.error = KeyError("measured_at")  # whatever it is
    watched.look(7)
    watched.started()  # by a timer, each look is a process of its own
    assert watched.look(8).trouble == "platform: KeyError: 'measured_at'"
    assert watched.told == [[DOWN]] * 2
    assert "Since: 2026-11-20 03:07 UTC" in watched.ears[0].heard[0].text
    watched.error = None
    watched.look(9)
    assert watched.told == [[DOWN, BACK]] * 2


def test_a_heartbeat_of_the_future_is_a_silence(watched: Watched) -> None:
    watched.heartbeat = Heartbeat(NOW + timedelta(days=1))
    assert "2026-11-21 03:00 UTC, which is still to come" in watched.look(0).trouble
    assert watched.told == [[DOWN]] * 2
    assert "Since: 2026-11-20 03:00 UTC" in watched.ears[0].heard[0].text
    watched.heartbeat = Heartbeat(NOW + MINUTE)
    watched.look(1)
    assert watched.told == [[DOWN, BACK]] * 2
    watched.heartbeat = Heartbeat(NOW + 17 * MINUTE)
    assert watched.look(2).trouble == "", "clocks of two machines may differ by a period"


def test_a_channel_that_is_gone_leaves_no_silence_behind(watched: Watched) -> None:
    watched.look(16)
    watched.ears.pop()
    watched.heartbeat = Heartbeat(NOW + 17 * MINUTE)
    watched.look(17)
    watched.look(40)
    (_, _, again) = watched.ears[0].heard
    assert "Since: 2026-11-20 03:17 UTC" in again.text


def test_a_watchdog_that_begins_anew_in_a_silence_does_not_end_it(watched: Watched) -> None:
    watched.look(16)
    watched.started(NOW + 20 * MINUTE)
    watched.look(20)
    watched.look(60)
    assert watched.told == [[DOWN]] * 2


def test_a_memory_of_another_form_costs_a_message_at_the_worst(watched: Watched) -> None:
    watched.memory.write_text(json.dumps({"heard": NOW.isoformat(), "since": None, "channels": ["one"]}))
    watched.look(1)
    assert watched.told == [[], []]


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("reason", ["the oldest has been waiting since 2026-11-20 03:00 UTC: not tried yet", ""])
@pytest.mark.parametrize("subject", [PLATFORM, *UNTOLD])
def test_every_message_is_one_short_sms(language: Language, reason: str, subject: str) -> None:
    found = message(subject, reason, NOW, NOW, language=language, airflow="http://airflow.example")
    assert euc_kr_size(found.sms) <= SMS_BYTES
    shown = subject if subject != PLATFORM else {"ko": "시스템", "en": "platform"}[language]
    assert shown in found.subject
    assert shown in found.sms
    assert "11-20 03:00Z" in found.sms
    assert "2026-11-20 03:00 UTC" in found.text


def test_the_loop_survives_whatever_a_look_runs_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looks: Any = iter([RuntimeError("boom"), Look("platform: gone", ["one"]), Look("")])
    left = [3]

    class Stop(Event):
        def wait(self, timeout: float | None = None) -> bool:
            left[0] -= 1
            return left[0] == 0

    def look(*_: Any) -> Any:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(Watchdog, "look", look)
    monkeypatch.setattr(command, "_stopped", Stop)
    command.watchdog(memory=tmp_path / "watchdog.json")
    said = capsys.readouterr().out
    assert "RuntimeError: boom" in said
    assert "platform: gone; told one" in said
    assert "in order" in said
