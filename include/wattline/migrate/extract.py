"""Extract: the rows of a slice, page by page, into staging; a killed extract goes on behind its last page."""

from __future__ import annotations

from typing import Any

import polars as pl

from wattline.migrate.checks import Plan
from wattline.migrate.columns import FAULT, line_parts, received
from wattline.migrate.slices import Slice
from wattline.migrate.source import Source
from wattline.storage.staging import Staging


def stem(plan: Plan, part: Slice) -> str:
    """What the names of a slice's frames and notes begin with."""
    return f"{plan.entry.name}-{part.number:04d}"


def extract(plan: Plan, source: Source, part: Slice, staging: Staging) -> dict[str, Any]:
    """Stage the slice's rows in the documents' types, with what is wrong with them.

    After each page the note of the slice says how far it is. A note that says `done` is that of an earlier, complete
    extract: somebody wants the rows read again.

    Returns:
        `rows`, `pages`, `bytes` that travelled and the `longest` statement in seconds.
    """
    name = stem(plan, part)
    note = staging.read_note(f"{name}-extract")
    if not note or note["done"] or note["slice"] != part.to_json():
        note = {"slice": part.to_json(), "pages": 0, "rows": 0, "after": None, "done": False}
        staging.write_note(f"{name}-extract", note)
        staging.write_note(f"{name}-load", {})
    after = tuple(note["after"]) if note["after"] else None
    for page in source.pages(plan.table, part.range(plan.entry), line_parts(plan.travels), after):
        if page.frame.height:
            staging.write(f"{name}-{note['pages']:05d}", received(page.frame, plan.travels))
            note |= {"pages": note["pages"] + 1, "rows": note["rows"] + page.frame.height, "after": page.position}
        note["done"] = page.last
        staging.write_note(f"{name}-extract", note)
    effort = source.effort
    return {"rows": note["rows"], "pages": note["pages"], "bytes": effort.size, "longest": round(effort.longest, 3)}


def extracted(plan: Plan, part: Slice, staging: Staging) -> pl.DataFrame:
    """The rows that `extract` staged.

    Raises:
        TerminalError: there are none yet.
    """
    name = stem(plan, part)
    pages = [staging.read(f"{name}-{page:05d}") for page in range(staging.read_note(f"{name}-extract")["pages"])]
    schema = {one.column.name: one.column.dtype for one in plan.travels} | {FAULT: pl.String()}
    return pl.concat([pl.DataFrame(schema=schema), *pages])
