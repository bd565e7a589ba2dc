"""The processor of `reliability_inverter`: staged frames in, rows of states and events out; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from wattline.alerts.notice import FAULTS
from wattline.errors import BadInputError
from wattline.solar.events import event_rows, log_rows, moved, withdrawn
from wattline.solar.reliability import ACTIONS, run
from wattline.solar.reliability_span import span_window
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG, remember
from wattline.solar.reliability_ticks import Fleet, ticks
from wattline.solar.scope import Periods, days, marks, own
from wattline.window import Window

Frames = dict[str, pl.DataFrame]
LONGEST = timedelta(days=31)
"""A run keeps the observations of its whole window in memory: a byte or so for each inverter and tick."""
EVENT_READERS: Mapping[str, Periods] = {"reliability_digest": days}
"""The pipelines that read events, and what each computes."""
_UNIT = ("mcno", "invno")


def check(window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """Compute states and events from the states at the begin.

    Args:
        window: of the run.
        inputs: `targets` (`targets.TARGET`), `good_ticks` (TICK_STATE), `states` (RUN_ALERT rows at the start),
            `earlier` (RUN_ALERT_LOG rows that are stored for the time), `raised` (keys of the events that are stored as
            raised in it), `later` (`mcno, invno` that changed again after it); `span`, what to compute, at most
            LONGEST; without it the window.

    Returns:
        `run_alert_log`, `run_alert`, `event` (`events.event_rows`), `event_log`: rows to be stored; `actions` (ACTIONS)
        and `moved` (`events.moved`), for messages; `settled`: whether all stand at the end as they stood before;
        `recompute_marks` (`storage.recompute.MARKS`): the days whose faults may have changed.

    Raises:
        BadInputError: the time is too long.
    """
    window = span_window(window, inputs)
    require_length(window)
    targets, states, earlier = inputs["targets"], inputs["states"], inputs["earlier"]
    fleet = Fleet.of(targets, states)
    log, actions = RUN_ALERT_LOG.schema.to_frame(), ACTIONS.to_frame()
    if fleet.keys.height:
        log, actions = run(remember(fleet.keys, states), ticks(window, fleet, inputs["good_ticks"]))
    void = earlier.join(log, on=RUN_ALERT_LOG.key, how="anti").with_columns(void=pl.lit(value=True))
    before, after = _newest(states, earlier.filter(~pl.col("void"))), _newest(states, log)
    actions = pl.concat([actions, withdrawn(inputs["raised"], actions)])
    touched = pl.concat([actions.filter(pl.col("type").is_in(list(FAULTS))).select("mcno"), void.select("mcno")])
    return {
        "run_alert_log": pl.concat([log, void]).sort(RUN_ALERT_LOG.key),
        "run_alert": _run_alert(log, void, after).join(inputs["later"], on=_UNIT, how="anti"),
        "event": event_rows(actions, _open(after)),
        "event_log": log_rows(actions),
        "actions": actions,
        "moved": moved(actions, _open(states)),
        "settled": pl.DataFrame({"settled": [after.equals(before)]}),
        "recompute_marks": marks(touched.unique().join(own(window).drop("mcno"), how="cross"), targets, EVENT_READERS),
    }


def require_length(window: Window) -> None:
    """Refuse a window that is too long to be computed at once.

    Raises:
        BadInputError: it is.
    """
    if window.end - window.start > LONGEST:
        remedy = "run `wattline history reliability_inverter` over it, which takes a day at a time"
        raise BadInputError(f"the window is longer than {LONGEST.days} days", field="from/to", remedy=remedy)


def _newest(states: pl.DataFrame, log: pl.DataFrame) -> pl.DataFrame:
    """How everything stands by the rows at the start and those of RUN_ALERT_LOG since, in order."""
    both = pl.concat([states, log.sort(RUN_ALERT_LOG.key).select(RUN_ALERT.schema.names())])
    return both.unique(_UNIT, keep="last", maintain_order=True).sort(_UNIT)


def _run_alert(log: pl.DataFrame, void: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """RUN_ALERT rows of all that changed; who has no state after all, a void one."""
    touched = pl.concat([log.select(_UNIT), void.select(_UNIT)]).unique()
    rows = pl.concat([_newest(after.clear(), void), after]).unique(_UNIT, keep="last", maintain_order=True)
    return rows.join(touched, on=_UNIT, how="semi").sort(_UNIT)


def _open(rows: pl.DataFrame) -> pl.DataFrame:
    """The natural keys of the events that are open by the `rows`."""
    known = rows.filter(pl.col("event_type").is_not_null())
    return known.select(*_UNIT, type="event_type", raised_at="event_raised_at")
