from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import apprise
import httpx
import pytest
from apprise.exception import AppriseImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from solapi.model.response.send_message_response import SendMessageResponse

from wattline.alerts.sending import Outgoing, RejectedError
from wattline.alerts.sms_provider import RefusedError, SmsProvider
from wattline.alerts.sms_sender import NUMBER_FIELD, SolapiSender
from wattline.alerts.sms_text import cut, euc_kr_size, euc_kr_text
from wattline.alerts.solapi import NotifySolapi, phone_number, register

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY, SECRET, SALT = "NCSKEY", "keep-me", "0123456789abcdef"


def plugin(url: str) -> NotifySolapi:
    register()
    made = apprise.Apprise.instantiate(url, suppress_exceptions=False)
    assert isinstance(made, NotifySolapi)
    return made


@pytest.mark.parametrize(
    ("given_text", "sent"),
    [
        ("인버터 3 정지 — 확인", "인버터 3 정지 - 확인"),
        ("café ½ kWh 😀!", "cafe ½ kWh ?!"),
        ("naïve\u200b 👩‍🔧 ok", "naive ?? ok"),
        ("plain ascii", "plain ascii"),
    ],
)
def test_what_euc_kr_lacks_is_replaced(given_text: str, sent: str) -> None:
    assert euc_kr_text(given_text) == sent


@given(st.text())
def test_any_text_becomes_one_that_the_provider_takes(text: str) -> None:
    sent = euc_kr_text(text)
    assert euc_kr_text(sent) == sent
    assert euc_kr_size(cut(sent, 90)) <= 90
    assert cut(sent, 90) == sent or cut(sent, 90).endswith("..")


@pytest.mark.parametrize("number", ["010-0000-0001", "+82 10 0000 0001", "821000000001", "010.0000.0001"])
def test_ways_to_write_a_mobile_number(number: str) -> None:
    assert phone_number(number) == "01000000001"


@pytest.mark.parametrize("number", ["", "02-0000-0000", "010-0000-00012", "0100000000x", "12345"])
def test_no_mobile_number(number: str) -> None:
    with pytest.raises(ValueError, match="mobile number"):
        phone_number(number)


def test_a_sender_may_be_a_landline_or_a_service_number() -> None:
    assert phone_number("02-000-0000", sender=True) == "020000000"
    assert phone_number("1500-0000", sender=True) == "15000000"


def test_where_a_url_leads() -> None:
    far = plugin("solapi://K:S@/0200000000/01000000001/010-0000-0002")
    near = plugin("solapi://K:S@127.0.0.1:4000/0200000000/01000000001")

    assert far._service.base_url == "https://api.solapi.com"
    assert near._service.base_url == "http://127.0.0.1:4000"
    assert plugin("solapi://K:S@sms.test/0200000000/01000000001?secure=no")._service.base_url == "http://sms.test"
    assert (far.sender, far.targets, len(far)) == ("0200000000", ["01000000001", "01000000002"], 2)
    assert plugin(far.url()).targets == far.targets


def test_a_url_that_is_shown_holds_no_secret() -> None:
    shown = plugin("solapi://LONGKEY:LONGSECRET@localhost:1/0200000000/01000000001").url(privacy=True)

    assert shown.startswith("solapi://L...Y:****@localhost:1/")


@pytest.mark.parametrize(
    "url",
    [
        "solapi://K:S@localhost/0200000000",
        "solapi://K:S@localhost",
        "solapi://K@localhost/0200000000/01000000001",
        "solapi://K:S@localhost/0200000000/01000000001/02-000-0000",
    ],
)
def test_a_url_that_would_reach_nobody_is_refused(url: str) -> None:
    with pytest.raises(AppriseImproperlyConfigured, match="solapi"):
        plugin(url)


