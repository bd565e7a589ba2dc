"""Mail and SMS over one kept connection: what the other side says, and what is made of its silence."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from apprise import NotifyBase
from apprise.manager_plugins import NotificationManager
from apprise.plugins.custom_json import NotifyJSON

from local.servers import HOST, free_port
from tests import alert_world
from tests.alert_world import Sinks
from wattline.alerts.mail_sender import MailSender
from wattline.alerts.sending import Outgoing, RefusedError, RejectedError, UncertainError, UnreachableError
from wattline.alerts.sms_sender import AppriseSender, SolapiSender, sms_sender
from wattline.errors import TerminalError

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
N_MGR = NotificationManager()
MAIL = Outgoing("number1", "mina@example.org", {"subject": "정전", "text": ".\n본문\n", "html": "<p>본문</p>\n"}, NOW)


class Server:
    """A mail server whose answer to a mail, or to a recipient, a test chooses; it keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[str | Callable[[Any], None]] = []
        self.sender = self.recipient = "250 OK"
        self.mails: list[bytes] = []
        self.sessions: set[int] = set()

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.sender.startswith("250"):
            envelope.mail_from = address
        return self.sender

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope.content)
        self.sessions.add(id(session))
        answer = self.answers.pop(0) if self.answers else "250 Kept"
        if not isinstance(answer, str):
            answer(server)
            await asyncio.sleep(0.1)
            return "250 never heard"
        return answer


@contextmanager
def serving(server: Server, **options: Any) -> Iterator[str]:
    port = free_port()
    controller = Controller(server, hostname=HOST, port=port, **options)
    controller.start()
    try:
        yield f"{HOST}:{port}/?from=wattline@example.org"
    finally:
        controller.stop()


@contextmanager
def sending(url: str) -> Iterator[MailSender]:
    sender = MailSender(url)
    try:
        yield sender
    finally:
        sender.close()


def test_mails_go_over_one_connection_and_again_after_a_refusal() -> None:
    server = Server()
    server.answers = ["250 Kept", "451 busy", "550 no such user here", "250 Kept"]
    with serving(server) as place, sending(f"mailto://{place}") as sender:
        assert sender.send(MAIL).result.startswith("250")
        with pytest.raises(RefusedError, match="451 busy"):
            sender.send(MAIL)
        with pytest.raises(RejectedError, match="550 no such user here"):
            sender.send(MAIL)
        assert sender.send(MAIL).provider_id == "<number1@wattline>"
        server.recipient = "550 no such user"
        with pytest.raises(RejectedError, match="550"):
            sender.send(MAIL)
        server.recipient = "450 later"
        with pytest.raises(RefusedError, match="450"):
            sender.send(MAIL)
    assert (len(server.mails), len(server.sessions)) == (4, 1)


@pytest.mark.parametrize(
    ("answer", "for_good"),
    [
        ("550 no such user", True),
        ("553 mailbox name not allowed", True),
        ("550 5.1.1 <mina@example.org>: Recipient address rejected: User unknown", True),
        ("554 5.1.2 no such domain", True),
        ("550 #5.1.3 bad address", True),
        ("556 5.1.10 the domain takes no mail", True),
        ("550 5.2.1 the mailbox is disabled", True),
        ("552 5.2.2 mailbox full", False),
        ("552 message too big", False),
        ("554 5.7.1 <mina@example.org>: Relay access denied", False),
        ("554 5.7.1 <unknown[10.0.0.1]>: Client host rejected: Access denied", False),
        ("550 5.7.1 <wattline>: Helo command rejected: Host not found", False),
        ("550 5.1.0 <wattline@example.org>: Sender address rejected: User unknown", False),
        ("550 5.1.8 <wattline@example.org>: Sender address rejected: Domain not found", False),
        ("553 5.7.1 <wattline@example.org>: Sender address rejected: not owned by user", False),
        ("550 5.4.5 daily sending quota exceeded", False),
        ("550 relay not permitted", False),
        ("550 Sender verify failed", False),
        ("530 authentication required", False),
        ("554 spam", False),
        ("451 4.7.1 greylisted", False),
    ],
)
def test_only_what_is_wrong_with_the_recipient_is_for_good(answer: str, for_good: bool) -> None:
    server = Server()
    error = RejectedError if for_good else RefusedError
    with serving(server) as place, sending(f"mailto://{place}") as sender:
        server.recipient = answer
        with pytest.raises(error, match=answer[:3]):
            sender.send(MAIL)
        server.recipient = "250 OK"
        server.answers = [answer]
        with pytest.raises(error, match=answer[:3]):
            sender.send(MAIL)


