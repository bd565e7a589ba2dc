"""One entry from beginning to end in one process: what Airflow's tasks do one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import polars as pl

from wattline.errors import BatchRejectedError
from wattline.migrate.checks import Plan, examine
from wattline.migrate.entry import Entry
from wattline.migrate.extract import extract, extracted
from wattline.migrate.judge import judge, pass_on
from wattline.migrate.load import load, remove_gone
from wattline.migrate.slices import Slice, cut
from wattline.migrate.source import Source
from wattline.migrate.state import advance, note_check, watermark
from wattline.migrate.verify import Verdict, verify
from wattline.quality.quarantine import write_quarantine
from wattline.storage.mongo import MongoStore
from wattline.storage.staging import Staging
from wattline.window import Window


def migrate(
    entry: Entry, source: Source, store: MongoStore, folder: Path, window: Window, *, live: bool, share: float = 0.05
) -> Mapping[str, int]:
    """Move what one run moves, verify it, and move the watermark where the run is a live one.

    Killed and called again with the same arguments it goes on where it was.

    Args:
        entry: the table.
        source: MySQL.
        store: MongoDB.
        folder: where frames are staged.
        window: what the run is for.
        live: whether it takes everything since the watermark, and moves it.
        share: the share of bad rows that a slice may have.

    Returns:
        How many rows were read, inserted, updated, unchanged, kept, quarantined, deleted.

    Raises:
        TerminalError: a gate stopped a slice, or the sides differ; the watermark stays where it was.
    """
    plan = examine(entry, source)
    staging = Staging(folder, f"{entry.name} {window} {live}")
    begun = staging.read_note("slices")
    if begun:
        parts = [Slice.from_json(each) for each in begun["slices"]]
    else:
        parts = cut(plan, source, window, watermark(store.database, entry), live=live)
        staging.write_note("slices", {"slices": [each.to_json() for each in parts]})
    counts: Counter[str] = Counter()
    for part in parts:
        done = staging.read_note(f"done-{part.number}")
        if not done:
            done = move(plan, source, store, staging, part, share=share)
            staging.write_note(f"done-{part.number}", done)
        counts.update(done)
    advance(store.database, entry, str(window), counts, window.end if live else None)
    staging.clear()
    return counts


def move(
    plan: Plan, source: Source, store: MongoStore, staging: Staging, part: Slice, *, share: float
) -> dict[str, int]:
    """Extract, judge, load and verify one slice.

    Raises:
        BatchRejectedError: too many bad rows; they are in quarantine, nothing was loaded.
        TerminalError: the sides differ afterwards.
    """
    rows = extract(plan, source, part, staging)["rows"]
    result = judge(plan, source, part, staging, share)
    write_quarantine(store.database, result, f"migrate {plan.entry.name}", part.window)
    if result.blocked:
        raise BatchRejectedError(f"{plan.entry.name}: {result.bad.height} of {result.rows} rows are bad")
    pass_on(plan, part, staging, result)
    written = load(plan, store, part, staging)
    deleted = remove_gone(plan, source, store, part, staging)
    read = extracted(plan, part, staging) if part.by == "all" else None
    check_slice(plan, source, store, part, read).require(plan.entry.name)
    return {"rows": rows, **written, "quarantined": result.bad.height, "deleted": deleted}


def check_slice(
    plan: Plan, source: Source, store: MongoStore, part: Slice, read: pl.DataFrame | None = None
) -> Verdict:
    """Verify one slice and keep the verdict."""
    verdict = verify(plan, source, store, part, read)
    note_check(store.database, plan.entry, part, verdict.document(), datetime.now(part.end.tzinfo))
    return verdict
