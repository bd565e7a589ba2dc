"""Brings computed slots into the energy database: rows, removed rows and findings, all of them or nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from wattline.meters.registry import instant
from wattline.meters.tables import BIG, FINDING, HOURLY
from wattline.storage.mysql import MySQLStore
from wattline.storage.store import Condition, between
from wattline.window import Window

_REMOVE = {
    "offline_meter": "DELETE FROM tbl_offline_meter_hourly WHERE offline_meter_id = %s AND start_datetime_utc = %s",
    "virtual_meter": "DELETE FROM tbl_virtual_meter_hourly WHERE virtual_meter_id = %s AND start_datetime_utc = %s",
}
_FINDINGS = sa.table(str(FINDING.mysql), *map(sa.column, FINDING.schema.names()))
_RESOLVE = "DELETE FROM meter_finding WHERE kind = %s AND meter_id = %s AND start_datetime_utc = %s AND subject = %s"


@dataclass(frozen=True)
class Change:
    """What is to change, of one kind of meter.

    Attributes:
        kind: offline_meter or virtual_meter.
        rows: hourly rows to write.
        removed: hourly rows to remove; the key alone counts.
        findings: FINDING rows that hold.
        known: FINDING rows that are stored; those that do not hold any more are removed.
    """

    kind: str
    rows: pl.DataFrame
    removed: pl.DataFrame
    findings: pl.DataFrame
    known: pl.DataFrame


def known_rows(energy: MySQLStore, kind: str, ids: Sequence[int], window: Window) -> pl.DataFrame:
    """The hourly rows of some meters in a window."""
    if not ids:
        return HOURLY[kind].schema.to_frame()
    where = [Condition(f"{kind}_id", "in", ids), *between("start_datetime_utc", window.start, window.end)]
    return energy.read(HOURLY[kind], where)


def known_findings(energy: MySQLStore, kind: str, window: Window) -> pl.DataFrame:
    """The findings of all meters of a kind in a window."""
    return energy.read(
        FINDING, [Condition("kind", "=", kind), *between("start_datetime_utc", window.start, window.end)]
    )


def known_of(energy: MySQLStore, kind: str, subject: str, meters: Collection[int]) -> pl.DataFrame:
    """The findings with one subject of some meters, at any time."""
    if not meters:
        return FINDING.schema.to_frame()
    where = [Condition("kind", "=", kind), Condition("subject", "=", subject)]
    return energy.read(FINDING, [*where, Condition("meter_id", "in", sorted(meters))])


def summary(energy: MySQLStore) -> pl.DataFrame:
    """All findings, those of a meter that say the same as one row.

    Returns:
        kind, meter_id, subject, `slots`, `first` and `last` (starts of slots, UTC), detail.
    """
    start = _FINDINGS.c.start_datetime_utc
    said = [_FINDINGS.c[name] for name in ("kind", "meter_id", "subject", "detail")]
    ends = {"first": sa.func.min(start), "last": sa.func.max(start)}
    bounds = [sa.func.to_seconds(at).label(name) for name, at in ends.items()]
    found = energy.fetch(sa.select(*said, sa.func.count().label("slots"), *bounds).group_by(*said))
    return found.select(
        "kind", pl.col("meter_id").cast(BIG), "subject", "slots", instant("first"), instant("last"), "detail"
    ).sort("kind", "meter_id", "first", "subject", "detail")


def settle(energy: MySQLStore, change: Change) -> None:
    """Write a change in one transaction; a killed process leaves all of it or nothing.

    Raises:
        TransientError: the server cannot be reached, or another writer is in the way; nothing was written.
        TerminalError: a value does not fit, or a right is missing; nothing was written.
    """
    resolved = change.known.join(change.findings, on=FINDING.key, how="anti")
    new = change.findings.join(change.known, on=FINDING.schema.names(), how="anti")
    if all(part.is_empty() for part in (change.rows, change.removed, resolved, new)):
        return
    with energy.transaction() as cursor:
        _run(cursor, _REMOVE[change.kind], change.removed.select(HOURLY[change.kind].key))
        _run(cursor, _RESOLVE, resolved.select(FINDING.key))
        energy.upsert(HOURLY[change.kind], change.rows)
        energy.upsert(FINDING, new)


def _run(cursor: Any, statement: str, rows: pl.DataFrame) -> None:
    for row in rows.iter_rows():
        cursor.execute(statement, [each.replace(tzinfo=None) if isinstance(each, datetime) else each for each in row])
