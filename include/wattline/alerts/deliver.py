"""Sending what the outbox holds: each message at most once, whenever the sender is killed.

A message is claimed by a lease, looked at again (the event may be over by now), put to `sending` *before* the call, and
put to what came of it after. So a `sending` whose lease ran out may or may not have left: where the provider can be
asked by our own number of the message, it is asked; else the message is `unknown` and never sent again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database

from wattline.alerts import summaries, undelivered
from wattline.alerts.mail_sender import MailSender
from wattline.alerts.outbox import NOT_SUMMARISED, number_of, outbox
from wattline.alerts.recheck import Later, Stop, recheck
from wattline.alerts.sending import (
    Outgoing,
    RefusedError,
    RejectedError,
    Sender,
    Sent,
    UncertainError,
    UnreachableError,
)
from wattline.alerts.sms_sender import sms_sender
from wattline.errors import TransientError
from wattline.storage.documents import Document, translated

LEASE = timedelta(minutes=5)
"""How long a sender has a message for itself; far longer than it waits for any answer."""
GIVE_UP = timedelta(hours=24)
_LONGEST_PAUSE = 30
_SENDERS = 3
"""Connections a channel."""


@dataclass(frozen=True)
class Channels:
    """Where messages go: URLs of the mail server and of the SMS account; an empty one leaves its messages waiting."""

    mail_url: str = field(default="", repr=False)
    sms_url: str = field(default="", repr=False)

    def open(self) -> dict[str, Callable[[], Sender]]:
        """Channel → what opens one connection of it, for the channels that are set.

        Raises:
            TerminalError: a URL cannot be read.
        """
        ways: dict[str, Callable[[], Sender]] = {}
        if self.mail_url:
            ways["mail"] = lambda: MailSender(self.mail_url)
        if self.sms_url:
            ways["sms"] = lambda: sms_sender(self.sms_url)
        return ways


@dataclass(frozen=True)
class Counts:
    """What one drain did: messages sent, put off, dropped, given up, of unknown fate, and told in a summary."""

    sent: int = 0
    later: int = 0
    dropped: int = 0
    failed: int = 0
    unknown: int = 0
    summarised: int = 0


def drain(database: Database[Document], channels: Channels, now: datetime, limit: int = 5_000) -> Counts:
    """Send what is due at `now`, at most about `limit` messages; any number of these may run at once.

    Raises:
        TerminalError: a channel's URL cannot be read.
        TransientError: MongoDB cannot be reached; what was under way is dealt with by a later drain.
    """
    work = _Work(database, channels.open(), now, limit)
    work.recover()
    undelivered.tell(database, now)
    summarised = summaries.fold(database, now)
    work.send_all()
    return Counts(**work.counts, summarised=summarised)


class _Work:
    """One drain."""

    def __init__(
        self, database: Database[Document], ways: dict[str, Callable[[], Sender]], now: datetime, limit: int
    ) -> None:
        self._database, self._outbox, self._ways = database, outbox(database), ways
        self._began, self._started, self._left = now, time.monotonic(), limit
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    @property
    def now(self) -> datetime:
        """The time that the drain was given, going on."""
        return self._began + timedelta(seconds=time.monotonic() - self._started)

    def recover(self) -> None:
        """Find out what became of messages whose sender died."""
        for channel, way in self._ways.items():
            sender = way()
            try:
                while one := self._claimed(channel, "sending"):
                    _Attempt(self, sender, one).find_out()
            finally:
                sender.close()

    def send_all(self) -> None:
        """Send until nothing is due, the limit is reached, or no channel can be reached."""
        with ThreadPoolExecutor(max(1, len(self._ways) * _SENDERS)) as pool:
            running = [pool.submit(self._send_channel, name) for name in self._ways for _ in range(_SENDERS)]
        for one in running:
            one.result()

    def _send_channel(self, channel: str) -> None:
        sender = self._ways[channel]()
        try:
            while one := self._next(channel):
                _Attempt(self, sender, one).run()
        except UnreachableError:
            # The next message would fare no better; this one has been put off.
            pass
        finally:
            sender.close()

    def _next(self, channel: str) -> Document | None:
        """The next message that is due, unless the limit is reached."""
        with self._lock:
            if not self._left:
                return None
            self._left -= 1
        found = self._claimed(channel, "waiting")
        if found is None:
            with self._lock:
                self._left += 1
        return found

    def _claimed(self, channel: str, status: str) -> Document | None:
        now = self.now
        due: Document = {"status": status, "channel": channel, "due_at": {"$lte": now}, **NOT_SUMMARISED}
        lease = {"owner": f"{os.getpid()}-{uuid4().hex[:12]}", "until": now + LEASE}
        with translated():
            found: Document | None = self._outbox.find_one_and_update(
                {**due, "lease.until": {"$not": {"$gt": now}}},
                {"$set": {"lease": lease}},
                sort=[("due_at", 1)],
                return_document=ReturnDocument.AFTER,
            )
        return found

    def note(self, outcome: str) -> None:
        """Count one outcome, a field of `Counts`."""
        with self._lock:
            self.counts[outcome] += 1

    @property
    def database(self) -> Database[Document]:
        """MongoDB."""
        return self._database

    @property
    def collection(self) -> Collection[Document]:
        """The outbox."""
        return self._outbox


class _Attempt:
    """One claimed message."""

    def __init__(self, work: _Work, sender: Sender, one: Document) -> None:
        self._work, self._sender, self._one = work, sender, one
        self._outgoing = Outgoing(number_of(one), one["address"], one["message"], one.get("first_at") or one["due_at"])

    def run(self) -> None:
        """Look again, and send.

        Raises:
            UnreachableError: the channel is down; the message is put off.
        """
        found = recheck(self._work.database, self._one, self._work.now)
        if isinstance(found, Stop):
            self._put("waiting", "dropped", "dropped", reason=found.reason)
        elif isinstance(found, Later):
            self._put("waiting", "waiting", "later", due_at=found.at)
        elif self._begin():
            self._send()

    def find_out(self) -> None:
        """What became of a message that was being sent when its sender died, or when the answer failed to come."""
        if not self._sender.can_ask:
            self._put("sending", "unknown", "unknown", reason=self._one["reason"] or "the sender died while sending it")
            return
        try:
            sent = self._sender.ask(self._outgoing)
        except UnreachableError as error:
            self._unanswered(error)
            return
        if sent:
            self._sent(sent)
        elif self._too_old():
            self._put("sending", "failed", "failed", reason=f"given up: {self._one['reason']}")
        else:
            self._put("sending", "waiting", "later", due_at=self._work.now)

    def _begin(self) -> bool:
        """Say that it is being sent; False where somebody dropped it in the meantime."""
        now = self._work.now
        first = self._one.get("first_at") or now
        change = {"status": "sending", "sending_at": now, "first_at": first, "lease.until": now + LEASE}
        with translated():
            begun = self._work.collection.update_one(self._mine("waiting"), {"$set": change, "$inc": {"attempts": 1}})
        self._one |= {"first_at": first, "attempts": self._one["attempts"] + 1}
        return begun.modified_count == 1

    def _send(self) -> None:
        try:
            sent = self._sender.send(self._outgoing)
        except RejectedError as error:
            self._put("sending", "failed", "failed", reason=str(error))
        except RefusedError as error:
            self._put_off(error)
        except UnreachableError as error:
            self._put_off(error)
            raise
        except UncertainError as error:
            if self._sender.can_ask:
                self._unanswered(error)
            else:
                self._put("sending", "unknown", "unknown", reason=str(error))
        else:
            self._sent(sent)

    def _sent(self, sent: Sent) -> None:
        """It was taken, whoever holds the lease by now."""
        change = {
            "status": "sent",
            "sent_at": self._work.now,
            "provider_id": sent.provider_id,
            "result": sent.result,
            "sender": sent.sender,
            "sha256": sent.sha256 or None,
            "reason": None,
            "lease": None,
            "logged": False if self._one["channel"] == "sms" else None,
        }
        with translated():
            self._work.collection.update_one({"_id": self._one["_id"]}, {"$set": change})
        self._work.note("sent")

    def _put_off(self, error: TransientError) -> None:
        if self._too_old():
            self._put("sending", "failed", "failed", reason=f"given up: {error}")
        else:
            self._put("sending", "waiting", "later", due_at=self._work.now + self._pause(), reason=str(error))

    def _unanswered(self, error: TransientError) -> None:
        """Nobody can say whether it was taken: ask later; never send before the answer."""
        if self._too_old():
            self._put("sending", "unknown", "unknown", reason=f"given up: {error}")
            return
        until = self._work.now + self._pause()
        change = {"lease.until": until, "reason": str(error)}
        with translated():
            self._work.collection.update_one(self._mine("sending"), {"$set": change, "$inc": {"asked": 1}})
        self._work.note("later")

    def _put(self, before: str, status: str, outcome: str, **change: object) -> None:
        with translated():
            done = self._work.collection.update_one(
                self._mine(before), {"$set": {"status": status, "lease": None, **change}}
            )
        if done.modified_count:
            self._work.note(outcome)

    def _mine(self, status: str) -> Document:
        return {"_id": self._one["_id"], "status": status, "lease.owner": self._one["lease"]["owner"]}

    def _pause(self) -> timedelta:
        tries = self._one["attempts"] + self._one.get("asked", 0)
        return timedelta(minutes=min(2 ** max(tries - 1, 0), _LONGEST_PAUSE))

    def _too_old(self) -> bool:
        return bool(self._work.now - (self._one.get("first_at") or self._work.now) >= GIVE_UP)
