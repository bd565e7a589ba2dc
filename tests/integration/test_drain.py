"""A drain against a silent or broken channel: the other one is served, and the drain ends in time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database

from tests.alert_world import noon, notice, queue, settle, store_event
from wattline.alerts.attempt import LEASE, Ledger
from wattline.alerts.deliver import Channels, drain
from wattline.alerts.notice import event_id, event_key
from wattline.alerts.sending import Outgoing, Sender, Sent, UncertainError, UnreachableError
from wattline.alerts.sms_sender import sms_sender
from wattline.errors import TerminalError

pytestmark = pytest.mark.integration

PLANTS = 10
"""Messages of each channel for owners; their manager gets as many."""


class Fake:
    """A channel that does what a test says, and counts how often it was asked for it."""

    def __init__(self, *, can_ask: bool = True) -> None:
        self.can_ask = can_ask
        self.calls: Counter[str] = Counter()
        self.on_send: Callable[[], None] = lambda: None
        self.on_ask: Callable[[], None] = lambda: None

    def send(self, outgoing: Outgoing) -> Sent:
        self.calls["send"] += 1
        self.on_send()
        return Sent(outgoing.number, "taken", "x")

    def ask(self, outgoing: Outgoing) -> Sent | None:
        self.calls["ask"] += 1
        self.on_ask()
        return None

    def close(self) -> None:
        self.calls["close"] += 1


class Both(Channels):
    """Two of them."""

    def __init__(self, mail: Fake, sms: Fake) -> None:
        super().__init__("mail", "sms")
        object.__setattr__(self, "fakes", {"mail": mail, "sms": sms})

    def open(self) -> dict[str, Callable[[], Sender]]:
        fakes: dict[str, Fake] = self.__dict__["fakes"]
        return {name: (lambda fake=fake: fake) for name, fake in fakes.items()}  # type: ignore[misc]


class Half(Both):
    """Mail as a test says, and SMS by a URL that cannot be read."""

    def open(self) -> dict[str, Callable[[], Sender]]:
        return {**super().open(), "sms": lambda: sms_sender("solapi://KEY:hunter2@/nonsense")}


@pytest.fixture
def database(fresh_mongo: str) -> Iterator[Database[Any]]:
    with MongoClient[dict[str, Any]](fresh_mongo) as client:
        found: Database[Any] = client.get_default_database().with_options(CodecOptions(tz_aware=True))
        settle(found, PLANTS)
        for mcno in range(1, PLANTS + 1):
            name = event_id(mcno, 3, 201, noon())
            store_event(found, name)
            queue(found, notice(name, "raised", event_key(name)["raised_at"]))
        yield found


def died(database: Database[Any], channel: str) -> None:
    lease = {"owner": "dead", "until": noon() - LEASE}
    change = {"status": "sending", "lease": lease, "first_at": noon(), "attempts": 1}
    database["outbox"].update_many({"channel": channel}, {"$set": change})


def fail(error: Exception) -> Callable[[], None]:
    def failing() -> None:
        raise error

    return failing


def test_mail_does_not_wait_for_a_provider_that_keeps_silent_on_dead_senders(database: Database[Any]) -> None:
    mail, sms = Fake(can_ask=False), Fake()
    died(database, "sms")
    mails_are_out = threading.Event()

    def mailed() -> None:
        if mail.calls["send"] == 2 * PLANTS:
            mails_are_out.set()

    def silent() -> None:
        assert mails_are_out.wait(30), "the mails wait for the answer on SMS"
        raise UnreachableError("no answer")

    mail.on_send, sms.on_ask = mailed, silent
    assert drain(database, Both(mail, sms), noon()).sent == 2 * PLANTS
    # One question a drain: the next would wait as long.
    assert sms.calls["ask"] == 1
    assert (mail.calls["close"], sms.calls["close"]) == (3, 3)


def test_calls_without_an_answer_end_a_sender_s_work(database: Database[Any]) -> None:
    mail, sms = Fake(can_ask=False), Fake()
    sms.on_send = fail(UncertainError("no answer"))
    assert drain(database, Both(mail, sms), noon()).sent == 2 * PLANTS
    assert sms.calls["send"] == 9
    assert database["outbox"].count_documents({"channel": "sms", "status": "waiting"}) == 2 * PLANTS - 9


def test_a_drain_takes_nothing_up_when_its_time_is_over(
    database: Database[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mail, sms = Fake(can_ask=False), Fake()
    died(database, "sms")
    spent = [timedelta(0)]
    monkeypatch.setattr(Ledger, "spent", property(lambda ledger: spent[0]))

    def a_minute_passes() -> None:
        spent[0] += timedelta(minutes=1)

    mail.on_send = sms.on_ask = a_minute_passes
    assert drain(database, Both(mail, sms), noon()).sent > 0
    # The third call uses the time up; what three senders of mail, and two of SMS, are at by then is finished.
    assert 3 <= mail.calls["send"] + sms.calls["ask"] <= 6
    assert sms.calls["send"] <= 6
    assert database["outbox"].count_documents({"channel": "mail", "status": "waiting"}) >= 2 * PLANTS - 6
    before = mail.calls + sms.calls
    assert drain(database, Both(mail, sms), noon()).sent == 0
    assert (mail.calls + sms.calls)["send"] == before["send"]


def test_a_channel_that_cannot_be_opened_stops_no_other(database: Database[Any]) -> None:
    mail = Fake(can_ask=False)
    with pytest.raises(TerminalError, match="WATTLINE_SMS_URL"):
        drain(database, Half(mail, Fake()), noon())
    assert mail.calls["send"] == 2 * PLANTS
