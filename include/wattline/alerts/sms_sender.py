"""SMS over one kept HTTP session: by Solapi, which can be asked for a message by our number, or any Apprise service."""

# Apprise leaves some of its functions without annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import threading
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import apprise
import httpx
from solapi.lib.authenticator import Authenticator
from solapi.model import RequestMessage
from solapi.model.request.send_message_request import SendMessageRequest

from wattline.alerts.channels import without_password
from wattline.alerts.oncall import last_line
from wattline.alerts.sending import Outgoing, RefusedError, RejectedError, Sent, UncertainError, UnreachableError
from wattline.alerts.solapi import SCHEME, NotifySolapi, compose, phone_number
from wattline.errors import TerminalError

SEND_PATH = "/messages/v4/send-many/detail"
LIST_PATH = "/messages/v4/list"
NUMBER_FIELD = "wattline"
"""The custom field that holds our number of a message."""
_PATIENCE = 30.0
"""Seconds that the provider may take for one answer: far less than the outbox's lease."""
_CLOCKS_APART = timedelta(minutes=5)
_ACCEPTED = frozenset({"2000", "3000", "4000"})
"""Codes of messages that Solapi has, that it has given to the network, and that have arrived; others are errors."""
_LISTED = 500
_APPRISE = threading.Lock()
"""Apprise logs to one logger for all: who reads from it what became of a message must be the only one who sends."""
_CONNECTION = "connection error"
"""What Apprise's services say where they could not speak to the other side."""


class SolapiSender:
    """One HTTP session with Solapi; requests are made and signed by its own SDK's classes.

    Args:
        url: `solapi://KEY:SECRET@[host[:port]]/SENDER`.

    Raises:
        TerminalError: the URL cannot be read; the message does not show it.
    """

    can_ask = True

    def __init__(self, url: str) -> None:
        parts = NotifySolapi.parse_url(url) or {}
        try:
            self.sender = phone_number(parts.get("sender", ""), sender=True)
        except ValueError:
            parts = {}
        if not (parts.get("user") and parts.get("password")):
            raise TerminalError("WATTLINE_SMS_URL cannot be read; write solapi://KEY:SECRET@/SENDER")
        port = f":{parts['port']}" if parts.get("port") else ""
        base = f"{'https' if parts['use_tls'] else 'http'}://{parts['host']}{port}"
        self._account = Authenticator(parts["user"], parts["password"])
        self._session = httpx.Client(base_url=base, timeout=_PATIENCE)

    def send(self, outgoing: Outgoing) -> Sent:
        """Send one SMS or LMS; see `Sender.send`."""
        message = RequestMessage(
            from_=self.sender,
            to=_mobile(outgoing.address),
            auto_type_detect=False,
            custom_fields={NUMBER_FIELD: outgoing.number},
            **compose(outgoing.message["sms"]),
        )
        request = SendMessageRequest(messages=[message], show_message_list=True)
        answer = self._spoken("POST", SEND_PATH, json=request.model_dump(exclude_none=True, by_alias=True))
        failed = answer.get("failedMessageList") or []
        if failed:
            raise RejectedError(f"{failed[0].get('statusCode')} {failed[0].get('statusMessage')}")
        taken = (answer.get("messageList") or [{}])[0]
        number = taken.get("messageId") or answer.get("groupInfo", {}).get("groupId", "")
        return Sent(number, f"{taken.get('statusCode', '')} {taken.get('statusMessage', '')}".strip(), self.sender)

    def ask(self, outgoing: Outgoing) -> Sent | None:
        """What Solapi lists with our number among the messages to this recipient.

        Raises:
            RejectedError: it lists the message as refused, or this is no number that it could have taken one for.
            UnreachableError: it gives no answer.
        """
        to, since = _mobile(outgoing.address), (outgoing.since - _CLOCKS_APART).isoformat()
        query: dict[str, Any] = {"criteria": "to,dateCreated", "cond": "eq,gte", "value": f"{to},{since}"}
        query["limit"] = _LISTED
        while True:
            try:
                answer = self._spoken("GET", LIST_PATH, params=query)
            except (RefusedError, RejectedError, UncertainError) as error:
                raise UnreachableError(str(error)) from error
            for number, one in (answer.get("messageList") or {}).items():
                if (one.get("customFields") or {}).get(NUMBER_FIELD) == outgoing.number:
                    return self._listed(number, one)
            if not answer.get("nextKey"):
                return None
            query["startKey"] = answer["nextKey"]

    def _listed(self, number: str, one: dict[str, Any]) -> Sent:
        code = one.get("statusCode")
        if code and code not in _ACCEPTED:
            raise RejectedError(f"{code} {one.get('statusMessage') or one.get('reason') or ''}".strip())
        return Sent(number, f"{code or ''} found with the provider".strip(), self.sender)

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _spoken(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        headers = {"Authorization": self._account.get_auth_info()}
        try:
            response = self._session.request(method, path, headers=headers, **content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UnreachableError(f"the SMS provider cannot be reached: {error}") from error
        except httpx.HTTPError as error:
            raise UncertainError(f"the SMS provider gave no answer: {type(error).__name__} {error}") from error
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UncertainError(f"the SMS provider is in trouble: {response.status_code} {response.text[:200]}")
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise RefusedError(f"{response.status_code} {response.text[:200]}")
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise UncertainError("the SMS provider's answer is no JSON") from error
        return answer


def _mobile(address: str) -> str:
    """Digits of a recipient.

    Raises:
        RejectedError: it is no mobile number.
    """
    try:
        return phone_number(address)
    except ValueError as error:
        raise RejectedError(str(error)) from None


class AppriseSender:
    """Any SMS service of Apprise whose URL takes the recipient as `to=`; it says yes or no, and cannot be asked.

    Args:
        url: its URL without recipient.
    """

    can_ask = False

    def __init__(self, url: str) -> None:
        self._url = url
        self.sender = url.partition("://")[0]

    def send(self, outgoing: Outgoing) -> Sent:
        """Send one SMS; see `Sender.send`."""
        separator = "&" if "?" in self._url else "?"
        plugin = apprise.Apprise.instantiate(f"{self._url}{separator}to={quote(outgoing.address, safe='')}")
        if plugin is None:
            raise UnreachableError("WATTLINE_SMS_URL is no Apprise URL that takes to=")
        with _APPRISE, apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as log:
            try:
                sent = bool(plugin.notify(body=outgoing.message["sms"], title=""))
            except Exception as error:  # a service may raise anything, at any point of its work
                words = without_password(last_line(f"{type(error).__name__}: {error}"), plugin)
                raise UncertainError(f"the service broke off: {words}") from None
            said = without_password(last_line(log.getvalue()), plugin)
        if sent:
            return Sent("", "taken", self.sender)
        if _CONNECTION in said.lower():
            raise UnreachableError(said)
        raise RefusedError(said or "the service refused the message")

    def ask(self, outgoing: Outgoing) -> Sent | None:
        """Nothing is known.

        Raises:
            UnreachableError: always.
        """
        raise UnreachableError("this service cannot be asked what it took")

    def close(self) -> None:
        """Nothing is kept open."""


def sms_sender(url: str) -> SolapiSender | AppriseSender:
    """The sender for WATTLINE_SMS_URL.

    Raises:
        TerminalError: a Solapi URL cannot be read.
    """
    return SolapiSender(url) if url.startswith(f"{SCHEME}://") else AppriseSender(url)
