"""Collectors of `reliability_inverter`: targets, tick rows, and how everything stood when the window began."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from wattline.solar.collect import plants_of
from wattline.solar.event_types import PLATFORM_DOWN
from wattline.solar.legacy_tables import EVENT
from wattline.solar.reliability_span import span_window
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG
from wattline.solar.reliability_ticks import TICK_STATE
from wattline.solar.targets import targets as read_targets
from wattline.storage.contract import ORIGIN_FIELD
from wattline.storage.mongo import MongoStore
from wattline.storage.store import Condition, Store
from wattline.window import Window

Frames = dict[str, pl.DataFrame]
_UNIT = ("mcno", "invno")
_LOOK_BACK = timedelta(days=7)
"""How far a rerun looks for states at first; most inverters change every day."""
_VALID = Condition("void", "=", False)


def targets(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """`targets`: the inverters to be looked at, by the schema `targets.TARGET`."""
    return {"targets": read_targets(store)}


def logs(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """`ticks`: rows of TICK_STATE of the targets, of the `span` and of the tick at its start."""
    window = span_window(window, inputs)
    where = (Condition("at", ">=", window.start), Condition("at", "<=", window.end))
    rows = store.read(TICK_STATE, where)
    return {"ticks": rows.join(inputs["targets"], on=_UNIT, how="semi")}


def states(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """How inverters and plants stood at the start of the `span`, whatever was computed of later times.

    Returns:
        `states`: RUN_ALERT rows, the newest at or before the start of each; `earlier`: RUN_ALERT_LOG rows that
        computations before have stored for the span, void ones too; `later`: `mcno, invno` of those that changed after
        it.
    """
    window = span_window(window, inputs)
    newest = store.read(RUN_ALERT, (_VALID,))
    moved_on = newest.filter(pl.col("at") > window.start)
    found = [newest.filter(pl.col("at") <= window.start)]
    lacking = moved_on.select(_UNIT)
    for since in (window.start - _LOOK_BACK, None):
        if lacking.height:
            found.append(_at(store, window, lacking, [Condition("at", ">", since)] if since else []))
            lacking = lacking.join(found[-1], on=_UNIT, how="anti")
    inside = (Condition("at", ">", window.start), Condition("at", "<=", window.end))
    return {
        "states": pl.concat(found).sort(_UNIT),
        "earlier": store.read(RUN_ALERT_LOG, inside),
        "later": newest.filter(pl.col("at") > window.end).select(_UNIT),
    }


def events(store: MongoStore, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """`raised`: natural keys of the events that are stored as raised in the `span`; not those of the old system."""
    window = span_window(window, inputs)
    inside = (Condition("raised_at", ">", window.start), Condition("raised_at", "<=", window.end))
    own = Condition("type", "<", PLATFORM_DOWN)
    return {"raised": store.read(EVENT, (*inside, own), EVENT.key, only={ORIGIN_FIELD: None})}


def _at(store: Store, window: Window, units: pl.DataFrame, since: list[Condition]) -> pl.DataFrame:
    """The newest RUN_ALERT rows at or before the window's start of `units` (`mcno, invno`)."""
    where = (*since, Condition("at", "<=", window.start), _VALID, plants_of(units))
    rows = store.newest(RUN_ALERT_LOG, _UNIT, "at", where)
    return rows.join(units, on=_UNIT, how="semi").select(RUN_ALERT.schema.names())
