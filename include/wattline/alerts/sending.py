"""What the outbox asks of a sender: one message to one address, and the truth on what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wattline.errors import TerminalError, TransientError


@dataclass(frozen=True)
class Outgoing:
    """One message to one address.

    Attributes:
        number: what tells it from every other message, the same in every try: the idempotency key.
        address: mail address or number.
        message: `subject`, `text`, `html` of a mail, `sms` of an SMS.
        since: not sent before, UTC; the provider is asked for what it took since.
    """

    number: str
    address: str
    message: Mapping[str, str]
    since: datetime


@dataclass(frozen=True)
class Sent:
    """What the other side said when it took a message.

    Attributes:
        provider_id: its number of the message; of a mail the Message-ID.
        result: its words.
        sender: from whom it went.
        sha256: of the bytes that went out, where they are the mail itself.
    """

    provider_id: str
    result: str
    sender: str
    sha256: str = ""


class RefusedError(TransientError):
    """The other side did not take the message; it may take it later."""


class RejectedError(TerminalError):
    """The other side will never take the message."""


class UnreachableError(TransientError):
    """The other side cannot be spoken to at all: nothing was sent, and no other message would be either."""


class UncertainError(TransientError):
    """The message was on its way when the answer failed to come: it may have been taken."""


class Sender(Protocol):
    """One connection to a mail server or an SMS provider; used by one thread, kept for many messages."""

    @property
    def can_ask(self) -> bool:
        """Whether the other side can be asked if it has a message."""
        ...

    def send(self, outgoing: Outgoing) -> Sent:
        """Send it.

        Raises:
            RefusedError: it was not taken, this time.
            RejectedError: it never will be.
            UnreachableError: there is no way to the other side now.
            UncertainError: nobody can say whether it was taken.
        """
        ...

    def ask(self, outgoing: Outgoing) -> Sent | None:
        """What the other side has of a message that was perhaps sent; None where it has nothing.

        Raises:
            RejectedError: it has refused the message.
            UnreachableError: it gives no answer.
        """
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...
