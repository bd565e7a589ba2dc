"""Messages of events: those of what a run found, and of what a run before should have told and did not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from bson.codec_options import CodecOptions
from pymongo.database import Database

from wattline.alerts import incident, outbox, recipients
from wattline.alerts.notice import FAULTS, Notice, key_text
from wattline.solar import event_types
from wattline.solar.events import event_key, notice, notices, superseded
from wattline.solar.legacy_tables import EVENT
from wattline.solar.reliability_state import RUN_ALERT
from wattline.storage.documents import Document, translated

MISSED = timedelta(hours=24)
"""What began so long ago is still told where no message says so."""
NEWS = timedelta(hours=6)
"""A notice of so long ago is told to nobody, and nothing by a run whose time is over for so long."""


@dataclass(frozen=True)
class Queued:
    """How many messages are new: of this run's changes, and of what was missed."""

    found: int = 0
    missed: int = 0


def tell(
    database: Database[Document],
    actions: pl.DataFrame,
    moves: pl.DataFrame,
    end: datetime,
    *,
    live: bool,
    run: str = "",
) -> Queued:
    """Queue what people are to hear; messages of events that others take the place of go with these, or are given up.

    Args:
        database: holds `event`, `run_alert`, the outbox, event types and recipients.
        actions: schema ACTIONS; what it did is stored already.
        moves: of `events.moved`.
        end: end of the time that was computed.
        live: whether people may be told at all; else messages are only moved and given up.
        run: the run that tells, `dag_id/run_id`.

    Raises:
        TransientError: the server cannot be reached; telling again does no harm.
    """
    for row in moves.iter_rows(named=True):
        incident.repoint(database, event_key(row), event_key(row | {"raised_at": row["begins_at"]}))
    queued = Queued()
    if live:
        found = _queue(database, _news(database, actions, end), run)
        queued = Queued(found, _queue(database, [*_open(database, end), *_over(database, end)], run))
    for key in superseded(actions):
        outbox.drop(database, key, outbox.REPLACED)
    return queued


def _news(database: Database[Document], actions: pl.DataFrame, end: datetime) -> list[Notice]:
    """What is told of `actions`: no notice of long ago, and no beginning that was told under another time."""
    fresh = actions.filter((pl.col("at") > end - NEWS) | pl.col("type").is_in(list(FAULTS)))
    found = list(notices(fresh))
    under_another = {"transition": "raised", "$expr": {"$ne": ["$event", "$_id.event"]}}
    moved = _known(database, [dict(one.key) for one in found if one.transition == "raised"], under_another)
    return [one for one in found if one.transition != "raised" or key_text(one.key) not in moved]


def _queue(database: Database[Document], found: list[Notice], run: str) -> int:
    if not found:
        return 0
    people = recipients.load(database, {one.mcno for one in found if one.mcno})
    return outbox.queue(database, found, people, event_types.load(database), run)


def _open(database: Database[Document], end: datetime) -> list[Notice]:
    """Beginnings of faults that are open by `run_alert`, and of which the outbox has no word, or gave it up."""
    since = {"event_type": {"$in": list(FAULTS)}, "event_raised_at": {"$gt": end - MISSED}, "void": False}
    rows = _found(database, str(RUN_ALERT.mongo), since)
    found = [{**row, "type": row["event_type"], "raised_at": row["event_raised_at"]} for row in rows]
    incident.revive(database, [event_key(row) for row in found])
    known = _known(database, found, {"transition": "raised"})
    return [notice(row, "raised", row["raised_at"]) for row in found if key_text(event_key(row)) not in known]


def _over(database: Database[Document], end: datetime) -> list[Notice]:
    """Ends of faults that began within MISSED, of whose beginning somebody was told, and of whose end nobody.

    What was merged or withdrawn has a remark in its message, and no end that is told.
    """
    names = [{"type": type_, "message": name} for type_, name in event_types.NAMES.items() if type_ in FAULTS]
    over = {"raised_at": {"$gt": end - MISSED}, "cleared_at": {"$ne": None, "$lte": end}, "$or": names}
    rows = _found(database, EVENT.name, over)
    heard = {"$or": [{"status": {"$in": list(outbox.TOLD)}}, {"summary": {"$ne": None}}]}
    told = _known(database, rows, {"transition": "raised", **heard})
    told -= _known(database, rows, {"transition": "cleared"})
    return [notice(row, "cleared", row["cleared_at"]) for row in rows if key_text(event_key(row)) in told]


def _found(database: Database[Document], collection: str, which: Document) -> list[Document]:
    with translated():
        return list(database.get_collection(collection, CodecOptions(tz_aware=True)).find(which))


def _known(database: Database[Document], rows: list[dict[str, Any]], which: Document) -> set[str]:
    """The events of `rows` that have a message `which`."""
    events = [key_text(event_key(row)) for row in rows]
    with translated():
        return set(outbox.outbox(database).distinct("event", {"event": {"$in": events}, **which})) if events else set()
