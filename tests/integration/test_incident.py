"""Messages of an incident whose beginning is computed anew: nobody hears twice, and who heard hears of the end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database

from tests.alert_world import notice, queue, settle, store_event
from wattline.alerts.acknowledge import check
from wattline.alerts.incident import repoint, revive
from wattline.alerts.notice import event_id, event_key
from wattline.alerts.outbox import OVER, REPLACED, drop, number_of
from wattline.alerts.recheck import CHECKED, recheck

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 22, 3, tzinfo=UTC)
OLD, NEW = (event_id(1, 2, 201, NOON + timedelta(minutes=n)) for n in (10, 0))
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def database(fresh_mongo: str) -> Iterator[Database[Any]]:
    with MongoClient[Any](fresh_mongo) as client:
        found = client.get_default_database().with_options(CodecOptions(tz_aware=True))
        settle(found)
        yield found


def move(database: Database[Any]) -> None:
    repoint(database, event_key(OLD), event_key(NEW))


def said(database: Database[Any]) -> set[tuple[str, str, str]]:
    return {(one["event"], one["transition"], one["status"]) for one in database["outbox"].find()}


def sent(database: Database[Any], **which: str) -> None:
    database["outbox"].update_many(which, {"$set": {"status": "sent"}})


def test_who_heard_of_it_hears_of_its_end_under_the_new_beginning(database: Database[Any]) -> None:
    queue(database, notice(OLD, "raised", NOON))
    numbers = {number_of(one) for one in database["outbox"].find()}
    sent(database)
    for _ in range(2):
        move(database)
    assert said(database) == {(NEW, "raised", "sent")}
    assert {number_of(one) for one in database["outbox"].find()} == numbers
    store_event(database, OLD, cleared_at=NOON)
    store_event(database, NEW, cleared_at=LATER)
    queue(database, notice(NEW, "cleared", LATER))
    assert said(database) == {(NEW, "raised", "sent"), (NEW, "cleared", "waiting")}
    ends = list(database["outbox"].find({"transition": "cleared"}))
    assert [recheck(database, one, LATER) for one in ends] == [None] * len(ends)


def test_a_beginning_that_waits_goes_along_unless_the_other_is_told_already(database: Database[Any]) -> None:
    queue(database, notice(OLD, "raised", NOON))
    move(database)
    store_event(database, OLD, cleared_at=NOON)
    store_event(database, NEW)
    assert said(database) == {(NEW, "raised", "waiting")}
    assert recheck(database, database["outbox"].find_one({}), LATER) is None
    queue(database, notice(OLD, "raised", NOON))  # the same identities: nothing is queued again
    database["outbox"].delete_many({})
    queue(database, notice(OLD, "raised", NOON), notice(NEW, "raised", NOON))
    move(database)
    assert said(database) == {(OLD, "raised", "dropped"), (NEW, "raised", "waiting")}


def test_an_end_that_waits_is_taken_back_when_its_event_lasts(database: Database[Any]) -> None:
    for again in (move, lambda database: revive(database, [event_key(OLD)])):
        database["outbox"].delete_many({})
        queue(database, notice(OLD, "raised", NOON))
        sent(database)
        queue(database, notice(OLD, "cleared", LATER))
        again(database)
        assert {each[1:] for each in said(database)} == {("raised", "sent")}


def test_what_was_given_up_and_lasts_waits_again_unless_somebody_heard_or_checked(database: Database[Any]) -> None:
    queue(database, notice(OLD, "raised", NOON))
    for reason, status in ((OVER, "waiting"), (REPLACED, "waiting"), (CHECKED, "dropped")):
        drop(database, event_key(OLD), reason)
        revive(database, [event_key(OLD)])
        assert said(database) == {(OLD, "raised", status)}
    database["outbox"].update_many({}, {"$set": {"reason": OVER}})
    sent(database, channel="mail")
    assert revive(database, [event_key(OLD)]) == 0


def test_who_checks_by_an_old_message_or_has_checked_before_has_checked_the_incident(database: Database[Any]) -> None:
    for before in (True, False):
        database["outbox"].delete_many({})
        queue(database, notice(OLD, "raised", NOON))
        store_event(database, OLD)
        store_event(database, NEW)
        if before:
            assert check(database, OLD, "mina", LATER)
        sent(database)
        move(database)
        assert check(database, OLD, "mina", LATER) is not before
        event = database["event"].find_one({"_id": event_key(NEW)})
        assert event is not None
        assert (event["checked"], event["checked_by"], event["checked_at"]) == (True, "mina", LATER)
        assert database["outbox"].distinct("escalation") == [None]
