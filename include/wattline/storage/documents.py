"""MongoDB collections: their validators and indexes, and its errors as ours.

Frames go through `MongoStore`; what is a document by nature (a manifest, a rejected row) goes through here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from bson import Decimal128
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo import IndexModel
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from wattline.errors import TerminalError, TransientError

Document = dict[str, Any]

_EXISTS = 48
_BEYOND_LONG = 2**63
_TRANSIENT_LABELS = ("RetryableWriteError", "TransientTransactionError")
_TRANSIENT_CODES = frozenset({24, 50, 64, 91, 112, 189, 246, 262, 10107, 11600, 11602, 13435, 13436})
"""Locks, time limits, write conflicts, and a server that is stepping down or shutting down."""


@dataclass(frozen=True)
class Collected:
    """One kind of document: the types of the fields that each must have, and its indexes.

    Attributes:
        required: field name → BSON type names.
        optional: the same of fields that may be missing or null.
        indexes: each a tuple of field names, or an index that lets documents expire.
    """

    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict, kw_only=True)
    indexes: tuple[tuple[str, ...] | IndexModel, ...] = ()

    @property
    def validator(self) -> Document:
        """The same as a MongoDB validator; further fields are allowed."""
        rule = schema_validator({name: {"bsonType": list(types)} for name, types in self.required.items()})
        optional = {name: {"bsonType": [*types, "null"]} for name, types in self.optional.items()}
        rule["$jsonSchema"]["properties"] |= optional
        return rule


DOCUMENTS: Mapping[str, Collected] = {
    "quarantine": Collected(
        {"table": ("string",), "pipeline": ("string",), "window": ("object",), "status": ("string",)},
        (("table", "pipeline", "status", "window"), ("table", "pipeline", "status", "_id.key.at")),
    ),
    "quality_result": Collected(indexes=(("window.start",),)),
    "inverterlog_fail": Collected(
        {"run": ("string",), "step": ("string",), "error": ("string",), "at": ("date",)}, (("at",),)
    ),
    "migration_state": Collected({"table": ("string",)}, (("table", "start"),)),
    "migration_check": Collected({"table": ("string",), "at": ("date",)}, (("table", "at"),)),
    "oncall_notice": Collected(indexes=(("at",),)),
    "sms_log": Collected(indexes=(("at",),)),
    "event_type": Collected({**dict.fromkeys(("name_ko", "name_en", "level"), ("string",)), "to": ("array",)}),
    "server_status": Collected(
        {"at": ("date",), "measured_at": ("date",), "checks": ("object",), "incidents": ("array",)},
        (("at",), ("measured_at",)),
    ),
    "command_queue": Collected(
        {"command": ("string",), "mcno": ("int", "long"), "requested_at": ("date",)},
        (("command", "finished_at"),),
        optional={"phone": ("string",), "finished_at": ("date",)},
    ),
    "command_history": Collected({"command": ("string",), "finished_at": ("date",)}, (("finished_at",), ("mcno",))),
    "login_history": Collected(
        {"user_id": ("string",), "kind": ("string",), "at": ("date",)}, (("kind", "last_seen"),)
    ),
    "duplicate_inverter": Collected({"found_at": ("date",), "seen_at": ("date",)}, (("seen_at",),)),
    "recompute": Collected(
        {
            **dict.fromkeys(("pipeline", "revision"), ("string",)),
            **dict.fromkeys(("start", "end"), ("date",)),
            "plants": ("array",),
        },
        (("pipeline", "end"),),
    ),
    "outbox": Collected(
        {
            **dict.fromkeys(("event", "transition", "recipient", "channel", "status"), ("string",)),
            "due_at": ("date",),
            "attempts": ("int",),
        },
        (
            ("status", "channel", "due_at"),
            ("event", "transition"),
            ("sent_at",),
            ("escalation",),
            IndexModel([("stored_at", 1)], expireAfterSeconds=400 * 24 * 3600),
        ),
    ),
}
"""Collections of documents that are no table."""


def documents(database: Database[Document], name: str) -> Collection[Document]:
    """The collection `name` of DOCUMENTS, made if it is missing; its times come back in UTC.

    Raises:
        TerminalError: DOCUMENTS has no such collection, or the user may not create it.
        TransientError: the server cannot be reached.
    """
    if name not in DOCUMENTS:
        raise TerminalError(f"there is no collection {name!r} of documents; there are {', '.join(DOCUMENTS)}")
    kind = DOCUMENTS[name]
    create_collection(database, name, kind.validator, kind.indexes)
    return database.get_collection(name, codec_options=CodecOptions(tz_aware=True))


def put(collection: Collection[Document], document: Document) -> None:
    """Store `document` under its `_id`, in place of any other; putting it twice changes nothing.

    Raises:
        TerminalError: the document does not fit the collection.
        TransientError: the server cannot be reached.
    """
    with translated():
        collection.replace_one({"_id": document["_id"]}, document, upsert=True)


def bson_value(value: Any) -> Any:
    """A Python value as BSON takes it: decimals and integers beyond 64 bits as Decimal128, a day as its text."""
    if isinstance(value, Decimal) or (isinstance(value, int) and value >= _BEYOND_LONG):
        return Decimal128(str(value))
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value


def create_collection(
    database: Database[Document], name: str, validator: Document, indexes: Sequence[Sequence[str] | IndexModel]
) -> None:
    """Create a collection with its validator and indexes; what is there already stays as it is.

    Raises:
        TerminalError: the user may not create it.
        TransientError: the server cannot be reached.
    """
    with translated():
        try:
            database.command("create", name, validator=validator)
        except OperationFailure as error:
            if error.code != _EXISTS:
                raise
        if indexes:
            database[name].create_indexes([_index(index) for index in indexes])


def _index(index: Sequence[str] | IndexModel) -> IndexModel:
    return index if isinstance(index, IndexModel) else IndexModel([(column, 1) for column in index])


def schema_validator(properties: Mapping[str, Document]) -> Document:
    """A validator by which every one of `properties`, and `_id`, must be there and fit."""
    required = ["_id", *(name for name in properties if name != "_id")]
    return {"$jsonSchema": {"bsonType": "object", "required": required, "properties": dict(properties)}}


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the MongoDB driver as TransientError or TerminalError."""
    try:
        yield
    except (PyMongoError, BSONError) as error:
        kind = TransientError if _is_transient(error) else TerminalError
        raise kind(f"MongoDB: {type(error).__name__}: {_reason(error)[:300]}") from error


def _is_transient(error: Exception) -> bool:
    if isinstance(error, (ConnectionFailure, ExecutionTimeout, WTimeoutError)):
        return True
    labelled = isinstance(error, PyMongoError) and any(map(error.has_error_label, _TRANSIENT_LABELS))
    codes = {error.code} if isinstance(error, OperationFailure) else set()
    if isinstance(error, BulkWriteError):
        codes = {failed.get("code") for failed in error.details["writeErrors"] + error.details["writeConcernErrors"]}
    return labelled or bool(codes and codes <= _TRANSIENT_CODES)


def _reason(error: Exception) -> str:
    """What the server said; of a bulk write the first error, without the document."""
    if isinstance(error, BulkWriteError):
        failed = error.details["writeErrors"] + error.details["writeConcernErrors"]
        return str(failed[0].get("errmsg")) if failed else str(error)
    if isinstance(error, OperationFailure) and error.details:
        return str(error.details.get("errmsg", error))
    return str(error)
