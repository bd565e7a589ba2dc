"""Every SMS that was sent is written to MySQL `smslog`, under whose number it is in MongoDB `sms_log` too."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pymongo.database import Database

from wattline.alerts.outbox import number_of, outbox
from wattline.storage.documents import Document, documents, put, translated

_AT_ONCE = 10_000
_FIND = "SELECT id FROM smslog WHERE provider_message_id = %s AND sent_at = %s AND receiver = %s"
_INSERT = (
    "INSERT INTO smslog (sent_at, sender, receiver, mcno, message, provider_message_id, result)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)"
)


class Statements(Protocol):
    """What runs single statements in MySQL: `MySQLStore`."""

    def transaction(self) -> AbstractContextManager[Any]:
        """A cursor of mysqlclient, in whose block all is committed at the end or nothing is."""
        ...


def write(database: Database[Document], mysql: Statements) -> int:
    """Log what is sent and not logged yet; returns how many SMS. Doing it again, after a kill too, logs nothing twice.

    The row of MySQL comes first and gives the number. The document in MongoDB has no `origin`, so the migration of
    `smslog`, which brings the same row, leaves it alone (ADR 0012).

    Raises:
        TransientError: a server cannot be reached; the rest is logged by the next call.
    """
    collection = outbox(database)
    with translated():
        found = list(collection.find({"status": "sent", "channel": "sms", "logged": False}).limit(_AT_ONCE))
    for one in found:
        with mysql.transaction() as cursor:
            number = _logged(cursor, one)
        put(documents(database, "sms_log"), _document(number, one))
        with translated():
            collection.update_one({"_id": one["_id"]}, {"$set": {"logged": True}})
    return len(found)


def _logged(cursor: Any, one: Mapping[str, Any]) -> int:
    message_id, at = one["provider_id"] or number_of(dict(one)), one["sent_at"].replace(tzinfo=None)
    cursor.execute(_FIND, (message_id, at, one["address"]))
    if row := cursor.fetchone():
        return int(row[0])
    values = (
        at,
        one["sender"],
        one["address"],
        one.get("mcno"),
        one["message"]["sms"],
        message_id,
        one["result"][:255],
    )
    cursor.execute(_INSERT, values)
    return int(cursor.lastrowid)


def _document(number: int, one: Mapping[str, Any]) -> Document:
    return {
        "_id": {"id": number},
        "id": number,
        "message_id": one["provider_id"] or number_of(dict(one)),
        "sender": one["sender"],
        "to": one["address"],
        "text": one["message"]["sms"],
        "result": one["result"],
        "at": one["sent_at"],
        "mcno": one.get("mcno"),
    }
