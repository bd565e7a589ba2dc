"""Collectors of `time_generation` and `mysql_total_generation`: tick rows of local hours and days.

As all collectors they take `(store, window, inputs)`; `inputs["scope"]` says what the run computes
(`wattline.solar.scope`). Periods are read one after the other, each for the plants whose period it is: a marked hour of
one plant costs that hour, whatever the window is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import cast

import polars as pl

from wattline.solar.collect import newest_before, newest_rows, plants_of, rows_at, with_timezone
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.scope import days, hours
from wattline.solar.tables import INVERTER, TICK, TICK_ENERGY, TICK_ROW
from wattline.storage.store import Condition, Store
from wattline.window import Window

Frames = dict[str, pl.DataFrame]
_INVERTER = ("mcno", "invno")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = TICK_ENERGY.schema.names()


def inverters(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """Every inverter that ever was in the register, however old the hours are that are computed again.

    Returns:
        `inverters`: `mcno, invno, installed_at, removed_at, timezone`; without a time zone a plant has no hours.
    """
    register = store.read(INVERTER, (), (*_INVERTER, "installed_at", "removed_at"))
    return {"inverters": with_timezone(store, register)}


def hour_logs(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The tick rows of each hour of the scope that ended with the window, and those from which its growth counts.

    That is the row of the tick at, or just before, the hour's start; where an inverter has none there (a run failed),
    its newest one before.

    Returns:
        `logs`: rows of TICK_ENERGY.
    """
    periods = hours(inputs["scope"], inputs["inverters"], window.end)
    found, earlier = [TICK_ENERGY.schema.to_frame()], [TICK_ENERGY.schema.to_frame()]
    for start, end, plants in _groups(periods):
        base = start - (start - _EPOCH) % TICK
        where = (Condition("at", ">=", base), Condition("at", "<=", end), plants_of(plants))
        rows = store.read(TICK_ROW, where, _COLUMNS)
        at_base = pl.col("at") == base
        lacking = rows.select(_INVERTER).unique().join(rows.filter(at_base), on=_INVERTER, how="anti")
        # The last tick of the hour before was read with that hour.
        before = periods.filter(pl.col("end") == start).join(plants, on="mcno", how="semi")
        found += [rows.filter(~at_base), rows.filter(at_base).join(before, on="mcno", how="anti")]
        if lacking.height:
            earlier.append(newest_before(store, base, lacking).select(_COLUMNS))
    logs, key = pl.concat(found), TICK_ENERGY.key
    return {"logs": pl.concat([logs, pl.concat(earlier).unique(key).join(logs, on=key, how="anti")])}


def stored_hours(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The hours that are stored already, of inverters and plants: an hour without tick rows stays what it is.

    Returns:
        `hours`: rows of TIME_GENERATION.
    """
    found = [TIME_GENERATION.schema.to_frame()]
    for start, _, plants in _groups(hours(inputs["scope"], inputs["inverters"], window.end)):
        found.append(store.read(TIME_GENERATION, (Condition("start", "=", start), plants_of(plants))))
    return {"hours": pl.concat(found).sort(TIME_GENERATION.key)}


def day_logs(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The newest tick row of each inverter on each local day of the scope, as far as the day has come by now.

    Rows after the window count as well: a window of the past, computed again, does not turn its day back.

    Returns:
        `logs`: rows of TICK_ENERGY, one an inverter and day.
    """
    register, found = inputs["inverters"], [TICK_ENERGY.schema.to_frame()]
    for start, end, plants in _groups(days(inputs["scope"], register)):
        of_day = (Condition("at", ">", start), Condition("at", "<=", end))
        last = store.maximum(TICK_ROW, "at", (*of_day, plants_of(plants)))
        if last is None:
            continue
        here = pl.col("removed_at").is_null() | (pl.col("removed_at") > start)
        in_use = register.join(plants, on="mcno", how="semi").filter(here & (pl.col("installed_at") <= end))
        rows = rows_at(store, last, in_use)
        lacking = in_use.join(rows, on=_INVERTER, how="anti")
        found += [rows.select(_COLUMNS), newest_rows(store, start, last, lacking).select(_COLUMNS)]
    return {"logs": pl.concat(found).sort(TICK_ENERGY.key)}


def _groups(periods: pl.DataFrame) -> Iterator[tuple[datetime, datetime, pl.DataFrame]]:
    """Each distinct period with `mcno` of the plants whose it is, in order of time."""
    for (start, end), plants in periods.sort("start", "end").group_by("start", "end", maintain_order=True):
        yield cast("datetime", start), cast("datetime", end), plants.select("mcno")
