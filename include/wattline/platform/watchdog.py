"""The dead-man check: somebody outside Airflow looks after what heartbeat cannot tell by itself.

That is heartbeat's own silence, and the subjects that keep its messages from leaving. Each look reads the newest
`server_status`. When that is older than the period, or of the future, or MongoDB does not answer two looks in a row,
every channel of the on-call is told once, and once more when it is over; so it is with every such subject that is down.

Channels are remembered one by one: one that failed is tried again with every look while the others stay quiet. What is
remembered is kept in a small file. Killed between a message and the file, or where the file cannot be written and the
process ends, the watchdog sends a message twice: a message too many, never one too few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from wattline.alerts.channels import Channel
from wattline.alerts.oncall import Language, Message, last_line
from wattline.alerts.rendering import part, rows, template
from wattline.alerts.sms_text import SMS_BYTES, cut, euc_kr_text
from wattline.errors import WattlineError
from wattline.platform.heartbeat import DOWN
from wattline.platform.messages import SUBJECTS
from wattline.platform.pipelines import PREFIX
from wattline.storage.documents import Document

PLATFORM = "platform"
"""The subject that is down while heartbeat is silent."""
UNTOLD = (f"{PREFIX}alert_outbox", *SUBJECTS.values())
"""Subjects of heartbeat's that its own messages may not tell of."""
_MINUTE, _SHORT = "%Y-%m-%d %H:%M UTC", "%m-%d %H:%MZ"
_RUNBOOK = "docs/runbooks/platform.md#"


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a subject, and since when, UTC."""

    since: datetime
    reason: str


@dataclass(frozen=True)
class Heartbeat:
    """What the newest `server_status` says.

    Attributes:
        at: when it was measured, UTC.
        troubles: those of UNTOLD that are down.
    """

    at: datetime
    troubles: Mapping[str, Trouble] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Document) -> Heartbeat:
        """What matters of a document of `server_status`."""
        states = {subject: document["checks"].get(subject) for subject in UNTOLD}
        down = {subject: state for subject, state in states.items() if state and state["state"] == DOWN}
        return cls(
            document["measured_at"], {name: Trouble(each["since"], each["detail"]) for name, each in down.items()}
        )


@dataclass(frozen=True)
class Open:
    """A trouble that lasts, or whose end not everybody knows: since when, and labels of the channels that were told."""

    since: datetime
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What the watchdog remembers.

    Attributes:
        heard: the last heartbeat that it has seen, None before the first.
        unanswered: the first of the looks since which nobody could say; None where the last one was answered.
        troubles: by subject.
    """

    heard: datetime | None = None
    unanswered: datetime | None = None
    troubles: Mapping[str, Open] = field(default_factory=dict)


_TOLD = TypeAdapter(Told)


