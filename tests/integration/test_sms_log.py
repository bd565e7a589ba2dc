"""Every SMS that was sent is in MySQL `smslog` and in MongoDB `sms_log`, once, under one number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database

from tests.alert_world import noon, notice, queue, settle
from wattline.alerts import sms_log
from wattline.alerts.notice import event_id
from wattline.errors import TransientError
from wattline.storage.documents import documents
from wattline.storage.mysql import MySQLStore
from wattline.storage.schema import upgrade_mysql

pytestmark = pytest.mark.integration

SENT = {"status": "sent", "sent_at": noon(), "provider_id": "M1", "result": "2000 ok", "sender": "01000000001"}


@pytest.fixture
def database(fresh_mongo: str) -> Iterator[Database[Any]]:
    with MongoClient[dict[str, Any]](fresh_mongo) as client:
        found: Database[Any] = client.get_default_database().with_options(CodecOptions(tz_aware=True))
        settle(found)
        queue(found, notice(event_id(1, 3, 201, noon()), "raised", noon()))
        found["outbox"].update_many({}, {"$set": SENT})
        found["outbox"].update_many({"channel": "sms"}, {"$set": {"logged": False}})
        for number, one in enumerate(found["outbox"].find({"channel": "sms"})):
            found["outbox"].update_one({"_id": one["_id"]}, {"$set": {"provider_id": f"M{number}"}})
        yield found


@pytest.fixture
def mysql(fresh_mysql: str) -> Iterator[MySQLStore]:
    upgrade_mysql(fresh_mysql)
    with closing(MySQLStore.from_url(fresh_mysql)) as store:
        yield store


def rows(mysql: MySQLStore) -> list[Any]:
    with mysql.transaction() as cursor:
        cursor.execute("SELECT id, sent_at, sender, receiver, mcno, message, provider_message_id, result FROM smslog")
        return list(cursor.fetchall())


def test_both_hold_every_sms_once(database: Database[Any], mysql: MySQLStore) -> None:
    assert sms_log.write(database, mysql) == 2
    assert sms_log.write(database, mysql) == 0
    database["outbox"].update_many({"channel": "sms"}, {"$set": {"logged": False}})
    assert sms_log.write(database, mysql) == 2

    stored = rows(mysql)
    logged = {one["id"]: one for one in database["sms_log"].find()}
    assert len(stored) == len(logged) == 2
    for number, at, sender, receiver, mcno, message, message_id, result in stored:
        one = logged[number]
        assert one["_id"] == {"id": number}
        assert "origin" not in one
        assert (one["at"].replace(tzinfo=None), one["sender"], one["to"], one["mcno"]) == (at, sender, receiver, mcno)
        assert (one["text"], one["message_id"], one["result"]) == (message, message_id, result)
    assert {one["to"] for one in logged.values()} == {"010-1111-0001", "010-2222-0001"}


def test_a_kill_between_mysql_and_mongodb_doubles_nothing(
    database: Database[Any], mysql: MySQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise TransientError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(sms_log, "put", killed)
        with pytest.raises(TransientError):
            sms_log.write(database, mysql)
    assert len(rows(mysql)) == 1
    assert sms_log.write(database, mysql) == 2
    assert len(rows(mysql)) == 2
    assert documents(database, "sms_log").count_documents({}) == 2
