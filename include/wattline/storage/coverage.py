"""Which windows of a table are complete: written last by the run that fills it, asked by those that read it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pymongo.database import Database

from wattline.storage.documents import documents, put, translated
from wattline.window import Window

Document = dict[str, Any]


def record(database: Database[Document], table: str, window: Window) -> None:
    """Write down that every row of `table` in `window` is stored; writing it twice changes nothing."""
    put(
        documents(database, "migration_state"),
        {
            "_id": {"table": table, "start": window.start, "end": window.end},
            "table": table,
            "start": window.start,
            "end": window.end,
        },
    )


def record_newest(database: Database[Document], table: str, window: Window) -> None:
    """Write down the newest window that is complete in place of the one before; an older one changes nothing.

    For what runs every minute and is asked for nothing but whether it still runs.
    """
    newest = {"$max": {"start": window.start, "end": window.end}, "$set": {"table": table}}
    with translated():
        states = documents(database, "migration_state")
        states.update_one({"_id": {"table": table, "newest": True}}, newest, upsert=True)


def covered(database: Database[Document], table: str, window: Window) -> bool:
    """Whether the recorded windows of `table`, taken together, hold the whole of `window`."""
    overlapping = {"table": table, "start": {"$lt": window.end}, "end": {"$gt": window.start}}
    with translated():
        found = documents(database, "migration_state").find(overlapping, {"start": 1, "end": 1}).sort("start")
        return holds(((row["start"], row["end"]) for row in found), window)


def reached(database: Database[Document], table: str, at: datetime) -> bool:
    """Whether a recorded window of `table` ends after `at`."""
    with translated():
        return documents(database, "migration_state").find_one({"table": table, "end": {"$gt": at}}) is not None


def holds(intervals: Iterable[tuple[datetime, datetime]], window: Window) -> bool:
    """Whether half-open intervals, given in order of their start, leave no hole in `window`."""
    reached = window.start
    for start, end in intervals:
        if start > reached:
            return False
        reached = max(reached, end)
    return reached >= window.end
