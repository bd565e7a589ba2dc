"""The state machine of inverters: from how they stood and what each tick shows to how they stand and what happened.

It is pure, and goes on tick by tick over all inverters at once. What it does at a tick follows from the memory, which
`run_alert` carries, and from the tick; so any cut of time into runs gives the same rows. `docs/runbooks/events.md` says
the rules for people, ADR 0017 the reasons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from wattline.solar.event_types import FLAPPING, STARTED, STOPPED
from wattline.solar.reliability_state import (
    FAULT_OF,
    REMEMBERED,
    RUN_ALERT_LOG,
    Codes,
    Flags,
    Memory,
    State,
    Times,
    inverter_rows,
    log_frame,
    plant_frame,
)
from wattline.solar.tables import PLANT
from wattline.storage.contract import UTC_TIME

UNKNOWN, ABSENT, SILENT = 0, -1, int(State.COMM_ERROR)
"""What a tick shows beside RUNNING, STOPPED and BLACKOUT: nothing that changes the state, no target, no reading for an
hour."""
STOPPED_FOR = np.timedelta64(20, "m")
"""An inverter that stands still for so long while the sun is up does not generate."""
FLAP_WITHIN = np.timedelta64(60, "m")
"""More than four transitions in less than this are flapping, which is over after as long without any."""
FEWEST_GROUPED = 2
"""Inverters that a plant must have for one event in place of theirs."""

ACTIONS = pl.Schema(
    {
        "mcno": pl.Int32(),
        "invno": pl.Int32(),
        "type": pl.Int32(),
        "raised_at": UTC_TIME,
        "at": UTC_TIME,
        "action": pl.String(),
        "told": pl.Boolean(),
        "inverters": pl.Int32(),
    }
)
"""What happened to events, in order of time: `raised`, `cleared`, `merged` (another event took its place) or
`withdrawn`; `told`: whether people may hear of it; `inverters`: how many it concerns."""


@dataclass(frozen=True)
class Tick:
    """What one tick shows of `n` inverters.

    Attributes:
        at: the tick, UTC.
        observed: State.RUNNING, STOPPED or BLACKOUT, SILENT, UNKNOWN or ABSENT.
        low_sun: the sun is below 5 degrees.
        daylight: it has been at 5 degrees or above for `STOPPED_FOR`.
        day: the local day.
    """

    at: np.datetime64
    observed: Codes
    low_sun: Flags
    daylight: Flags
    day: Times


@dataclass
class Record:
    """What the state machine has done so far, as lists of arrays by column."""

    inverters: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    plants: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    actions: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    def act(self, action: str, told: Flags | bool, at: np.datetime64, **columns: npt.NDArray[Any]) -> None:
        """Note an action; `columns` are those of ACTIONS as arrays of one length."""
        size = len(columns["mcno"])
        if size:
            rest = {"at": np.full(size, at), "action": np.full(size, action), "told": np.full(size, told)}
            for name, values in (columns | rest).items():
                self.actions[name].append(values)


def run(memory: Memory, ticks: Iterable[Tick]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Go through the ticks, oldest first; `memory` is changed on the way.

    Returns:
        Rows of RUN_ALERT_LOG, one an inverter or plant and tick at which something changed; ACTIONS.
    """
    record = Record()
    for tick in ticks:
        advance(memory, tick, record)
    logs = [RUN_ALERT_LOG.schema.to_frame()]
    if record.inverters:
        logs.append(log_frame(_joined(record.inverters)))
    if record.plants:
        logs.append(plant_frame(_joined(record.plants)))
    return pl.concat(logs).sort(RUN_ALERT_LOG.key), _actions(record)


def advance(memory: Memory, tick: Tick, record: Record) -> None:
    """One tick: states, then the events of plants, then those of inverters, then what is to be written down."""
    before, flapped = memory.state.copy(), memory.flapping.copy()
    notice = _change_states(memory, tick, record)
    group = _change_plants(memory, tick, record)
    changed = _change_events(memory, tick, group, record)
    dirty = (memory.state != before) | (memory.flapping != flapped) | changed
    if dirty.any():
        for name, values in inverter_rows(memory, dirty, tick.at, notice).items():
            record.inverters[name].append(values)


def next_state(memory: Memory, tick: Tick) -> Codes:
    """The state of each inverter after the tick; a blackout outlasts silence, and what does not generate stays so."""
    seen, state = tick.observed, memory.state
    long_enough = (state == State.STOPPED) & tick.daylight & (tick.at - memory.since >= STOPPED_FOR)
    stopped = np.where((state == State.NOT_GENERATING) | long_enough, State.NOT_GENERATING, State.STOPPED)
    silent = np.where(state == State.BLACKOUT, State.BLACKOUT, State.COMM_ERROR)
    cases = [seen == State.RUNNING, seen == State.STOPPED, seen == SILENT, seen == State.BLACKOUT, seen == ABSENT]
    return np.select(cases, [State.RUNNING, stopped, silent, State.BLACKOUT, State.NEW], state).astype(np.int32)


