"""Templates of messages, and their named parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("wattline.alerts"),
        autoescape=select_autoescape(("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> Template:
    """The template `name` of `wattline/alerts/templates`; a value that it lacks is an error."""
    return _templates().get_template(name)


def part(words: Template, block: str, values: Mapping[str, object]) -> str:
    """One block of `words`, without blanks around it."""
    return "".join(words.blocks[block](words.new_context(dict(values)))).strip()


def rows(words: Template, values: Mapping[str, object]) -> list[tuple[str, str]]:
    """The block `rows` as pairs of label and value; in the template a tab parts them, and each has a line."""
    pairs = (line.partition("\t") for line in part(words, "rows", values).splitlines() if line.strip())
    return [(label.strip(), value.strip()) for label, _, value in pairs]
