"""The outbox: every message is stored before it is sent, once per event, transition, recipient and channel.

`wattline.alerts.deliver` sends what is stored here. A document's `status` is one of

- waiting: to be sent from `due_at` on;
- sending: a sender is about to send it, or was when it died: whether it left is not known yet;
- sent: the server or the provider has taken it;
- failed: it was refused for good, or not sent for a day after it was due;
- dropped: there was no reason left to send it (`reason`), or a summary tells it (`summary`);
- unknown: it may have been sent, and nobody can say so; it is never sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from wattline.alerts.event_words import Links, compose_notice
from wattline.alerts.notice import EventType, Language, Notice, Person, key_text
from wattline.alerts.oncall import Message
from wattline.alerts.recipients import Recipients
from wattline.alerts.sms_text import phone_digits
from wattline.storage.documents import Document, documents, translated
from wattline.storage.store import Value

TOLD = ("sending", "sent", "unknown")
"""States of a message that its recipient may have got."""
ENDS = ("cleared", "restart")
"""Transitions that end what was raised; told only to those who heard of its beginning."""
NOBODY = "nobody to tell"
REPLACED = "another event took its place"
OVER = "it was over before it was sent"
GIVE_UP = timedelta(hours=24)
"""A message that was not sent so long after it was due, or stored where that is later, tells nothing any more."""
NOT_SUMMARISED: Document = {"summary": None}
"""Of what is told by itself."""
_NIGHT, _MORNING = time(22), time(7)
_DUPLICATE = 11000


def outbox(database: Database[Document]) -> Collection[Document]:
    """The collection; its times come back in UTC."""
    return documents(database, "outbox")


def queue(
    database: Database[Document],
    notices: Sequence[Notice],
    recipients: Recipients,
    event_types: Mapping[int, EventType],
    run: str = "",
) -> int:
    """Store the messages of `notices`; what is there already stays as it is.

    An end (`cleared`, `restart`) is told to who was told of the beginning; a beginning that still waits is dropped, and
    its end is not told either.

    Args:
        database: MongoDB.
        notices: of a live run; a backfill queues nothing.
        recipients: the people of the plants of `notices`.
        event_types: by `type`.
        run: the run that queues them, `dag_id/run_id`, for notices that name none; mails link it.

    Returns:
        How many messages are new.

    Raises:
        TransientError: the server cannot be reached; queueing the same again is safe.
    """
    if not notices:
        return 0
    notices = [notice if notice.run else replace(notice, run=run) for notice in notices]
    writer, collection = _Writer(recipients, event_types), outbox(database)
    ends = [notice for notice in notices if notice.transition in ENDS]
    begins = [notice for notice in notices if notice.transition not in ENDS]
    new = insert_once(collection, [message for notice in begins for message in writer.begins(notice)])
    with translated():
        told = _end(collection, ends)
    return new + insert_once(collection, [message for notice in ends for message in writer.ends(notice, told)])


def drop(database: Database[Document], key: Mapping[str, Value], reason: str) -> int:
    """Give up every message of an event that still waits. Returns how many.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        return _drop(outbox(database), {"event": key_text(key)}, reason)


def insert_once(collection: Collection[Document], messages: Sequence[Document]) -> int:
    """Insert what is not there yet; returns how many. Each waits until `expires_at`; the index on `stored_at` ends it.

    Raises:
        TransientError: the server cannot be reached.
    """
    if not messages:
        return 0
    now = datetime.now(UTC)
    # What is told late, such as a fault that a run before has missed, has its day too.
    stored = [one | {"stored_at": now, "expires_at": max(one["due_at"], now) + GIVE_UP} for one in messages]
    with translated():
        try:
            collection.insert_many(stored, ordered=False)
        except BulkWriteError as error:
            failed = error.details["writeErrors"]
            if error.details["writeConcernErrors"] or any(one["code"] != _DUPLICATE for one in failed):
                raise
            return len(messages) - len(failed)
    return len(messages)


def document(
    identity: tuple[str, str], person: Person, channel: str, message: Message, *, due_at: datetime, **more: Any
) -> Document:
    """A message as the outbox keeps it: waiting, unless `more` says otherwise.

    Args:
        identity: `key_text` of what it speaks of, and the transition.
        person: the recipient.
        channel: mail or sms.
        message: in words; only the channel's form of it is kept.
        due_at: not sent earlier, UTC.
        more: further fields.
    """
    forms = {"mail": ("subject", "text", "html"), "sms": ("sms",)}
    key = dict(zip(("event", "transition"), identity, strict=True)) | {"recipient": person.name, "channel": channel}
    address = (person.mail if channel == "mail" else person.phone) or ""
    return {
        "_id": key,
        **key,
        "address": address,
        # One person may have several names, and write one address in several ways.
        "reaches": address.casefold() if channel == "mail" else phone_digits(address),
        "language": person.language,
        "message": {form: getattr(message, form) for form in forms.get(channel, ())},
        "status": "waiting",
        "due_at": due_at,
        "attempts": 0,
        "lease": None,
        "summary": None,
        "reason": None,
        "provider_id": None,
        **more,
    }


