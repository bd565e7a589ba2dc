"""How inverters and plants stood: the contracts of `run_alert`, and the same as arrays for the state machine.

A row is written when something of it changes, and carries everything that the state machine remembers. So the newest
row at or before an instant is all that a run needs that begins there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from wattline.solar.event_types import BLACKOUT, COMM_ERROR, FLAPPING, NOT_GENERATING
from wattline.solar.tables import INVNO_OR_PLANT, MCNO, PLANT
from wattline.storage.contract import UTC_TIME, Column, Table

Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Times = npt.NDArray[np.datetime64]

_INT, _TEXT = pl.Int32(), pl.String()


class State(IntEnum):
    """What an inverter does; the names, in lower case, are those of the column `state`."""

    NEW = 0
    """Not looked at so far, or no target any more (`removed`)."""
    RUNNING = 1
    STOPPED = 2
    NOT_GENERATING = 3
    COMM_ERROR = 4
    BLACKOUT = 5


REMOVED, NORMAL = "removed", "normal"
"""The column `state` of what is no target any more; of a plant whose inverters do not share a fault."""
STATE_NAMES = (REMOVED, *(state.name.lower() for state in State if state))
FAULT_OF = np.array([0, 0, 0, NOT_GENERATING, COMM_ERROR, BLACKOUT], np.int32)
"""The event type of each state that is a fault, else 0."""
FAULT_NAMES = {
    0: NORMAL,
    BLACKOUT: "blackout",
    COMM_ERROR: "comm_error",
    NOT_GENERATING: "not_generating",
    FLAPPING: "flapping",
}
"""The column `state` of a plant, by the type of its event."""
REMEMBERED = 5
"""Transitions that are remembered: with so many in less than an hour an inverter flaps."""

_STATE_COLUMNS = (
    MCNO,
    INVNO_OR_PLANT,
    Column("at", UTC_TIME, "the tick since which all of the row holds"),
    Column("state", _TEXT, f"{', '.join(STATE_NAMES)}; of a plant {NORMAL}, or the fault that its inverters share"),
    Column("is_run", pl.Boolean(), "whether it generates, as far as is known"),
    Column("since", UTC_TIME, "when the state began"),
    Column("flapping", pl.Boolean(), "its transitions are held back, as there were too many in an hour"),
    Column("transitions", pl.List(_INT), "the last transitions, newest first: minutes before `at`, less than an hour"),
    Column("stop_told_on", pl.Date(), "local day of the last 102 of a night that was told", nullable=True),
    Column("event_type", _INT, "type of its open event", nullable=True),
    Column("event_raised_at", UTC_TIME, "when that was raised", nullable=True),
    Column("notice", _INT, "the notice, 101 or 102, that came with the row", nullable=True),
    Column("void", pl.Boolean(), "a later computation of the same time found no change here"),
)
RUN_ALERT = Table(name="run_alert", key=("mcno", "invno"), columns=_STATE_COLUMNS, mongo="run_alert")
"""The newest state of every target and of its plant."""
RUN_ALERT_LOG = replace(
    RUN_ALERT,
    name="run_alert_log",
    key=("mcno", "invno", "at"),
    mongo="run_alert_log",
    month_column="at",
    indexes=(("at",), ("mcno", "invno", "at")),
)
"""Every change of a state: MongoDB `run_alert_log_YYYYMM`."""
RELIABILITY_TABLES = (RUN_ALERT, RUN_ALERT_LOG)

_NEVER = np.datetime64("NaT", "us")
_TIME, _DAY = "datetime64[us]", "datetime64[D]"
_MINUTE = np.timedelta64(1, "m")
_HOUR_MINUTES = 60


@dataclass
class Memory:
    """The states of `n` inverters and `p` plants as arrays, which the state machine changes tick by tick.

    Attributes:
        mcno, invno: the inverters, in order, n.
        plants: their plants, in order, p.
        plant_of: place in `plants` of each inverter.
        first: place of each plant's first inverter.
        state, is_run, since, flapping, stop_told_on, event_type, event_at: columns of RUN_ALERT; 0 is no event.
        recent: times of the last transitions, newest first, n x REMEMBERED.
        plant_event, plant_event_at: type of the plant's open event, and when it was raised, p.
    """

    mcno: Codes
    invno: Codes
    plants: Codes
    plant_of: npt.NDArray[np.intp]
    first: npt.NDArray[np.intp]
    state: Codes
    is_run: Flags
    since: Times
    flapping: Flags
    recent: Times
    stop_told_on: Times
    event_type: Codes
    event_at: Times
    plant_event: Codes
    plant_event_at: Times


def remember(keys: pl.DataFrame, states: pl.DataFrame) -> Memory:
    """The memory of the inverters `keys` from their newest rows.

    Args:
        keys: `mcno, invno`, one row an inverter.
        states: RUN_ALERT rows of inverters and plants, one each; who has none is new.
    """
    keys = keys.select(pl.col("mcno", "invno").cast(_INT)).sort("mcno", "invno")
    plants = keys.select("mcno").unique().sort("mcno").with_columns(invno=pl.lit(PLANT, _INT))
    own, of_plants = (
        frame.join(states, on=("mcno", "invno"), how="left", maintain_order="left") for frame in (keys, plants)
    )
    number = pl.col("state").replace_strict({name: n for n, name in enumerate(STATE_NAMES)}, return_dtype=pl.Int32())
    recent = [
        pl.col("at") - pl.duration(minutes=pl.col("transitions").list.get(place, null_on_oob=True))
        for place in range(REMEMBERED)
    ]
    mcno, plant_numbers = _numbers(keys["mcno"]), _numbers(plants["mcno"])
    return Memory(
        mcno,
        _numbers(keys["invno"]),
        plant_numbers,
        np.searchsorted(plant_numbers, mcno),
        np.searchsorted(mcno, plant_numbers),
        _numbers(own.select(number).to_series()),
        own["is_run"].fill_null(value=False).to_numpy().copy(),
        _times(own["since"]),
        own["flapping"].fill_null(value=False).to_numpy().copy(),
        np.column_stack([_times(own.select(time).to_series()) for time in recent]).reshape(-1, REMEMBERED),
        own["stop_told_on"].to_numpy().astype(_DAY).copy(),
        _numbers(own["event_type"]),
        _times(own["event_raised_at"]),
        _numbers(of_plants["event_type"]),
        _times(of_plants["event_raised_at"]),
    )


def inverter_rows(memory: Memory, which: Flags, at: np.datetime64, notice: Codes) -> dict[str, Any]:
    """Columns of RUN_ALERT_LOG for the inverters `which`, as they stand at the tick `at`; types and names as arrays.

    Args:
        memory: the states.
        which: n flags.
        at: the tick.
        notice: 101, 102 or 0, n.
    """
    return {
        "mcno": memory.mcno[which],
        "invno": memory.invno[which],
        "at": np.full(int(which.sum()), at),
        "state": memory.state[which],
        "is_run": memory.is_run[which],
        "since": memory.since[which],
        "flapping": memory.flapping[which],
        "recent": memory.recent[which],
        "stop_told_on": memory.stop_told_on[which],
        "event_type": memory.event_type[which],
        "event_raised_at": memory.event_at[which],
        "notice": notice[which],
    }


def log_frame(rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `inverter_rows`, of many ticks one after the other, by the schema of RUN_ALERT_LOG."""
    minutes = ((rows["at"][:, None] - rows["recent"]) / _MINUTE).astype(np.float64)
    columns = {name: values for name, values in rows.items() if name != "recent"}
    kept = [pl.when(pl.col(f"_{place}") < _HOUR_MINUTES).then(pl.col(f"_{place}")) for place in range(REMEMBERED)]
    frame = pl.DataFrame(columns | {f"_{place}": minutes[:, place] for place in range(REMEMBERED)}, nan_to_null=True)
    return frame.select(
        pl.col("mcno", "invno").cast(_INT),
        _instant("at"),
        pl.col("state").replace_strict(dict(enumerate(STATE_NAMES)), return_dtype=_TEXT),
        "is_run",
        _instant("since"),
        "flapping",
        transitions=pl.concat_list(kept).list.drop_nulls().cast(pl.List(_INT)),
        stop_told_on=pl.col("stop_told_on").cast(pl.Date),
        event_type=_or_null("event_type"),
        event_raised_at=_instant("event_raised_at"),
        notice=_or_null("notice"),
        void=pl.lit(value=False),
    )


