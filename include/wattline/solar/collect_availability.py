"""Collectors of `reliability_digest`: targets, their local days, fresh tick rows and events of those days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast

import polars as pl

from wattline.solar import targets as target_rows
from wattline.solar.availability import DOWN, FRESH_TICK
from wattline.solar.legacy_tables import EVENT
from wattline.solar.scope import days
from wattline.solar.tables import TICK_ROW
from wattline.storage.contract import ORIGIN_FIELD
from wattline.storage.mongo import MongoStore
from wattline.storage.store import Condition, Scanner, Store
from wattline.window import Window

Frames = dict[str, pl.DataFrame]
_EVENT = ("mcno", "invno", "type", "raised_at", "cleared_at")


def targets(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The targets, and their local days in the scope that ended with the window.

    Args:
        store: MySQL `solar`.
        window: of the run.
        inputs: `scope`.

    Returns:
        `targets` (`wattline.solar.targets.TARGET`), `days` (`wattline.solar.scope.PERIOD`).
    """
    found = target_rows.targets(store)
    return {"targets": found, "days": days(inputs["scope"], found, window.end)}


def ticks(store: Scanner, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The tick rows of the days that are not stale: `ticks`, rows of FRESH_TICK.

    Args:
        store: MongoDB, which holds TICK_ROW.
        window: of the run.
        inputs: `days`.
    """
    names = FRESH_TICK.schema.names()
    found = [FRESH_TICK.schema.to_frame()]
    for (start, end), part in inputs["days"].group_by("start", "end", maintain_order=True):
        plants = Condition("mcno", "in", part["mcno"].unique().sort().to_list())
        where = (Condition("at", ">", start), Condition("at", "<=", end), Condition("stale", "=", value=False), plants)
        found.append(store.scan(TICK_ROW, where, names))
    return {"ticks": pl.concat(found)}


def events(store: MongoStore, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The platform's own events of faults that touch the days: `events`.

    The old system's have other rules, and one that it never closed would count for ever.

    Args:
        store: MongoDB, which holds EVENT.
        window: of the run.
        inputs: `days`.
    """
    wanted = inputs["days"]
    if wanted.is_empty():
        return {"events": pl.DataFrame(schema={name: EVENT.schema[name] for name in _EVENT})}
    start, end = cast("tuple[datetime, datetime]", wanted.select(pl.col("start").min(), pl.col("end").max()).row(0))
    where = (Condition("type", "in", DOWN), Condition("raised_at", "<", end))
    own_and_open = {ORIGIN_FIELD: None, "$or": [{"cleared_at": None}, {"cleared_at": {"$gte": start}}]}
    return {"events": store.read(EVENT, where, _EVENT, only=own_and_open)}
