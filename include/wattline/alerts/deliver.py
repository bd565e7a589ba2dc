"""Sending what the outbox holds: each message at most once, whenever the sender is killed.

A message is claimed by a lease, looked at again (the event may be over by now), put to `sending` *before* the call, and
put to what came of it after. So a `sending` whose lease ran out may or may not have left: where the provider can be
asked by our own number of the message, it is asked; else the message is `unknown` and never sent again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.database import Database

from wattline.alerts import summaries, undelivered
from wattline.alerts.attempt import LEASE, Attempt, Ledger
from wattline.alerts.mail_sender import MailSender
from wattline.alerts.outbox import NOT_SUMMARISED
from wattline.alerts.sending import Sender, UnreachableError
from wattline.alerts.sms_sender import sms_sender
from wattline.storage.documents import Document, translated

BUDGET = timedelta(minutes=3)
"""How long one drain takes up messages: what it is at then ends well before its task is stopped."""
_SENDERS = 3
"""Connections a channel."""
_SILENT = 3
"""So many calls in a row without an answer end a sender's work."""


@dataclass(frozen=True)
class Channels:
    """Where messages go: URLs of the mail server and of the SMS account; an empty one leaves its messages waiting."""

    mail_url: str = field(default="", repr=False)
    sms_url: str = field(default="", repr=False)

    def open(self) -> dict[str, Callable[[], Sender]]:
        """Channel → what opens one connection of it, for the channels that are set.

        What opens a connection raises TerminalError where its URL cannot be read.
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


def drain(
    database: Database[Document],
    channels: Channels,
    now: datetime,
    limit: int = 5_000,
    budget: timedelta = BUDGET,
    *,
    run: str = "",
) -> Counts:
    """Send what is due at `now`; any number of these may run at once.

    What becomes due or is queued later is for the next drain: the flood cap has not seen it.

    Args:
        database: MongoDB.
        channels: where messages go.
        now: time-zone-aware.
        limit: at most about so many messages.
        budget: no message is taken up later than this after the start; the rest is for the next drain.
        run: the run that drains, `dag_id/run_id`: the platform's own messages lead to it.

    Raises:
        TerminalError: a channel's URL cannot be read; the other channel is served all the same.
        TransientError: MongoDB cannot be reached; what was under way is dealt with by a later drain.
    """
    ledger = Ledger(database, now)
    ledger.note("failed", undelivered.give_up(database, now))
    undelivered.tell(database, now, run)
    summarised = summaries.fold(database, now, ledger.number, run)
    _Work(ledger, channels.open(), limit, budget).send_all()
    return Counts(**ledger.counts, summarised=summarised)


class _Work:
    """One drain; each channel has threads of its own, so that a silent one holds up no other."""

    def __init__(self, ledger: Ledger, ways: dict[str, Callable[[], Sender]], limit: int, budget: timedelta) -> None:
        self._ledger, self._ways, self._left, self._budget = ledger, ways, limit, budget
        self._lock = threading.Lock()

    def send_all(self) -> None:
        """Send until nothing is due, the limit or the budget is reached, or no channel answers."""
        with ThreadPoolExecutor(max(1, len(self._ways) * _SENDERS)) as pool:
            running = [pool.submit(self._recover_and_send, name) for name in self._ways]
            running += [pool.submit(self._send, name) for name in self._ways for _ in range(_SENDERS - 1)]
        for one in running:
            one.result()

    def _recover_and_send(self, channel: str) -> None:
        with closing(self._ways[channel]()) as sender:
            if self._recover(channel, sender):
                self._send_by(channel, sender)

    def _recover(self, channel: str, sender: Sender) -> bool:
        """Find out what became of messages whose sender died; False where the provider does not say."""
        while one := self._claimed(channel, "sending"):
            if not Attempt(self._ledger, sender, one).find_out():
                # The next question would wait as long; it is asked by a later drain.
                return False
        return True

    def _send(self, channel: str) -> None:
        with closing(self._ways[channel]()) as sender:
            self._send_by(channel, sender)

    def _send_by(self, channel: str, sender: Sender) -> None:
        silent = 0
        try:
            while silent < _SILENT and (one := self._next(channel)):
                silent = 0 if Attempt(self._ledger, sender, one).run() else silent + 1
        except UnreachableError:
            # The next message would fare no better; this one has been put off.
            pass

    def _next(self, channel: str) -> Document | None:
        """The next message that is due, unless the limit is reached."""
        with self._lock:
            if not self._left:
                return None
            self._left -= 1
        found = self._claimed(channel, "waiting", drain=self._ledger.number)
        if found is None:
            with self._lock:
                self._left += 1
        return found

    def _claimed(self, channel: str, status: str, **more: str) -> Document | None:
        """The message of this status that has been due longest; None where there is none, or the time is used up."""
        if self._ledger.spent >= self._budget:
            return None
        now = self._ledger.now
        due: Document = {"status": status, "channel": channel, "due_at": {"$lte": now}, **NOT_SUMMARISED, **more}
        lease = {"owner": f"{os.getpid()}-{uuid4().hex[:12]}", "until": now + LEASE}
        with translated():
            found: Document | None = self._ledger.collection.find_one_and_update(
                {**due, "lease.until": {"$not": {"$gt": now}}},
                {"$set": {"lease": lease}},
                sort=[("due_at", 1)],
                return_document=ReturnDocument.AFTER,
            )
        return found
