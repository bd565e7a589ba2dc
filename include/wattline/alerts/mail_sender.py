"""Mail by SMTP over one kept connection, from an Apprise URL without recipient: `mailto[s]://[user:password@]host`."""

from __future__ import annotations

import hashlib
import re
import smtplib
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, formataddr
from typing import Any, NoReturn

import apprise
from apprise.plugins.email import NotifyEmail

from wattline.alerts.sending import Outgoing, RefusedError, RejectedError, Sent, UncertainError, UnreachableError
from wattline.errors import TerminalError

_PATIENCE = 30.0
"""Seconds that the server may take for one answer: far less than the outbox's lease."""
_LINES = compat32.clone(linesep="\r\n", max_line_length=78)
_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")
_GO_AHEAD = 354
_ENHANCED = re.compile(r"#?5\.\d{1,3}\.\d{1,3}\b")
_NO_RECIPIENT = re.compile(r"#?5\.(?:1\.(?:[1-46]|10)|2\.1)\b")
"""Of RFC 3463 and 7505: no such mailbox or host, a bad address, moved, takes no mail; disabled."""
_NO_RECIPIENT_PLAIN = (550, 553)
_ABOUT_US = re.compile(r"relay|sender|authenticat", re.IGNORECASE)


class MailSender:
    """One SMTP connection, opened with the first mail, and again after it broke.

    Args:
        url: `mailto://` (plain) or `mailtos://` (STARTTLS, or TLS from the start with `mode=ssl`); `from=` names the
            sender.

    Raises:
        TerminalError: the URL cannot be read; the message does not show it.
    """

    can_ask = False

    def __init__(self, url: str) -> None:
        separator = "&" if "?" in url else "?"
        # Apprise reads the URL, and knows the servers of well-known addresses; it wants a recipient for that.
        asset = apprise.AppriseAsset(app_id="Wattline")
        plugin = apprise.Apprise.instantiate(f"{url}{separator}to=nobody@example.org", asset=asset)
        if not isinstance(plugin, NotifyEmail):
            raise TerminalError("WATTLINE_MAIL_URL cannot be read; write mailtos://user:password@host?from=address")
        self._server: Any = plugin
        self._smtp: smtplib.SMTP | None = None
        name, address = plugin.from_addr
        self.sender = str(address)
        self._from = formataddr((str(name or "Wattline"), self.sender))

    def send(self, outgoing: Outgoing) -> Sent:
        """Send one mail; see `Sender.send`."""
        if not _ADDRESS.fullmatch(outgoing.address):
            raise RejectedError(f"{outgoing.address!r} is no mail address")
        try:
            mail = compose_mail(self._from, outgoing)
        except (ValueError, MessageError) as error:
            raise RejectedError(f"no mail can be written to this address: {_words(error)}") from error
        smtp = self._begun(outgoing.address)
        code, text = _answer(self._spoken(lambda: smtp.docmd("DATA")))
        if code != _GO_AHEAD:
            self._refuse(code, text)
        try:
            # From here on the server may have the mail, whatever is heard of it.
            smtp.send(_dotted(mail))
            code, text = _answer(smtp.getreply())
        except (OSError, smtplib.SMTPException) as error:
            self._broken()
            raise UncertainError(f"no answer after the mail: {_words(error)}") from error
        if code // 100 != 2:  # noqa: PLR2004 - the class of answers that mean yes
            self._refuse(code, text)
        return Sent(message_id(outgoing), f"{code} {text}", self.sender, hashlib.sha256(mail).hexdigest())

    def ask(self, outgoing: Outgoing) -> Sent | None:
        """No mail server says what it took.

        Raises:
            UnreachableError: always.
        """
        raise UnreachableError("a mail server cannot be asked what it took")

    def close(self) -> None:
        """Take leave of the server."""
        if self._smtp is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._smtp.quit()
        self._smtp = None

    def _begun(self, address: str) -> smtplib.SMTP:
        """A connection that knows sender and recipient; a kept one that the server has closed is opened anew."""
        kept = self._smtp is not None
        try:
            self._introduce()
        except UnreachableError:
            if not kept:
                raise
            self._introduce()
        code, text = _answer(self._spoken(lambda: self._named(address)))
        if code // 100 != 2:  # noqa: PLR2004 - the class of answers that mean yes
            self._refuse(code, text)
        return self._connected()

    def _introduce(self) -> None:
        """Name the sender; a server that refuses it would refuse it with every mail, so it cannot be reached."""
        code, text = _answer(self._spoken(lambda: self._connected().mail(self.sender)))
        if code // 100 != 2:  # noqa: PLR2004 - the class of answers that mean yes
            self._broken()
            raise UnreachableError(f"the mail server takes nothing from {self.sender}: {code} {text}")

    def _named(self, address: str) -> tuple[int, bytes]:
        """Name the recipient."""
        try:
            return self._connected().rcpt(address)
        except ValueError as error:
            self._broken()
            raise RejectedError(f"no mail can be sent to this address: {_words(error)}") from error

    def _connected(self) -> smtplib.SMTP:
        if self._smtp is None:
            server = self._server
            context = ssl.create_default_context()
            if not server.verify_certificate:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            port = server.port or {"ssl": 465, "starttls": 587}.get(server.secure_mode, 25)
            host = server.smtp_host or server.host
            if server.secure_mode == "ssl":
                self._smtp = smtplib.SMTP_SSL(host, port, timeout=_PATIENCE, context=context)
            else:
                self._smtp = smtplib.SMTP(host, port, timeout=_PATIENCE)
            if server.secure_mode == "starttls":
                self._smtp.starttls(context=context)
            if server.user and server.password:
                self._smtp.login(server.user, server.password)
            self._smtp.ehlo_or_helo_if_needed()
        return self._smtp

    def _spoken(self, words: Any) -> Any:
        try:
            return words()
        except (OSError, smtplib.SMTPException, ValueError) as error:
            # smtplib answers a user, password or sender outside ASCII with a ValueError.
            self._broken()
            raise UnreachableError(f"the mail server cannot be spoken to: {_words(error)}") from error

    def _broken(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None

    def _refuse(self, code: int, text: str) -> NoReturn:
        self._spoken(lambda: self._smtp and self._smtp.rset())
        if _is_for_good(code, text):
            raise RejectedError(f"{code} {text}")
        raise RefusedError(f"{code} {text}")


def _is_for_good(code: int, text: str) -> bool:
    """Whether an answer says that this recipient cannot be reached.

    Servers wait with what they have against us until they are told a recipient: client, HELO, sender, relaying, login,
    reputation, quota. Every mail would meet that, and it can be mended, so a refusal is for good only where it is
    about the recipient.
    """
    if _ENHANCED.match(text):
        return _NO_RECIPIENT.match(text) is not None
    return code in _NO_RECIPIENT_PLAIN and not _ABOUT_US.search(text)


def compose_mail(sender: str, outgoing: Outgoing) -> bytes:
    """The mail itself, as it goes over the line: UTF-8, text and HTML; the same for every try but for its date.

    The older classes of the standard library do this in a fifth of the time of `EmailMessage`.

    Args:
        sender: the From header.
        outgoing: the message.
    """
    mail = MIMEMultipart("alternative", policy=_LINES)
    words: Mapping[str, str] = outgoing.message
    mail["From"] = sender
    mail["To"] = outgoing.address
    subject = " ".join(words["subject"].split())
    mail["Subject"] = Header(subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = message_id(outgoing)
    mail["Auto-Submitted"] = "auto-generated"
    for form, kind in (("text", "plain"), ("html", "html")):
        mail.attach(MIMEText("\r\n".join(words[form].splitlines()) + "\r\n", kind, "utf-8", policy=_LINES))
    return mail.as_bytes()


def message_id(outgoing: Outgoing) -> str:
    """The same in every try, so that mail programs show a mail once that came twice."""
    return f"<{outgoing.number}@wattline>"


def _dotted(mail: bytes) -> bytes:
    """The mail as DATA takes it: lines that begin with a dot get another, and a line with a dot ends it."""
    return mail.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def _answer(reply: tuple[int, bytes | str]) -> tuple[int, str]:
    code, text = reply
    return code, (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).replace("\n", " ")[:200]


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
