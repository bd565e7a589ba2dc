"""What each tick shows of the targets: tick rows, the sun and the local day as the state machine takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from wattline.quality.suite import Check, Suite, required
from wattline.solar.reliability import ABSENT, SILENT, STOPPED_FOR, UNKNOWN, Tick
from wattline.solar.reliability_state import Flags, State, Times
from wattline.solar.tables import TICK, TICK_ROW
from wattline.storage.contract import UTC_TIME, Table
from wattline.window import Window

SILENT_AFTER = timedelta(minutes=60)
"""An inverter without a reading for so long, by daylight, has a communication error."""
COLLECTOR_SILENT_AFTER = 2 * TICK
"""When the newest reading of all plants is older than this, it is the collector that is silent."""
LOW_SUN = 5.0
"""Degrees above the horizon; below them nobody expects an inverter to run."""
GRID_LOSS = 2
"""The status word of an inverter without grid."""

TICK_STATE = Table(
    name="inverterlog",
    key=TICK_ROW.key,
    columns=tuple(TICK_ROW.column(name) for name in (*TICK_ROW.key, "ackw", "status", "stale", "reading_at")),
    mongo=TICK_ROW.mongo,
    month_column=TICK_ROW.month_column,
)
"""What the state machine reads of a tick row."""

_HOUR_TICKS = SILENT_AFTER // TICK
_COMPUTE_AGAIN = "Run inverterlog over this time again: its rows are not what it writes"


def _add_reading_age(frame: pl.DataFrame) -> pl.DataFrame:
    """Helper column: minutes by which the reading behind a tick row is younger than the tick."""
    return frame.with_columns(minutes_after=(pl.col("reading_at") - pl.col("at")).dt.total_seconds() / 60)


STATE_ROWS = Suite(
    name="state_rows",
    table=TICK_STATE,
    prepare=_add_reading_age,
    checks=(
        *required(TICK_STATE, ("ackw", "stale"), _COMPUTE_AGAIN),
        Check(
            "ExpectColumnValuesToBeBetween",
            "reading_at",
            "the reading is younger than the tick",
            _COMPUTE_AGAIN,
            {"max_value": 0.0},
            "minutes_after",
        ),
    ),
)
"""Gate of `reliability_inverter`: tick rows, which have passed a gate as readings, as another hand may have left them.

