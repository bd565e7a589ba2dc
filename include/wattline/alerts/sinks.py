"""Local stand-ins for the mail server and for the SMS provider: they keep what they receive in JSON lines.

`python -m wattline.alerts.sinks mail --port 2525 --folder F` writes `F/mail.jsonl`, `… sms …` writes `F/sms.jsonl`.
While `F/mail.fail` or `F/sms.fail` exists the sink answers as a provider in trouble does: SMTP 451, HTTP 500.
"""

from __future__ import annotations

import email
import email.policy
import json
import os
import threading
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

from wattline.alerts.sms_provider import SEND_PATH, RefusedError, SmsProvider

app = typer.Typer(add_completion=False, help="Local sinks for mail and SMS.")


class Journal:
    """The JSON lines of one sink, and the file that tells it to fail."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.jsonl"
        self._fail = folder / f"{name}.fail"
        self._lock = threading.Lock()

    @property
    def failing(self) -> bool:
        """Whether the sink is told to answer as a provider in trouble."""
        return self._fail.exists()

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry, stamped with the time of its arrival."""
        line = json.dumps({"at": datetime.now(UTC).isoformat(), **entry}, ensure_ascii=False)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def read_mail(sender: str | None, recipients: list[str], raw: bytes) -> dict[str, Any]:
    """One received mail, decoded: from, to, subject, text, html and raw size in bytes."""
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
    }


class SmsHandler(BaseHTTPRequestHandler):
    """One HTTP request to the SMS sink; its server is a `SmsServer`."""

    server: SmsServer

    def do_POST(self) -> None:
        """Answer one send request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self._send(body)
        except RefusedError as refused:
            self.server.journal.write({"refused": refused.code, "status": refused.status.value})
            self._reply(refused.status, {"errorCode": refused.code, "errorMessage": refused.text})
        else:
            self._reply(HTTPStatus.OK, answer)

    def _send(self, body: bytes) -> dict[str, Any]:
        now = datetime.now(UTC)
        if self.server.journal.failing:
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", "The provider has an outage.")
        if self.path != SEND_PATH:
            raise RefusedError(HTTPStatus.NOT_FOUND, "ResourceNotFound", "There is no such resource.")
        self.server.provider.check(self.headers.get("Authorization", ""), now)
        try:
            request = json.loads(body)
        except ValueError:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "ValidationError", "The body is no JSON.") from None
        taken, answer = self.server.provider.accept(request, now)
        for entry in taken:
            self.server.journal.write(entry)
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