def test_a_kept_connection_that_the_server_closed_is_opened_again() -> None:
    server = Server()
    with serving(server, timeout=0.2) as place, sending(f"mailto://{place}") as sender:
        sender.send(MAIL)
        asyncio.run(asyncio.sleep(0.5))
        sender.send(MAIL)
    assert len(server.mails) == 2


def test_a_server_that_falls_silent_after_the_mail_leaves_it_uncertain() -> None:
    server = Server()
    server.answers = [lambda smtp: smtp.transport.abort()]
    with serving(server) as place, sending(f"mailto://{place}") as sender:
        with pytest.raises(UncertainError):
            sender.send(MAIL)
        # The next one goes by a connection of its own.
        assert sender.send(MAIL).result.startswith("250")


def test_no_server_is_no_mail() -> None:
    with (
        sending(f"mailto://{HOST}:{free_port()}/?from=w@example.org") as sender,
        pytest.raises(UnreachableError, match="cannot be spoken to"),
    ):
        sender.send(MAIL)


def test_a_password_that_smtp_cannot_carry_is_nobody_s_mail() -> None:
    server = Server()
    secret = "비밀번호"
    options = {"authenticator": lambda *given: AuthResult(success=True), "auth_require_tls": False}
    with serving(server, **options) as place, sending(f"mailto://user:{quote(secret)}@{place}") as sender:
        with pytest.raises(UnreachableError, match="UnicodeEncodeError") as raised_error:
            sender.send(MAIL)
        assert secret not in str(raised_error.value)
    assert not server.mails


def test_a_server_that_refuses_the_sender_refuses_every_mail() -> None:
    server = Server()
    server.sender = "550 not from here"
    with serving(server) as place, sending(f"mailto://{place}") as sender:
        with pytest.raises(UnreachableError, match="550 not from here"):
            sender.send(MAIL)
        server.sender = "250 OK"
        assert sender.send(MAIL).result.startswith("250")


@pytest.mark.parametrize(
    "address", ["미나@example.org", "", "a b@example.org", "a@example.org\r\nBcc: x@example.org", "한글"]
)
def test_what_is_no_address_is_rejected(address: str) -> None:
    server = Server()
    with serving(server) as place, sending(f"mailto://{place}") as sender:
        with pytest.raises(RejectedError, match="address"):
            sender.send(Outgoing("n", address, MAIL.message, NOW))
        sender.send(MAIL)
    assert len(server.mails) == 1


def test_starttls_is_spoken_where_the_url_asks_for_it(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server()
    with serving(server, tls_context=context, require_starttls=True) as place:
        with sending(f"mailtos://{place}&mode=starttls&verify=no") as sender:
            assert sender.send(MAIL).result.startswith("250")
        with (
            sending(f"mailtos://{place}&mode=starttls") as sender,
            pytest.raises(UnreachableError, match="CERTIFICATE"),
        ):
            sender.send(MAIL)


def test_urls_that_cannot_be_read_are_named_without_their_secrets() -> None:
    for make in (lambda: MailSender("smtp://user:hunter2@x"), lambda: sms_sender("solapi://KEY:hunter2@/nonsense")):
        with pytest.raises(TerminalError, match="cannot be read") as raised:
            make()
        assert "hunter2" not in str(raised.value)


@pytest.fixture(scope="module")
def sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sinks]:
    with alert_world.serving(tmp_path_factory.mktemp("sinks")) as found:
        yield found


def sms(number: str, to: str = "010-1234-5678") -> Outgoing:
    return Outgoing(number, to, {"sms": "정전 " + number}, NOW)


