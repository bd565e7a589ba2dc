"""`wattline events`: what it shows of events, and what checking one does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from typer.testing import CliRunner, Result

from tests.alert_world import notice, queue, settle, store_event
from wattline import settings as settings_module
from wattline.alerts.notice import event_id
from wattline.cli import app

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(microsecond=0)
OPEN, OVER = (event_id(1, invno, 201, NOW - timedelta(hours=invno)) for invno in (3, 4))


@pytest.fixture
def database(fresh_mongo: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database[Any]]:
    monkeypatch.setenv("WATTLINE_MONGO_URL", fresh_mongo)
    settings_module.settings.cache_clear()
    with MongoClient[dict[str, Any]](fresh_mongo) as client:
        found = client.get_default_database()
        settle(found)
        store_event(found, OPEN)
        store_event(found, OVER, cleared_at=NOW)
        queue(found, notice(OPEN, "raised", NOW))
        yield found
    settings_module.settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["events", *arguments])


def test_the_list_shows_ids_and_how_messages_fared(database: Database[Any]) -> None:
    shown = run("list").output
    assert OPEN in shown
    assert OVER in shown
    assert "4 waiting" in shown
    only = run("list", "--open").output
    assert OPEN in only
    assert OVER not in only
    assert "No event." in run("list", "--mcno", "2").output


def test_notices_are_shown_on_demand(database: Database[Any]) -> None:
    started = event_id(1, 3, 101, NOW)
    store_event(database, started, level="notice", cleared_at=NOW)
    assert started not in run("list").output
    assert started in run("list", "--notices").output
    assert OPEN in run("list", "--notices").output


def test_a_checked_event_is_told_to_nobody_else(database: Database[Any]) -> None:
    assert run("check", OPEN, "--by", "mina").output == f"{OPEN} is checked.\n"
    assert "was checked before" in run("check", OPEN, "--by", "root").output
    assert {one["status"] for one in database["outbox"].find()} == {"dropped"}
    assert "mina" in run("list").output
    assert OPEN not in run("list", "--open").output


def test_what_cannot_be_checked_is_said_in_one_line(database: Database[Any]) -> None:
    for text, problem in (("nonsense", "is no event id"), (event_id(9, 9, 201, NOW), "there is no event 9.9.201")):
        result = run("check", text)
        assert result.exit_code == 1
        assert problem in result.output
        assert result.output.count("\n") == 1
