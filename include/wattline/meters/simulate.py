"""Simulated readings of a MyEMS installation: counters by the minute, and what happens to them in the field.

Everything follows from the seed and from when the world began: whatever window is asked for, a reading is the same.
Energy is counted in whole units of 10^-6 kWh (see `exact`), and so exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import numpy as np
import numpy.typing as npt
import polars as pl

from wattline.meters.exact import UNIT, to_decimals
from wattline.meters.fleet import FIRST_POINT, POINT_LIMIT, DemoMeter, Show, chance
from wattline.meters.myems import READING
from wattline.window import Window

Numbers = npt.NDArray[np.int64]

UNCHECKED_TAIL = timedelta(hours=3)
"""How long before the end readings of Show.UNCHECKED_TAIL are not judged yet."""

_PROFILE = np.array(
    [0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.6, 0.9, 1.2, 1.4, 1.5, 1.5,
     1.3, 1.4, 1.5, 1.5, 1.4, 1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
)  # fmt: skip
"""Share of the mean power in each hour of the UTC day."""
_MINUTES = 60
_DAY_MINUTES = 1440
_GOOD, _BAD, _UNCHECKED = 0, 1, 2
_SPIKE = 40_000 * UNIT
_USED_AFTER = 6 * _MINUTES + 17
"""Minutes from the world's begin until the used meter is put in."""
_RESET_MINUTE = 10 * _MINUTES + 17


def readings(meters: Sequence[DemoMeter], seed: int, since: datetime, window: Window, until: datetime) -> pl.DataFrame:
    """What the meters were read in a window, one reading a minute, with a second or so of jitter.

    Args:
        meters: some of a world.
        seed: the world's.
        since: when the world began, a full hour in UTC; nothing is read before.
        window: by time of reading.
        until: where the world ends for now: nothing is read after, and the readings before are not judged yet.

    Returns:
        Rows of READING in the order in which a gateway inserts them: by time, then point.
    """
    begin, end = max(window.start, since), min(window.end, until)
    if begin >= end:
        return READING.schema.to_frame()
    world = _World(seed, _hour(since), _minute(until - UNCHECKED_TAIL))
    span = (_hour(begin), _hour(end - timedelta(microseconds=1)) + 1)
    by_show = sorted(meters, key=lambda meter: list(Show).index(meter.shows))
    blocks = [_block(world, list(group), span, show) for show, group in groupby(by_show, lambda meter: meter.shows)]
    frame = pl.concat(block.frame() for block in blocks)
    return frame.filter(pl.col("utc_date_time").is_between(begin, end, closed="left")).sort(READING.key)


@dataclass(frozen=True)
class _World:
    """Seed; the hour since 1970 in which it began; the minute since 1970 from which readings are not judged."""

    seed: int
    begin: int
    unjudged: int


@dataclass
class _Block:
    """Readings of some meters that show the same: arrays of meters × minutes, or of either."""

    world: _World
    meters: list[DemoMeter]
    number: Numbers
    minute: Numbers
    value: Numbers
    judged: Numbers
    there: npt.NDArray[np.bool_]

    @property
    def clock(self) -> Numbers:
        """Minute of the UTC day."""
        return self.minute % _DAY_MINUTES

    def at(self, first: int, last: int) -> npt.NDArray[np.bool_]:
        """Which minutes are in [first, last) of the UTC day."""
        return np.asarray((self.clock >= first) & (self.clock < last))

    def frame(self) -> pl.DataFrame:
        """Its readings by READING, in no order."""
        late = (4 * chance(self.world.seed, self.number, self.minute, 3)).astype(np.int64)
        second = self.minute * 60 + self.number * 7 % 56 + late
        point = np.broadcast_to(self.number + FIRST_POINT - 1, self.value.shape)
        there = self.there
        judged = pl.Series(self.judged[there])
        return pl.DataFrame(
            {
                "point_id": point[there],
                "utc_date_time": pl.from_epoch(pl.Series(second[there]), "s"),
                "actual_value": to_decimals("actual_value", self.value[there]),
            }
        ).with_columns(
            pl.col("utc_date_time").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            is_bad=pl.when(judged != _UNCHECKED).then(judged == _BAD),
        )


def _block(world: _World, meters: list[DemoMeter], span: tuple[int, int], show: Show) -> _Block:
    number = np.array([meter.number for meter in meters])[:, None]
    minute = np.arange(span[0] * _MINUTES, span[1] * _MINUTES)
    value = _counter(world, meters, *span)
    block = _Block(
        world, meters, number, minute, value, np.full_like(value, _GOOD), np.ones_like(value, dtype=np.bool_)
    )
    if show in _EFFECTS:
        _EFFECTS[show](block)
    return block


