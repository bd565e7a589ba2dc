"""What a person sees in Airflow's UI, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from local.environment import ADMIN
from tests.e2e.conftest import Platform

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
    page.goto(f"{platform.stack.settings.airflow_url}/dags?tags=solar")
    for dag_id in DAGS:
        expect(page.get_by_role("link", name=dag_id, exact=True).first).to_be_visible(timeout=30_000)
    assert platform.get("/api/v2/importErrors")["total_entries"] == 0


@pytest.mark.parametrize("dag_id", DAGS)
def test_a_dag_shows_its_doc(platform: Platform, page: Page, dag_id: str) -> None:
    page.goto(f"{platform.stack.settings.airflow_url}/dags/{dag_id}")
    page.get_by_role("button", name="Dag Docs").click(timeout=30_000)
    for heading in ("What", "Inputs", "Outputs", "If it fails"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
