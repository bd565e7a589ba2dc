"""Collectors of the solar pipelines: they read, and do nothing else.

Every collector takes `(store, window, inputs)`: the database to read, the half-open UTC window, and frames staged by
earlier steps; it returns frames by name. A reading *at* the window's end counts for the tick there, so windows of
readings are read with both ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import cast
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

from wattline.migrate.entry import OVERLAP
from wattline.settings import settings
from wattline.solar.tables import CUSTOMER, INVERTER, MAX_CLOCK_AHEAD, READING, TICK, TICK_ROW
from wattline.storage.contract import UTC_TIME
from wattline.storage.store import Condition, Store, Value, between
from wattline.window import Window

_LOG = logging.getLogger(__name__)
Frames = dict[str, pl.DataFrame]
_LONGEST_DAY = timedelta(hours=26)
"""From a tick back to the start of its local day, daylight saving included, with an hour to spare."""
_INVERTER = ("mcno", "invno")
_MINUTES = f"{int(TICK.total_seconds() // 60)}m"
_NO_ZONES = {"Factory", "localtime"}
"""Names in the zone database that are no time zone."""


def inverters(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The register: every inverter in use on a local day that the window (or a late reading in it) touches.

    Without its plant's time zone an inverter has no day: it counts as not registered until `customer` names an IANA
    zone, and the gate tells of its readings.

    Returns:
        `inverters`: the columns of INVERTER, plus `timezone` of the plant.
    """
    since = window.start - settings().late_horizon - _LONGEST_DAY
    register = store.read(INVERTER, (Condition("installed_at", "<=", window.end),))
    register = register.filter(pl.col("removed_at").is_null() | (pl.col("removed_at") > since))
    return {"inverters": with_timezone(store, register)}


def with_timezone(store: Store, register: pl.DataFrame) -> pl.DataFrame:
    """The rows of `register` whose plants have a time zone, with the column `timezone`."""
    plants = store.read(CUSTOMER, columns=("mcno", "timezone"))
    plants = plants.filter(pl.col("timezone").is_in(list(available_timezones() - _NO_ZONES)))
    return register.join(plants, on="mcno", how="inner", maintain_order="left")


