"""What the on-call is told of failed and late runs and of drift, and when: pure functions, nothing is sent here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from jinja2 import Template

from wattline.alerts.rendering import part, rows, template
from wattline.alerts.sms_text import SMS_BYTES, cut, euc_kr_size, euc_kr_text
from wattline.window import Window

Language = Literal["en", "ko"]

ERROR_LENGTH = 300
"""The longest error line in a message, in characters."""

_LEAST_ERROR = 12
"""Bytes below which a piece of an error says nothing in an SMS."""

_NAMES_OF_SECRETS = (
    r"passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|signature"
)
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"([A-Za-z][\w+.-]*://)\S+@"), r"\1***@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w+/=.~-]{12,}"), r"\1 ***"),
    (
        re.compile(
            rf"""(?i)([\w-]*(?:{_NAMES_OF_SECRETS})[\w-]*["']?\s*(?:=>|[=:])\s*)(?:"[^"]*"|'[^']*'|[^\s"',;&)}}\]]+)"""
        ),
        r"\1***",
    ),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,}\b"), "***"),
)


@dataclass(frozen=True)
class Failure:
    """One task that failed, one run that is late, drift that a task found in a source, or a trial of the channels.

    Attributes:
        task_id: the task (with its map index, where it has one); empty where the whole run is meant.
        window: what the run computes, None where it has no interval.
        attempt: the try that failed, 0 where it is not known.
        error: the last line of its error, without secrets; empty where none was reported.
        log_url: where to read on.
        table: of drift, the migration whose source has changed.
        lines: of drift, what has changed, without secrets.
    """

    dag_id: str
    task_id: str
    run_id: str
    window: Window | None
    attempt: int
    error: str
    log_url: str
    kind: Literal["failed", "late", "drift", "test"] = "failed"
    table: str = ""
    lines: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`dag.task`, or the DAG alone."""
        return f"{self.dag_id}.{self.task_id}" if self.task_id else self.dag_id


@dataclass(frozen=True)
class Notice:
    """A failure that is to be told now, and how many went untold before it, since when."""

    failure: Failure
    more: int = 0
    since: datetime | None = None


@dataclass(frozen=True)
class Entry:
    """What one channel knows of one task.

    Attributes:
        since: when the last message was sent; where none could be sent, the first failure that went untold.
        more: failures since then that were not told.
        told: whether `since` is the time of a message.
    """

    since: datetime
    more: int
    told: bool


@dataclass(frozen=True)
class Message:
    """One message in the forms that channels take; `sms` fits one short message unless the names are too long."""

    subject: str
    text: str
    html: str
    sms: str


def redact(text: str) -> str:
    """`text` without what looks like a secret: passwords in URLs, `password=…`, tokens, long random words."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def last_line(error: str) -> str:
    """The last line of `error` that says something, without secrets, at most ERROR_LENGTH characters."""
    lines = [" ".join(line.split()) for line in error.splitlines()]
    line = redact(next((line for line in reversed(lines) if line), ""))
    return line if len(line) <= ERROR_LENGTH else line[: ERROR_LENGTH - 3] + "..."


def _key(failure: Failure) -> str:
    return f"{failure.kind} {failure.dag_id} {failure.task_id} {failure.table}".rstrip()


def fold(
    state: Mapping[str, Entry], failure: Failure, now: datetime, window: timedelta
) -> tuple[dict[str, Entry], Notice | None]:
    """Whether `failure` is told now.

    The first failure of a task is told at once. What follows within `window` is counted; the next after that is told
    together with the count.

    Returns:
        The state that holds once the notice was sent (see `not_told` for the other case), and the notice, None where
        the failure is only counted.
    """
    # An old entry without untold failures says nothing that a first failure would not.
    kept = {key: entry for key, entry in state.items() if entry.more or _recent(entry, now, window)}
    entry = kept.get(_key(failure))
    if entry is not None and entry.told and _recent(entry, now, window):
        return {**kept, _key(failure): replace(entry, more=entry.more + 1)}, None
    notice = Notice(failure, entry.more, entry.since) if entry and entry.more else Notice(failure)
    return {**kept, _key(failure): Entry(now, 0, told=True)}, notice


def not_told(state: Mapping[str, Entry], failure: Failure, now: datetime) -> dict[str, Entry]:
    """`state` after the notice of `failure` could not be sent: it counts as untold, and the next failure is told."""
    entry = state.get(_key(failure), Entry(now, 0, told=False))
    return {**state, _key(failure): replace(entry, more=entry.more + 1, told=False)}


def _recent(entry: Entry, now: datetime, window: timedelta) -> bool:
    # A clock that was set back must not silence a task, so an entry of the future is not recent.
    return timedelta(0) <= now - entry.since < window


def compose(notices: Sequence[Notice], language: Language) -> Message:
    """One message for what failed in one run: the first notice in full, the others by name.

    Args:
        notices: at least one, all of one run.
        language: en or ko.
    """
    words = template(f"oncall_{language}.j2")
    first, *others = notices
    values = {"notice": first, "failure": first.failure, "others": [notice.failure for notice in others]}
    headline, lines = part(words, "headline", values), rows(words, values)
    text = "\n".join([headline, "", *(f"{label}: {value}" for label, value in lines)])
    html = template("oncall.html.j2").render(headline=headline, rows=lines, url=first.failure.log_url)
    return Message(part(words, "subject", values), text, html, _short(words, values))


def _short(words: Template, values: Mapping[str, object]) -> str:
    """The SMS, with as much of the error as fits."""
    bare = euc_kr_text(part(words, "sms", {**values, "error": ""}))
    failure = values["failure"]
    room = SMS_BYTES - euc_kr_size(bare) - len(": ")
    error = euc_kr_text(failure.error) if isinstance(failure, Failure) else ""
    return f"{bare}: {cut(error, room)}" if error and room >= _LEAST_ERROR else bare
