"""The steps of `alert_outbox`, on real servers and sinks, with the connections of Airflow put in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo import MongoClient

from tests import alert_world
from tests.alert_world import notice, queue, settle, store_event
from wattline import settings as settings_module
from wattline.alerts.notice import event_id
from wattline.storage.mysql import MySQLStore
from wattline.storage.schema import upgrade_mysql
from wattline_operators import alerts

pytestmark = pytest.mark.integration


def context(run_type: str = "scheduled") -> Any:
    dag = SimpleNamespace(dag_id="alert_outbox")
    return {"params": {}, "dag": dag, "run_id": "r1", "dag_run": SimpleNamespace(run_type=run_type)}


def test_what_waits_is_sent_logged_and_escalated(
    fresh_mongo: str, fresh_mysql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def documents(conn_id: str) -> Iterator[Any]:
        with MongoClient[dict[str, Any]](fresh_mongo, tz_aware=True) as client:
            yield client.get_default_database()

    upgrade_mysql(fresh_mysql)
    monkeypatch.setattr(alerts, "open_documents", documents)
    monkeypatch.setattr(alerts, "open_store", lambda conn_id: closing(MySQLStore.from_url(fresh_mysql)))
    with alert_world.serving(tmp_path) as sinks, documents("") as database:
        monkeypatch.setenv("WATTLINE_MAIL_URL", sinks.mail_url)
        monkeypatch.setenv("WATTLINE_SMS_URL", sinks.sms_url())
        settings_module.settings.cache_clear()
        settle(database)
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
        name = event_id(1, 3, 201, at)
        store_event(database, name)
        queue(database, notice(name, "raised", at))
        # This test runs at any hour: no quiet hours.
        database["outbox"].update_many({}, {"$set": {"quiet": None, "due_at": at}})

        sent = alerts.DrainOperator(task_id="send").run_step(context())
        assert (sent["sent"], len(sinks.got("mail")), len(sinks.got("sms"))) == (4, 2, 2)
        assert alerts.LogSmsOperator(task_id="log").run_step(context()) == {"logged": 2}
        # The fault has been told long ago, and nobody has looked.
        database["outbox"].update_many({}, {"$set": {"sent_at": at}})
        escalate = alerts.EscalateOperator(task_id="escalate")
        assert escalate.run_step(context("manual")) == {"queued": 0}
        assert escalate.run_step(context())["queued"] > 0
    settings_module.settings.cache_clear()