A row that it rejects shows nothing: its inverter keeps its state.
"""


@dataclass(frozen=True)
class Fleet:
    """The inverters in question, in order, and where they are.

    Attributes:
        keys: `mcno, invno, installed_at, removed_at, latitude, longitude, timezone`; who is no target is never there.
    """

    keys: pl.DataFrame

    @classmethod
    def of(cls, targets: pl.DataFrame, states: pl.DataFrame) -> Fleet:
        """The `targets` (`targets.TARGET`), and who was one by `states` (RUN_ALERT) and is not any more."""
        gone = states.filter(pl.col("invno") > 0).join(targets, on=("mcno", "invno"), how="anti")
        never = pl.lit(None).alias("installed_at")
        gone = gone.select("mcno", "invno", never, latitude=0.0, longitude=0.0, timezone=pl.lit("UTC"))
        return cls(pl.concat([targets, gone.cast({"installed_at": UTC_TIME})], how="diagonal").sort("mcno", "invno"))


def ticks(window: Window, fleet: Fleet, rows: pl.DataFrame) -> Iterator[Tick]:
    """The ticks of a window, oldest first, those without any row included.

    Args:
        window: its ticks are in `(start, end]`.
        fleet: the inverters.
        rows: TICK_STATE rows of the window, and of the tick at its start, for the collector's silence.
    """
    at = np.arange(_utc(window.start), _utc(window.end), np.timedelta64(TICK)) + np.timedelta64(TICK)
    observed = _observed(fleet, rows, at)
    low_sun = _low_sun(fleet, at)
    day = _days(fleet, at)
    up_for = int(STOPPED_FOR / np.timedelta64(TICK))
    for n, tick in enumerate(at):
        low = low_sun[n : n + _HOUR_TICKS + 1]
        # Gateways may sleep in the dark; who has not woken after an hour of daylight is silent.
        asleep = (observed[n] == SILENT) & low.any(axis=0)
        seen = np.where(asleep, UNKNOWN, observed[n])
        yield Tick(tick, seen, low[-1], ~np.asarray(low[-up_for - 1 :].any(axis=0), np.bool_), day[n])


def _observed(fleet: Fleet, rows: pl.DataFrame, at: Times) -> npt.NDArray[np.int32]:
    """What is seen of each inverter (columns) at each tick (rows)."""
    keys = fleet.keys.select("mcno", "invno", "installed_at").with_row_index("place")
    known = rows.join(keys, on=("mcno", "invno"), how="inner").with_columns(seen=_seen())
    held = _held(known)
    # Somebody who comes back last may be a tick behind the collector.
    silence = pl.col("at").is_in(held.implode()) & (pl.col("seen") == SILENT)
    known = known.with_columns(seen=pl.when(silence).then(UNKNOWN).otherwise("seen"))
    number = ((known["at"].dt.replace_time_zone(None).to_numpy() - at[:1]) // np.timedelta64(TICK)).astype(np.int64)
    inside = (number >= 0) & (number < len(at))
    observed = np.full((len(at), keys.height), UNKNOWN, np.int32)
    observed[number[inside], known["place"].to_numpy()[inside]] = known["seen"].to_numpy()[inside]
    observed[~_in_use(fleet, at)] = ABSENT
    return observed


def _seen() -> pl.Expr:
    """What a tick row says; one that never reported is silent for as long as it is installed."""
    since = pl.coalesce("reading_at", "installed_at")
    return (
        pl.when(pl.col("at") - since >= SILENT_AFTER)
        .then(SILENT)
        .when(pl.col("stale"))
        .then(UNKNOWN)
        .when(pl.col("status") == GRID_LOSS)
        .then(int(State.BLACKOUT))
        .when(pl.col("ackw") > 0)
        .then(int(State.RUNNING))
        .otherwise(int(State.STOPPED))
    )


def _held(known: pl.DataFrame) -> pl.Series:
    """The ticks at which nobody is taken for silent: those of the collector's silence, and the one after each."""
    of_tick = known.group_by("at").agg(newest=pl.col("reading_at").max(), plants=pl.col("mcno").n_unique())
    nothing = pl.col("newest").is_null() | (pl.col("at") - pl.col("newest") > COLLECTOR_SILENT_AFTER)
    quiet = of_tick.filter(nothing & (pl.col("plants") > 1))["at"]
    return pl.concat([quiet, quiet + TICK]).unique()


def _in_use(fleet: Fleet, at: Times) -> Flags:
    """Which inverters are targets at which tick; nobody is before it was installed."""
    first, last = (
        fleet.keys[name].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
        for name in ("installed_at", "removed_at")
    )
    return np.asarray((first <= at[:, None]) & (np.isnat(last) | (last > at[:, None])))


def _low_sun(fleet: Fleet, at: Times) -> Flags:
    """Whether the sun is low at each inverter, from `SILENT_AFTER` before the first tick to the last one."""
    # pvlib takes seconds to import.
    from wattline.solar.sun import elevation  # noqa: PLC0415

    places = fleet.keys.select("latitude", "longitude")
    of_plants = places.unique(maintain_order=True)
    which = places.join(of_plants.with_row_index("place"), on=places.columns, maintain_order="left")["place"]
    earlier = at[0] - np.arange(_HOUR_TICKS, 0, -1) * np.timedelta64(TICK)
    times = np.concatenate([earlier, at])[:, None]
    low = elevation(times, of_plants["latitude"].to_numpy(), of_plants["longitude"].to_numpy()) < LOW_SUN
    return low[:, which.to_numpy()]


def _days(fleet: Fleet, at: Times) -> Times:
    """The local day of each tick at each inverter; a tick at midnight belongs to the day that it ends."""
    ends = pl.Series(at).dt.replace_time_zone("UTC") - timedelta(microseconds=1)
    zones = fleet.keys["timezone"].unique(maintain_order=True)
    days = [ends.dt.convert_time_zone(zone).dt.date().to_numpy().astype("datetime64[D]") for zone in zones]
    place = {zone: n for n, zone in enumerate(zones)}
    return np.column_stack(days)[:, [place[zone] for zone in fleet.keys["timezone"]]]


def _utc(instant: datetime) -> np.datetime64:
    return np.datetime64(instant.astimezone(UTC).replace(tzinfo=None), "us")
