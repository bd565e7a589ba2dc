"""The rule: a counter's good readings to energy of slots, exactly as MyEMS counts, and why each slot has its value.

Everything is arrays over all meters at once: instants are whole seconds since 1970 (UTC), values are units of 10^-6
(see `exact`). Cutting a range at any slot boundary gives the same rows, as the state at a slot's end, which `Hours`
returns, is all that the next slot needs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wattline.meters.exact import UNIT, Units, rounded, summable
from wattline.meters.tables import REASONS

Numbers = npt.NDArray[np.int64]
Mode = Literal["strict", "recover"]

NEVER = -(2**62)
"""The time of the reading before, where there is none."""
SMALLEST_BASE = UNIT // 10
"""A counter that starts at 0.1 or less counts nothing: it may have been reset."""
_CODE = {reason: code for code, reason in enumerate(REASONS)}
_HOUR = 3600
_JITTER = 100


@dataclass(frozen=True)
class Meters:
    """What the rule must know of each meter; arrays of one length.

    Attributes:
        first_slot: start of the meter's first slot.
        slots: how many slots it has.
        base: the newest good reading before the first slot; 0 where there is none or it is not positive.
        base_at: when that was read, or NEVER.
        low: hourly low limit, inclusive.
        high: hourly high limit, inclusive.
        modulus: the counter's states are below it; 0 where that is not known.
    """

    first_slot: Numbers
    slots: Numbers
    base: Units
    base_at: Numbers
    low: Units
    high: Units
    modulus: Units


@dataclass(frozen=True)
class Readings:
    """Good readings of the meters' slots, ordered by meter, time and id; arrays of one length.

    Attributes:
        meter: place of the meter in `Meters`.
        at: when it was read.
        value: the counter.
    """

    meter: Numbers
    at: Numbers
    value: Units


@dataclass(frozen=True)
class Hours:
    """One element a slot, meter by meter, in the order of time; the names are those of the table QUALITY.

    Attributes:
        meter: place of the meter in `Meters`.
        start: start of the slot.
        outcome: place in REASONS.
        raw_increment: sum of the rises.
        rolled_over: what roll-overs add; 0 in strict mode.
        fall: sum of the falls; raw_increment = last_value - initial_value + fall.
        readings: good readings in the slot.
        initial_value: the counter before the slot's first reading; never negative.
        last_value: the counter at the slot's end; never negative. It is the base of the next slot.
        last_at: when that was read, or NEVER.
        actual_value: the slot's energy.
    """

    meter: Numbers
    start: Numbers
    outcome: npt.NDArray[np.int8]
    raw_increment: Units
    rolled_over: Units
    fall: Units
    readings: Numbers
    initial_value: Units
    last_value: Units
    last_at: Numbers
    actual_value: Units

    def take(self, places: npt.NDArray[Any]) -> Hours:
        """Some of the slots."""
        return Hours(**{each.name: getattr(self, each.name)[places] for each in fields(self)})


def hours(meters: Meters, readings: Readings, seconds: int, mode: Mode = "strict", places: int = 6) -> Hours:
    """The energy of every slot.

    Args:
        meters: the meters, each with the slots to compute.
        readings: their good readings within those slots.
        seconds: length of a slot, 3600 or 1800.
        mode: strict gives MyEMS's rows; recover keeps the energy of a gap that the limits allow, and counts roll-overs.
        places: decimal places of the hourly table.
    """
    steps = _steps(meters, readings, seconds, mode)
    slot_meter = np.repeat(np.arange(len(meters.slots)), meters.slots)
    offset = np.cumsum(meters.slots) - meters.slots
    start = meters.first_slot[slot_meter] + (np.arange(len(slot_meter)) - offset[slot_meter]) * seconds
    slots = _filled(meters, steps, slot_meter, offset)
    outcome = _outcome(meters, slots, slot_meter, start, seconds=seconds, mode=mode)
    kept = np.isin(outcome, [_CODE[each] for each in ("measured", "spans_gap", "counter_reset")])
    counted = np.where(kept, slots.raw + slots.rolled, 0)
    return Hours(
        meter=slot_meter,
        start=start,
        outcome=outcome,
        raw_increment=slots.raw,
        rolled_over=slots.rolled,
        fall=slots.fall,
        readings=slots.readings,
        initial_value=slots.initial,
        last_value=slots.last,
        last_at=slots.last_at,
        actual_value=rounded(counted, places),
    )


@dataclass(frozen=True)
class _Steps:
    """From one reading to the next: what the counter did, and where slots begin."""

    value: Units
    at: Numbers
    prior_at: Numbers
    rise: Units
    fall: Units
    rolled: Units
    reset: npt.NDArray[np.bool_]
    """Whether the counter fell by more than a hundredth: less is jitter of its last digits."""
    starts: Numbers
    """Places of the first reading of each slot that has one."""
    slot: Numbers
    """The slots that have readings, as places among all slots."""


@dataclass(frozen=True)
class _Slots:
    raw: Units
    rolled: Units
    fall: Units
    reset: npt.NDArray[np.bool_]
    readings: Numbers
    initial: Units
    last: Units
    last_at: Numbers
    before_at: Numbers
    """When the newest reading before the slot was read, or NEVER."""


def _steps(meters: Meters, readings: Readings, seconds: int, mode: Mode) -> _Steps:
    meter, at = readings.meter, readings.at
    offset = np.cumsum(meters.slots) - meters.slots
    slot = offset[meter] + (at - meters.first_slot[meter]) // seconds
    opens = np.diff(slot, prepend=-1) != 0
    starts = np.flatnonzero(opens)
    most = int(np.diff(starts, append=len(slot)).max(initial=0)) + 1
    value = summable(readings.value, most)
    first = np.flatnonzero(np.diff(meter, prepend=-1) != 0)
    prior, prior_at = np.roll(value, 1), np.roll(at, 1)
    prior[first] = meters.base[meter[first]].astype(value.dtype)
    prior_at[first] = meters.base_at[meter[first]]
    # A slot begins with what another run would take for its base.
    prior[starts] = np.maximum(prior[starts], 0)
    change = value - prior
    rolled = np.zeros_like(value)
    if mode == "recover":
        wrapped = np.flatnonzero((change < 0) & (meters.modulus[meter] > 0))
        for place in wrapped.tolist():
            rolled[place] = _rolled(
                meters,
                int(meter[place]),
                int(prior[place]),
                int(value[place]),
                max(int(at[place] - prior_at[place]), seconds),
            )
    rise, fall = np.maximum(change, 0), np.maximum(-change, 0)
    reset = np.asarray(fall > prior // _JITTER, dtype=bool)
    return _Steps(value, at, prior_at, rise, fall, rolled, reset, starts, slot[starts])


def _rolled(meters: Meters, meter: int, prior: int, value: int, seconds: int) -> int:
    """The energy of a fall that is a roll-over: one that the high limit allows in the time that it took; else 0."""
    modulus = int(meters.modulus[meter])
    energy = modulus - prior + value
    possible = value >= 0 and prior < modulus and energy * _HOUR <= int(meters.high[meter]) * seconds
    return energy if possible else 0


def _filled(meters: Meters, steps: _Steps, slot_meter: Numbers, offset: Numbers) -> _Slots:
    """Sums of the readings by slot, and the state of the counter at every slot's end, with readings or without."""
    count, kind = len(slot_meter), steps.value.dtype

    def sums(each: Units) -> Units:
        total = np.zeros(count, dtype=kind)
        if len(steps.starts):
            total[steps.slot] = np.add.reduceat(each, steps.starts)
        return total

    readings = np.zeros(count, dtype=np.int64)
    readings[steps.slot] = np.diff(steps.starts, append=len(steps.value))
    ends = steps.starts + readings[steps.slot] - 1
    newest = np.full(count, -1, dtype=np.int64)
    newest[steps.slot] = np.arange(len(steps.slot))
    newest = np.maximum.accumulate(newest) if count else newest
    own = newest >= 0
    own[own] = steps.slot[newest[own]] >= offset[slot_meter[own]]
    last, last_at = meters.base[slot_meter].astype(kind), meters.base_at[slot_meter].copy()
    last[own] = np.maximum(steps.value[ends[newest[own]]], 0)
    last_at[own] = steps.at[ends[newest[own]]]
    initial, before_at = np.roll(last, 1), np.roll(last_at, 1)
    begins = offset[meters.slots > 0]
    initial[begins] = meters.base[meters.slots > 0]
    before_at[begins] = meters.base_at[meters.slots > 0]
    fall = sums(steps.fall)
    # As the next slot begins at zero where a counter is below it, so far does this slot's fall reach.
    fall[steps.slot] -= np.maximum(-steps.value[ends], 0)
    reset = np.zeros(count, dtype=bool)
    if len(steps.starts):
        reset[steps.slot] = np.logical_or.reduceat(steps.reset, steps.starts)
    return _Slots(sums(steps.rise), sums(steps.rolled), fall, reset, readings, initial, last, last_at, before_at)


