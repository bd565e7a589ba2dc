"""Collectors of the statistics of power: the register, and the tick rows of the local days that a run computes.

Days are read one after the other, and of large fleets some plants at a time: memory stays the same whatever the range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from typing import cast

import polars as pl

from wattline.solar.collect import plants_of, with_timezone
from wattline.solar.scope import days
from wattline.solar.statistics_tables import LOG
from wattline.solar.tables import CUSTOMER, INVERTER, TICK_ROW
from wattline.storage.store import Condition, Scanner, Store
from wattline.window import Window

Frames = dict[str, pl.DataFrame]
_INVERTERS_AT_ONCE = 10_000
"""A day of so many has 1.4 million logs."""
_SLICE = timedelta(hours=2)
_SLICES_AT_ONCE = 2
"""The server takes longer over a slice of a day than its reader."""


def inverters(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """Every inverter that ever was in the register, however old the days are that are computed again.

    Returns:
        `inverters`: `mcno, invno, capacity_kw, installed_at, removed_at, timezone, latitude, longitude`; without a time
        zone a plant has no days.
    """
    register = store.read(INVERTER, (), ("mcno", "invno", "capacity_kw", "installed_at", "removed_at"))
    places = store.read(CUSTOMER, (), ("mcno", "latitude", "longitude"))
    return {"inverters": with_timezone(store, register).join(places, on="mcno", maintain_order="left")}


def logs(store: Scanner, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Iterator[Frames]:
    """The tick rows, stale ones aside, of each local day of the scope that ended with the window, part by part.

    Args:
        store: holds TICK_ROW.
        window: of the run.
        inputs: `scope`; `inverters`.

    Yields:
        `days`: the local days of some plants, all of one start and end (`wattline.solar.scope.PERIOD`); `logs`: rows of
        LOG in any order.
    """
    periods = days(inputs["scope"], inputs["inverters"], window.end)
    asked: tuple[pl.DataFrame, list[Future[pl.DataFrame]]] | None = None
    with ThreadPoolExecutor(_SLICES_AT_ONCE) as pool:
        for part in (*_parts(periods, inputs["inverters"]), None):
            # The server looks for the next part while the caller has this one.
            following = None if part is None else (part, _ask(pool, store, part, inputs["inverters"]))
            if asked is not None:
                yield {"days": asked[0], "logs": pl.concat(rows.result() for rows in asked[1])}
            asked = following


def _parts(periods: pl.DataFrame, inverters: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The plants whose day has the same start and end, so many at a time as have _INVERTERS_AT_ONCE inverters."""
    bounds = ("start", "end")
    sizes = inverters.group_by("mcno").agg(inverters=pl.len())
    rows = periods.join(sizes, on="mcno").sort(*bounds, "mcno")
    before = pl.col("inverters").cum_sum().over(bounds) - pl.col("inverters")
    for _, part in rows.group_by(*bounds, before // _INVERTERS_AT_ONCE, maintain_order=True):
        yield part.select(periods.columns)


def _ask(
    pool: ThreadPoolExecutor, store: Scanner, part: pl.DataFrame, inverters: pl.DataFrame
) -> list[Future[pl.DataFrame]]:
    """Rows of LOG of a part, slice by slice."""
    start, end = cast("tuple[datetime, datetime]", part.select("start", "end").row(0))
    others = inverters.join(part, on="mcno", how="anti").height
    common = (Condition("stale", "=", False), *((plants_of(part),) if others else ()))
    edges = [min(start + n * _SLICE, end) for n in range(1 - (start - end) // _SLICE)]
    where = [(Condition("at", ">", low), Condition("at", "<=", high), *common) for low, high in pairwise(edges)]
    return [pool.submit(store.scan, TICK_ROW, each, LOG.schema.names()) for each in where]
