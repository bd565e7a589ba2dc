"""One claimed message of the outbox: looked at again, sent, and what became of it written down."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import datetime, timedelta
from uuid import uuid4

from pymongo.database import Database

from wattline.alerts.outbox import number_of, outbox
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
from wattline.errors import TransientError
from wattline.storage.documents import Document, translated

LEASE = timedelta(minutes=5)
"""How long a sender has a message for itself; far longer than it waits for any answer."""
_LONGEST_PAUSE = 30


class Ledger:
    """What the threads of one drain share.

    Attributes:
        database: MongoDB.
        collection: the outbox.
        number: the drain's own; a message that waits has that of the drain that may send it.
        counts: what became of messages, by the fields of `Counts`.
    """

    def __init__(self, database: Database[Document], now: datetime) -> None:
        self.database, self.collection = database, outbox(database)
        self.number = uuid4().hex[:12]
        self._began, self._started = now, time.monotonic()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    @property
    def spent(self) -> timedelta:
        """How long the drain has been at work."""
        return timedelta(seconds=time.monotonic() - self._started)

    @property
    def now(self) -> datetime:
        """The time that the drain was given, going on."""
        return self._began + self.spent

    def note(self, outcome: str, messages: int = 1) -> None:
        """Count one outcome, a field of `Counts`."""
        with self._lock:
            self.counts[outcome] += messages


class Attempt:
    """One claimed message."""

    def __init__(self, ledger: Ledger, sender: Sender, one: Document) -> None:
        self._ledger, self._sender, self._one = ledger, sender, one
        self._outgoing = Outgoing(number_of(one), one["address"], one["message"], one.get("first_at") or one["due_at"])

    def run(self) -> bool:
        """Look again, and send; False where no answer came.

        Raises:
            UnreachableError: the channel is down; the message is put off.
        """
        found = recheck(self._ledger.database, self._one, self._ledger.now)
        if isinstance(found, Stop):
            self._put("waiting", "dropped", "dropped", reason=found.reason)
        elif isinstance(found, Later):
            self._put("waiting", "waiting", "later", due_at=found.at)
        elif self._begin():
            return self._send()
        return True

    def find_out(self) -> bool:
        """What became of a message that was being sent when its sender died, or when the answer failed to come.

        Returns:
            False where the provider gave no answer.
        """
        if not self._sender.can_ask:
            self._put("sending", "unknown", "unknown", reason=self._one["reason"] or "the sender died while sending it")
            return True
        try:
            sent = self._sender.ask(self._outgoing)
        except UnreachableError as error:
            self._unanswered(error)
            return False
        except RejectedError as error:
            self._put("sending", "failed", "failed", reason=str(error))
            return True
        if sent:
            self._sent(sent)
        else:
            self._put("sending", "waiting", "later", drain=self._ledger.number)
        return True

    def _begin(self) -> bool:
        """Say that it is being sent; False where somebody dropped it in the meantime."""
        now = self._ledger.now
        first = self._one.get("first_at") or now
        change = {"status": "sending", "sending_at": now, "first_at": first, "lease.until": now + LEASE}
        with translated():
            begun = self._ledger.collection.update_one(self._mine("waiting"), {"$set": change, "$inc": {"attempts": 1}})
        self._one |= {"first_at": first, "attempts": self._one["attempts"] + 1}
        return begun.modified_count == 1

    def _send(self) -> bool:
        """Send; False where no answer came."""
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
            return False
        else:
            self._sent(sent)
        return True

    def _sent(self, sent: Sent) -> None:
        """It was taken, whoever holds the lease by now."""
        change = {
            "status": "sent",
            "sent_at": self._ledger.now,
            "provider_id": sent.provider_id,
            "result": sent.result,
            "sender": sent.sender,
            "sha256": sent.sha256 or None,
            "reason": None,
            "lease": None,
            "logged": False if self._one["channel"] == "sms" else None,
        }
        with translated():
            self._ledger.collection.update_one({"_id": self._one["_id"]}, {"$set": change})
        self._ledger.note("sent")

    def _put_off(self, error: TransientError) -> None:
        self._put("sending", "waiting", "later", due_at=self._ledger.now + self._pause(), reason=str(error))

    def _unanswered(self, error: TransientError) -> None:
        """Nobody can say whether it was taken: ask later; never send before the answer."""
        if self._ledger.now >= self._one["expires_at"]:
            self._put("sending", "unknown", "unknown", reason=f"given up: {error}")
            return
        until = self._ledger.now + self._pause()
        change = {"lease.until": until, "reason": str(error)}
        with translated():
            self._ledger.collection.update_one(self._mine("sending"), {"$set": change, "$inc": {"asked": 1}})
        self._ledger.note("later")

    def _put(self, before: str, status: str, outcome: str, **change: object) -> None:
        with translated():
            done = self._ledger.collection.update_one(
                self._mine(before), {"$set": {"status": status, "lease": None, **change}}
            )
        if done.modified_count:
            self._ledger.note(outcome)

    def _mine(self, status: str) -> Document:
        return {"_id": self._one["_id"], "status": status, "lease.owner": self._one["lease"]["owner"]}

    def _pause(self) -> timedelta:
        tries = self._one["attempts"] + self._one.get("asked", 0)
        return timedelta(minutes=min(2 ** max(tries - 1, 0), _LONGEST_PAUSE))
