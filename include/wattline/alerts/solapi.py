"""Korean SMS by Solapi as an Apprise service: `solapi://KEY:SECRET@host[:port]/FROM/TO/TO2`.

Without a host (`solapi://KEY:SECRET@/FROM/TO`) the provider's own is meant. A local host is spoken to by http, every
other by https unless `?secure=no` says otherwise. `register` makes the scheme known to Apprise.
"""

# Apprise types its plugin base by half: functions without annotations, class attributes that are said to be None.
# mypy: disable-error-code="assignment,misc,no-untyped-call,override"

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from apprise import NotificationManager, NotifyFormat, NotifyType
from apprise.exception import AppriseImproperlyConfigured
from apprise.plugins import NotifyBase
from apprise.url import PrivacyMode
from apprise.utils.parse import parse_bool
from solapi import SolapiMessageService
from solapi.error.MessageNotReceiveError import MessageNotReceivedError
from solapi.model import RequestMessage, SendRequestConfig
from solapi.model.message_type import MessageType
from solapi.model.response.send_message_response import SendMessageResponse

from wattline.alerts.sms_text import LMS_BYTES, SMS_BYTES, SUBJECT_BYTES, cut, euc_kr_size, euc_kr_text, phone_digits

SCHEME = "solapi"
HOST = "api.solapi.com"

_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1"})
_MOBILE = re.compile(r"01[016-9]\d{7,8}")
_SENDER = re.compile(r"0\d{8,10}|1\d{7}")


@dataclass(frozen=True)
class Receipt:
    """What the provider said of one message to one number; `message_id` is empty where it gave none."""

    to: str
    sender: str
    text: str
    message_id: str
    result: str
    ok: bool


def phone_number(text: str, *, sender: bool = False) -> str:
    """The digits of a Korean number; recipients are mobile numbers, senders any registered number.

    Raises:
        ValueError: it is no such number.
    """
    digits = phone_digits(text)
    if not (_SENDER if sender else _MOBILE).fullmatch(digits):
        raise ValueError(f"{text!r} is no Korean {'sender' if sender else 'mobile'} number; write 010-0000-0000")
    return digits


