"""What a verification outside of a run looks at.

It must not call different what no run has copied yet, so it ends where the last live run ended, and a little before:
rows may be committed as late as the entry's overlap after they were stamped, and the next run finds those. Beyond that
it looks again at the slices in which a run found keys to differ: that run has copied them, and has failed, so the
watermark is still where it was.

A table that is reconciled as a whole has no watermark to select by, but its state says which instant its last live run
was for; with a stamp in the entry, rows that were written after that are no differences either. Without a stamp nothing
says when a row was written: whatever changed since the last run differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from wattline.errors import BadInputError
from wattline.migrate.checks import Plan
from wattline.migrate.slices import FIRST, By, Slice, cut
from wattline.migrate.source import Source
from wattline.storage.documents import Document
from wattline.window import Window


def scope(
    plan: Plan, source: Source, watermark: datetime | None, window: Window | None, flawed: Sequence[Document] = ()
) -> list[Slice]:
    """The slices to verify.

    Args:
        plan: the entry and its table.
        source: where the rows are.
        watermark: of the table's state; None where it never ran live: then all that is committed by now should be
            there.
        window: only rows that were written or measured in it; None: everything up to the watermark, and `flawed`.
        flawed: verifications of runs that found keys to differ, as `outstanding` gives them.

    Raises:
        BadInputError: a window for a table that can only be compared as a whole.
        TransientError: the source's clock has not reached the window's end.
    """
    entry = plan.entry
    if entry.changed is None and window is not None:
        raise BadInputError(
            f"{entry.name} has no change column, so it is compared as a whole",
            field="--from/--to",
            remedy="Leave them out",
        )
    settled = _millisecond(watermark or source.now()) - entry.overlap
    found = cut(plan, source, window or Window(FIRST, settled), None, live=window is None)
    parts = {_range(each): replace(each, settled=min(each.settled, settled)) for each in found}
    for check in flawed if window is None else ():
        by: By = "changed" if check["by"] == "rest" else check["by"]
        if by != "changed" or check["end"] > settled:
            part = Slice(0, by, check["start"], check["end"], check["at"] - entry.overlap)
            parts[_range(part)] = part
    return list(parts.values())


def _range(part: Slice) -> tuple[str, datetime, datetime]:
    return part.by, part.start, part.end


def _millisecond(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