class Service:
    """Solapi's SDK without a network: refuses messages to 01000000001."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.sent = sent

    def send(self, message: Any, config: Any) -> SendMessageResponse:
        self.sent.append(message.model_dump(mode="json", by_alias=True))
        if message.to == "01000000001":
            raise Exception("Code", "refused")
        _, answer = SmsProvider(KEY, SECRET).accept({"messages": [self.sent[-1]], "showMessageList": True}, NOW)
        return SendMessageResponse.model_validate(answer)


def test_one_refused_number_stops_no_other_and_fails_the_whole() -> None:
    made = plugin("solapi://K:S@localhost/0200000000/01000000001/01000000002")
    made._service = Service([])  # type: ignore[assignment]

    assert not made.notify(body="확인", body_format=apprise.NotifyFormat.TEXT)
    assert [(each.to, each.ok, each.result) for each in made.receipts] == [
        ("01000000001", False, "Code refused"),
        ("01000000002", True, "2000 registered"),
    ]


@pytest.mark.parametrize(
    ("title", "body", "kind", "text", "subject"),
    [
        ("", "가" * 45, "SMS", "가" * 45, None),
        ("", "가" * 45 + "a", "LMS", "가" * 45 + "a", "가" * 19 + ".."),
        ("제목", "내용", "SMS", "제목\n내용", None),
        ("제목", "가" * 45, "LMS", "가" * 45, "제목"),
    ],
)
def test_short_ones_go_as_sms_and_long_ones_as_lms(
    title: str, body: str, kind: str, text: str, subject: str | None
) -> None:
    made = plugin("solapi://K:S@localhost/0200000000/01000000002")
    sent: list[dict[str, Any]] = []

    made._service = Service(sent)  # type: ignore[assignment]

    assert made.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
    assert [(each["type"], each["text"], each["subject"]) for each in sent] == [(kind, text, subject)]
    assert made.receipts[0].text == text


def authorization(date: datetime | str = NOW, salt: str = SALT, key: str = KEY, secret: str = SECRET) -> str:
    text = date if isinstance(date, str) else date.isoformat()
    signature = hmac.new(secret.encode(), (text + salt).encode(), hashlib.sha256).hexdigest()
    return f"HMAC-SHA256 ApiKey={key}, Date={text}, salt={salt}, signature={signature}"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "InvalidAuthorization"),
        (authorization(salt="short"), "InvalidAuthorization"),
        (authorization(key="OTHER"), "InvalidAPIKey"),
        (authorization(secret="wrong"), "SignatureDoesNotMatch"),
        (authorization().replace("2026", "2027", 1), "SignatureDoesNotMatch"),
        (authorization(NOW - timedelta(minutes=16)), "RequestTimeTooSkewed"),
        (authorization(NOW + timedelta(minutes=16)), "RequestTimeTooSkewed"),
        (authorization("yesterday"), "RequestTimeTooSkewed"),
        (authorization("2026-11-22T12:00:00"), "RequestTimeTooSkewed"),
    ],
)
def test_the_sink_refuses_what_the_provider_refuses(header: str, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        SmsProvider(KEY, SECRET).check(header, NOW)
    assert (refused.value.code, refused.value.status) == (code, 403)


def test_the_sink_takes_a_good_signature_once() -> None:
    provider = SmsProvider(KEY, SECRET)
    provider.check(authorization(NOW - timedelta(minutes=14)), NOW)
    provider.check(authorization(NOW), NOW)

    with pytest.raises(RefusedError, match="used before"):
        provider.check(authorization(NOW), NOW)


def test_the_sink_answers_in_the_shape_of_the_sdk() -> None:
    message = {"from": "0200000000", "to": ["01000000001", "0200000000"], "text": "확인", "type": "SMS"}
    taken, answer = SmsProvider(KEY, SECRET).accept({"messages": [message], "showMessageList": True}, NOW)

    read = SendMessageResponse.model_validate(answer)
    assert read.message_list is not None
    assert read.failed_message_list is not None
    assert [entry["bytes"] for entry in taken] == [4, 4]
    assert [each.message_id for each in read.message_list] == [taken[0]["message_id"]]
    assert [each.to for each in read.failed_message_list] == ["0200000000"]
    assert read.group_info.count.registered_failed == 1


@pytest.mark.parametrize("messages", [[], [{"to": "01000000001"}], [{"text": "x"}]])
def test_the_sink_wants_a_recipient_and_a_text(messages: list[dict[str, str]]) -> None:
    with pytest.raises(RefusedError) as refused:
        SmsProvider(KEY, SECRET).accept({"messages": messages}, NOW)
    assert refused.value.status == 400


def asked(code: str | None, address: str = "010-0000-0001") -> str | None:
    """What the sender makes of a list in which the message has this status code."""
    listed = {"customFields": {NUMBER_FIELD: "n1"}, "statusCode": code, "statusMessage": "so it is"}
    answer = {"messageList": {"M0": {"customFields": {NUMBER_FIELD: "n0"}, "statusCode": "1062"}, "M1": listed}}
    sender = SolapiSender(f"solapi://{KEY}:{SECRET}@/01000000001")
    sender._session = httpx.Client(
        base_url="https://x", transport=httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
    )
    found = sender.ask(Outgoing("n1", address, {"sms": "x"}, NOW))
    return found.provider_id if found else None


@pytest.mark.parametrize("code", ["2000", "3000", "4000", None])
def test_a_message_that_solapi_has_taken_is_sent(code: str | None) -> None:
    assert asked(code) == "M1"


@pytest.mark.parametrize("code", ["1062", "3104", "2230"])
def test_a_message_that_solapi_lists_as_refused_is_not_sent(code: str) -> None:
    with pytest.raises(RejectedError, match=f"{code} so it is"):
        asked(code)


def test_what_is_no_number_was_never_taken() -> None:
    with pytest.raises(RejectedError, match="no Korean mobile number"):
        asked("2000", "02-123-4567")
