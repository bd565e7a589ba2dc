"""What goes wrong in the field: declared, so that a test knows the truth, and put into simulated readings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np
import polars as pl

from wattline.errors import BadInputError
from wattline.solar.fleet import Plant
from wattline.storage.contract import ENERGY
from wattline.window import Window

LATE_BY = timedelta(hours=3)
"""How long after the end of a LATE fault its rows arrive."""
CLOCK_AHEAD = timedelta(days=30, milliseconds=500)
"""How far a wrong clock is ahead; half a second, so that its rows never have the time of a right one."""

GRID_LOSS = 2
INVERTER_FAULT = 3
_NONSENSE_KW = (-9999.0, 1e9)


class Kind(StrEnum):
    """The kinds of fault, as they show in the readings."""

    SILENT = "silent"
    """No rows: the gateway is off or its line is down, and what it measured is lost."""
    BLACKOUT = "blackout"
    """The grid is lost: status 2, no power, no energy; rows go on."""
    DEAD_INVERTER = "dead_inverter"
    """Status 3, no power, no energy, while its neighbours run."""
    COUNTER_RESET = "counter_reset"
    """`daykw` and `totkw` start again from 0 at `start`, and go on from there for good."""
    COUNTER_DIP = "counter_dip"
    """The first row shows `totkw = 0`; the next one is right again."""
    LATE = "late"
    """Rows keep their time of measurement and arrive `LATE_BY` after `end`."""
    DUPLICATE = "duplicate"
    """Every row is sent twice."""
    NONSENSE = "nonsense"
    """Impossible values in turn: -9999 kW, 1e9 kW, a counter of -1 kWh."""
    WRONG_CLOCK = "wrong_clock"
    """Rows are stamped `CLOCK_AHEAD` in the future."""


@dataclass(frozen=True)
class Fault:
    """A fault of inverters `invnos` of plant `mcno`, all of them where `invnos` is empty, in `[start, end)`, UTC.

    Raises:
        BadInputError: an end has seconds; power is simulated by the minute.
    """

    mcno: int
    invnos: tuple[int, ...]
    kind: Kind
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if any(end.second or end.microsecond for end in (self.start, self.end)):
            raise BadInputError(f"{self} does not start and end at a full minute", remedy="Leave out the seconds")

    @property
    def rows(self) -> pl.Expr:
        """Which rows of a reading frame (`mcno, invno, at`) it touches."""
        here = (pl.col("mcno") == self.mcno) & pl.col("at").is_between(self.start, self.end, closed="left")
        return here & pl.col("invno").is_in(self.invnos) if self.invnos else here

    def touches(self, invno: int) -> bool:
        """Whether inverter `invno` of its plant has it."""
        return not self.invnos or invno in self.invnos


@dataclass(frozen=True)
class _Habit:
    """How a kind is drawn: minutes after local noon at the earliest and latest, its length, one inverter or all."""

    earliest: int
    latest: int
    minutes: int
    one_inverter: bool


_HABITS = {
    Kind.SILENT: _Habit(-240, -180, 130, one_inverter=False),
    Kind.DUPLICATE: _Habit(-45, -35, 30, one_inverter=False),
    Kind.BLACKOUT: _Habit(0, 60, 45, one_inverter=False),
    Kind.LATE: _Habit(110, 150, 90, one_inverter=False),
    Kind.DEAD_INVERTER: _Habit(-30, 0, 120, one_inverter=True),
    Kind.COUNTER_RESET: _Habit(-45, 120, 1, one_inverter=True),
    Kind.COUNTER_DIP: _Habit(-45, 120, 10, one_inverter=True),
    Kind.NONSENSE: _Habit(250, 290, 20, one_inverter=False),
    Kind.WRONG_CLOCK: _Habit(-45, 90, 15, one_inverter=True),
}
"""Those of a whole plant fall at different times of the day, so that none hides another where plants are few.

