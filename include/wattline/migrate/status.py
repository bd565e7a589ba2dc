"""How each migration stands: what `wattline migrate status` and the tab of a DAG show.

The platform's documents alone are asked, by one query a kind and not a table; the source is left in peace.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database

from wattline.migrate.entry import Entry
from wattline.migrate.outstanding import outstanding
from wattline.migrate.state import COLLECTION
from wattline.storage.documents import Document, documents, translated
from wattline.storage.months import union

_STAGES = 500
"""Collections that one query counts; a pipeline has up to 1,000 stages."""


@dataclass(frozen=True)
class Status:
    """One table's migration.

    Attributes:
        name: the entry's name.
        dag_id: the DAG that moves it.
        collection: where its documents are; `_YYYYMM` stands for the months.
        whole: whether each run reconciles the whole table, so that there is no watermark.
        watermark: up to which instant of the change column everything is loaded and verified; None before the first
            live run.
        lag: how far the watermark is behind now.
        run_at: when the last complete run ended, live or not; None before the first.
        since_run: how long ago that was.
        counts: rows that this run read, documents that it inserted, updated and so on.
        documents: about how many documents the collection holds, whoever wrote them, marked ones too.
        checked_at: when a slice was last verified.
        differing: how many keys differed, and were not found in order since; None before the first verification.
        failed_at: when a step failed, where no run has been complete since.
        error: why.
        drift: what the source has and the entry does not know, a line each.
        quarantined: how many of its rows wait in quarantine.
    """

    name: str
    dag_id: str
    collection: str
    whole: bool
    watermark: datetime | None
    lag: timedelta | None
    run_at: datetime | None
    since_run: timedelta | None
    counts: Mapping[str, int]
    documents: int
    checked_at: datetime | None
    differing: int | None
    failed_at: datetime | None
    error: str | None
    drift: tuple[str, ...]
    quarantined: int


def statuses(database: Database[Document], entries: Mapping[str, Sequence[Entry]], now: datetime) -> list[Status]:
    """How the migrations of `entries` (DAG → its entries) stand at `now`, in their order.

    Raises:
        TransientError: the database is away.
        TerminalError: the user may not look.
    """
    every = [entry for group in entries.values() for entry in group]
    names = [entry.name for entry in every]
    with translated():
        states = _states(database, names)
        flawed = outstanding(database, names)
        sizes = _sizes(database, every)
        open_rows = _open_rows(database, every)
    return [
        _status(
            entry,
            dag_id,
            states.get(entry.name, {}),
            now,
            documents=sum(size for name, size in sizes.items() if _collections(entry).fullmatch(name)),
            differing=sum(check["flaws"] for check in flawed.get(entry.name, ())),
            quarantined=open_rows[entry.rejected],
        )
        for dag_id, group in entries.items()
        for entry in group
    ]


def _status(entry: Entry, dag_id: str, state: Document, now: datetime, *, differing: int, **figures: int) -> Status:
    whole = entry.changed is None
    watermark = None if whole else state.get("watermark")
    run_at, check, error = state.get("run_at"), state.get("check"), state.get("error") or {}
    return Status(
        name=entry.name,
        dag_id=dag_id,
        collection=f"{entry.target.mongo}{'_YYYYMM' if entry.target.month_column else ''}",
        whole=whole,
        watermark=watermark,
        lag=now - watermark if watermark else None,
        run_at=run_at,
        since_run=now - run_at if run_at else None,
        counts=state.get("counts", {}),
        checked_at=check["at"] if check else None,
        differing=differing if check else None,
        failed_at=error.get("at"),
        error=error.get("error"),
        drift=tuple(state.get("drift", ())),
        **figures,
    )


def _states(database: Database[Document], names: Sequence[str]) -> dict[str, Document]:
    """Name of an entry → its state, without the keys that differed."""
    wanted = {"_id": {"$in": [{"table": name} for name in names]}}
    return {one["table"]: one for one in documents(database, COLLECTION).find(wanted, {"check.differences": 0})}


def _sizes(database: Database[Document], entries: Sequence[Entry]) -> Counter[str]:
    """Collection → about how many documents it has, by its metadata."""
    there = [
        name
        for name in database.list_collection_names()
        if any(_collections(entry).fullmatch(name) for entry in entries)
    ]
    sizes: Counter[str] = Counter()
    for start in range(0, len(there), _STAGES):
        names = there[start : start + _STAGES]
        for one in database[names[0]].aggregate(union(names, [{"$collStats": {"count": {}}}])):
            sizes[one["ns"].partition(".")[2]] += one["count"]  # one result a shard
    return sizes


def _collections(entry: Entry) -> re.Pattern[str]:
    """The names of the entry's collections."""
    return re.compile(re.escape(str(entry.target.mongo)) + (r"_\d{6}" if entry.target.month_column else ""))


def _open_rows(database: Database[Document], entries: Sequence[Entry]) -> Counter[str]:
    """Table, by its name in quarantine → its rows there."""
    stages: list[dict[str, Any]] = [
        {"$match": {"table": {"$in": [entry.rejected for entry in entries]}, "status": "open"}},
        {"$group": {"_id": "$table", "rows": {"$sum": 1}}},
    ]
    return Counter({one["_id"]: one["rows"] for one in documents(database, "quarantine").aggregate(stages)})
