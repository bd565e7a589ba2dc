"""Where counters leave their line and come back to it: the search behind cleaning, on plain arrays, all points at once.

The rule is written down in `wattline.meters.cleaning`. Here a *fall* is a reading that is lower than the one before it,
and a *run* the readings between the one where the line is left and the one where it is met again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Kinds = npt.NDArray[np.int8]

DIP, SPIKE, TOO_FAST = 1, 2, 3
"""What a reading is marked with; 0 is a reading that belongs to the line."""
NO_RATE = -1
_MANY = 64


@dataclass(frozen=True)
class Line:
    """Readings by point, within a point by time.

    Attributes:
        point: number of the point, counted from 0 in the order of the readings.
        seconds: when, UTC, any origin.
        value: the counter; at most ±2e18.
        rates: per number of a point how much the counter can rise in a second, at most 1e10; NO_RATE where unknown.
    """

    point: Numbers
    seconds: Numbers
    value: Numbers
    rates: Numbers

    def take(self, places: Numbers) -> Line:
        """The readings at `places`, which ascend."""
        return Line(self.point[places], self.seconds[places], self.value[places], self.rates)


@dataclass(frozen=True)
class Terms:
    """When a run is decided.

    Attributes:
        until: second up to which the readings have arrived.
        patience: how long a run may last, in seconds.
    """

    until: int
    patience: int


def find(line: Line, terms: Terms) -> tuple[Kinds, Flags]:
    """What is off the line, and what cannot be said yet.

    What is found is taken out, and its point looked at again, until nothing more is found. So runs within runs and
    runs side by side come out, and a second look at what is left finds nothing.

    Returns:
        Per reading 0, DIP, SPIKE or TOO_FAST; and whether later readings have to tell.
    """
    kind = np.zeros(line.point.size, np.int8)
    waiting = np.zeros(line.point.size, np.bool_)
    left = np.arange(line.point.size)
    while left.size:
        part = line.take(left)
        kind[left], waiting[left] = _once(part, terms)
        moved = np.zeros(line.rates.size, np.bool_)
        moved[part.point[kind[left] > 0]] = True
        left = left[moved[part.point] & (kind[left] == 0)]
    return kind, waiting & (kind == 0) & (terms.until - line.seconds < 2 * terms.patience)


def _once(line: Line, terms: Terms) -> tuple[Kinds, Flags]:
    """One look: falls first; rises that are too fast only at points where no fall was settled."""
    kind, waiting = _falls(line, terms)
    if (line.rates >= 0).any():
        settled = np.zeros(line.rates.size, np.bool_)
        settled[line.point[kind > 0]] = True
        fast, undecided = _rises(line, terms)
        free = ~settled[line.point]
        kind[fast & free] = TOO_FAST
        waiting |= undecided & free
    return kind, waiting


def _falls(line: Line, terms: Terms) -> tuple[Kinds, Flags]:
    size = line.point.size
    kind = np.zeros(size, np.int8)
    at = np.flatnonzero((np.diff(line.value) < 0) & (np.diff(line.point) == 0))
    if not at.size:
        return kind, np.zeros(size, np.bool_)
    down = _Track(line.point, line.seconds, line.value).follow(at, terms.patience)
    # A spike is a dip of the line that is read backwards and upside down.
    turned = _Track(line.point[-1] - line.point[::-1], -line.seconds[::-1], -line.value[::-1])
    up = turned.follow(size - 2 - at, terms.patience)
    spike, dip, waiting = _causes(line, at, down, up, terms)
    first = size - 1 - up.last
    kind[_between(size, first[spike], at[spike])] = SPIKE
    # A spike is nothing to come back to: what lies before it is looked at again without it.
    dip &= kind[np.minimum(down.last + 1, size - 1)] != SPIKE
    kind[_between(size, at[dip] + 1, down.last[dip])] = DIP
    either = waiting & up.is_run
    undecided = _between(size, at[waiting] + 1, down.last[waiting]) | _between(size, first[either], at[either])
    return kind, undecided


def _causes(line: Line, at: Numbers, down: _Runs, up: _Runs, terms: Terms) -> tuple[Flags, Flags, Flags]:
    """Per fall: whether it ends a spike, whether it begins a dip, whether that cannot be said yet."""
    shorter = up.count <= down.count
    recent = terms.until - line.seconds[at] < terms.patience
    growing = down.is_open & _newest(line)[down.last] & recent
    only_spike = up.is_run & ~down.is_run & (~growing | shorter)
    both = up.is_run & down.is_run
    # The return may itself be the beginning of a spike; once it has lasted longer than the other run, it is none.
    back = np.minimum(down.last + 1, line.point.size - 1)
    lasted = np.searchsorted(line.point, line.point[at], side="right") - back
    returning = down.is_run & ~up.is_run & (lasted <= down.count) & recent
    only_dip = down.is_run & ~up.is_run & ~returning
    young = both & ~shorter & (lasted <= up.count) & (terms.until - line.seconds[back] < terms.patience)
    # What has one cause only is settled first: it may take the other cause away from its neighbours.
    settled = np.zeros(line.rates.size, np.bool_)
    settled[line.point[at[only_spike | only_dip]]] = True
    free = ~settled[line.point[at]]
    spike = only_spike | (both & shorter & free)
    dip = only_dip | (both & ~shorter & ~young & free)
    return spike, dip, (growing & ~only_spike) | young | returning


def _rises(line: Line, terms: Terms) -> tuple[Flags, Flags]:
    """Readings after a rise that no meter can make, up to the fall that takes it back; and those still without one."""
    size, rate = line.point.size, line.rates[line.point]
    above = line.value - np.maximum(rate, 0) * (line.seconds - line.seconds.min())
    at = np.flatnonzero((np.diff(above) > 0) & (np.diff(line.point) == 0) & (rate[1:] >= 0))
    runs = _Track(line.point, line.seconds, -above).follow(at, terms.patience)
    back = np.minimum(runs.last + 1, size - 1)
    jump, fall = line.value[at + 1] - line.value[at], line.value[at + 1] - line.value[back]
    taken = runs.is_back & (fall >= jump - fall)
    undecided = runs.is_open & _newest(line)[runs.last] & (terms.until - line.seconds[at] < terms.patience)
    return (
        _between(size, at[taken] + 1, runs.last[taken]),
        _between(size, at[undecided] + 1, runs.last[undecided]),
    )


@dataclass(frozen=True)
class _Runs:
    """What became of each fall.

    Attributes:
        last: the last reading of its run.
        count: readings of the run.
        is_back: the line was met again in time.
        is_open: the readings ended before.
        by_jump: one rise on the way back is at least half of the run's depth.
    """

    last: Numbers
    count: Numbers
    is_back: Flags
    is_open: Flags
    by_jump: Flags

    @property
    def is_run(self) -> Flags:
        return self.is_back & self.by_jump


@dataclass(frozen=True)
class _Track:
    """Values over time, point by point."""

    point: Numbers
    seconds: Numbers
    value: Numbers

    def follow(self, at: Numbers, patience: int) -> _Runs:
        """Go on from each fall (the reading before it is at `at`) until the value is at least what it was there.

        Falls are few beside readings, and runs short: all go on in step, one reading at a time.
        """
        last = at + 1
        is_back, is_open, by_jump = (np.zeros(at.size, np.bool_) for _ in range(3))
        going = self._promising(at, patience)
        low, rise = self.value[last][going], np.zeros(going.size, np.int64)
        gap = (self.seconds[last] - self.seconds[at])[going]
        while going.size:
            here, top = last[going], at[going]
            there = np.minimum(here + 1, self.value.size - 1)
            ended = (here == there) | (self.point[there] != self.point[here])
            rise = np.maximum(rise, self.value[there] - self.value[here])
            gap = np.maximum(gap, self.seconds[there] - self.seconds[here])
            span = self.seconds[there] - self.seconds[top]
            over = (span > 2 * patience) | (span - gap > patience)
            back = ~ended & ~over & (self.value[there] >= self.value[top])
            is_open[going[ended]] = True
            is_back[going[back]] = True
            by_jump[going[back]] = (rise >= self.value[top] - low - rise)[back]
            on = ~(ended | over | back)
            going, low, rise, gap = going[on], np.minimum(low, self.value[there])[on], rise[on], gap[on]
            last[going] = there[on]
        return _Runs(last, last - at, is_back, is_open, by_jump)

    def _promising(self, at: Numbers, patience: int) -> Numbers:
        """Which falls may end: a counter that runs backwards has one with each reading, and none of them does."""
        if at.size * _MANY < self.value.size:
            return np.arange(at.size)
        ends = np.searchsorted(self.point, self.point[at], side="right") - 1
        span = int(np.ptp(self.seconds)) + 2 * patience + 1
        moment = self.point * span + (self.seconds - self.seconds.min())
        reach = np.minimum(np.searchsorted(moment, moment[at] + 2 * patience, side="right") - 1, ends)
        return np.flatnonzero((reach == ends) | (_highest(self.value, at + 1, reach) >= self.value[at]))


def _highest(value: Numbers, first: Numbers, last: Numbers) -> Numbers:
    """The largest value of each interval: the larger one of two, as long as a power of two, that cover it."""
    power = np.frexp(last - first + 1)[1] - 1
    found = np.empty(first.size, np.int64)
    for level in range(int(power.max(initial=0)) + 1):
        here = power == level
        found[here] = np.maximum(value[first[here]], value[last[here] - 2**level + 1])
        value = np.maximum(value[: -(2**level)], value[2**level :])
    return found


def _newest(line: Line) -> Flags:
    """Whether a reading is the newest of its point."""
    return np.append(np.diff(line.point) != 0, [True])


def _between(size: int, first: Numbers, last: Numbers) -> Any:
    """Which of `size` places lie in one of the intervals; both ends belong to them."""
    if not first.size:
        return np.zeros(size, np.bool_)
    steps = np.bincount(first, minlength=size + 1) - np.bincount(last + 1, minlength=size + 1)
    return np.cumsum(steps[:-1]) > 0
