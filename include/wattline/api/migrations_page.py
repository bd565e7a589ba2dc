"""The page of a DAG's migrations, as HTML of its own: nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from wattline.migrate.status import Status
from wattline.migrate.status_table import HEADINGS, cells, remarks


def migrations_page(found: Sequence[Status], now: datetime, nonce: str) -> str:
    """How migrations stand, as `wattline migrate status` shows it.

    Args:
        found: in the order of the lines.
        now: when they were asked for.
        nonce: by which a Content-Security-Policy knows the page's own style and script.
    """
    rows = [(cells(each), bool(each.error or each.differing)) for each in found]
    lines = [line for each in found for line in remarks(each)]
    return _render(headings=HEADINGS, rows=rows, remarks=lines, sentence="", now=now, nonce=nonce)


def sentence_page(sentence: str, now: datetime, nonce: str) -> str:
    """A page that says one sentence in place of the table."""
    return _render(headings=(), rows=(), remarks=(), sentence=sentence, now=now, nonce=nonce)


def _render(**values: object) -> str:
    return _environment().get_template("migrations.html.j2").render(values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("wattline.api"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
