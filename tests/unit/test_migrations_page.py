"""The page of a DAG's migrations: everything is said, and nothing of it is taken for HTML."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.test_migrate_status import NOON, STATUS
from wattline.api.migrations_page import migrations_page, sentence_page
from wattline.migrate.status_table import HEADINGS, cells


def test_a_line_a_table_with_every_text_of_the_terminal() -> None:
    page = migrations_page([STATUS, replace(STATUS, name="inverter")], NOON, "abc")

    assert page.count("<tr") == 3
    for text in (*HEADINGS, *cells(STATUS), "inverter"):
        assert text in page
    assert "<ul>" not in page
    assert "2026-11-22 12:00:00 UTC" in page


def test_what_is_wrong_stands_out_below_the_table_and_its_text_is_text() -> None:
    wrong = replace(STATUS, failed_at=NOON, error="verify: <script>alert(1)</script>", drift=("x&y is new",))
    page = migrations_page([STATUS, wrong], NOON, "abc")

    assert page.count('<tr class="bad">') == 1
    assert "verify: &lt;script&gt;alert(1)&lt;/script&gt;</li>" in page
    assert "x&amp;y is new</li>" in page


def test_only_what_carries_the_nonce_runs_and_nothing_comes_from_elsewhere() -> None:
    page = sentence_page("Nothing to see.", NOON, "abc")

    assert "<p>Nothing to see.</p>" in page
    assert "<table>" not in page
    assert page.count("<script") == page.count("<style") == 1
    assert page.count('nonce="abc"') == 2
    assert "http://" not in page
    assert "https://" not in page
    assert "src=" not in page
