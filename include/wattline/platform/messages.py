"""Whether messages leave: how long the oldest that should have been sent has been waiting, by channel.

Heartbeat tells of it as of any other subject, though by the same outbox: the watchdog, which has channels of its own,
tells of it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl
from pymongo import DESCENDING
from pymongo.database import Database

from wattline.platform.checks import CHECK
from wattline.storage.documents import Document, documents, translated
from wattline.storage.mongo import MongoStore
from wattline.window import Window

SUBJECTS: Mapping[str, str] = {"mail": "messages by mail", "sms": "messages by SMS"}
"""Channel of the outbox → the subject that stands for it."""
OVERDUE = timedelta(minutes=30)
"""No message may wait for longer once it is due; nor is one that was refused put off for longer."""
_LONGEST = 200


def freshness(store: MongoStore, window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The collector: `checks_messages`, one row a channel.

    Args:
        store: holds `outbox`.
        window: of the run; its end is what "now" is.
        inputs: none.
    """
    return {"checks_messages": check(store.database, window.end)}


def check(database: Database[Document], now: datetime) -> pl.DataFrame:
    """One row of CHECK a channel: minutes that the oldest overdue message has been waiting, 0 where there is none.

    Raises:
        TransientError: the server cannot be reached.
    """
    limit = OVERDUE / timedelta(minutes=1)
    rows: list[tuple[object, ...]] = []
    for channel, subject in SUBJECTS.items():
        found = _oldest(database, channel, now)
        if found is None:
            rows.append((subject, True, 0.0, limit, "none is overdue"))
            continue
        since, reason = found
        detail = f"the oldest has been waiting since {since:%Y-%m-%d %H:%M} UTC: {reason}"
        rows.append((subject, False, (now - since) / timedelta(minutes=1), limit, detail))
    return pl.DataFrame(rows, CHECK, orient="row")


def _oldest(database: Database[Document], channel: str, now: datetime) -> tuple[datetime, str] | None:
    """Since when the oldest overdue message waits, and why; None where there is none."""
    outbox, limit = documents(database, "outbox"), now - OVERDUE
    waiting = {"channel": channel, "status": {"$in": ["waiting", "sending"]}}
    with translated():
        overdue = outbox.find_one({**waiting, "due_at": {"$lte": limit}}, sort=[("due_at", 1)])
        last = outbox.find_one({"channel": channel, "sent_at": {"$lte": now}}, sort=[("sent_at", DESCENDING)])
        # What is refused again and again is due soon, each time. Where others are taken, the channel is in order.
        refused: Document = {**waiting, "first_at": {"$lte": limit}, "due_at": {"$lte": now + OVERDUE}}
        if last:
            refused["first_at"]["$gt"] = last["sent_at"]
        put_off = outbox.find_one(refused, sort=[("first_at", 1)])
    return min((_since(one) for one in (overdue, put_off) if one), default=None)


def _since(one: Document) -> tuple[datetime, str]:
    first = one.get("first_at")
    reason = one.get("reason") or ("no answer" if first else "not tried yet")
    return min(first or one["due_at"], one["due_at"]), str(reason)[:_LONGEST]