def _counter(world: _World, meters: list[DemoMeter], begin: int, end: int) -> Numbers:
    """The undisturbed counters, meters × minutes, in the hours [begin, end) since 1970."""
    number = np.array([meter.number for meter in meters])
    first = np.array([meter.first for meter in meters])
    step = np.array([meter.step for meter in meters])[:, None]
    energy = _energy(world, meters, world.begin, end)
    inside = energy[:, begin - world.begin :]
    start = (first + energy[:, : begin - world.begin].sum(axis=1))[:, None] + np.cumsum(inside, axis=1) - inside
    minute = np.arange(begin * _MINUTES, end * _MINUTES).reshape(-1, _MINUTES)
    weight = 500 + (1000 * chance(world.seed, number[:, None, None], minute, 1)).astype(np.int64)
    share = np.cumsum(weight, axis=2)
    # Whole units over a sum of weights below 10^5: the product has its place in 64 bits up to 10^7 kWh in an hour.
    rise = inside[:, :, None] * share // share[:, :, -1:]
    value: Numbers = (start[:, :, None] + rise).reshape(len(meters), -1)
    resolved: Numbers = value // step * step
    return resolved


def _energy(world: _World, meters: list[DemoMeter], begin: int, end: int) -> Numbers:
    """Energy of each of the hours [begin, end), meters × hours."""
    number = np.array([meter.number for meter in meters])[:, None]
    rate = np.array([meter.rate for meter in meters])[:, None]
    hour = np.arange(begin, end)
    power = np.broadcast_to(_PROFILE[hour % 24], (len(meters), len(hour))).copy()
    for row, meter in enumerate(meters):
        if meter.shows is Show.ABOVE:
            power[row, hour % 24 == 12] *= 5  # noqa: PLR2004 - at noon
        if meter.shows is Show.BELOW:
            power[row, hour % 24 < 3] = 0  # noqa: PLR2004 - from midnight to three
            power[row, (hour % 24 >= 3) & (hour % 24 < 6)] = 0.01  # noqa: PLR2004 - and from three to six
    noise = 0.6 + 0.8 * chance(world.seed, number, hour, 2)
    energy: Numbers = np.rint(rate * power * noise).astype(np.int64)
    return energy


def _offline(block: _Block) -> None:
    block.there &= ~(block.at(21 * 60, 24 * 60) | block.at(0, 5 * 60 + 40))


def _outage(block: _Block) -> None:
    block.there &= ~block.at(9 * 60 + 10, 14 * 60 + 25)


def _reset(block: _Block) -> None:
    day = (block.minute - _RESET_MINUTE) // _DAY_MINUTES
    for each in np.unique(day).tolist():
        last = each * _DAY_MINUTES + _RESET_MINUTE
        if last >= block.world.begin * _MINUTES:
            hour = last // _MINUTES
            then = _counter(block.world, block.meters, hour, hour + 1)[:, [last % _MINUTES]]
            block.value[:, day == each] -= then


def _roll_over(block: _Block) -> None:
    block.value %= np.array([meter.modulus for meter in block.meters])[:, None]


def _used(block: _Block) -> None:
    block.there &= block.minute >= block.world.begin * _MINUTES + _USED_AFTER


def _zeroes(block: _Block) -> None:
    zero = block.at(14 * 60 + 5, 14 * 60 + 17)
    block.value[:, zero], block.judged[:, zero] = 0, _BAD


def _tail(block: _Block) -> None:
    block.judged[:, block.minute >= block.world.unjudged] = _UNCHECKED


def _jitter(block: _Block) -> None:
    step = np.array([meter.step for meter in block.meters])[:, None]
    off = (7 * chance(block.world.seed, block.number, block.minute, 4)).astype(np.int64) - 3
    block.value += off * step


def _spikes(block: _Block) -> None:
    """Two a day with one good reading between them, three in a row, and one beyond the point's limit."""
    block.judged[:] = _UNCHECKED
    for first, last, height in ((480, 481, 1), (482, 483, 2), (700, 703, 1)):
        block.value[:, block.at(first, last)] += height * _SPIKE
    block.value[:, block.at(1000, 1001)] += POINT_LIMIT


def _dips(block: _Block) -> None:
    block.judged[:] = _UNCHECKED
    for first, last in ((300, 301), (650, 655)):
        block.value[:, block.at(first, last)] = 0


def _float32(block: _Block) -> None:
    single = (block.value / UNIT).astype(np.float32)
    block.value = np.rint(single.astype(np.float64) * UNIT).astype(np.int64)


def _silent(block: _Block) -> None:
    block.there[:] = False


def _all_bad(block: _Block) -> None:
    block.judged[:] = _BAD


_EFFECTS: dict[Show, Callable[[_Block], None]] = {
    Show.OFFLINE: _offline,
    Show.OUTAGE: _outage,
    Show.RESET: _reset,
    Show.ROLL_OVER: _roll_over,
    Show.USED: _used,
    Show.BAD_ZEROES: _zeroes,
    Show.UNCHECKED_TAIL: _tail,
    Show.JITTER: _jitter,
    Show.SPIKES: _spikes,
    Show.DIPS: _dips,
    Show.FLOAT32: _float32,
    Show.SILENT: _silent,
    Show.BAD: _all_bad,
}
"""What happens to the readings; the other shows are in the load and in the limits."""


def _hour(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp()) // 3600


def _minute(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp()) // 60
