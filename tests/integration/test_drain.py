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
from wattline.alerts.sending import Outgoing, RejectedError, Sender, Sent, UncertainError, UnreachableError
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
        self.to: Counter[str] = Counter()
        self.on_send: Callable[[], None] = lambda: None
        self.on_ask: Callable[[], None] = lambda: None

    def send(self, outgoing: Outgoing) -> Sent:
        self.calls["send"] += 1
        self.to[outgoing.address] += 1
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
            raised(found, mcno)
        yield found


def raised(database: Database[Any], mcno: int, invno: int = 3, wait: timedelta | None = None) -> None:
    name = event_id(mcno, invno, 201, noon())
    store_event(database, name)
    queue(database, notice(name, "raised", event_key(name)["raised_at"], wait))


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


@pytest.mark.parametrize("wait", [None, timedelta(seconds=30)])
def test_the_flood_cap_holds_for_what_becomes_due_during_a_drain(
    database: Database[Any], monkeypatch: pytest.MonkeyPatch, wait: timedelta | None
) -> None:
    mail, sms = Fake(can_ask=False), Fake()
    spent = [timedelta(0)]
    monkeypatch.setattr(Ledger, "spent", property(lambda ledger: spent[0]))
    queued = threading.Lock()

    def flood() -> None:
        if queued.acquire(blocking=False):
            for invno in range(11, 41):
                raised(database, 1, invno, wait)
            spent[0] = timedelta(minutes=1)

    mail.on_send = flood
    assert drain(database, Both(mail, sms), noon()).sent == 4 * PLANTS
    spent[0] = timedelta(0)
    before = mail.to.copy()
    counts = drain(database, Both(mail, sms), noon() + timedelta(minutes=2))
    assert (counts.summarised, counts.sent) == (120, 4)
    assert mail.to - before == Counter({"mina@example.org": 1, "owner1@example.org": 1})


def test_the_flood_cap_counts_by_address(database: Database[Any]) -> None:
    # One owner without account has all the plants, and wrote number and address as people do.
    for mcno in range(101, 151):
        phone, address = ("010-7777-0001", "Boss@example.org") if mcno % 2 else ("+82 10 7777 0001", "boss@example.org")
        station = {"name": f"P{mcno}", "timezone": "Asia/Seoul", "manager_id": None, "owner_id": None}
        database["power_station"].insert_one({"_id": {"mcno": mcno}, "mcno": mcno, **station})
        owner = {"owner_phone": phone, "owner_mail": address, "owner_id": None}
        database["customer"].insert_one({"_id": {"mcno": mcno}, "mcno": mcno, **owner})
        raised(database, mcno)
    mail, sms = Fake(can_ask=False), Fake()
    assert drain(database, Both(mail, sms), noon()).summarised == 100
    assert sum(mail.to[address] for address in ("Boss@example.org", "boss@example.org")) == 1
    assert sum(sms.to[number] for number in ("010-7777-0001", "+82 10 7777 0001")) == 1
    assert mail.to["mina@example.org"] == PLANTS


def test_what_may_have_been_sent_counts_for_the_flood_cap(database: Database[Any]) -> None:
    for invno in range(11, 22):
        raised(database, 1, invno)
    change = {"status": "sending", "sending_at": noon(), "lease": {"owner": "other", "until": noon() + LEASE}}
    database["outbox"].update_many({"invno": 3, "channel": "mail"}, {"$set": change})
    mail, sms = Fake(can_ask=False), Fake()
    drain(database, Both(mail, sms), noon())
    assert mail.to == Counter({"mina@example.org": 1, "owner1@example.org": 11})


def test_a_summary_drops_only_what_it_tells(database: Database[Any]) -> None:
    # One drain has stored a summary while another one was still marking messages for it.
    mails = [one["_id"] for one in database["outbox"].find({"recipient": "mina", "channel": "mail"})]
    database["outbox"].update_many({"_id": {"$in": mails}}, {"$set": {"summary": "summary.x"}})
    late = noon() + timedelta(minutes=5)
    database["outbox"].update_many({"_id": {"$in": mails[6:]}}, {"$set": {"summary": None, "due_at": late}})
    mail, sms = Fake(can_ask=False), Fake()
    assert drain(database, Both(mail, sms), noon()).summarised == 6
    database["outbox"].update_many({"_id": {"$in": mails[6:]}}, {"$set": {"summary": "summary.x"}})
    assert drain(database, Both(mail, sms), late).summarised == 0
    assert mail.to["mina@example.org"] == 1 + 4
    assert database["outbox"].count_documents({"status": "waiting"}) == 0


def test_a_refusal_is_found_out_and_the_next_question_asked(database: Database[Any]) -> None:
    mail, sms = Fake(can_ask=False), Fake()
    died(database, "sms")
    sms.on_ask = fail(RejectedError("1062 the sender is not registered"))
    assert drain(database, Both(mail, sms), noon()).failed == 2 * PLANTS
    assert database["outbox"].distinct("status", {"channel": "sms"}) == ["failed"]


def test_a_channel_that_cannot_be_opened_stops_no_other(database: Database[Any]) -> None:
    mail = Fake(can_ask=False)
    with pytest.raises(TerminalError, match="WATTLINE_SMS_URL"):
        drain(database, Half(mail, Fake()), noon())
    assert mail.calls["send"] == 2 * PLANTS