class NotifySolapi(NotifyBase):
    """SMS and LMS through Solapi's own SDK; one request per number, so that one bad number stops no other.

    Attributes:
        receipts: what the provider said of every message of this object, in order of sending.

    Raises:
        AppriseImproperlyConfigured: key, secret, sender or recipients are missing or no numbers.
    """

    service_name = "Solapi"
    service_url = "https://solapi.com"
    secure_protocol = SCHEME
    setup_url = "https://developers.solapi.com"
    title_maxlen = SUBJECT_BYTES
    body_maxlen = LMS_BYTES
    notify_format = NotifyFormat.TEXT
    # Apprise waits this long between requests of one service by default, to be polite to chat servers.
    request_rate_per_sec = 0
    templates = ("{schema}://{user}:{password}@{host}/{sender}/{targets}",)
    template_tokens: ClassVar[dict[str, Any]] = dict(
        NotifyBase.template_tokens,
        user={"name": "API key", "type": "string", "required": True},
        password={"name": "API secret", "type": "string", "private": True, "required": True},
        host={"name": "Host", "type": "string", "required": True},
        port={"name": "Port", "type": "int", "min": 1, "max": 65535},
        sender={"name": "Sender number", "type": "string", "required": True},
        targets={"name": "Recipient numbers", "type": "list:string", "required": True},
    )

    def __init__(self, sender: str = "", targets: list[str] | None = None, use_tls: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not (self.user and self.password):
            raise AppriseImproperlyConfigured("solapi: API key and API secret are needed")
        try:
            self.sender = phone_number(sender, sender=True)
            self.targets = [phone_number(target) for target in targets or []]
        except ValueError as error:
            raise AppriseImproperlyConfigured(f"solapi: {error}") from error
        if not self.targets:
            raise AppriseImproperlyConfigured("solapi: no recipient number is given")
        self.use_tls = use_tls
        self.receipts: list[Receipt] = []
        self._service = SolapiMessageService(self.user, self.password)
        self._service.base_url = f"{'https' if use_tls else 'http'}://{self.host}{f':{self.port}' if self.port else ''}"

    def send(self, body: str, title: str = "", notify_type: NotifyType = NotifyType.INFO, **kwargs: Any) -> bool:
        """Send `body` (and `title`) to every number; True when the provider took them all."""
        message = compose(body, title)
        sent = []
        for target in self.targets:
            if self.is_delivered(target):
                continue
            receipt = self._send_one(target, message)
            self.receipts.append(receipt)
            sent.append(receipt.ok)
            if receipt.ok:
                self.mark_delivered(target)
            else:
                self.logger.warning("Solapi refused the message to %s: %s", target, receipt.result)
        return all(sent)

    def _send_one(self, target: str, message: dict[str, Any]) -> Receipt:
        request = RequestMessage(from_=self.sender, to=target, auto_type_detect=False, **message)
        message_id = ""
        try:
            answer = self._service.send(request, SendRequestConfig(show_message_list=True))
        except MessageNotReceivedError as error:
            failed = error.failed_messages[0]
            message_id, ok, result = failed.message_id, False, f"{failed.status_code} {failed.status_message}"
        except Exception as error:  # the SDK raises bare Exceptions for what the provider refuses
            ok, result = False, " ".join(map(str, error.args)) or type(error).__name__
        else:
            ok, (message_id, result) = True, _accepted(answer)
        return Receipt(target, self.sender, message["text"], message_id, result, ok)

    def url(self, privacy: bool = False, *args: Any, **kwargs: Any) -> str:
        """This service as a URL; with `privacy` key and secret are masked."""
        parameters = self.url_parameters(*args, privacy=privacy, **kwargs)
        parameters["secure"] = "yes" if self.use_tls else "no"
        return "{}://{}:{}@{}{}/{}?{}".format(
            SCHEME,
            self.pprint(self.user, privacy, safe=""),
            self.pprint(self.password, privacy, mode=PrivacyMode.Secret, safe=""),
            self.host,
            f":{self.port}" if self.port else "",
            "/".join([self.sender, *self.targets]),
            self.urlencode(parameters),
        )

    def __len__(self) -> int:
        """How many numbers are told."""
        return len(self.targets)

    @staticmethod
    def parse_url(url: str) -> dict[str, Any] | None:
        """The constructor's arguments in `url`, or None where it cannot be read."""
        results: dict[str, Any] | None = NotifyBase.parse_url(url, verify_host=False)
        if results:
            results["host"] = results["host"] or HOST
            results["sender"], *results["targets"] = NotifyBase.split_path(results["fullpath"]) or [""]
            results["use_tls"] = parse_bool(results["qsd"].get("secure", results["host"] not in _LOCAL_HOSTS))
        return results


def compose(body: str, title: str = "") -> dict[str, Any]:
    """Type, text and (LMS only) subject: all that was given as SMS where it fits, else as LMS."""
    title, body = euc_kr_text(title), euc_kr_text(body)
    short = f"{title}\n{body}" if title else body
    if euc_kr_size(short) <= SMS_BYTES:
        return {"type": MessageType.SMS, "text": short}
    subject = cut(title or body.partition("\n")[0], SUBJECT_BYTES)
    return {"type": MessageType.LMS, "text": cut(body, LMS_BYTES), "subject": subject}


def _accepted(answer: SendMessageResponse) -> tuple[str, str]:
    if not answer.message_list:
        return answer.group_info.group_id, answer.group_info.status
    entry = answer.message_list[0]
    return entry.message_id, f"{entry.status_code} {entry.status_message}"


def register() -> None:
    """Make `solapi://` known to Apprise; doing it again changes nothing."""
    manager = NotificationManager()
    if SCHEME not in manager:
        manager.add(NotifySolapi)
