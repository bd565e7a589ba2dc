"""Local stand-ins for the mail server and for the SMS provider: they keep what they receive in JSON lines.

`python -m wattline.alerts.sinks mail --port 2525 --folder F` writes `F/mail.jsonl`, `… sms …` writes `F/sms.jsonl`.
While `F/mail.fail` or `F/sms.fail` exists the sink answers as a provider in trouble does: SMTP 451, HTTP 500. While
`F/mail.slow` or `F/sms.slow` exists it answers a while after it has kept a message.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

import typer

from wattline.alerts.sms_provider import LIST_PATH, SEND_PATH, RefusedError, SmsProvider

_SLOW_SECONDS = 0.05

app = typer.Typer(add_completion=False, help="Local sinks for mail and SMS.")


class Journal:
    """The JSON lines of one sink, and the file that tells it to fail."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.jsonl"
        self._fail = folder / f"{name}.fail"
        self._slow = folder / f"{name}.slow"
        self._lock = threading.Lock()

    @property
    def failing(self) -> bool:
        """Whether the sink is told to answer as a provider in trouble."""
        return self._fail.exists()

    @property
    def pause(self) -> float:
        """Seconds between keeping a message and the answer."""
        return _SLOW_SECONDS if self._slow.exists() else 0.0

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry, stamped with the time of its arrival."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(), **entry}, ensure_ascii=False)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def read_mail(sender: str | None, recipients: list[str], raw: bytes) -> dict[str, Any]:
    """One received mail, decoded: from, to, subject, text, html, Message-ID; of the raw mail size in bytes and hash."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    text, html = (str(body.get_content()) if body else None for body in bodies.values())
    return {
        "from": sender,
        "to": recipients,
        "subject": str(message["subject"]),
        "text": text,
        "html": html,
        "size": len(raw),
        "message_id": str(message["Message-ID"]),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }


class SmsHandler(BaseHTTPRequestHandler):
    """One HTTP request to the SMS sink; its server is a `SmsServer`."""

    server: SmsServer
    # Connections are kept, as the provider keeps them.
    protocol_version = "HTTP/1.1"
    # Head and body of an answer leave as one: apart, the second waits 40 ms for the acknowledgement of the first.
    wbufsize = -1

    def do_POST(self) -> None:
        """Answer one send request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(lambda: self._send(body))

    def do_GET(self) -> None:
        """Answer one request for the list of messages."""
        self._answer(self._list)

    def _answer(self, action: Callable[[], dict[str, Any]]) -> None:
        try:
            answer = action()
        except RefusedError as refused:
            self.server.journal.write({"refused": refused.code, "status": refused.status.value})
            self._reply(refused.status, {"errorCode": refused.code, "errorMessage": refused.text})
        else:
            self._reply(HTTPStatus.OK, answer)

    def _check(self, path: str) -> datetime:
        """The time of a request to `path` that is signed as it should be."""
        now = datetime.now(UTC)
        if self.server.journal.failing:
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", "The provider has an outage.")
        if urlsplit(self.path).path != path:
            raise RefusedError(HTTPStatus.NOT_FOUND, "ResourceNotFound", "There is no such resource.")
        self.server.provider.check(self.headers.get("Authorization", ""), now)
        return now

    def _list(self) -> dict[str, Any]:
        self._check(LIST_PATH)
        return self.server.provider.listed(dict(parse_qsl(urlsplit(self.path).query)))

    def _send(self, body: bytes) -> dict[str, Any]:
        now = self._check(SEND_PATH)
        try:
            request = json.loads(body)
        except ValueError:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "ValidationError", "The body is no JSON.") from None
        taken, answer = self.server.provider.accept(request, now)
        for entry in taken:
            self.server.journal.write(entry)
        time.sleep(self.server.journal.pause)
        return answer

    def _reply(self, status: HTTPStatus, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
        """Stay quiet: the journal holds every request."""


class SmsServer(ThreadingHTTPServer):
    """The SMS sink on `127.0.0.1:port`; port 0 takes a free one (`server_port` says which)."""

    def __init__(self, port: int, journal: Journal, provider: SmsProvider) -> None:
        super().__init__(("127.0.0.1", port), SmsHandler)
        self.journal, self.provider = journal, provider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, but for clients that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


Port = Annotated[int, typer.Option(help="Port on 127.0.0.1.")]
Folder = Annotated[Path, typer.Option(help="Folder for what arrives.")]


@app.command()
def mail(port: Port, folder: Folder) -> None:
    """Take every mail and keep it in mail.jsonl."""
    # A development requirement: only this sink needs it.
    from aiosmtpd.controller import Controller  # noqa: PLC0415

    journal = Journal(folder, "mail")

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            if journal.failing:
                journal.write({"refused": "451"})
                return "451 4.3.0 The mail server has an outage"
            journal.write(read_mail(envelope.mail_from, envelope.rcpt_tos, envelope.content))
            await asyncio.sleep(journal.pause)
            return "250 2.0.0 Kept"

    Controller(Handler(), hostname="127.0.0.1", port=port).start()
    threading.Event().wait()


@app.command()
def sms(port: Port, folder: Folder) -> None:
    """Answer as Solapi's send API does and keep every message in sms.jsonl.

    WATTLINE_SMS_SINK_KEY and WATTLINE_SMS_SINK_SECRET give the account it knows.
    """
    provider = SmsProvider(os.environ["WATTLINE_SMS_SINK_KEY"], os.environ["WATTLINE_SMS_SINK_SECRET"])
    SmsServer(port, Journal(folder, "sms"), provider).serve_forever()


if __name__ == "__main__":
    app()
