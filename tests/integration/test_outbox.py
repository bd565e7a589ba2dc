"""The outbox on a real mongod, with real SMTP and HTTP: what it says was sent arrived, byte for byte, and once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database

from tests import alert_world
from tests.alert_world import Sinks, noon, notice, queue, settle, states, store_event
from wattline.alerts import outbox, recipients
from wattline.alerts.acknowledge import check
from wattline.alerts.attempt import LEASE
from wattline.alerts.deliver import Channels, drain
from wattline.alerts.escalation import escalate
from wattline.alerts.notice import Notice, event_id, event_key
from wattline.alerts.outbox import GIVE_UP

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)
OWNER, MANAGER = ("owner:1", "mina")
BOTH = [(who, channel) for who in (OWNER, MANAGER) for channel in ("mail", "sms")]


@pytest.fixture(scope="module")
def running_sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sinks]:
    with alert_world.serving(tmp_path_factory.mktemp("sinks")) as sinks:
        yield sinks


@pytest.fixture
def sinks(running_sinks: Sinks) -> Sinks:
    running_sinks.clear()
    return running_sinks


@pytest.fixture
def database(fresh_mongo: str) -> Iterator[Database[Any]]:
    with MongoClient[dict[str, Any]](fresh_mongo) as client:
        found: Database[Any] = client.get_default_database().with_options(CodecOptions(tz_aware=True))
        settle(found)
        yield found


SERIAL = count(1)
"""The SMS sink remembers what it has taken by key, and outlives a test: each has its own seconds."""


@pytest.fixture(autouse=True)
def _own_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_world, "SECONDS", timedelta(seconds=next(SERIAL)))


def event(mcno: int = 1, invno: int = 3, type: int = 201, at: datetime | None = None) -> str:  # noqa: A002
    return event_id(mcno, invno, type, (at or noon()) - alert_world.SECONDS)


def raised(database: Database[Any], identifier: str | None = None, wait: timedelta | None = None) -> str:
    name = identifier or event()
    store_event(database, name)
    queue(database, notice(name, "raised", event_key(name)["raised_at"], wait))
    return name


def over(database: Database[Any], name: str, at: datetime) -> None:
    store_event(database, name, cleared_at=at)
    queue(database, notice(name, "cleared", at))


def test_what_it_says_was_sent_arrived_byte_for_byte(database: Database[Any], sinks: Sinks) -> None:
    raised(database)
    counts = drain(database, sinks.channels, noon())
    assert counts.sent == 4

    mails = {one["to"][0]: one for one in sinks.got("mail")}
    texts = {one["to"]: one for one in sinks.got("sms")}
    assert (len(sinks.got("mail")), len(sinks.got("sms"))) == (2, 2)
    for one in database["outbox"].find({"status": "sent"}):
        if one["channel"] == "mail":
            got = mails[one["address"]]
            # On the line every line ends with CR LF; the hash is that of the bytes themselves.
            assert {name: got[name].replace("\r\n", "\n") for name in one["message"]} == one["message"]
            assert (got["sha256"], got["message_id"]) == (one["sha256"], one["provider_id"])
        else:
            got = texts[one["address"].replace("-", "")]
            assert (got["text"], got["message_id"]) == (one["message"]["sms"], one["provider_id"])
            assert got["type"] == "SMS"
    assert "blackout" in mails["mina@example.org"]["subject"]
    assert "정전" in mails["owner1@example.org"]["subject"]


def test_the_same_notice_again_queues_nothing(database: Database[Any], sinks: Sinks) -> None:
    name = raised(database)
    again = notice(name, "raised", noon())
    assert queue(database, again, again) == 0
    drain(database, sinks.channels, noon())
    assert queue(database, again) == 0
    assert drain(database, sinks.channels, noon() + MINUTE).sent == 0
    assert len(sinks.got("mail")) == 2


def test_what_is_over_before_it_was_sent_is_not_told_at_all(database: Database[Any], sinks: Sinks) -> None:
    name = raised(database, wait=10 * MINUTE)
    assert drain(database, sinks.channels, noon()).sent == 0
    over(database, name, noon() + 5 * MINUTE)
    assert drain(database, sinks.channels, noon() + 20 * MINUTE).sent == 0
    assert states(database) == {("raised", *who): "dropped" for who in BOTH}


def test_the_end_is_told_to_whoever_heard_of_the_beginning(database: Database[Any], sinks: Sinks) -> None:
    name = raised(database)
    drain(database, Channels(mail_url=sinks.mail_url), noon())
    over(database, name, noon() + 30 * MINUTE)
    drain(database, sinks.channels, noon() + 31 * MINUTE)
    found = states(database)
    assert [found["raised", *who] for who in BOTH] == ["sent", "dropped", "sent", "dropped"]
    assert [found.get(("cleared", *who)) for who in BOTH] == ["sent", None, "sent", None]


def test_a_message_of_an_event_that_was_closed_or_checked_is_dropped(database: Database[Any], sinks: Sinks) -> None:
    merged, seen = raised(database), raised(database, event(invno=4))
    store_event(database, merged, cleared_at=noon())
    database["event"].update_one({"_id": event_key(seen)}, {"$set": {"checked": True}})
    assert drain(database, sinks.channels, noon()).dropped == 8
    assert not sinks.got("mail")


def test_of_an_outage_that_ended_before_it_was_told_nobody_hears(database: Database[Any], sinks: Sinks) -> None:
    name, now = event(0, 0, 301), datetime.now(UTC)
    store_event(database, name)
    queue(database, notice(name, "raised", now - MINUTE))
    # Its sender dies, so the end is queued for who may have heard; then it shows that nothing had left.
    died(database, now, channel="sms")
    store_event(database, name, cleared_at=now)
    queue(database, notice(name, "restart", now))
    for minutes in (6, 8):
        drain(database, sinks.channels, now + minutes * MINUTE)
    assert {(one["transition"], one["status"]) for one in database["outbox"].find()} == {
        ("raised", "dropped"),
        ("restart", "dropped"),
    }
    assert sinks.got("sms") == sinks.got("mail") == []


def test_dropping_by_key_leaves_what_was_sent(database: Database[Any], sinks: Sinks) -> None:
    name = raised(database)
    drain(database, Channels(mail_url=sinks.mail_url), noon())
    assert outbox.drop(database, event_key(name), "merged into the plant's event") == 2
    assert sorted(states(database).values()) == ["dropped", "dropped", "sent", "sent"]


def test_after_an_hour_without_provider_everything_arrives_once(database: Database[Any], sinks: Sinks) -> None:
    names = [raised(database, event(invno=invno)) for invno in range(1, 6)]
    for sink in ("mail", "sms"):
        sinks.fail(sink)
    for minute in range(0, 60, 4):
        assert drain(database, sinks.channels, noon() + minute * MINUTE).sent == 0
    assert max(one["attempts"] for one in database["outbox"].find()) < 10
    for sink in ("mail", "sms"):
        sinks.fail(sink, False)
    sent = sum(drain(database, sinks.channels, noon() + minute * MINUTE).sent for minute in range(60, 95, 5))
    assert sent == 4 * len(names)
    assert (len(sinks.got("mail")), len(sinks.got("sms"))) == (10, 10)


def test_a_message_is_given_up_after_a_day_and_administrators_hear_of_it(database: Database[Any], sinks: Sinks) -> None:
    raised(database)
    nowhere = Channels(mail_url="mailto://127.0.0.1:9/?from=wattline@example.org")
    drain(database, nowhere, noon())
    # Two connections found nobody: each put one mail off.
    end = ends_waiting(database)
    drain(database, nowhere, end)
    assert states(database)["raised", OWNER, "mail"] == "failed"
    reasons = {one["channel"]: one["reason"] for one in database["outbox"].find({"transition": "raised"})}
    assert reasons["mail"].startswith("given up: the mail server cannot be spoken to")
    drain(database, sinks.channels, end + 5 * MINUTE)
    told = [one for one in sinks.got("mail") if one["to"] == ["anna@example.org"]]
    assert len(told) == 4
    assert "may not have arrived" in told[0]["subject"]


def ends_waiting(database: Database[Any]) -> datetime:
    """When everything is given up that is stored: a day after it was due, or stored where that is later."""
    ends: set[datetime] = set()
    for one in database["outbox"].find():
        ends.add(one["expires_at"])
        assert one["expires_at"] == max(one["due_at"], one["stored_at"]) + GIVE_UP or one["attempts"]
    return max(ends)


def test_what_is_told_late_has_its_day(database: Database[Any], sinks: Sinks) -> None:
    # Runs were left out: the fault is told nearly a day after it began, and the mail server is down then.
    began = datetime.now(UTC).replace(microsecond=0) - GIVE_UP + MINUTE
    raised(database, event(0, 0, 301, began))
    sinks.fail("mail")
    drain(database, sinks.channels, began + GIVE_UP)
    sinks.fail("mail", False)
    drain(database, sinks.channels, began + GIVE_UP + timedelta(hours=1))
    assert {one["to"][0] for one in sinks.got("mail")} == {"root@example.org", "anna@example.org"}


def test_what_was_never_tried_is_given_up_after_a_day_too(database: Database[Any], sinks: Sinks) -> None:
    raised(database)
    people = recipients.load(database).of(1, ["manager"])
    for key, transition in (({"digest": "daily", "user": "mina", "day": "x"}, "digest"), ({"command": "c"}, "reset")):
        values = {"day": "x"} if transition == "digest" else {}
        queue(database, Notice(key, transition, None, None, 0, noon(), values, to=tuple(people)))  # type: ignore[arg-type]
    drain(database, Channels(), ends_waiting(database) - MINUTE)
    assert set(states(database).values()) == {"waiting"}
    # The outbox was paused for a week.
    counts = drain(database, sinks.channels, noon() + timedelta(days=7))
    assert counts.failed == 4 + 1 + 2
    assert {one["to"][0] for one in sinks.got("mail")} == {"root@example.org", "anna@example.org"}
    assert {one["to"] for one in sinks.got("sms")} == {"01099990001"}
    assert {one["reason"] for one in database["outbox"].find({"status": "failed"})} == {
        "given up: nobody sent it for a day: alert_outbox was paused, or its channel has no URL"
    }


def test_a_lost_message_is_told_by_the_other_channel(database: Database[Any], sinks: Sinks) -> None:
    raised(database)
    database["outbox"].update_many({"recipient": "mina"}, {"$set": {"status": "failed", "reason": "gone"}})
    database["outbox"].delete_many({"recipient": OWNER})
    drain(database, sinks.channels, noon(), run="alert_outbox/r1")
    # Anna has no number: she is told of a lost mail by mail.
    told = {
        (one["recipient"], one["channel"], one["key"]["message"].rpartition(".")[2]) for one in undelivered(database)
    }
    assert told == {("root", "sms", "mail"), ("root", "mail", "sms"), ("anna", "mail", "mail"), ("anna", "mail", "sms")}
    (sms,) = sinks.got("sms")
    assert sms["type"] == "SMS"
    for mail in sinks.got("mail"):
        assert "alerts.md#what-a-messages-state-says" in mail["text"]
        assert "/dags/alert_outbox/runs/r1" in mail["text"]


def undelivered(database: Database[Any]) -> list[dict[str, Any]]:
    return list(database["outbox"].find({"transition": "undelivered"}))


def test_what_is_lost_is_told_when_there_is_an_administrator_again(database: Database[Any], sinks: Sinks) -> None:
    raised(database)
    database["outbox"].update_many({}, {"$set": {"status": "unknown"}})
    database["users"].delete_one({"user_id": "root"})
    database["users"].update_one({"user_id": "anna"}, {"$set": {"mail": None}})
    drain(database, sinks.channels, noon())
    assert undelivered(database) == []
    database["users"].update_one({"user_id": "anna"}, {"$set": {"mail": "anna@example.org"}})
    for minute in (1, 2):
        drain(database, sinks.channels, noon() + minute * MINUTE)
    assert len(undelivered(database)) == len(sinks.got("mail")) == 4


def test_what_is_stored_goes_after_a_year(database: Database[Any]) -> None:
    raised(database)
    index = database["outbox"].index_information()["stored_at_1"]
    assert index["expireAfterSeconds"] == 400 * 86_400
    assert all(isinstance(one["stored_at"], datetime) for one in database["outbox"].find())


def died(database: Database[Any], at: datetime, **which: Any) -> None:
    """What a sender leaves that was killed between `sending` and the record of the outcome."""
    lease = {"owner": "dead", "until": at + LEASE}
    change = {"status": "sending", "lease": lease, "first_at": at, "sending_at": at, "attempts": 1}
    assert database["outbox"].update_many({"status": "waiting", **which}, {"$set": change}).modified_count


def test_a_dead_sender_s_sms_is_asked_for_and_its_mail_is_unknown(database: Database[Any], sinks: Sinks) -> None:
    raised(database)
    now = datetime.now(UTC)
    database["outbox"].update_many({}, {"$set": {"quiet": None, "due_at": now}})
    # The provider has taken one of the two SMS.
    assert drain(database, Channels(sms_url=sinks.sms_url()), now, limit=1).sent == 1
    database["outbox"].update_many({"status": "sent"}, {"$set": {"status": "waiting"}})
    died(database, now)

    assert drain(database, sinks.channels, now + LEASE - MINUTE).sent == 0
    counts = drain(database, sinks.channels, now + LEASE + MINUTE)
    assert (counts.unknown, len(sinks.got("sms"))) == (2, 2)
    assert sorted(states(database)[("raised", *who)] for who in BOTH) == ["sent", "sent", "unknown", "unknown"]
    later = drain(database, sinks.channels, now + GIVE_UP)
    assert later.unknown == 0
    assert [one for one in sinks.got("mail") if "owner" in one["to"][0] or "mina" in one["to"][0]] == []
    assert len({one["to"] for one in sinks.got("sms") if one["to"] != "01099990001"}) == 2


def test_the_end_of_what_was_never_told_is_not_told_either(database: Database[Any], sinks: Sinks) -> None:
    name, now = raised(database), datetime.now(UTC)
    database["outbox"].update_many({}, {"$set": {"quiet": None, "due_at": now}})
    died(database, now, channel="sms")
    # Whether the SMS left is not known at the end, which waits for the answer; it did not, and is not sent any more.
    over(database, name, now + MINUTE)
    database["outbox"].update_many({"transition": "cleared"}, {"$set": {"quiet": None}})
    for minutes in (1, 2, 6, 8, 10):
        assert drain(database, sinks.channels, now + minutes * MINUTE).sent == 0
    found = states(database)
    assert {found[transition, who, "sms"] for transition in ("raised", "cleared") for who in (OWNER, MANAGER)} == {
        "dropped"
    }


def test_quiet_hours_hold_messages_of_all_but_administrators(database: Database[Any], sinks: Sinks) -> None:
    late = noon().replace(hour=14)  # 23:00 in Seoul
    name = raised(database, event(at=late))
    queue(database, notice(event(0, 0, 301, late), "raised", late - MINUTE))
    drain(database, sinks.channels, late)
    assert {one["to"][0] for one in sinks.got("mail")} == {"root@example.org", "anna@example.org"}
    seven = late + timedelta(hours=8)
    assert drain(database, sinks.channels, seven - MINUTE).sent == 0
    # A retry does not break them either.
    database["outbox"].update_many({"event": name}, {"$set": {"due_at": late}})
    assert drain(database, sinks.channels, seven - MINUTE).sent == 0
    assert drain(database, sinks.channels, seven).sent == 4


def test_a_flood_becomes_one_summary(database: Database[Any], sinks: Sinks) -> None:
    for invno in range(1, 31):
        raised(database, event(invno=invno, type=202))
    store_event(database, event(invno=30, type=202), cleared_at=noon())
    assert drain(database, sinks.channels, noon()).summarised == 29
    (mail,) = sinks.got("mail")
    assert "29 more messages" in mail["subject"]
    assert "alerts.md#somebody-was-told-too-much" in mail["text"]
    assert "/dags/alert_outbox" in mail["text"]
    assert mail["text"].count("communication error") == 29
    # More within the hour waits for its end; what was summarised is told to be over.
    raised(database, event(invno=99, type=202))
    for invno in range(1, 22):
        over(database, event(invno=invno, type=202), noon() + MINUTE)
    assert drain(database, sinks.channels, noon() + 5 * MINUTE).sent == 0
    assert drain(database, sinks.channels, noon() + timedelta(hours=1, minutes=1)).summarised == 22
    assert len(sinks.got("mail")) == 2


def test_a_summary_that_was_killed_half_way_is_finished(database: Database[Any], sinks: Sinks) -> None:
    for invno in range(1, 31):
        raised(database, event(invno=invno, type=202))
    database["outbox"].update_many({}, {"$set": {"summary": "summary.x"}})
    assert drain(database, sinks.channels, noon()).summarised == 30
    assert len(sinks.got("mail")) == 1


def test_an_unchecked_fault_is_told_to_the_manager_and_then_to_administrators(
    database: Database[Any], sinks: Sinks
) -> None:
    name = raised(database)
    hour = timedelta(hours=1)
    drain(database, sinks.channels, noon())

    def escalations(at: datetime) -> set[str]:
        escalate(database, alert_world.TYPES, at)
        escalate(database, alert_world.TYPES, at)
        drain(database, sinks.channels, at)
        return {one["recipient"] for one in database["outbox"].find({"transition": "escalated", "status": "sent"})}

    assert escalations(noon() + hour - MINUTE) == set()
    assert escalations(noon() + hour + MINUTE) == {"mina"}
    assert escalations(noon() + 2 * hour + MINUTE) == {"mina", "root", "anna"}
    before = len(sinks.got("mail"))
    assert escalations(noon() + 9 * hour) == {"mina", "root", "anna"}
    assert len(sinks.got("mail")) == before
    assert name in sinks.got("mail")[-1]["text"]


def escalations(database: Database[Any], at: datetime) -> set[str]:
    escalate(database, alert_world.TYPES, at)
    return set(database["outbox"].distinct("recipient", {"transition": "escalated"}))


def test_a_fault_s_time_runs_from_when_a_summary_told_it(database: Database[Any], sinks: Sinks) -> None:
    late = noon().replace(hour=14)  # 23:00 in Seoul
    for invno in range(1, 31):
        raised(database, event(invno=invno, type=202, at=late))
    seven, hour = late + timedelta(hours=8), timedelta(hours=1)
    assert escalations(database, seven - MINUTE) == set()
    assert drain(database, sinks.channels, seven).summarised == 30
    assert escalations(database, seven + hour - MINUTE) == set()
    assert escalations(database, seven + hour + MINUTE) == {"mina"}
    assert escalations(database, seven + 2 * hour - MINUTE) == {"mina"}
    assert escalations(database, seven + 2 * hour + MINUTE) == {"mina", "root", "anna"}


def test_a_summary_that_waits_has_told_nobody(database: Database[Any], sinks: Sinks) -> None:
    for invno in range(1, 31):
        raised(database, event(invno=invno, type=202))
    assert drain(database, Channels(sms_url=sinks.sms_url()), noon()).summarised == 30
    assert escalations(database, noon() + timedelta(hours=3)) == set()


def test_a_failed_address_does_not_begin_a_fault_s_time(database: Database[Any], sinks: Sinks) -> None:
    late = noon().replace(hour=14)
    name = raised(database, event(at=late))
    seven = late + timedelta(hours=8)
    database["outbox"].update_many({"recipient": OWNER}, {"$set": {"address": "nonsense"}})
    # While others may still be told, the failures say nothing.
    database["outbox"].update_many({"recipient": "mina"}, {"$set": {"due_at": seven + MINUTE}})
    assert drain(database, sinks.channels, seven).failed == 2
    assert escalations(database, seven) == set()
    assert drain(database, sinks.channels, seven + MINUTE).sent > 0
    assert escalations(database, seven + timedelta(minutes=60)) == set()
    assert escalations(database, seven + timedelta(minutes=62)) == {"mina"}
    # Where nobody at all could be told, it runs from the raise.
    database["outbox"].delete_many({"transition": "escalated"})
    failed = {"status": "failed", "sent_at": None, "escalation": "owed"}
    database["outbox"].update_many({"event": name, "transition": "raised"}, {"$set": failed})
    assert escalations(database, seven) == {"root", "anna"}


def test_a_check_stops_the_escalation_and_is_written_down(database: Database[Any], sinks: Sinks) -> None:
    name = raised(database)
    drain(database, sinks.channels, noon())
    assert check(database, name, "mina", noon() + MINUTE)
    assert not check(database, name, "root", noon() + 2 * MINUTE)
    stored = database["event"].find_one()
    assert stored
    assert (stored["checked"], stored["checked_by"], stored["checked_at"]) == (True, "mina", noon() + MINUTE)
    (entry,) = database["event_log"].find()
    assert (entry["action"], entry["at"], entry["message"]) == ("checked", noon() + MINUTE, "by mina")
    assert escalate(database, alert_world.TYPES, noon() + timedelta(hours=3)) == 0
    # Also where a pipeline has overwritten the mark.
    database["event"].update_one({}, {"$set": {"checked": False}})
    assert escalate(database, alert_world.TYPES, noon() + timedelta(hours=3)) == 0


def test_an_event_that_other_screens_marked_is_not_escalated(database: Database[Any], sinks: Sinks) -> None:
    raised(database)
    drain(database, sinks.channels, noon())
    database["event"].update_one({}, {"$set": {"checked": True}})
    assert escalate(database, alert_world.TYPES, noon() + timedelta(hours=3)) == 0


def test_a_backfilled_fault_is_never_escalated(database: Database[Any]) -> None:
    store_event(database, event())
    assert escalate(database, alert_world.TYPES, noon() + timedelta(days=1)) == 0


def test_a_plant_without_anybody_is_seen_and_escalated(database: Database[Any], sinks: Sinks) -> None:
    database["customer"].delete_many({})
    database["power_station"].update_many({}, {"$set": {"manager_id": None}})
    raised(database)
    assert states(database) == {("raised", "", "none"): "dropped"}
    assert escalate(database, alert_world.TYPES, noon() + timedelta(hours=1)) > 0
    drain(database, sinks.channels, noon() + timedelta(hours=1))
    assert {one["to"][0] for one in sinks.got("mail")} == {"root@example.org", "anna@example.org"}


@pytest.mark.parametrize("zone", ["Asia/Nowhere", "Asia", "../etc/passwd", 9])
def test_a_plant_whose_time_zone_is_none_silences_nobody(
    database: Database[Any], zone: Any, caplog: pytest.LogCaptureFixture
) -> None:
    database["power_station"].update_one({"mcno": 1}, {"$set": {"timezone": zone}})
    database["power_station"].update_one({"mcno": 2}, {"$set": {"timezone": "Europe/Berlin"}})
    raised(database)
    raised(database, event(2))
    assert len(states(database)) == 6
    texts = {one["mcno"]: one["message"]["text"] for one in database["outbox"].find({"channel": "mail"})}
    assert "(Asia/Seoul)" in texts[1]
    assert "(Europe/Berlin)" in texts[2]
    assert f"Plant 1: {zone!r} is no time zone" in caplog.text


def test_owners_with_an_account_get_their_language_and_address(database: Database[Any]) -> None:
    database["power_station"].update_one({"mcno": 1}, {"$set": {"owner_id": "anna"}})
    people = recipients.load(database, [1, 2])
    assert [one.name for one in people.of(1, ["owner", "manager"])] == ["anna", "mina"]
    assert [one.name for one in people.of(1, ["owner", "administrators"])] == ["anna", "root"]
    assert [(one.name, one.language) for one in people.of(2, ["owner"])] == [("owner:2", "ko")]
    assert people.site(77).name == "77"
