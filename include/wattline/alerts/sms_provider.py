"""What the SMS provider Solapi answers to a send request: the rules of the local SMS sink, without its server."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

SEND_PATH = "/messages/v4/send-many/detail"
"""Where Solapi's SDK posts messages."""
LIST_PATH = "/messages/v4/list"
"""Where messages can be asked for."""
_CLOCK_TOLERANCE = timedelta(minutes=15)
_SALT_LENGTH = range(12, 65)
_MOBILE = re.compile(r"01[016-9]\d{7,8}")
_AUTHORIZATION = re.compile(
    r"HMAC-SHA256 ApiKey=(?P<key>[^,]+), Date=(?P<date>[^,]+), salt=(?P<salt>[^,]+), signature=(?P<signature>\w+)",
    re.IGNORECASE,
)


class RefusedError(Exception):
    """The request is answered with an error of the provider: HTTP status, error code, text."""

    def __init__(self, status: HTTPStatus, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class SmsProvider:
    """What Solapi answers to a send request: signatures checked, numbers checked, message ids given.

    Args:
        key: the only API key that is known.
        secret: the secret that belongs to it.
    """

    def __init__(self, key: str, secret: str) -> None:
        self._key, self._secret = key, secret
        self._seen: dict[str, datetime] = {}
        self._taken: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def check(self, authorization: str, now: datetime) -> None:
        """Check key, date, salt and signature of one request.

        Raises:
            RefusedError: any of them is wrong, or the signature was used before.
        """
        found = _AUTHORIZATION.fullmatch(authorization)
        if found is None or len(found["salt"].encode()) not in _SALT_LENGTH:
            raise RefusedError(HTTPStatus.FORBIDDEN, "InvalidAuthorization", "The Authorization header is malformed.")
        if found["key"] != self._key:
            raise RefusedError(HTTPStatus.FORBIDDEN, "InvalidAPIKey", "The API key is not known.")
        signed = (found["date"] + found["salt"]).encode()
        expected = hmac.new(self._secret.encode(), signed, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, found["signature"].lower()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "SignatureDoesNotMatch", "Check the signature.")
        self._check_time(found["date"], now)
        self._check_unused(expected, now)

    def _check_time(self, text: str, now: datetime) -> None:
        try:
            sent = datetime.fromisoformat(text)
        except ValueError:
            sent = None
        if sent is None or sent.tzinfo is None or abs(now - sent) > _CLOCK_TOLERANCE:
            raise RefusedError(HTTPStatus.FORBIDDEN, "RequestTimeTooSkewed", "The date is over 15 minutes off.")

    def _check_unused(self, signature: str, now: datetime) -> None:
        with self._lock:
            self._seen = {used: at for used, at in self._seen.items() if now - at <= 2 * _CLOCK_TOLERANCE}
            if signature in self._seen:
                raise RefusedError(HTTPStatus.FORBIDDEN, "DuplicatedSignature", "The signature was used before.")
            self._seen[signature] = now

    def accept(self, request: dict[str, Any], now: datetime) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Take the messages of one request.

        Returns:
            The messages as they are kept (one per recipient), and the provider's answer.

        Raises:
            RefusedError: the request holds no message, or one without recipient or text.
        """
        taken: list[dict[str, Any]] = []
        for message in request.get("messages") or []:
            recipients = message.get("to")
            if not recipients or not message.get("text"):
                raise RefusedError(HTTPStatus.BAD_REQUEST, "ValidationError", "A message needs to and text.")
            numbers = [recipients] if isinstance(recipients, str) else recipients
            taken.extend(_taken(message, number) for number in numbers)
        if not taken:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "ValidationError", "messages is empty.")
        with self._lock:
            for entry in taken:
                self._taken.setdefault(entry["to"], []).append({**entry, "created": now})
        return taken, _answer(taken, bool(request.get("showMessageList")), now)

    def listed(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The messages that fulfil `criteria`, `cond`, `value`: `to` (eq) and `dateCreated` (gte).

        Raises:
            RefusedError: the query holds something else.
        """
        names, conditions, values = (query.get(part, "").split(",") for part in ("criteria", "cond", "value"))
        asked = dict(zip(zip(names, conditions, strict=False), values, strict=False))
        if not {("to", "eq")} <= set(asked) <= {("to", "eq"), ("dateCreated", "gte")}:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "ValidationError", "Ask by to (eq) and dateCreated (gte).")
        since = asked.get(("dateCreated", "gte"), "1970-01-01T00:00:00Z")
        with self._lock:
            found = list(self._taken.get(asked["to", "eq"], []))
        there = [entry for entry in found if entry["created"] >= datetime.fromisoformat(since)]
        return {"limit": len(there), "messageList": {entry["message_id"]: _full(entry) for entry in there}}


def _taken(message: dict[str, Any], to: str) -> dict[str, Any]:
    good = _MOBILE.fullmatch(to) is not None
    return {
        "message_id": f"M4V{uuid.uuid4().hex[:29].upper()}",
        "from": message.get("from"),
        "to": to,
        "type": message.get("type") or "SMS",
        "subject": message.get("subject"),
        "text": message["text"],
        "bytes": len(message["text"].encode("euc-kr", "replace")),
        "custom_fields": message.get("customFields"),
        "status_code": "2000" if good else "1011",
        "status_message": "registered" if good else "wrong recipient number",
    }


def _answer(taken: list[dict[str, Any]], with_list: bool, now: datetime) -> dict[str, Any]:
    failed = [entry for entry in taken if entry["status_code"] != "2000"]
    stamp = now.isoformat()
    money = {"requested": 0, "replacement": 0, "refund": 0, "sum": 0}
    count = {
        **dict.fromkeys(("sentTotal", "sentSuccess", "sentPending", "sentReplacement", "sentFailed", "refund"), 0),
        "total": len(taken),
        "registeredFailed": len(failed),
        "registeredSuccess": len(taken) - len(failed),
    }
    group = {
        "count": count,
        "countForCharge": {},
        "balance": money,
        "point": money,
        "app": {"profit": {}, "appId": None},
        "log": [],
        "status": "SENDING",
        "allowDuplicates": False,
        "isRefunded": False,
        "accountId": "sink",
        "masterAccountId": None,
        "apiVersion": "4",
        "groupId": f"G4V{uuid.uuid4().hex[:29].upper()}",
        "price": {},
        "dateCreated": stamp,
        "dateUpdated": stamp,
    }
    answer: dict[str, Any] = {"groupInfo": group, "failedMessageList": [_failed(entry) for entry in failed]}
    if with_list:
        answer["messageList"] = [_listed(entry) for entry in taken if entry not in failed]
    return answer


def _listed(entry: dict[str, Any]) -> dict[str, Any]:
    names = {"messageId": "message_id", "statusCode": "status_code", "statusMessage": "status_message"}
    return {theirs: entry[ours] for theirs, ours in names.items()}


def _full(entry: dict[str, Any]) -> dict[str, Any]:
    fields = {"customFields": entry["custom_fields"], "dateCreated": entry["created"].isoformat()}
    return {**_listed(entry), **{name: entry[name] for name in ("to", "from", "type", "text")}, **fields}


def _failed(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        **_listed(entry),
        "to": entry["to"],
        "from": entry["from"],
        "type": entry["type"],
        "country": "82",
        "accountId": "sink",
    }
