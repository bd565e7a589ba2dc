"""The channels to people: every one is tried, every result is told, no secret leaves in a label or an error."""

# Apprise leaves some of its functions without annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import apprise
from apprise.plugins.email import NotifyEmail

from wattline.alerts.oncall import Message, last_line, redact
from wattline.alerts.solapi import NotifySolapi, Receipt, register
from wattline.errors import TransientError

_SMS_CHARACTERS = 160
"""Services that take no longer text than this are SMS services."""


@dataclass(frozen=True)
class ChannelResult:
    """What became of one message on one channel; `error` is empty where it was sent, and holds no secret.

    `receipts` are the provider's words on each SMS (Solapi only).
    """

    channel: str
    ok: bool
    error: str = ""
    receipts: tuple[Receipt, ...] = ()


class NotificationError(TransientError):
    """Not every channel took a message; `results` has every channel's."""

    def __init__(self, results: Sequence[ChannelResult]) -> None:
        failed = [f"{result.channel}: {result.error}" for result in results if not result.ok]
        super().__init__("; ".join(failed))
        self.results = tuple(results)


@dataclass(frozen=True)
class Channel:
    """One way to people.

    Attributes:
        label: its name without secrets, unique among the channels that were opened together.
        problem: why it cannot be used, empty where it can.
    """

    label: str
    problem: str
    _url: str = field(repr=False)

    def send(self, message: Message) -> ChannelResult:
        """Send `message` in the form this channel takes; whatever goes wrong is in the result."""
        if self.problem:
            return ChannelResult(self.label, ok=False, error=self.problem)
        plugin = _plugin(self._url)
        with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as log:
            try:
                sent = bool(plugin.notify(**_form(plugin, message)))
                said = log.getvalue()
            except Exception as error:  # one broken channel must not stop the others
                sent, said = False, f"{type(error).__name__}: {error}"
        receipts = tuple(plugin.receipts) if isinstance(plugin, NotifySolapi) else ()
        error_text = "" if sent else without_password(last_line(said), plugin) or "the service refused the message"
        return ChannelResult(self.label, sent, error_text, receipts)


def open_channels(urls: Sequence[str]) -> list[Channel]:
    """One channel per Apprise URL; a URL that cannot be read, and no URL at all, give a channel that says so."""
    if not urls:
        return [Channel("none", "no channel is set, nobody was told: set WATTLINE_ONCALL_URLS", "")]
    channels: list[Channel] = []
    seen: Counter[str] = Counter()
    for number, url in enumerate(urls, 1):
        try:
            label, problem = unquote(_plugin(url).url(privacy=True).partition("?")[0]), ""
        except apprise.exception.AppriseImproperlyConfigured as error:
            # What cannot be read may hold a secret anywhere but in its scheme.
            scheme = url.partition("://")[0] if "://" in url else "no"
            label, problem = f"channel {number} ({scheme} scheme)", redact(str(error)) or "bad URL"
        seen[label] += 1
        channels.append(Channel(f"{label} #{seen[label]}" if seen[label] > 1 else label, problem, url))
    return channels


def send(message: Message, urls: Sequence[str]) -> list[ChannelResult]:
    """Send `message` to every channel.

    Raises:
        NotificationError: a channel failed (all were tried), or none is set.
    """
    results = [channel.send(message) for channel in open_channels(urls)]
    if not all(result.ok for result in results):
        raise NotificationError(results)
    return results


def _plugin(url: str) -> Any:
    register()
    asset = apprise.AppriseAsset(app_id="Wattline", app_desc="Wattline on-call", app_url="")
    plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
    if plugin is None:
        raise apprise.exception.AppriseImproperlyConfigured("Apprise cannot read this URL")
    return plugin


def _form(plugin: Any, message: Message) -> dict[str, Any]:
    if isinstance(plugin, NotifyEmail):
        return {"title": message.subject, "body": message.html, "body_format": apprise.NotifyFormat.HTML}
    if isinstance(plugin, NotifySolapi) or plugin.body_maxlen <= _SMS_CHARACTERS:
        return {"title": "", "body": message.sms, "body_format": apprise.NotifyFormat.TEXT}
    return {"title": message.subject, "body": message.text, "body_format": apprise.NotifyFormat.TEXT}


def without_password(text: str, plugin: Any) -> str:
    """`text` without the password of `plugin`, an Apprise service."""
    return text.replace(plugin.password, "***") if plugin.password else text
