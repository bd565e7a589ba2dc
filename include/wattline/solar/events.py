"""Events of inverters and plants: from what the state machine did to rows of `event`, `event_log`, and notices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from pymongo import UpdateOne
from pymongo.database import Database

from wattline.alerts.notice import FAULTS, Notice, Transition
from wattline.solar.event_types import LEVELS, NAMES
from wattline.solar.legacy_tables import EVENT, EVENT_LOG
from wattline.solar.tables import PLANT
from wattline.storage.bson_frames import validator
from wattline.storage.documents import Document, create_collection, translated

PATIENCE = timedelta(minutes=25)
"""How long the message of an inverter's fault waits: an event of its plant may take its place, or its end.

That is two ticks and the pipeline's delay: the run of the next tick begins ten minutes after the fault's tick, waits
for `inverterlog`, and may be tried again.
"""
SAME_INCIDENT = timedelta(hours=24)
"""Events that begin at most so far apart may be one incident, whose beginning was computed anew."""
KEY = EVENT.key
_REMARKS = {"merged": "another event took its place", "withdrawn": "the same time, computed again, does not show it"}
_ENDS = ("cleared", "merged", "withdrawn")


def event_rows(actions: pl.DataFrame, still_open: pl.DataFrame) -> pl.DataFrame:
    """The events that `actions` touch, as they stand after them, and those that stand open.

    Args:
        actions: schema ACTIONS.
        still_open: the natural keys of the events that are open after them; a computation before may have closed one.

    Returns:
        `mcno, invno, type, raised_at, level, message, cleared_at`.
    """
    ends = actions.filter(pl.col("action").is_in(_ENDS)).unique(KEY, keep="last", maintain_order=True)
    ends = ends.select(*KEY, "action", cleared_at=_end())
    touched = pl.concat([actions.select(KEY), still_open.select(KEY)]).unique()
    rows = touched.join(ends, on=KEY, how="left")
    fault = pl.col("type").is_in(list(FAULTS))
    return rows.select(
        *KEY,
        level=pl.col("type").replace_strict(LEVELS, return_dtype=pl.String()),
        message=_message(),
        # A notice is over at once.
        cleared_at=pl.when(fault).then("cleared_at").otherwise(pl.coalesce("cleared_at", "raised_at")),
    ).sort(KEY)


def withdrawn(stored: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Actions for the events that computations before raised in the same time, and this one does not.

    Args:
        stored: natural keys of the events that are stored as raised in the time that was computed.
        actions: schema ACTIONS.
    """
    raised = actions.filter(pl.col("action") == "raised")
    gone = stored.join(raised, on=KEY, how="anti").sort(KEY)
    more = {"at": pl.col("raised_at"), "action": pl.lit("withdrawn"), "told": pl.lit(value=False)}
    return gone.with_columns(**more, inverters=pl.lit(1)).select(actions.columns).cast(actions.schema)


def moved(actions: pl.DataFrame, open_before: pl.DataFrame) -> pl.DataFrame:
    """Which event takes the place of each that is withdrawn: of the same inverter and type, the nearest in time.

    Args:
        actions: schema ACTIONS.
        open_before: natural keys of the events that were open when the time began.

    Returns:
        The natural key of the withdrawn event, and `begins_at`, that of the other; at most SAME_INCIDENT apart.
    """
    gone = actions.filter(pl.col("action") == "withdrawn", pl.col("type").is_in(list(FAULTS))).select(KEY)
    found = pl.concat([actions.filter(pl.col("action") == "raised").select(KEY), open_before.select(KEY)])
    pairs = gone.join(found.rename({"raised_at": "begins_at"}), on=KEY[:-1])
    apart = (pl.col("begins_at") - pl.col("raised_at")).abs()
    near = pairs.filter(apart <= SAME_INCIDENT).sort(*KEY, apart)
    return near.unique(KEY, keep="first", maintain_order=True)


def log_rows(actions: pl.DataFrame) -> pl.DataFrame:
    """EVENT_LOG rows, one an action."""
    return actions.select(*EVENT_LOG.key, message=_message()).sort(EVENT_LOG.key)


def store_events(database: Database[Document], rows: pl.DataFrame, end: datetime) -> int:
    """Write events by natural key; what people and later runs did to them stays. Returns how many are new or changed.

    Args:
        database: holds `event`.
        rows: of `event_rows`.
        end: end of the time that was computed: an event that is open then, and is stored as cleared after it, has been
            cleared by a later run.

    Raises:
        TransientError: the server cannot be reached; writing again does no harm.
        TerminalError: the collection refuses a document.
    """
    orders = [
        UpdateOne({"_id": {name: row[name] for name in KEY}}, _update(row, end), upsert=True)
        for row in rows.iter_rows(named=True)
    ]
    if not orders:
        return 0
    create_collection(database, EVENT.name, validator(EVENT), EVENT.indexes)
    with translated():
        done = database[EVENT.name].bulk_write(orders, ordered=False)
    return int(done.upserted_count + done.modified_count)


def notices(actions: pl.DataFrame) -> Iterator[Notice]:
    """What people may be told of `actions`, in their order."""
    for row in actions.filter("told").iter_rows(named=True):
        if row["action"] not in ("raised", "cleared"):
            continue
        yield notice(row, row["action"], row["at"], inverters=row["inverters"])


def notice(row: dict[str, Any], transition: Transition, at: datetime, **values: int) -> Notice:
    """What people may be told of an event.

    Args:
        row: has the event's natural key.
        transition: what became of it.
        at: when, UTC.
        values: more of what its template may say.
    """
    waits = transition == "raised" and row["type"] in FAULTS and row["invno"] != PLANT
    return Notice(
        key=event_key(row),
        transition=transition,
        mcno=row["mcno"],
        invno=row["invno"],
        type=row["type"],
        at=at,
        values={**values, "minutes": int((at - row["raised_at"]).total_seconds()) // 60},
        not_before=at + PATIENCE if waits else None,
    )


def event_key(row: dict[str, Any]) -> dict[str, Any]:
    """The natural key of the event of a row."""
    return {name: row[name] for name in KEY}


def superseded(actions: pl.DataFrame) -> list[dict[str, Any]]:
    """Natural keys of the events whose messages need not be sent any more: merged or withdrawn ones."""
    gone = actions.filter(pl.col("action").is_in(list(_REMARKS)))
    return [event_key(row) for row in gone.iter_rows(named=True)]


def _end() -> pl.Expr:
    return pl.when(pl.col("action") == "withdrawn").then("raised_at").otherwise("at")


def _message() -> pl.Expr:
    name = pl.col("type").replace_strict(NAMES, return_dtype=pl.String())
    remark = pl.col("action").replace_strict(_REMARKS, default=None, return_dtype=pl.String())
    return pl.concat_str([name, remark], separator=": ", ignore_nulls=True)


def _update(row: dict[str, Any], end: datetime) -> list[Document]:
    """A stage that sets what this computation knows, and keeps what it does not."""
    ending = {name: {"$literal": row[name]} for name in ("cleared_at", "message")}
    if row["cleared_at"] is None:
        of_later_runs = {"$gt": ["$cleared_at", end]}
        ending = {name: {"$cond": [of_later_runs, f"${name}", value]} for name, value in ending.items()}
    mine = {name: {"$literal": row[name]} for name in (*KEY, "level")}
    kept = {name: {"$ifNull": [f"${name}", default]} for name, default in _OF_PEOPLE.items()}
    return [{"$set": mine | ending | kept}, {"$unset": "origin"}]


_OF_PEOPLE = {"checked": False, "checked_at": None, "checked_by": None}
"""Fields that people set, and how they begin."""
