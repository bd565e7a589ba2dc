"""The rule of cleaning for one point, in plain loops, as `wattline.meters.cleaning` words it. The oracle of its tests.

It is written for reading, not for speed. A line is a list of (second, value) in the order of time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import NamedTuple

Line = list[tuple[int, int]]


class Terms(NamedTuple):
    """`patience` and `until` in seconds; `rate`, the largest rise in a second, or None."""

    patience: int
    until: int
    rate: int | None = None


@dataclass
class _Runs:
    """Spikes and dips; the place after a dip is where its line is met again."""

    spikes: list[range] = field(default_factory=list)
    dips: list[range] = field(default_factory=list)

    def marks(self) -> dict[int, str]:
        """Place → reason. A dip does not come back to a spike; a reading in a dip and in a spike is one of the dip."""
        spikes = dict.fromkeys(chain.from_iterable(self.spikes), "spike")
        dips = [dip for dip in self.dips if dip.stop not in spikes]
        return spikes | dict.fromkeys(chain.from_iterable(dips), "dip")


@dataclass
class _Look:
    """What one look at the line finds; falls that one cause fits are apart from those of two."""

    sure: _Runs = field(default_factory=_Runs)
    chosen: _Runs = field(default_factory=_Runs)
    waiting: set[int] = field(default_factory=set)


def reasons(line: Line, terms: Terms) -> list[str | None]:
    """Per reading: dip, spike, too_fast, undecided, or None where it is good."""
    found: list[str | None] = [None] * len(line)
    left = list(range(len(line)))
    while True:
        rest = [line[place] for place in left]
        look = _Look()
        _falls(rest, terms, look)
        marks = look.sure.marks() or look.chosen.marks()
        if not marks and terms.rate is not None:
            marks = _rises(rest, terms, terms.rate, look)
        if not marks:
            break
        for place, reason in marks.items():
            found[left[place]] = reason
        left = [each for place, each in enumerate(left) if place not in marks]
    for place in look.waiting:
        if terms.until - rest[place][0] < 2 * terms.patience:
            found[left[place]] = "undecided"
    return found


def _falls(line: Line, terms: Terms, look: _Look) -> None:
    for fall in range(len(line) - 1):
        if line[fall + 1][1] >= line[fall][1]:
            continue
        back, growing = _return_of_dip(line, fall, terms)
        before = _line_before_spike(line, fall, terms)
        dip = range(fall + 1, len(line) if growing else back or 0)
        spike = range(fall + 1 if before is None else before + 1, fall + 1)
        if not growing and back is None:
            look.sure.spikes.append(spike)
        elif back and not spike and len(line) - back < back - fall and terms.until - line[fall][0] < terms.patience:
            look.waiting.update(dip)
        elif not growing and not spike:
            look.sure.dips.append(dip)
        elif growing and spike and len(spike) <= len(dip):
            look.sure.spikes.append(spike)
        elif growing or back is None:
            look.waiting.update(spike, dip)
        elif len(spike) <= len(dip):
            look.chosen.spikes.append(spike)
        elif len(line) - back <= len(spike) and terms.until - line[back][0] < terms.patience:
            look.waiting.update(spike, dip)
        else:
            look.chosen.dips.append(dip)


def _rises(line: Line, terms: Terms, rate: int, look: _Look) -> dict[int, str]:
    found: dict[int, str] = {}
    for start in range(len(line) - 1):
        (second, value), (next_second, top) = line[start], line[start + 1]
        if top - value <= rate * (next_second - second):
            continue
        for place in range(start + 2, len(line)):
            if not _short(line, start, place, terms):
                break
            if line[place][1] - value <= rate * (line[place][0] - second):
                if 2 * (top - line[place][1]) >= top - value:
                    found.update(dict.fromkeys(range(start + 1, place), "too_fast"))
                break
        else:
            if terms.until - second < terms.patience:
                look.waiting.update(range(start + 1, len(line)))
    return found


def _return_of_dip(line: Line, fall: int, terms: Terms) -> tuple[int | None, bool]:
    """Where a dip from `fall` on would end, if it does and may; or whether it may still be going on."""
    values = [value for _, value in line]
    for place in range(fall + 2, len(line)):
        if not _short(line, fall, place, terms):
            return None, False
        if values[place] >= values[fall]:
            jump = max(values[each] - values[each - 1] for each in range(fall + 2, place + 1))
            depth = values[fall] - min(values[fall + 1 : place])
            return (place if 2 * jump >= depth else None), False
    return None, terms.until - line[fall][0] < terms.patience


def _line_before_spike(line: Line, fall: int, terms: Terms) -> int | None:
    """The last reading before a spike that would end at `fall`, if there may be one."""
    values = [value for _, value in line]
    for place in range(fall - 1, -1, -1):
        if not _short(line, place, fall + 1, terms):
            return None
        if values[place] <= values[fall + 1]:
            jump = max(values[each] - values[each - 1] for each in range(place + 1, fall + 1))
            height = max(values[place + 1 : fall + 1]) - values[fall + 1]
            return place if 2 * jump >= height else None
    return None


def _short(line: Line, first: int, last: int, terms: Terms) -> bool:
    seconds = [second for second, _ in line[first : last + 1]]
    silences = [later - earlier for earlier, later in pairwise(seconds)]
    span = seconds[-1] - seconds[0]
    return span <= 2 * terms.patience and span - max(silences) <= terms.patience
