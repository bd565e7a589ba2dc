"""`wattline migrate`: how the migrations from MySQL to MongoDB stand, and what to do where the two sides differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from wattline.cli.connect import migration_source, pipeline_documents, pipeline_mongo
from wattline.cli.console import wide_console
from wattline.errors import BadInputError
from wattline.migrate.checks import Plan, examine
from wattline.migrate.outstanding import outstanding
from wattline.migrate.repair import repair as mend
from wattline.migrate.run import check_slice
from wattline.migrate.scope import scope
from wattline.migrate.slices import Slice
from wattline.migrate.source import Source
from wattline.migrate.state import watermark
from wattline.migrate.status import statuses
from wattline.migrate.status_table import HEADINGS, cells, remarks
from wattline.migrate.verify import Verdict
from wattline.solar.migrations import ENTRIES, entry
from wattline.storage.mongo import MongoStore
from wattline.window import Window, parse_time

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

Name = Annotated[
    str, typer.Argument(metavar="TABLE", help="The migration's name, as `wattline migrate status` has it.")
]
Start = Annotated[str | None, typer.Option("--from", help="Only rows written or measured from here on, with offset.")]
End = Annotated[str | None, typer.Option("--to", help="… and before this: 2026-11-02T00:00Z. Give both or none.")]

_SHOWN_KEYS = 20
_STATUS_WIDTH = 160


@app.callback()
def root() -> None:
    """Look after the migrations from MySQL to MongoDB, which Airflow runs.

    The source's URL is `WATTLINE_MYSQL_SOURCE_URL`, the target's `WATTLINE_MONGO_URL`.
    """


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="One migration alone; default: all.")] = None,
) -> None:
    """Show how each migration stands: watermark and lag, last run, documents, last verification, what went wrong.

    - `wattline migrate status`
    - `wattline migrate status inverterlog`
    """
    only = entry(name) if name else None
    wanted = {dag_id: [each for each in group if only in (None, each)] for dag_id, group in ENTRIES.items()}
    with pipeline_documents() as database:
        found = statuses(database, wanted, datetime.now(UTC))
    console = wide_console()
    if not console.is_terminal:
        console.width = _STATUS_WIDTH
    for dag_id in dict.fromkeys(each.dag_id for each in found):
        table = Table(*(Column(heading, overflow="fold") for heading in HEADINGS), title=dag_id)
        for each in found:
            if each.dag_id == dag_id:
                table.add_row(*cells(each))
        console.print(table)
    for line in (line for each in found for line in remarks(each)):
        console.print(line, style="red", markup=False, highlight=False)


@app.command()
def check() -> None:
    """Hold every migration against its MySQL table: columns, types, natural key, indexes, columns that nobody knows.

    Nothing is moved or written. The exit code is 1 if one of them is refused.
    """
    console = wide_console()
    refused = 0
    with migration_source() as source:
        for each in (each for group in ENTRIES.values() for each in group):
            try:
                plan = examine(each, source)
            except BadInputError as error:
                refused += 1
                console.print(f"{each.name:15} refused: {error}", style="red", markup=False, highlight=False)
                continue
            lines = "".join(f"\n{'':15} {line}" for line in plan.drift)
            console.print(f"{each.name:15} ok{lines}", markup=False, highlight=False)
    if refused:
        raise typer.Exit(1)


@app.command()
def verify(name: Name, *, start: Start = None, end: End = None) -> None:
    """Compare a table with its documents, by count, checksum and key; the exit code is 1 if a key differs.

    Without bounds, everything up to the watermark, and what a later run found to differ; a table that is reconciled as
    a whole, as a whole. What no run has copied yet does not count.

    - `wattline migrate verify inverterlog`
    - `wattline migrate verify inverterlog --from 2026-11-01T00:00Z --to 2026-11-02T00:00Z`
    """
    found = _Findings()
    with _compared(name, start, end) as work:
        for part in work.parts:
            found.add(work.verdict(part))
    _tell(name, found)
    if found.kinds:
        if work.plan.entry.written is None:
            typer.echo("Nothing says when its rows were written: what changed since the last run differs, too.")
        typer.echo(f"`wattline migrate repair {name}` mends what can be mended.")
        raise typer.Exit(1)


@app.command()
def repair(
    name: Name,
    *,
    start: Start = None,
    end: End = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the keys that differ; mend nothing.")] = False,
) -> None:
    """Verify as `verify` does, mend just the keys that differ, and verify again.

    Documents are written anew from their rows; those whose row is gone are marked or removed, by the table's rule. A
    live run may go on meanwhile: what it writes stays. Rows that share a key have to be put right in MySQL. The exit
    code is 1 if a key still differs.

    - `wattline migrate repair inverterlog --dry-run`
    - `wattline migrate repair inverterlog --from 2026-11-01T00:00Z --to 2026-11-02T00:00Z`
    """
    before, after, done = _Findings(), _Findings(), Counter[str]()
    with _compared(name, start, end) as work:
        for part in work.parts:
            verdict = work.verdict(part)
            before.add(verdict)
            if not (verdict.agrees or dry_run):
                done.update(mend(work.plan, work.source, work.store, verdict.differences))
                verdict = work.verdict(part)
            after.add(verdict)
    _tell(name, before)
    if done:
        typer.echo(", ".join(f"{count:,} {what}" for what, count in done.items()) + ".")
    if before.kinds and not dry_run:
        _tell(name, after)
    if after.kinds:
        raise typer.Exit(1)


@dataclass
class _Compared:
    """Both sides of one table, and the slices to compare."""

    plan: Plan
    source: Source
    store: MongoStore
    parts: Iterable[Slice]

    def verdict(self, part: Slice) -> Verdict:
        return check_slice(self.plan, self.source, self.store, part)


@contextmanager
def _compared(name: str, start: str | None, end: str | None) -> Iterator[_Compared]:
    wanted = entry(name)
    window = _window(start, end)
    with migration_source() as source, pipeline_mongo() as store:
        plan = examine(wanted, source)
        flawed = outstanding(store.database, [name]).get(name, ())
        parts = scope(plan, source, watermark(store.database, wanted), window, flawed)
        console = Console(stderr=True)
        shown = track(parts, name, console=console, transient=True, disable=not console.is_terminal)
        yield _Compared(plan, source, store, shown)


def _window(start: str | None, end: str | None) -> Window | None:
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise BadInputError("only one end is given", field="--from/--to", remedy="Give both or none")
    window = Window(parse_time(start, "--from"), parse_time(end, "--to"))
    window.require_past("--to")
    return window


@dataclass
class _Findings:
    """What the verdicts on several slices say together."""

    sides: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    keys: list[dict[str, Any]] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.sides.update({"slices": 1, "rows": verdict.rows[0], "documents": verdict.rows[1]})
        self.explained.update(verdict.explained)
        self.kinds.update(verdict.differences["kind"].to_list())
        room = _SHOWN_KEYS - len(self.keys)
        self.keys += verdict.differences.head(room).select(pl.all().cast(pl.String)).to_dicts()


def _tell(name: str, found: _Findings) -> None:
    console = wide_console()
    counts = ", ".join(f"{found.sides[each]:,} {each}" for each in ("slices", "rows", "documents"))
    reasons = "".join(f"; {count:,} {reason}" for reason, count in found.explained.items())
    if not found.sides:
        console.print(f"{name}: no row to compare.", highlight=False)
        return
    total = found.kinds.total()
    if not total:
        console.print(f"{name}: {counts}: both sides agree{reasons}.", highlight=False)
        return
    table = Table(
        *found.keys[0], title=f"keys that differ{f', the first {_SHOWN_KEYS}' if total > _SHOWN_KEYS else ''}"
    )
    for key in found.keys:
        table.add_row(*(value or "" for value in key.values()))
    console.print(table)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.kinds.items())
    console.print(f"[red]{name}: {counts}: {total:,} keys differ: {kinds}{reasons}.", highlight=False)