def readings(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The readings of the window, of late arrivals before it, and how each inverter stood before.

    A plant with a reading that arrived in the window for an earlier time is taken from the tick before that reading on,
    so that its ticks are computed again; arrivals later than the `late_horizon` are left to `wattline history`.
    Readings from the future are taken along when they arrive, so that the gate tells of the gateway's clock then.

    Args:
        store: holds READING and TICK_ROW.
        window: what to compute.
        inputs: `inverters`.

    Returns:
        `readings`: READING plus `capacity_kw`, `registered` and `in_window` (measured or arrived in it), for the gate;
        `state`: TICK_ROW rows, the newest at or before each plant's start; `later`: TICK_ROW rows, the last after the
        window on the same local day, for a window that is computed again; `starts`: `mcno, start`; `scope`: the ticks
        that are computed, for those who read them (`wattline.solar.scope`).
    """
    register = inputs["inverters"]
    starts = _starts(store, window, register)
    state = _state(store, register, starts)
    rows = [
        store.read(READING, (Condition("at", ">=", window.start), Condition("at", "<=", window.end))),
        store.read(READING, (*_arrived(window), Condition("at", ">", window.end + MAX_CLOCK_AHEAD))),
        _late_rows(store, window, starts),
        _readings_before(store, register, starts, state),
    ]
    known = register.select("mcno", "invno", "capacity_kw", registered=pl.lit(value=True))
    log = pl.concat(rows).unique(READING.key, keep="first").sort(READING.key)
    log = log.join(known, on=["mcno", "invno"], how="left", maintain_order="left")
    own = (pl.col("at") >= window.start) | (pl.col("received_at") >= window.start)
    log = log.with_columns(pl.col("registered").fill_null(value=False), in_window=own)
    later = _later(store, register, window.end)
    computed = starts.with_columns(end=pl.lit(window.end).cast(UTC_TIME))
    return {"readings": log, "state": state, "later": later, "starts": starts, "scope": computed}


def tick_before(instant: str) -> pl.Expr:
    """The last tick strictly before the UTC column `instant`."""
    return pl.col(instant).dt.offset_by("-1us").dt.truncate(_MINUTES)


def _arrived(window: Window) -> tuple[Condition, Condition]:
    return between("received_at", window.start, window.end)


def _starts(log: Store, window: Window, register: pl.DataFrame) -> pl.DataFrame:
    """`mcno, start` of every registered plant: the window's start, or the tick before its earliest late reading."""
    horizon = window.start - settings().late_horizon
    _report_too_late(log, window, horizon)
    earlier = (Condition("at", "<=", window.start), Condition("at", ">", horizon))
    columns = ("mcno", "invno", "at")
    arrived = log.read(READING, (*_arrived(window), *earlier), columns)
    before = between("received_at", window.start - OVERLAP, window.start)
    late = pl.concat([arrived, _unseen(log, log.read(READING, (*before, *earlier), columns))])
    earliest = late.group_by("mcno").agg(late=tick_before("at").min())
    plants = register.select("mcno").unique().join(earliest, on="mcno", how="left")
    start = pl.min_horizontal(pl.lit(window.start).cast(UTC_TIME), pl.col("late"))
    return plants.select("mcno", start=start).sort("mcno")


def _report_too_late(log: Store, window: Window, horizon: datetime) -> None:
    """Say in the task's log how many arrivals are left to a history run, and how to start it."""
    count = log.count(READING, (*_arrived(window), Condition("at", "<=", horizon)))
    if count:
        remedy = "run `wattline history migration_inverter_m10 inverterlog` over their time"
        _LOG.warning("%d readings arrived for times before %s: %s", count, horizon.isoformat(), remedy)


def _unseen(log: Store, readings: pl.DataFrame) -> pl.DataFrame:
    """Those of `readings` (`mcno, invno, at`) that the tick rows after them do not know: these were made before.

    A tick row knows its newest reading only, so one that came late behind a newer one of its interval is not found.
    """
    ticked = readings.with_columns(tick=tick_before("at").dt.offset_by(_MINUTES))
    if readings.is_empty():
        return readings
    at: list[Value] = ticked["tick"].unique().sort().to_list()
    columns = ("mcno", "invno", "at", "reading_at")
    rows = log.read(TICK_ROW, (Condition("at", "in", at), plants_of(readings)), columns).rename({"at": "tick"})
    unseen = pl.col("reading_at").is_null() | (pl.col("reading_at") < pl.col("at"))
    return ticked.join(rows, on=("mcno", "invno", "tick")).filter(unseen).select(readings.columns)


def _late_rows(log: Store, window: Window, starts: pl.DataFrame) -> pl.DataFrame:
    """READING rows from the start of each late plant up to the window."""
    late = starts.filter(pl.col("start") < window.start)
    if late.is_empty():
        return pl.DataFrame(schema=READING.schema)
    low = cast("datetime", late["start"].min())
    where = (Condition("at", ">=", low), Condition("at", "<", window.start), plants_of(late))
    rows = log.read(READING, where)
    return rows.join(late, on="mcno").filter(pl.col("at") >= pl.col("start")).select(READING.schema.names())


def _state(log: Store, register: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
    """TICK_ROW rows at each plant's start; where an inverter has none there, its newest one before."""
    found = [TICK_ROW.schema.to_frame()]
    for start, plants in _by_start(starts):
        found.append(rows_at(log, start, register.join(plants, on="mcno", how="semi")))
        lacking = register.join(plants, on="mcno", how="semi").join(found[-1], on=_INVERTER, how="anti")
        found.append(newest_before(log, start, lacking))
    return pl.concat(found)


def newest_before(log: Store, tick: datetime, inverters: pl.DataFrame) -> pl.DataFrame:
    """The newest TICK_ROW row of each of `inverters` (`mcno, invno`) before `tick`, within the horizon.

    After an outage longer than the horizon the last tick before it serves, so that lifetime energy goes on from there.
    """
    horizon = tick - settings().late_horizon
    found = newest_rows(log, horizon, tick, inverters)
    lacking = inverters.join(found, on=_INVERTER, how="anti")
    last = log.maximum(TICK_ROW, "at", (Condition("at", "<=", horizon),)) if lacking.height else None
    return pl.concat([found, rows_at(log, last, lacking)])


def _later(log: Store, register: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """TICK_ROW rows that say how the local day went on in which `end` closes an interval.

    They are those of the last tick after `end` that is stored for it, and the last ones of inverters removed before.
    """
    found = [TICK_ROW.schema.to_frame()]
    for (zone,), plants in register.group_by("timezone", maintain_order=True):
        today = (end - timedelta(microseconds=1)).astimezone(ZoneInfo(str(zone))).date()
        midnight = datetime.combine(today + timedelta(days=1), time(), ZoneInfo(str(zone))).astimezone(UTC)
        last = log.maximum(TICK_ROW, "at", (Condition("at", ">", end), Condition("at", "<=", midnight)))
        if last is not None:
            removed = plants.filter(pl.col("removed_at").is_between(end, last, closed="right"))
            found += [rows_at(log, last, plants), newest_rows(log, end, last, removed)]
    return pl.concat(found)


def rows_at(log: Store, tick: Value | None, inverters: pl.DataFrame) -> pl.DataFrame:
    """The TICK_ROW rows of `inverters` at `tick`."""
    if tick is None or inverters.is_empty():
        return TICK_ROW.schema.to_frame()
    rows = log.read(TICK_ROW, (Condition("at", "=", tick), plants_of(inverters)))
    return rows.join(inverters, on=_INVERTER, how="semi")


def newest_rows(log: Store, after: Value, before: Value, inverters: pl.DataFrame) -> pl.DataFrame:
    """The newest TICK_ROW row of each of `inverters` between two instants, both excluded."""
    if inverters.is_empty():
        return TICK_ROW.schema.to_frame()
    where = (Condition("at", ">", after), Condition("at", "<", before), plants_of(inverters))
    return log.newest(TICK_ROW, _INVERTER, "at", where).join(inverters, on=_INVERTER, how="semi")


def _readings_before(log: Store, register: pl.DataFrame, starts: pl.DataFrame, state: pl.DataFrame) -> pl.DataFrame:
    """The newest READING before its plant's start of every inverter still in use that has no tick row exactly there.

    The register's snapshot serves where it is old enough; else the log is searched as far back as the horizon.
    """
    at_start = state.join(starts, on="mcno").filter(pl.col("at") == pl.col("start"))
    lacking = register.join(starts, on="mcno").join(at_start, on=["mcno", "invno"], how="anti")
    lacking = lacking.filter(pl.col("removed_at").is_null() | (pl.col("removed_at") > pl.col("start")))
    snapshots = lacking.filter(pl.col("at") < pl.col("start")).with_columns(received_at=pl.col("at"))
    found = [snapshots.select(READING.schema.names())]
    searched = lacking.filter(pl.col("at").is_null() | (pl.col("at") >= pl.col("start")))
    for start, rows in _by_start(searched):
        since = Condition("at", ">", start - settings().late_horizon)
        newest = log.newest(READING, ("mcno", "invno"), "at", (since, Condition("at", "<", start), plants_of(rows)))
        found.append(newest.join(rows, on=["mcno", "invno"], how="semi"))
    return pl.concat(found)


def _by_start(frame: pl.DataFrame) -> Iterator[tuple[datetime, pl.DataFrame]]:
    """The rows of each distinct `start`; nearly always one group, the window's own start."""
    for (start,), rows in frame.group_by("start", maintain_order=True):
        yield cast("datetime", start), rows


def plants_of(frame: pl.DataFrame) -> Condition:
    """The condition that a row is of one of the plants of `frame`."""
    plants: list[Value] = frame["mcno"].unique().sort().to_list()
    return Condition("mcno", "in", plants)
