"""What a person sees in Airflow's UI, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from local.environment import ADMIN, VIEWER
from tests.e2e.conftest import Platform, utc
from wattline.solar.migrations import ENTRIES

CHROMIUM = shutil.which("chromium")
DAGS = sorted(file.stem for file in (Path(__file__).parents[2] / "dags").glob("*.py"))
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (on Ubuntu it comes only as a snap)")


@pytest.fixture(scope="module")
def page(platform: Platform) -> Iterator[Page]:
    """The UI, logged in as the administrator."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(platform.stack.settings.airflow_url)
        page.get_by_label("Username").fill(ADMIN)
        page.get_by_label("Password").fill(platform.stack.environment.password(f"airflow_{ADMIN}"))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Welcome")).to_be_visible(timeout=30_000)
        yield page
        browser.close()


def test_every_dag_is_listed(platform: Platform, page: Page) -> None:
    listed = []
    for system in ("solar", "meters"):
        page.goto(f"{platform.stack.settings.airflow_url}/dags?tags={system}")
        for dag in platform.get(f"/api/v2/dags?tags={system}")["dags"]:
            expect(page.get_by_role("link", name=dag["dag_id"], exact=True).first).to_be_visible(timeout=30_000)
            listed.append(dag["dag_id"])
    assert sorted(listed) == DAGS
    assert platform.get("/api/v2/importErrors")["total_entries"] == 0


@pytest.mark.parametrize("dag_id", ["inverterlog", "meter_hourly_normalization", "alert_outbox"])
def test_a_dag_shows_its_doc(platform: Platform, page: Page, dag_id: str) -> None:
    page.goto(f"{platform.stack.settings.airflow_url}/dags/{dag_id}")
    page.get_by_role("button", name="Dag Docs").click(timeout=30_000)
    for heading in ("What", "Inputs", "Outputs", "If it fails"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_dag_shows_in_a_tab_how_its_migrations_stand(platform: Platform, page: Page, theme: str) -> None:
    state = {"table": "customer", "watermark": utc("2026-11-01T00:00"), "run_at": utc("2026-11-01T00:01")}
    counts = {"counts": {"rows": 1234, "inserted": 12}, "drift": ["customer.<b>fax</b> (int) is not in the entry"]}
    states = platform.mongo["migration_state"]
    states.update_one({"_id": {"table": "customer"}}, {"$set": state | counts}, upsert=True)

    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    page.goto(f"{platform.stack.settings.airflow_url}/dags/migration_day_1")
    page.get_by_role("link", name="Migrations").click(timeout=30_000)
    tab = page.frame_locator("iframe[title='Migrations']")
    row = tab.get_by_role("row").filter(has=page.get_by_role("cell", name="customer", exact=True).first)
    expect(row).to_contain_text("1,234 rows, 12 new", timeout=30_000)
    for entry in ENTRIES["migration_day_1"]:
        expect(tab.locator("tbody tr td:first-child").get_by_text(entry.name, exact=True)).to_be_visible()
    expect(tab.get_by_role("listitem")).to_have_text("customer: customer.<b>fax</b> (int) is not in the entry")
    colour = tab.locator("body").evaluate("body => getComputedStyle(body).color")
    assert colour == {"light": "rgb(24, 24, 27)", "dark": "rgb(228, 228, 231)"}[theme]


def test_a_dag_that_moves_nothing_says_so_in_the_tab(platform: Platform, page: Page) -> None:
    page.goto(f"{platform.stack.settings.airflow_url}/dags/inverterlog/plugin/migrations")
    tab = page.frame_locator("iframe[title='Migrations']")
    expect(tab.get_by_text("This DAG moves no table from MySQL to MongoDB.")).to_be_visible(timeout=30_000)


def test_the_tab_is_for_users_who_may_see_the_dag(platform: Platform) -> None:
    url, path = platform.stack.settings.airflow_url, "/wattline/pages/migrations/migration_day_1"
    assert httpx.get(url + path).status_code == 401
    assert httpx.get(url + path, headers={"Authorization": "Bearer invented"}).status_code == 403
    login = {"username": VIEWER, "password": platform.stack.environment.password(f"airflow_{VIEWER}")}
    token = httpx.post(f"{url}/auth/token", json=login).json()["access_token"]
    answer = httpx.get(url + path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert "power_station" in answer.text
    for other in ("/wattline/pages/docs", "/wattline/pages/openapi.json"):
        assert httpx.get(url + other).status_code == 404
