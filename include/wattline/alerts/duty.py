"""On-call duty: fold per channel, send, and keep account of what was sent and what was not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wattline.alerts.channels import Channel, ChannelResult, open_channels
from wattline.alerts.oncall import Entry, Failure, Language, Message, Notice, compose, fold, not_told

Document = dict[str, Any]
VARIABLE = "wattline_oncall"
"""The Airflow Variable that keeps the memory of on-call duty."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FailedAttempt:
    """The last time that somebody was not told: when, of what, and why."""

    at: datetime
    failures: tuple[str, ...]
    error: str


@dataclass(frozen=True)
class Memory:
    """What is kept from one failure to the next.

    Attributes:
        channels: channel label → key of a task → what that channel knows of it.
        last_failed: the last attempt that did not reach every channel; None when the newest attempt did.
    """

    channels: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    last_failed: FailedAttempt | None = None


_MEMORY = TypeAdapter(Memory)


@dataclass(frozen=True)
class Delivery:
    """One message on one channel, and the failures it told of."""

    result: ChannelResult
    message: Message
    failures: tuple[Failure, ...]


def load_memory(text: str | None) -> Memory:
    """The memory in `text`; what cannot be read is forgotten, which sends a message too many and never one too few."""
    try:
        return _MEMORY.validate_json(text) if text else Memory()
    except ValidationError:
        log.exception("The on-call's memory cannot be read; starting anew")
        return Memory()


def dump_memory(memory: Memory) -> str:
    """`memory` as JSON text."""
    return _MEMORY.dump_json(memory, indent=1).decode()


def tell(
    failures: Sequence[Failure],
    memory: Memory,
    urls: Sequence[str],
    *,
    now: datetime,
    window: timedelta,
    language: Language,
) -> tuple[Memory, list[Delivery]]:
    """Tell every channel of those failures of one run that it has not heard of within `window`.

    Channels fold on their own: one that failed is tried again with the next failure, while the others stay quiet.

    Args:
        failures: at least one, all of one run; the first is told in full.
        memory: what `tell` returned the last time.
        urls: Apprise URLs of the channels.
        now: time of this attempt, time-zone-aware.
        window: how long failures of one task are folded.
        language: en or ko.

    Returns:
        The memory to keep, and one delivery per channel that had something to hear.
    """
    known: dict[str, Mapping[str, Entry]] = {}
    deliveries: list[Delivery] = []
    for channel in open_channels(urls):
        before = memory.channels.get(channel.label, {})
        known[channel.label], delivery = _tell_channel(
            channel, failures, before, now=now, window=window, language=language
        )
        if delivery:
            deliveries.append(delivery)
    errors = [f"{each.result.channel}: {each.result.error}" for each in deliveries if not each.result.ok]
    last_failed = memory.last_failed
    if errors:
        last_failed = FailedAttempt(now, tuple(failure.name for failure in failures), "; ".join(errors))
    elif deliveries:
        last_failed = None
    return Memory(known, last_failed), deliveries


def _tell_channel(
    channel: Channel,
    failures: Sequence[Failure],
    before: Mapping[str, Entry],
    *,
    now: datetime,
    window: timedelta,
    language: Language,
) -> tuple[Mapping[str, Entry], Delivery | None]:
    after, notices = before, list[Notice]()
    for failure in failures:
        after, notice = fold(after, failure, now, window)
        if notice:
            notices.append(notice)
    if not notices:
        return after, None
    message = compose(notices, language)
    result = channel.send(message)
    due = tuple(notice.failure for notice in notices)
    if not result.ok:
        after = before
        for failure in failures:
            after = not_told(after, failure, now) if failure in due else fold(after, failure, now, window)[0]
    return after, Delivery(result, message, due)


def notice_documents(
    failures: Sequence[Failure], deliveries: Sequence[Delivery], now: datetime, language: Language
) -> list[Document]:
    """One document of `oncall_notice` per failure: what was said of it, to whom, and with what success."""
    text = deliveries[0].message.text if deliveries else compose([Notice(each) for each in failures], language).text
    return [
        {
            "_id": {"dag_id": failure.dag_id, "run_id": failure.run_id, "task_id": failure.task_id, "at": now},
            "kind": failure.kind,
            "text": text,
            "channels": [
                {"channel": each.result.channel, "ok": each.result.ok, "error": each.result.error}
                for each in deliveries
                if failure in each.failures
            ],
            "at": now,
            "folded": not any(failure in each.failures for each in deliveries),
        }
        for failure in failures
    ]


def sms_documents(deliveries: Sequence[Delivery], now: datetime) -> list[Document]:
    """One document of `sms_log` per SMS that the provider was asked to send."""
    return [
        {
            "_id": {"at": now, "to": receipt.to, "n": number},
            "message_id": receipt.message_id,
            "sender": receipt.sender,
            "to": receipt.to,
            "text": receipt.text,
            "ok": receipt.ok,
            "result": receipt.result,
            "at": now,
        }
        for number, receipt in enumerate(receipt for each in deliveries for receipt in each.result.receipts)
    ]


def log_failure_documents(failures: Sequence[Failure], now: datetime) -> list[Document]:
    """One document of `inverterlog_fail` per failed step."""
    return [
        {
            "_id": {"dag_id": failure.dag_id, "run": failure.run_id, "step": failure.task_id},
            "run": failure.run_id,
            "step": failure.task_id,
            "error": failure.error,
            "at": now,
        }
        for failure in failures
    ]
