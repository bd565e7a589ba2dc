"""The documents say what is there: links, commands, settings, DAGs, tests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from local.settings import CHECKOUT
from scripts.settings_page import page
from wattline.cli import COMMANDS, app

PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])
DAGS = sorted(path.stem for path in (CHECKOUT / "dags").glob("*.py"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _name(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def _anchors(page_: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page_.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _command_lines() -> list[tuple[str, str]]:
    """Every command in a fenced block of shell, with the page it is on."""
    found = []
    for path in PAGES:
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", path.read_text(), re.MULTILINE | re.DOTALL):
            text = re.sub(r"<<'END'.*?^ *END$", "", block.replace("\\\n", " "), flags=re.MULTILINE | re.DOTALL)
            lines = (line.split("#")[0].strip() for line in text.splitlines())
            found += [(_name(path), line) for line in lines if line]
    return found


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{_name(path)} links to {target}"
        if anchor:
            assert anchor in _anchors(there), f"{_name(path)} links to {target}"


def test_the_readme_is_short() -> None:
    assert (CHECKOUT / "README.md").read_text().count("\n") <= 150


def test_every_decision_says_what_it_must_and_is_listed() -> None:
    decisions = sorted(path for path in (CHECKOUT / "docs" / "adr").glob("[0-9]*.md"))
    listed = LINK.findall((CHECKOUT / "docs" / "adr" / "README.md").read_text())
    assert [path.name for path in decisions] == listed
    assert [path.name[:4] for path in decisions] == [f"{number:04d}" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text()
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "What would change this"], path.name
        assert text.startswith(f"# {path.name[:4]} ")
        assert text.count("\n") <= 60, path.name


@pytest.mark.parametrize("dag_id", DAGS)
def test_every_dag_has_a_runbook_which_its_page_names(dag_id: str) -> None:
    named = re.findall(r"Runbook: `([\w./-]+)`", (CHECKOUT / "dags" / f"{dag_id}.py").read_text())
    assert named
    assert all(f"`{dag_id}`" in (CHECKOUT / name).read_text() for name in named)


def test_the_settings_page_is_the_settings() -> None:
    assert (CHECKOUT / "docs" / "settings.md").read_text() == page(), "run python -m scripts.settings_page again"


def test_every_variable_of_the_documents_is_a_setting() -> None:
    known = set(re.findall(r"WATTLINE_[A-Z_]+", page()))
    for path in PAGES:
        named = set(re.findall(r"`?\b(WATTLINE_[A-Z_]+)\b", path.read_text()))
        assert named <= known, f"{_name(path)}: {sorted(named - known)}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w -]+):(?!=)", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    known = {name for line in targets for name in line.split()}
    for path in PAGES:
        named = set(re.findall(r"(?:^|[`(])make ([a-z]+)", path.read_text(), re.MULTILINE))
        assert named <= known, f"{_name(path)}: {sorted(named - known)}"


def _wattline_lines() -> list[tuple[str, str]]:
    lines = [(where, re.sub(r"^docker compose run --rm ", "", line)) for where, line in _command_lines()]
    return [(where, line) for where, line in lines if line.startswith("wattline ")]


@pytest.mark.parametrize(("where", "line"), _wattline_lines())
def test_wattline_commands_are_understood(where: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed by the command itself, which is stopped before it does anything."""
    called = []

    def note(self: typer.core.TyperCommand, context: object) -> None:
        called.append(self.name)

    monkeypatch.setattr(typer.core.TyperCommand, "invoke", note)
    arguments = shlex.split(line.replace("…", "2026-11-20T00:00Z"))[1:]
    get_command(app)(arguments, standalone_mode=False)
    assert called, f"{where}: {line}"


def test_every_command_of_wattline_is_named_somewhere() -> None:
    text = "".join(path.read_text() for path in PAGES)
    for name in COMMANDS:
        assert re.search(rf"wattline {name}|`{name}`", text), name


def test_the_mutation_table_names_tests_that_exist() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    table = text.split("### Which test catches which bug")[1]
    rows = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", table)
    assert len(rows) >= 20
    for file, test in rows:
        assert f"def {test}(" in (CHECKOUT / file).read_text(), f"{file}::{test}"