def _change_states(memory: Memory, tick: Tick, record: Record) -> Codes:
    """Bring states, flapping and notices up to the tick; returns the notices (n)."""
    old, new = memory.state, next_state(memory, tick)
    changed = new != old
    absent = tick.observed == ABSENT
    known = changed & (old != State.NEW) & ~absent
    _count(memory, tick, known & ~_by_the_sun(old, new, tick.low_sun))
    memory.flapping &= ~absent
    memory.recent[absent] = np.datetime64("NaT")
    memory.state = new
    memory.since = np.where(changed, tick.at, memory.since)

    free = known & ~memory.flapping
    started = free & (new == State.RUNNING) & ~memory.is_run
    stopped = free & (new == State.STOPPED) & memory.is_run
    runs = (new == State.RUNNING) | ((new == State.COMM_ERROR) & memory.is_run)
    memory.is_run = np.where(changed, runs, memory.is_run)
    told = ~tick.low_sun | ~(memory.stop_told_on == tick.day)
    memory.stop_told_on = np.where(stopped & tick.low_sun, tick.day, memory.stop_told_on)
    memory.stop_told_on[absent] = np.datetime64("NaT")
    notice = np.select([started, stopped], [STARTED, STOPPED], 0).astype(np.int32)
    _raise(record, memory, tick.at, notice, told)
    return notice


def _by_the_sun(old: Codes, new: Codes, low_sun: Flags) -> Flags:
    """Whether a transition only says that the sun rises or sets."""
    ordinary = (State.RUNNING, State.STOPPED)
    return low_sun & np.isin(old, ordinary) & np.isin(new, ordinary)


def _count(memory: Memory, tick: Tick, transitions: Flags) -> None:
    """Remember transitions; flapping begins with the fifth within an hour and ends after an hour without any."""
    older = memory.recent[transitions, : REMEMBERED - 1]
    memory.recent[transitions] = np.column_stack([np.full(len(older), tick.at), older])
    many = transitions & (tick.at - memory.recent[:, -1] < FLAP_WITHIN)
    lately = tick.at - memory.recent[:, 0] < FLAP_WITHIN
    memory.flapping = many | (memory.flapping & lately)


def _faults(memory: Memory) -> Codes:
    """The type of each inverter's fault, 0 where it has none; while it flaps, that is its fault."""
    return np.where(memory.flapping, FLAPPING, FAULT_OF[memory.state]).astype(np.int32)


def _change_plants(memory: Memory, tick: Tick, record: Record) -> Codes:
    """Close and open the events of plants; returns the type of each plant's event (p)."""
    here, fault = tick.observed != ABSENT, _faults(memory)
    smallest = np.minimum.reduceat(np.where(here, fault, np.iinfo(np.int32).max), memory.first)
    largest = np.maximum.reduceat(np.where(here, fault, 0), memory.first)
    count = np.add.reduceat(here.astype(np.int32), memory.first)
    group = np.where((smallest == largest) & (count >= FEWEST_GROUPED), largest, 0).astype(np.int32)
    changed = group != memory.plant_event
    if not changed.any():
        return group
    for action, which in (("cleared", changed & (memory.plant_event != 0)), ("raised", changed & (group != 0))):
        if action == "raised":
            memory.plant_event = group
            memory.plant_event_at = np.where(group == 0, np.datetime64("NaT"), memory.plant_event_at)
            memory.plant_event_at[which] = tick.at
        columns = {"mcno": memory.plants[which], "type": memory.plant_event[which], "inverters": count[which]}
        nought = np.full(int(which.sum()), PLANT, np.int32)
        record.act(action, True, tick.at, invno=nought, raised_at=memory.plant_event_at[which], **columns)
    for name, values in {"mcno": memory.plants, "at": np.full(len(group), tick.at), "type": group}.items():
        record.plants[name].append(values[changed])
    return group


def _change_events(memory: Memory, tick: Tick, group: Codes, record: Record) -> Flags:
    """Close and open the events of inverters; returns whose event is another now.

    An event is merged into its plant's of the same type, of which the same people hear. One that flapping takes the
    place of is cleared: others hear of that.

    Args:
        memory: the states; its events change.
        tick: the tick.
        group: type of each plant's event, which stands for those of its inverters.
        record: takes the actions.
    """
    of_plant = group[memory.plant_of]
    wanted = np.where(of_plant != 0, 0, _faults(memory)).astype(np.int32)
    changed = wanted != memory.event_type
    closing = changed & (memory.event_type != 0)
    merged = closing & (of_plant == memory.event_type)
    _close(record, memory, tick.at, "merged", merged)
    _close(record, memory, tick.at, "cleared", closing & ~merged)
    memory.event_type = wanted
    memory.event_at = np.where(changed, np.where(wanted != 0, tick.at, np.datetime64("NaT")), memory.event_at)
    _raise(record, memory, tick.at, np.where(changed, wanted, 0).astype(np.int32), np.ones(len(changed), np.bool_))
    return np.asarray(changed, np.bool_)


def _raise(record: Record, memory: Memory, at: np.datetime64, types: Codes, told: Flags) -> None:
    """Events of inverters that begin at `at`: `types` (n), 0 where none does."""
    which = types != 0
    size = int(which.sum())
    keys = {"mcno": memory.mcno[which], "invno": memory.invno[which], "type": types[which]}
    ones = np.ones(size, np.int32)
    record.act("raised", told[which], at, raised_at=np.full(size, at), inverters=ones, **keys)


def _close(record: Record, memory: Memory, at: np.datetime64, action: str, which: Flags) -> None:
    keys = {"mcno": memory.mcno[which], "invno": memory.invno[which], "type": memory.event_type[which]}
    ones = np.ones(int(which.sum()), np.int32)
    record.act(action, action == "cleared", at, raised_at=memory.event_at[which], inverters=ones, **keys)


def _joined(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    return {name: np.concatenate(values) for name, values in columns.items()}


def _actions(record: Record) -> pl.DataFrame:
    if not record.actions:
        return ACTIONS.to_frame()
    frame = pl.DataFrame(_joined(record.actions))
    times = [pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC") for name in ("raised_at", "at")]
    return frame.with_columns(times).select(ACTIONS.names()).cast(ACTIONS)