def recipient_of(message: Document) -> Person:
    """Who got a message, with the one address that was used."""
    by_mail = message["channel"] == "mail"
    phone, mail = (None, message["address"]) if by_mail else (message["address"], None)
    return Person(message["recipient"], message["language"], phone, mail, message.get("quiet") is None)


def number_of(message: Document) -> str:
    """What tells a message from every other one, the same in every try: a hash of its key."""
    parts = (message["_id"][name] for name in ("event", "transition", "recipient", "channel"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def quiet_end(zone: str, moment: datetime) -> datetime:
    """The first instant from `moment` on that is not in the quiet hours (22 to 7 local time), UTC."""
    local = moment.astimezone(ZoneInfo(zone))
    if _MORNING <= local.time() < _NIGHT:
        return moment
    day = local.date() + timedelta(days=1) if local.time() >= _NIGHT else local.date()
    return datetime.combine(day, _MORNING, ZoneInfo(zone)).astimezone(moment.tzinfo)


def channels_of(person: Person, notice: Notice, kind: EventType | None) -> list[str]:
    """By which channels `person` is told: those of the type as far as there is an address; a digest comes by mail."""
    mail, sms = (kind.mail, kind.sms) if kind else (True, notice.transition != "digest")
    return [channel for channel, wanted in (("mail", mail and person.mail), ("sms", sms and person.phone)) if wanted]


class _Writer:
    """Notices as messages."""

    def __init__(self, recipients: Recipients, event_types: Mapping[int, EventType]) -> None:
        self._recipients, self._types, self._links = recipients, event_types, Links.of_settings()

    def begins(self, notice: Notice) -> Iterator[Document]:
        """One message a recipient and channel; where there is none, a document that says so."""
        kind = self._types.get(notice.type)
        roles = kind.to if kind and (kind.mail or kind.sms) else ()
        people = notice.to or self._recipients.of(notice.mcno, roles)
        found = [(person, channel) for person in people for channel in channels_of(person, notice, kind)]
        words = {language: self._words(notice, language) for language in {person.language for person, _ in found}}
        for person, channel in found:
            yield self._message(notice, person, channel, words[person.language])
        if not found and (roles or notice.to):
            fields = self._fields(notice, None) | {"status": "dropped", "reason": NOBODY, "due_at": notice.at}
            identity = (key_text(notice.key), notice.transition)
            yield document(identity, Person(""), "none", Message("", "", "", ""), **fields)

    def ends(self, notice: Notice, told: Mapping[str, Sequence[Document]]) -> Iterator[Document]:
        """One message to each who was told of the beginning, by the same way."""
        kind = self._types.get(notice.type)
        if kind is None or kind.tells_clear:
            for begun in told.get(key_text(notice.key), ()):
                person = recipient_of(begun)
                yield self._message(notice, person, begun["channel"], self._words(notice, person.language))

    def _words(self, notice: Notice, language: Language) -> Message:
        kind, site = self._types.get(notice.type), self._recipients.site(notice.mcno)
        return compose_notice(notice, kind, site, language, self._links)

    def _message(self, notice: Notice, person: Person, channel: str, words: Message) -> Document:
        kind, site = self._types.get(notice.type), self._recipients.site(notice.mcno)
        quiet = site.timezone if kind and kind.quiet and not person.administrator else None
        due_at = max(notice.at, notice.not_before or notice.at)
        fields = self._fields(notice, quiet) | {"due_at": quiet_end(quiet, due_at) if quiet else due_at}
        return document((key_text(notice.key), notice.transition), person, channel, words, **fields)

    def _fields(self, notice: Notice, quiet: str | None) -> Document:
        """What later steps ask of a message: what it speaks of, and the zone of the quiet hours that hold for it."""
        kind = self._types.get(notice.type)
        escalates = kind is not None and kind.escalate_minutes is not None and notice.transition == "raised"
        return {
            "key": dict(notice.key),
            "mcno": notice.mcno,
            "invno": notice.invno,
            "type": notice.type,
            "at": notice.at,
            "queued_at": notice.at,
            "not_before": notice.not_before,
            "quiet": quiet,
            "run": notice.run or None,
            "escalation": "owed" if escalates else None,
        }


def _end(collection: Collection[Document], ends: Sequence[Notice]) -> dict[str, list[Document]]:
    """Drop what still waits of events that are over; returns by event the beginnings that somebody was told of."""
    events = [key_text(notice.key) for notice in ends]
    if not events:
        return {}
    begun = {"event": {"$in": events}, "transition": {"$nin": list(ENDS)}}
    _drop(collection, begun, OVER)
    heard = [{"status": {"$in": list(TOLD)}}, {"summary": {"$ne": None}}]
    told: dict[str, list[Document]] = {}
    for one in collection.find({**begun, "$or": heard}):
        told.setdefault(one["event"], []).append(one)
    return told


def _drop(collection: Collection[Document], which: Document, reason: str) -> int:
    update = {"$set": {"status": "dropped", "reason": reason}}
    return collection.update_many({**which, "status": "waiting", **NOT_SUMMARISED}, update).modified_count