def _outcome(
    meters: Meters, slots: _Slots, slot_meter: Numbers, start: Numbers, *, seconds: int, mode: Mode
) -> npt.NDArray[np.int8]:
    """Which case each slot is, the first that holds."""
    counted = slots.raw + slots.rolled
    below, above = _beyond(meters, slots, slot_meter, counted, seconds=seconds, mode=mode)
    cases = {
        "no_readings": slots.readings == 0,
        "base_too_small": slots.initial <= SMALLEST_BASE,
        "below_low_limit": below,
        "above_high_limit": above,
        "counter_reset": slots.reset,
        "spans_gap": slots.before_at < start - seconds,
    }
    codes = [np.int8(_CODE[case]) for case in cases]
    chosen = np.select([np.asarray(case, dtype=bool) for case in cases.values()], codes, np.int8(_CODE["measured"]))
    return chosen.astype(np.int8)


def _beyond(
    meters: Meters, slots: _Slots, slot_meter: Numbers, counted: Units, *, seconds: int, mode: Mode
) -> tuple[Any, Any]:
    """Which slots count too little and too much."""
    low, high = meters.low[slot_meter], meters.high[slot_meter]
    if mode == "strict":
        return counted < low, counted > high
    # Products of limits and seconds need more than 64 bits.
    span = np.where(slots.before_at == NEVER, seconds, np.maximum(slots.last_at - slots.before_at, seconds))
    hourly = counted.astype(object) * _HOUR
    return hourly < low.astype(object) * seconds, hourly > high.astype(object) * span.astype(object)
