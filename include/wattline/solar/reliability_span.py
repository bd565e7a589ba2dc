"""What a run of `reliability_inverter` computes: its window, and as a live run what is not right behind it.

States follow from the states before. One document of `migration_state` says up to when all that is stored follows from
the tick rows that were there (`computed_to`), and the end of the newest run (`newest`). A run sets `computed_to` back
to its begin before it works, and ahead once it is done. So whatever a run leaves behind that fails, is killed, comes
late or computes an older time anew: the next live run begins there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import polars as pl
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database

from wattline.storage.contract import UTC_TIME
from wattline.storage.documents import Document, documents, translated
from wattline.window import Window

BACK = timedelta(days=1)
"""So far before its end a live run begins at the earliest; what is older is left to `wattline history`."""
_ID = {"table": "reliability_inverter", "states": True}
_SPAN = pl.Schema(
    {"start": UTC_TIME, "end": UTC_TIME, "computed_to": UTC_TIME, "behind": pl.Boolean(), "revision": pl.String()}
)


@dataclass(frozen=True)
class Span:
    """What a run computes.

    Attributes:
        start, end: UTC, half-open.
        computed_to: up to when all is right once the run is done, if what comes after it still follows.
        behind: a later window was computed already.
        revision: that of the document, as this run has left it.
    """

    start: datetime
    end: datetime
    computed_to: datetime
    behind: bool
    revision: str

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Span:
        """From the staged frame."""
        return cls(**frame.row(0, named=True))

    def reached(self, *, settled: bool) -> datetime:
        """Up to when all is right once the run is done.

        Args:
            settled: every unit stands at the end as it stood before, so that what comes after it still follows.
        """
        return self.computed_to if settled else min(self.computed_to, self.end)

    @property
    def frame(self) -> pl.DataFrame:
        """One row, to be staged."""
        return pl.DataFrame([asdict(self)], _SPAN)

    @property
    def window(self) -> Window:
        """What is computed."""
        return Window(self.start, self.end)


def span_window(window: Window, inputs: Mapping[str, pl.DataFrame]) -> Window:
    """What the run of `window` computes: the staged `span`; without one the window."""
    return Span.of(inputs["span"]).window if "span" in inputs else window


def planned(known: Document, window: Window, revision: str, *, live: bool) -> Span:
    """The span of a run.

    Args:
        known: the document before; empty where there is none.
        window: of the run.
        revision: new for this run.
        live: whether the run goes back to what is not right behind it.
    """
    reached, newest = known.get("computed_to") or window.start, known.get("newest")
    start, computed_to = window.start, window.end
    if live:
        start = max(min(reached, start), min(window.end - BACK, start))
    if reached > window.end or (reached < start and not live):
        computed_to = reached
    return Span(start, window.end, computed_to, bool(newest and newest > window.end), revision)


def plan(database: Database[Document], window: Window, *, live: bool) -> tuple[Span, Window | None]:
    """The span of a run that begins now; until it is done, states count as right up to its begin only.

    Returns:
        The span; what a live run would have gone back to as well, and leaves out because it is too long ago.

    Raises:
        TransientError: the server cannot be reached; planning again does no harm.
    """
    revision = uuid4().hex
    with translated():
        known = _set_back(_states(database), window.start, revision)
    span = planned(known, window, revision, live=live)
    reached = known.get("computed_to")
    return span, Window(reached, span.start) if live and reached and reached < span.start else None


def hold(database: Database[Document], span: Span) -> None:
    """Before a run writes: where another one has begun since it planned, set `computed_to` back once more.

    A run that failed may go on long after. What it writes is perhaps older than what is there, and no later run knows.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        states = _states(database)
        if states.find_one({"_id": _ID, "revision": span.revision}) is None:
            _set_back(states, span.start, uuid4().hex)


def finish(database: Database[Document], span: Span, *, settled: bool) -> None:
    """A run is done: what it computed is right, unless another one has begun since it planned.

    Args:
        database: holds `migration_state`.
        span: what it computed.
        settled: see `Span.reached`.

    Raises:
        TransientError: the server cannot be reached; finishing again does no harm.
    """
    done = {"$set": {"computed_to": span.reached(settled=settled)}, "$max": {"newest": span.end}}
    with translated():
        if not _states(database).update_one({"_id": _ID, "revision": span.revision}, done).matched_count:
            _set_back(_states(database), span.start, uuid4().hex)


def _states(database: Database[Document]) -> Collection[Document]:
    return documents(database, "migration_state")


def _set_back(states: Collection[Document], start: datetime, revision: str) -> dict[str, Any]:
    """Nothing after `start` counts as right any more; the document as it was before."""
    change = {"table": _ID["table"], "revision": revision, "computed_to": {"$min": ["$computed_to", start]}}
    before = states.find_one_and_update(
        {"_id": _ID}, [{"$set": change}], upsert=True, return_document=ReturnDocument.BEFORE
    )
    return before or {}