def test_solapi_is_asked_by_our_number(sinks: Sinks) -> None:
    sender = SolapiSender(sinks.sms_url())
    sent = sender.send(sms("a"))
    found = sender.ask(sms("a"))
    assert found
    assert found.provider_id == sent.provider_id
    assert sender.ask(sms("b")) is None
    with pytest.raises(RejectedError, match="no Korean mobile number"):
        sender.send(sms("c", "02-123-4567"))
    sinks.fail("sms")
    with pytest.raises(UncertainError, match="500"):
        sender.send(sms("d"))
    with pytest.raises(UnreachableError, match="500"):
        sender.ask(sms("d"))
    sinks.fail("sms", False)
    sender.close()
    with closing(SolapiSender(sinks.sms_url("hunter2"))) as stranger, pytest.raises(RefusedError, match="Signature"):
        stranger.send(sms("e"))
    assert len(sinks.got("sms")) == 1


class Texts(NotifyJSON):
    """An Apprise service that takes SMS by HTTP, and the recipient as `to=`."""

    protocol = "wattlinetext"
    secure_protocol = "wattlinetexts"
    service_name = "Texts"

    @staticmethod
    def parse_url(url: str) -> dict[str, Any] | None:
        results: dict[str, Any] = NotifyJSON.parse_url(url)
        return results | {"payload": {"number": results["qsd"]["to"]}}


@contextmanager
def taking_json(status: int = 200) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A port on which posted JSON is taken, or refused, and what came."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
            pass

    with HTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, came
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def _texts() -> Iterator[None]:
    N_MGR.add(Texts, ["wattlinetext", "wattlinetexts"])
    yield
    N_MGR.remove("wattlinetext", "wattlinetexts")


@pytest.mark.usefixtures("_texts")
def test_any_apprise_service_gets_the_recipient_as_to() -> None:
    with taking_json() as (port, came):
        sender = sms_sender(f"wattlinetext://{HOST}:{port}/sms")
        assert isinstance(sender, AppriseSender)
        assert sender.send(sms("f", "+82 10-1234-5678")).sender == "wattlinetext"
    assert [(one["number"], one["message"]) for one in came] == [("+82 10-1234-5678", "정전 f")]
    with taking_json(400) as (port, came), pytest.raises(RefusedError):
        sms_sender(f"wattlinetext://{HOST}:{port}/sms?x=y").send(sms("f"))
    assert [one["number"] for one in came] == ["010-1234-5678"]
    with pytest.raises(UnreachableError, match="Connection error"):
        sms_sender(f"wattlinetext://{HOST}:{free_port()}/").send(sms("f"))
    with pytest.raises(UnreachableError):
        sender.ask(sms("f"))


class Service(NotifyBase):
    """An Apprise service that refuses by the number, or breaks off; slow enough to be spoken to by two at once."""

    secure_protocol = "wattlinetest"
    service_name = "Test"

    def __init__(self, targets: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = targets

    def send(self, body: str, title: str = "", **kwargs: Any) -> bool:
        time.sleep(0.02)
        if self.number == "0":
            raise KeyError(f"{self.password} is no key")
        self.logger.warning(f"{self.number} is refused by {self.password}")
        time.sleep(0.02)
        return False

    @staticmethod
    def parse_url(url: str) -> dict[str, Any] | None:
        results: dict[str, Any] = NotifyBase.parse_url(url, verify_host=False)
        return results | {"targets": results["qsd"]["to"]}


@pytest.fixture
def service() -> Iterator[AppriseSender]:
    N_MGR.add(Service, "wattlinetest")
    yield AppriseSender("wattlinetest://user:hunter2@localhost/")
    N_MGR.remove("wattlinetest")


def test_each_message_has_its_own_refusal_and_no_password(service: AppriseSender) -> None:
    def refusal(number: str) -> str:
        with pytest.raises(RefusedError) as refused:
            service.send(sms("g", number))
        return str(refused.value)

    numbers = [str(number) for number in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(refusal, numbers)) == [f"{number} is refused by ***" for number in numbers]


def test_a_service_that_breaks_off_leaves_it_uncertain(service: AppriseSender) -> None:
    with pytest.raises(UncertainError, match="KeyError") as broken:
        service.send(sms("h", "0"))
    assert "hunter2" not in str(broken.value)