Nonsense is the gateway's, so the whole plant's, and long enough to fill one tick: where plants are few, the gate stops
that tick, while a run of a whole day only leaves the rows out.
"""


def default_faults(seed: int, window: Window, plants: Sequence[Plant]) -> tuple[Fault, ...]:
    """One fault of every kind per day, around local noon, on different plants as far as there are enough.

    Those that overlap `window` are returned, whole. A day's faults depend on the day, `seed` and `plants` only.
    """
    days = range(window.start.toordinal() - 1, window.end.toordinal() + 2)
    drawn = [fault for day in days for fault in _faults_of_day(seed, day, plants)]
    return tuple(fault for fault in drawn if fault.start < window.end and window.start < fault.end)


def _faults_of_day(seed: int, day: int, plants: Sequence[Plant]) -> Iterable[Fault]:
    random = np.random.default_rng((seed, day))
    order = random.permutation(len(plants))
    for number, (kind, habit) in enumerate(_HABITS.items()):
        plant = plants[order[number % len(plants)]]
        # Where one plant has several faults, they fall on different inverters.
        invno = number // len(plants) % len(plant.inverters) + 1
        noon = datetime.fromordinal(day).replace(hour=12, tzinfo=plant.zone).astimezone(UTC)
        start = noon + timedelta(minutes=int(random.integers(habit.earliest, habit.latest + 1)))
        invnos = (invno,) if habit.one_inverter else ()
        yield Fault(plant.mcno, invnos, kind, start, start + timedelta(minutes=habit.minutes))


def disturb(readings: pl.DataFrame, faults: Iterable[Fault]) -> pl.DataFrame:
    """Put the faults into READING rows; power and counters already show BLACKOUT, DEAD_INVERTER and COUNTER_RESET.

    Returns:
        The rows that arrive, in order of arrival; rows sent twice are in it twice.
    """
    declared = list(faults)
    for kind, effect in _EFFECTS.items():
        for fault in declared:
            if fault.kind is kind:
                readings = effect(readings, fault)
    return readings.sort("received_at", "mcno", "invno", "at")


def _silent(readings: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    return readings.remove(fault.rows)


def _blackout(readings: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    return readings.with_columns(status=pl.when(fault.rows).then(GRID_LOSS).otherwise("status"))


def _dead(readings: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    return readings.with_columns(status=pl.when(fault.rows).then(INVERTER_FAULT).otherwise("status"))


def _dip(readings: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    first = fault.rows & (pl.col("at") == pl.col("at").filter(fault.rows).min().over("mcno", "invno"))
    return readings.with_columns(totkw=pl.when(first).then(pl.lit(0, ENERGY)).otherwise("totkw"))


def _late(readings: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    # The line is back: the backlog is sent in one go.
    arrival = fault.end + LATE_BY + (pl.col("received_at") - pl.col("at"))
    return readings.with_columns(received_at=pl.when(fault.rows).then(arrival).otherwise("received_at"))


def _duplicate(readings: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    return pl.concat([readings, readings.filter(fault.rows)])


def _nonsense(readings: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    turn = (pl.col("at").rank("ordinal").over("mcno", "invno", fault.rows) - 1) % 3
    power, counter = fault.rows & (turn < len(_NONSENSE_KW)), fault.rows & (turn == len(_NONSENSE_KW))
    nonsense_kw = pl.when(turn == 0).then(_NONSENSE_KW[0]).otherwise(_NONSENSE_KW[1])
    return readings.with_columns(
        ackw=pl.when(power).then(nonsense_kw).otherwise("ackw"),
        totkw=pl.when(counter).then(pl.lit(-1, ENERGY)).otherwise("totkw"),
    )


def _wrong_clock(readings: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    return readings.with_columns(at=pl.when(fault.rows).then(pl.col("at") + CLOCK_AHEAD).otherwise("at"))


_EFFECTS = {
    Kind.SILENT: _silent,
    Kind.BLACKOUT: _blackout,
    Kind.DEAD_INVERTER: _dead,
    Kind.COUNTER_DIP: _dip,
    Kind.LATE: _late,
    Kind.NONSENSE: _nonsense,
    Kind.DUPLICATE: _duplicate,
    Kind.WRONG_CLOCK: _wrong_clock,
}
"""In this order: a row is sent twice as it is, and all others go by the true time."""
