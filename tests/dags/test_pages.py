"""What the plugin registers, what it costs, and what its page says."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

import wattline_plugin
from wattline.errors import TransientError
from wattline.migrate import status

with warnings.catch_warnings():
    # Airflow's API imports Starlette's test client, which complains of the library behind it.
    warnings.filterwarnings("ignore", "Using `httpx` with `starlette.testclient`")
    from wattline_pages import migrations as page

LIBRARIES = ("fastapi", "jinja2", "polars", "pyarrow", "pymongo")


def test_the_plugin_loads_no_library_of_its_pages() -> None:
    """Each task's process executes the file; what Airflow loads by itself does not count."""
    seen = f"import sys; print([each for each in {LIBRARIES} if each in sys.modules])"
    code = f"from airflow.plugins_manager import AirflowPlugin; {seen}; import wattline_plugin; {seen}"
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    before, after = told.stdout.splitlines()[-2:]
    assert after == before


def test_the_view_leads_to_the_page_of_its_dag() -> None:
    (view,) = wattline_plugin.WattlinePlugin.external_views
    (app,) = wattline_plugin.WattlinePlugin.fastapi_apps
    (route,) = [each.path for each in page.app.routes]
    assert "/" + view["href"].replace("{DAG_ID}", "{dag_id}") == app["url_prefix"] + route


def test_every_page_asks_who_is_there() -> None:
    for route in page.app.routes:
        names = [each.call.__qualname__ for each in route.dependant.dependencies]  # type: ignore[attr-defined]
        assert "requires_access_dag.<locals>.inner" in names
    assert page.app.openapi_url is None


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked; nothing is known of any table."""
    asked: list[Any] = []

    @contextmanager
    def open_documents(conn_id: str) -> Iterator[str]:
        yield conn_id

    def answer(database: Any, entries: Any, now: Any) -> list[status.Status]:
        asked.append((database, entries))
        state = {"run_at": now - timedelta(minutes=3)}
        return [
            status._status(each, dag_id, state, now, differing=0, documents=0, quarantined=0)
            for dag_id, group in entries.items()
            for each in group
        ]

    monkeypatch.setattr(page, "open_documents", open_documents)
    monkeypatch.setattr(page, "statuses", answer)
    return asked


def test_a_dag_shows_its_own_tables_and_no_other(statuses: list[Any]) -> None:
    answer = page.migrations("migration_day_1")
    text = bytes(answer.body).decode()
    assert answer.status_code == 200
    assert "power_station" in text
    assert "inverterlog" not in text
    assert statuses == [("solar_mongo", {"migration_day_1": page.ENTRIES["migration_day_1"]})]
    nonce = answer.headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]
    assert len(nonce) > 20
    assert f'<script nonce="{nonce}">' in text
    assert nonce not in bytes(page.migrations("migration_day_1").body).decode()


def test_a_dag_without_migrations_says_so(statuses: list[Any]) -> None:
    assert b"This DAG moves no table" in bytes(page.migrations("inverterlog").body)
    assert statuses == []


def test_what_cannot_be_read_is_said_in_one_sentence_without_secrets(
    statuses: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise TransientError("MongoDB: mongodb://u:hunter2@db/solar does not answer")

    monkeypatch.setattr(page, "statuses", away)
    answer = page.migrations("migration_day_1")
    assert answer.status_code == 503
    assert b"MongoDB cannot be read: MongoDB: mongodb://***@db/solar does not answer" in bytes(answer.body)