def plant_frame(rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of plants (`mcno, at, type`, the fault that begins there or 0) by the schema of RUN_ALERT_LOG."""
    frame = pl.DataFrame(rows).with_columns(_instant("at"), pl.col("mcno").cast(_INT), pl.col("type").cast(_INT))
    open_event = pl.col("type") != 0
    return frame.select(
        "mcno",
        pl.lit(PLANT, _INT).alias("invno"),
        "at",
        pl.col("type").replace_strict(FAULT_NAMES, return_dtype=_TEXT).alias("state"),
        (~open_event).alias("is_run"),
        pl.col("at").alias("since"),
        pl.lit(value=False).alias("flapping"),
        pl.lit([], pl.List(_INT)).alias("transitions"),
        pl.lit(None, pl.Date()).alias("stop_told_on"),
        _or_null("type").alias("event_type"),
        pl.when(open_event).then("at").alias("event_raised_at"),
        pl.lit(None, _INT).alias("notice"),
        pl.lit(value=False).alias("void"),
    )


def _instant(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _or_null(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != 0).then(pl.col(name).cast(_INT)).alias(name)


def _numbers(column: pl.Series) -> Codes:
    return column.fill_null(0).to_numpy().astype(np.int32)


def _times(column: pl.Series) -> Times:
    return column.dt.replace_time_zone(None).to_numpy().astype(_TIME)
