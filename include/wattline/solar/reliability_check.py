"""The processor of `reliability_inverter`: staged frames in, rows of states and events out; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from wattline.errors import BadInputError
from wattline.solar.events import event_rows, log_rows
from wattline.solar.reliability import ACTIONS, run
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG, remember
from wattline.solar.reliability_ticks import Fleet, ticks
from wattline.window import Window

Frames = dict[str, pl.DataFrame]
LONGEST = timedelta(days=31)
"""A run keeps the observations of its whole window in memory: a byte or so for each inverter and tick."""
_UNIT = ("mcno", "invno")
_EVENT = (*_UNIT, "type", "raised_at")


def check(window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """Compute the states and events of a window from the states at its start.

    Args:
        window: what to compute, at most LONGEST.
        inputs: `targets` (`targets.TARGET`), `good_ticks` (TICK_STATE), `states` (RUN_ALERT rows at the start),
            `earlier` (RUN_ALERT_LOG rows that are stored for the window), `later` (`mcno, invno` that changed again
            after the window).

    Returns:
        `run_alert_log`, `run_alert`, `event` (`events.event_rows`), `event_log`: rows to be stored; `actions`: schema
        ACTIONS, for messages.

    Raises:
        BadInputError: the window is too long.
    """
    require_length(window)
    states, earlier = inputs["states"], inputs["earlier"]
    fleet = Fleet.of(inputs["targets"], states)
    log, actions = RUN_ALERT_LOG.schema.to_frame(), ACTIONS.to_frame()
    if fleet.keys.height:
        log, actions = run(remember(fleet.keys, states), ticks(window, fleet, inputs["good_ticks"]))
    void = earlier.join(log, on=RUN_ALERT_LOG.key, how="anti").with_columns(void=pl.lit(value=True))
    ends = pl.concat([states, log.select(RUN_ALERT.schema.names())]).unique(_UNIT, keep="last", maintain_order=True)
    touched = pl.concat([log.select(_UNIT), void.select(_UNIT)]).unique()
    newest = ends.join(touched, on=_UNIT, how="semi").join(inputs["later"], on=_UNIT, how="anti")
    actions = pl.concat([actions, _withdrawn(earlier, actions)])
    still_open = _open(ends.join(void, on=_UNIT, how="semi"))
    return {
        "run_alert_log": pl.concat([log, void]).sort(RUN_ALERT_LOG.key),
        "run_alert": newest.sort(_UNIT),
        "event": event_rows(actions, still_open),
        "event_log": log_rows(actions),
        "actions": actions,
    }


def require_length(window: Window) -> None:
    """Refuse a window that is too long to be computed at once.

    Raises:
        BadInputError: it is.
    """
    if window.end - window.start > LONGEST:
        remedy = "run `wattline history reliability_inverter` over it, which takes a day at a time"
        raise BadInputError(f"the window is longer than {LONGEST.days} days", field="from/to", remedy=remedy)


def _open(rows: pl.DataFrame) -> pl.DataFrame:
    """The natural keys of the events that are open by the `rows`."""
    known = rows.filter(pl.col("event_type").is_not_null())
    return known.select(*_UNIT, type="event_type", raised_at="event_raised_at")


def _withdrawn(earlier: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Actions for the events that an earlier computation of the window raised in it, and this one does not."""
    faults = _open(earlier.filter(pl.col("event_raised_at") == pl.col("at")))
    told = earlier.filter(pl.col("notice").is_not_null()).select(*_UNIT, type="notice", raised_at="at")
    raised = actions.filter(pl.col("action") == "raised")
    gone = pl.concat([faults, told]).join(raised, on=_EVENT, how="anti").unique().sort(_EVENT)
    more = {"at": pl.col("raised_at"), "action": pl.lit("withdrawn"), "told": pl.lit(value=False)}
    return gone.with_columns(**more, inverters=pl.lit(1)).select(ACTIONS.names()).cast(ACTIONS)
