"""The simulated meters of a MyEMS installation: each of the first ones shows one thing that happens in the field.

Everything follows from the seed. Energies are whole units of 10^-6 kWh (see `exact`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from wattline.meters.exact import UNIT

FIRST_POINT = 100_001
"""The point of meter 1; no number of a point is that of a meter, so that one taken for the other shows."""
POINT_LIMIT = 10**9 * UNIT
"""The high limit of every point: a reading above is no reading."""


class Show(StrEnum):
    """What a meter shows, in the order of the meters' numbers."""

    NORMAL = "normal load"
    OFFLINE = "offline over night"
    OUTAGE = "outage with more energy than the high limit allows"
    RESET = "counter set back to zero"
    ROLL_OVER = "counter rolls over"
    USED = "used meter is put in"
    BAD_ZEROES = "run of zeroes, judged bad"
    UNCHECKED_TAIL = "newest readings not judged"
    JITTER = "jitter in the last digits"
    SPIKES = "spikes, not judged"
    DIPS = "dips to zero, not judged"
    ABOVE = "hour above the high limit"
    BELOW = "hours below the low limit, and without energy"
    FLOAT32 = "counter of float32"
    SILENT = "no readings"
    BAD = "all readings judged bad"


@dataclass(frozen=True)
class DemoMeter:
    """One simulated meter; energies are units of 10^-6 kWh.

    Attributes:
        number: its id in MyEMS, from 1.
        shows: what happens to it.
        rate: mean energy of an hour.
        first: the counter when the world begins.
        step: resolution of the counter.
        low: hourly low limit.
        high: hourly high limit.
        modulus: the counter's states are below it; 0 where it never rolls over.
        max_rate: most that it can rise in an hour; 0 where nobody knows.
    """

    number: int
    shows: Show
    rate: int
    first: int
    step: int
    low: int
    high: int
    modulus: int = 0
    max_rate: int = 0

    @property
    def point(self) -> int:
        """The id of its point of type ENERGY_VALUE."""
        return FIRST_POINT - 1 + self.number


def demo_meters(count: int, seed: int) -> tuple[DemoMeter, ...]:
    """The first `count` meters of the world `seed`: one for each Show, and normal ones from there on.

    A meter does not depend on `count`.
    """
    shows = [*Show, *[Show.NORMAL] * count]
    return tuple(_meter(number, shows[number - 1], seed) for number in range(1, count + 1))


def chance(seed: int, *keys: Any) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) by the keys' common shape: the same for the same seed and keys, whatever else is asked for.

    The keys, integers or arrays of them, are mixed in by the finaliser of SplitMix64.
    """
    state = np.full(1, seed, np.uint64)
    for key in keys:
        state = (state + np.asarray(key).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return np.asarray((state >> np.uint64(11)) / 2.0**53)


def _meter(number: int, shows: Show, seed: int) -> DemoMeter:
    drawn = chance(seed, number, np.array([11, 12]))
    values: dict[str, int] = {
        "rate": round(2 + 78 * drawn[0]) * UNIT,
        "first": round(1_000 + 2_000_000 * drawn[1]) * UNIT,
        "step": UNIT // 100,
        "low": 0,
    }
    values |= _SPECIAL.get(shows, {})
    values.setdefault("high", 3 * values["rate"])
    return DemoMeter(number, shows, **values)


_SPECIAL: dict[Show, dict[str, int]] = {
    Show.OFFLINE: {"rate": 40 * UNIT, "high": 4_000 * UNIT},
    Show.OUTAGE: {"rate": 40 * UNIT, "high": 100 * UNIT},
    Show.ROLL_OVER: {"rate": 600 * UNIT, "first": 9_000 * UNIT, "step": UNIT, "modulus": 10_000 * UNIT},
    Show.USED: {"rate": 20 * UNIT, "first": 56_842_000 * UNIT, "step": UNIT},
    Show.BAD_ZEROES: {"first": 1_103_300 * UNIT, "step": UNIT // 4},
    Show.JITTER: {"rate": UNIT * 3 // 10, "step": UNIT // 1000},
    Show.SPIKES: {"rate": 30 * UNIT, "max_rate": 90 * UNIT},
    Show.DIPS: {"rate": 30 * UNIT, "max_rate": 90 * UNIT},
    Show.BELOW: {"rate": 40 * UNIT, "low": UNIT},
    Show.FLOAT32: {"rate": 8 * UNIT, "first": 999_900 * UNIT, "step": 1},
}
