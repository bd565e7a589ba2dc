"""The rule of hourly energy, row by row: one meter, plain loops, exact decimals. The oracle of tests and benchmarks.

It is written for reading, not for speed. Steps and names follow the specification of meters, section 2. Instants are
UTC; values are in the unit of the counter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import NamedTuple

ZERO = Decimal(0)
SMALLEST_BASE = Decimal("0.1")
"""A slot that begins at or below it counts nothing."""
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
"""Enough digits for any sum of DECIMAL(21,6); its rounding is half away from zero, below zero too."""


class Reading(NamedTuple):
    """A row of `tbl_energy_value`. `is_bad` is true, false, or None where nobody checked it; 1 and 0 do as well."""

    id: int
    at: datetime
    value: Decimal
    is_bad: bool | None = False


class Outcome(NamedTuple):
    """One slot: the counter before its first reading, what it rose by, and the energy that the rule makes of it."""

    initial: Decimal
    increment: Decimal
    energy: Decimal


def slots_of(
    newest_row: datetime | None, start: datetime, now: datetime, minutes_to_count: int, minutes_to_clean: int
) -> tuple[datetime, int]:
    """The first slot to compute, and how many: whole ones only, 0 where it is too early.

    Args:
        newest_row: start of the meter's newest hourly row, None where it has none.
        start: where a meter without rows begins; its minute and second do not count.
        now: the present.
        minutes_to_count: length of a slot.
        minutes_to_clean: how long readings are left to be cleaned.
    """
    slot = timedelta(minutes=minutes_to_count)
    if newest_row is None:
        first_slot = start.replace(minute=0, second=0, microsecond=0)
    else:
        first_slot = newest_row.replace(second=0, microsecond=0) + slot
    end = now - timedelta(minutes=minutes_to_clean)
    return first_slot, max((end - first_slot) // slot, 0)


def base_of(readings: Iterable[Reading], first_slot: datetime) -> Decimal:
    """The newest good reading strictly before the first slot, however old; 0 where there is none or it is negative."""
    before = [reading for reading in _good(readings) if reading.at < first_slot]
    return max(before[-1].value, ZERO) if before else ZERO


def outcomes(
    readings: Iterable[Reading],
    base: Decimal,
    first_slot: datetime,
    slots: int,
    *,
    minutes: int = 60,
    low: Decimal,
    high: Decimal,
    scale: int = 6,
) -> list[Outcome]:
    """As `hours`, with what led there. Increments are as long as they are; the energy has `scale` places."""
    waiting = deque(reading for reading in _good(readings) if reading.at >= first_slot)
    result = []
    previous = base
    with localcontext(_EXACT):
        for number in range(slots):
            slot_end = first_slot + timedelta(minutes=minutes * (number + 1))
            initial = previous
            increment = ZERO
            while waiting and waiting[0].at < slot_end:
                value = waiting.popleft().value
                if value > previous:
                    increment += value - previous
                previous = value
            energy = _counted(initial, increment, low, high).quantize(Decimal(1).scaleb(-scale))
            result.append(Outcome(initial, increment, energy))
    return result


def hours(
    readings: Iterable[Reading],
    base: Decimal,
    first_slot: datetime,
    slots: int,
    *,
    minutes: int = 60,
    low: Decimal,
    high: Decimal,
    scale: int = 6,
) -> list[Decimal]:
    """The energy of `slots` slots of `minutes` from `first_slot` on, zeroes included.

    Args:
        readings: of one meter, in any order, good and bad; those outside the slots do not count.
        base: the counter before the first slot, as `base_of` finds it.
        first_slot: start of the first slot.
        slots: how many.
        minutes: length of a slot.
        low: `hourly_low_limit`; a slot with less counts 0.
        high: `hourly_high_limit`; a slot with more counts 0.
        scale: decimal places of the hourly table.
    """
    rows = outcomes(readings, base, first_slot, slots, minutes=minutes, low=low, high=high, scale=scale)
    return [row.energy for row in rows]


def _good(readings: Iterable[Reading]) -> list[Reading]:
    """Those that are known to be good, in the order in which they count: by time, in one second by id."""
    good = [reading for reading in readings if reading.is_bad is not None and not reading.is_bad]
    return sorted(good, key=lambda reading: (reading.at, reading.id))


def _counted(initial: Decimal, increment: Decimal, low: Decimal, high: Decimal) -> Decimal:
    """What of a slot's increment counts: the first limit that is broken makes it 0."""
    if initial <= SMALLEST_BASE:
        return ZERO
    if increment < low:
        return ZERO
    if increment > high:
        return ZERO
    return increment
