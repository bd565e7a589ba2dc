"""The dead-man check: heartbeat tells of everything but itself, so somebody outside Airflow has to look after it.

Each look reads the newest `server_status`. When it is older than the period, or MongoDB cannot be asked, every channel
of the on-call is told once, and once more when heartbeat is back. Channels are remembered one by one in a small file:
one that failed is tried again with every look while the others stay quiet. Killed between a message and the file, the
watchdog sends that message twice: a message too many, never one too few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from wattline.alerts.channels import Channel
from wattline.alerts.oncall import Language, Message, last_line
from wattline.alerts.rendering import part, rows, template
from wattline.alerts.sms_text import SMS_BYTES, cut, euc_kr_text
from wattline.errors import WattlineError

_MINUTE, _SHORT = "%Y-%m-%d %H:%M UTC", "%m-%d %H:%MZ"
_RUNBOOK = "docs/runbooks/platform.md#the-platform-is-silent"


@dataclass(frozen=True)
class Told:
    """What the watchdog remembers.

    Attributes:
        heard: the last heartbeat that it has seen, None before the first.
        since: from when on the platform is silent; None while it is heard.
        channels: labels of the channels that know of the silence.
    """

    heard: datetime | None = None
    since: datetime | None = None
    channels: tuple[str, ...] = ()


_TOLD = TypeAdapter(Told)


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes:
        silent: why the platform counts as silent; empty where it is heard, or nobody has heard it yet.
        sent: labels of the channels that took a message.
        failed: label of each channel that did not → why.
    """

    silent: str
    sent: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Watchdog:
    """One watchdog.

    Attributes:
        newest: the time of the newest heartbeat, None where there is none; raises a WattlineError where nobody can say.
        channels: whom to tell.
        memory: the file.
        period: how old a heartbeat may be.
        language: of the messages.
        airflow: address of Airflow's UI, for the messages.
        started: when the watchdog began to look: what was silent before has a period to begin. None: it has none.
    """

    newest: Callable[[], datetime | None]
    channels: Sequence[Channel]
    memory: Path
    period: timedelta
    language: Language
    airflow: str = ""
    started: datetime | None = None

    def look(self, now: datetime) -> Look:
        """Look once, tell who has to be told, and remember it.

        Args:
            now: UTC.

        Raises:
            OSError: the file cannot be written; it was told all the same.
        """
        told = load(self.memory)
        heard, problem = told.heard, ""
        try:
            heard = self.newest() or heard
        except WattlineError as error:
            problem = last_line(str(error))
        silent = problem or self._silence(heard, now)
        since = (told.since or (now if problem else heard)) if silent else told.since
        told = Told(heard, since, told.channels)
        return self._tell(told, silent, now)

    def _silence(self, heard: datetime | None, now: datetime) -> str:
        if heard is None:  # a platform on which heartbeat was never switched on
            return ""
        quiet = now - max(heard, self.started or heard)
        minutes = self.period / timedelta(minutes=1)
        return f"no heartbeat for more than {minutes:g} minutes" if quiet > self.period else ""

    def _tell(self, told: Told, silent: str, now: datetime) -> Look:
        """Tell the channels whose knowledge is another than what is so; the file follows every message."""
        sent, failed = [], {}
        for channel in self.channels:
            if (channel.label in told.channels) == bool(silent):
                continue
            result = channel.send(message(told, silent, self.language, self.airflow))
            if not result.ok:
                failed[channel.label] = result.error
                continue
            sent.append(channel.label)
            others = tuple(label for label in told.channels if label != channel.label)
            told = Told(told.heard, told.since, (*others, channel.label) if silent else others)
            save(self.memory, told)
        if not silent and not told.channels:
            told = Told(told.heard)
        save(self.memory, told)
        return Look(silent, tuple(sent), failed)


def load(memory: Path) -> Told:
    """What the file says; one that is missing or broken says nothing, which sends a message too many at the worst."""
    try:
        return _TOLD.validate_json(memory.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Told()


def save(memory: Path, told: Told) -> None:
    """Write the file, whole or not at all, where it says something else.

    Raises:
        OSError: it cannot be written.
    """
    if memory.exists() and load(memory) == told:
        return
    memory.parent.mkdir(parents=True, exist_ok=True)
    part_file = memory.with_name(f"{memory.name}.part")
    with part_file.open("wb") as file:
        file.write(_TOLD.dump_json(told))
        file.flush()
        os.fsync(file.fileno())
    part_file.replace(memory)


def message(told: Told, silent: str, language: Language, airflow: str) -> Message:
    """What a channel is sent: that the platform is silent, and why; or, where `silent` is empty, that it is back."""
    words = template(f"watchdog_{language}.j2")
    since = told.since or told.heard
    values = {
        "down": bool(silent),
        "reason": silent,
        "last": f"{told.heard:{_MINUTE}}" if told.heard else "-",
        "since": f"{since:{_MINUTE}}" if since else "-",
        "short": f"{since:{_SHORT}}" if since else "-",
        "airflow": airflow,
        "runbook": _RUNBOOK,
    }
    headline, pairs = part(words, "headline", values), rows(words, values)
    text = "\n".join([headline, "", *(f"{label}: {value}" for label, value in pairs)]) + "\n"
    html = template("event.html.j2").render(headline=headline, rows=pairs, lines=())
    return Message(part(words, "subject", values), text, html, cut(euc_kr_text(part(words, "sms", values)), SMS_BYTES))