@dataclass
class Look:
    """What one look found.

    Attributes:
        trouble: what is wrong, told or not yet; empty where nothing is, or nobody has heard heartbeat yet.
        sent: labels of the channels that took a message.
        failed: label of each channel that did not, or the file that could not be written → why.
    """

    trouble: str
    sent: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class Watchdog:
    """One watchdog; it reads its file when it looks for the first time.

    Attributes:
        newest: the newest heartbeat up to a time, or else the newest of all, None where there is none; raises where
            nobody can say.
        channels: whom to tell.
        memory: the file.
        period: how old a heartbeat may be, and how far ahead of the clock.
        language: of the messages.
        airflow: address of Airflow's UI, for the messages.
        started: when the watchdog began to look: what was silent before has a period to begin. None: it has none.
    """

    newest: Callable[[datetime], Heartbeat | None]
    channels: Sequence[Channel]
    memory: Path
    period: timedelta
    language: Language
    airflow: str = ""
    started: datetime | None = None
    _told: Told | None = field(default=None, init=False)

    def look(self, now: datetime) -> Look:
        """Look once, tell who has to be told, and remember it.

        Args:
            now: UTC.
        """
        told = self._told or load(self.memory)
        heartbeat, problem = self._ask(now)
        heard = heartbeat.at if heartbeat else told.heard
        silence = self._silence(heard, now, known=PLATFORM in told.troubles)
        # One look without an answer may be a restart of the server, or of the network.
        if problem and told.unanswered and not silence:
            silence = Trouble(told.unanswered, problem)
        if silence:
            found = {PLATFORM: replace(silence, reason=problem or silence.reason)}
        else:
            found = dict(heartbeat.troubles) if heartbeat else {}
        # Who is not heard says nothing of other subjects.
        certain = {*found, *told.troubles} if heartbeat and not silence else {PLATFORM}
        self._told = replace(told, heard=heard, unanswered=(told.unanswered or now) if problem else None)
        look = Look("; ".join(f"{subject}: {trouble.reason}" for subject, trouble in found.items()) or problem)
        for subject in sorted(certain):
            self._tell(subject, found.get(subject), look)
        self._save(look)
        return look

    def _ask(self, now: datetime) -> tuple[Heartbeat | None, str]:
        """The newest heartbeat, and why nobody can say."""
        try:
            return self.newest(now + self.period), ""
        except WattlineError as error:
            return None, last_line(str(error))
        except Exception as error:  # whatever keeps the watchdog from looking is to be told
            return None, last_line(f"{type(error).__name__}: {error}")

    def _silence(self, heard: datetime | None, now: datetime, *, known: bool) -> Trouble | None:
        if heard is None:  # a platform on which heartbeat was never switched on
            return None
        if heard > now + self.period:
            return Trouble(now, f"the newest heartbeat is of {heard:{_MINUTE}}, which is still to come")
        minutes = self.period / timedelta(minutes=1)
        # A silence that was told ends with a heartbeat, and not with a restart of the watchdog.
        quiet = now - (heard if known else max(heard, self.started or heard))
        return Trouble(heard, f"no heartbeat for more than {minutes:g} minutes") if quiet > self.period else None

    def _tell(self, subject: str, trouble: Trouble | None, look: Look) -> None:
        """Tell the channels whose knowledge is another than what is so; the file follows every message."""
        told = self._told or Told()
        case = told.troubles.get(subject) or (Open(trouble.since) if trouble else None)
        if case is None:
            return
        for channel in self.channels:
            if (channel.label in case.channels) == bool(trouble):
                continue
            result = channel.send(self._message(subject, trouble, case.since))
            if not result.ok:
                look.failed[channel.label] = result.error
                continue
            look.sent.append(channel.label)
            others = tuple(label for label in case.channels if label != channel.label)
            case = replace(case, channels=(*others, channel.label) if trouble else others)
            self._remember(subject, case)
            self._save(look)
        # Channels that are gone need not hear of the end.
        waiting = any(channel.label in case.channels for channel in self.channels)
        self._remember(subject, case if trouble or waiting else None)

    def _remember(self, subject: str, case: Open | None) -> None:
        told = self._told or Told()
        others = {name: each for name, each in told.troubles.items() if name != subject}
        self._told = replace(told, troubles={**others, subject: case} if case else others)

    def _save(self, look: Look) -> None:
        """Write the file; where that fails, the process remembers."""
        look.failed.pop(str(self.memory), None)
        try:
            save(self.memory, self._told or Told())
        except OSError as error:
            look.failed[str(self.memory)] = str(error)

    def _message(self, subject: str, trouble: Trouble | None, since: datetime) -> Message:
        heard = self._told.heard if self._told else None
        reason = trouble.reason if trouble else ""
        return message(subject, reason, since, heard, language=self.language, airflow=self.airflow)


def load(memory: Path) -> Told:
    """What the file says; one that cannot be read says nothing, which sends a message too many at the worst."""
    try:
        return _TOLD.validate_json(memory.read_bytes())
    except (OSError, ValidationError):
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


def message(
    subject: str, reason: str, since: datetime, heard: datetime | None, *, language: Language, airflow: str
) -> Message:
    """What a channel is sent: that a subject is down, and why; or, where `reason` is empty, that it is back.

    Args:
        subject: PLATFORM or one of UNTOLD.
        reason: one line.
        since: when the trouble began, UTC.
        heard: the last heartbeat, UTC; None where there was none.
        language: of the message.
        airflow: address of Airflow's UI.
    """
    words, platform = template(f"watchdog_{language}.j2"), subject == PLATFORM
    values = {
        "down": bool(reason),
        "what": "" if platform else subject,
        "reason": reason,
        "last": f"{heard:{_MINUTE}}" if heard else "-",
        "since": f"{since:{_MINUTE}}",
        "short": f"{since:{_SHORT}}",
        "airflow": airflow,
        "runbook": _RUNBOOK + ("the-platform-is-silent" if platform else "messages-do-not-leave"),
    }
    headline, pairs = part(words, "headline", values), rows(words, values)
    text = "\n".join([headline, "", *(f"{label}: {value}" for label, value in pairs)]) + "\n"
    html = template("event.html.j2").render(headline=headline, rows=pairs, lines=())
    return Message(part(words, "subject", values), text, html, cut(euc_kr_text(part(words, "sms", values)), SMS_BYTES))
