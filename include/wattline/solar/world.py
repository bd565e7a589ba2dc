"""A simulated world that lives in MySQL: once begun, it goes on consistently, run after run or as time passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

import polars as pl

from wattline.errors import BadInputError, TransientError
from wattline.solar import legacy, legacy_register, legacy_store
from wattline.solar.faults import Fault, default_faults
from wattline.solar.fleet import FIRST_MCNO, Plant, plants, register
from wattline.solar.gateway import snapshot, write
from wattline.solar.simulate import Simulation, simulate
from wattline.solar.tables import INVERTER
from wattline.storage.store import Condition, Store, WriteResult
from wattline.window import Window

LIVE_STEP = timedelta(minutes=1)
"""How often the live mode writes what has arrived."""
_AHEAD = timedelta(hours=6)
"""How far the live mode computes in advance."""
_PLANTS_AT_ONCE = 100
"""How many plants are held in memory at a time: two days of 100 are 40 MB of readings."""


@dataclass(frozen=True)
class World:
    """Simulated plants in a MySQL database.

    Attributes:
        plants: they all begin at the same time, that of the first run.
        seed: the world's seed.
        with_faults: whether faults happen in it.
    """

    plants: tuple[Plant, ...]
    seed: int
    with_faults: bool

    @classmethod
    def open(cls, store: Store, count: int, seed: int, start: datetime, *, with_faults: bool) -> World:
        """The world of `count` plants that MySQL holds, or a new one that begins at `start` (UTC).

        Raises:
            BadInputError: MySQL holds a world of another seed, or one that begins after `start`.
        """
        simulated = [Condition("mcno", ">=", FIRST_MCNO), Condition("mcno", "<", FIRST_MCNO + count)]
        known = store.read(INVERTER, simulated, ["mcno", "serial_no", "installed_at"])
        if known.is_empty():
            return cls(plants(count, seed, start), seed, with_faults)
        strange = known.remove(pl.col("serial_no").str.starts_with(f"SIM-{seed}-").fill_null(value=False))
        if not strange.is_empty():
            raise BadInputError(
                f"plant {strange['mcno'][0]} is there, but not of seed {seed}: serial number {strange['serial_no'][0]}",
                field="--seed",
                remedy="Use that seed, or an empty database",
            )
        since: datetime = known["installed_at"].min()  # type: ignore[assignment]
        if start < since:
            raise BadInputError(
                f"the simulated plants in this database begin at {since:%Y-%m-%dT%H:%MZ}",
                field="--from",
                remedy="Start there or later, or use an empty database",
            )
        return cls(plants(count, seed, since), seed, with_faults)

    def faults(self, end: datetime) -> tuple[Fault, ...]:
        """Everything that goes wrong from the world's begin to `end`."""
        whole = Window(self.plants[0].since, end)
        return default_faults(self.seed, whole, self.plants) if self.with_faults else ()

    def send(self, store: Store, window: Window) -> WriteResult:
        """Write to MySQL what arrives in `window`, some plants at a time; the counts are those of the readings.

        The legacy tables get what they hold whatever the window first, since `customer` is written whole there.
        """
        faults, total = self.faults(window.end), WriteResult(0, 0, 0)
        for first in range(0, len(self.plants), _PLANTS_AT_ONCE):
            some = self.plants[first : first + _PLANTS_AT_ONCE]
            legacy_store.write(store, legacy_register.registers(some, self.seed))
            arrived = simulate(some, window, self.seed, faults)
            total += write(store, arrived.customers, arrived.inverters, arrived.readings)
            legacy_store.write(store, legacy.arrivals(some, window, self.seed, faults))
        return total

    def follow(self, store: Store, start: datetime, *, now: Callable[[], datetime], stop: Event) -> Iterator[str]:
        """Write what arrives from `start` on, as time passes, until `stop` is set; yields a line for each write.

        A database that is away is tried again with the next step; nothing is lost meanwhile.
        """
        done = start
        while not stop.is_set():
            ahead = Window(done, max(now(), done) + _AHEAD)
            simulation = simulate(self.plants, ahead, self.seed, self.faults(ahead.end))
            while done < ahead.end and not stop.is_set():
                until = min(now(), ahead.end)
                if until > done:
                    try:
                        yield f"{until:%H:%M:%SZ} {self._write(store, simulation, Window(done, until)).rows} readings"
                        done = until
                    except TransientError as error:
                        yield f"{until:%H:%M:%SZ} will try again: {error}"
                stop.wait(LIVE_STEP.total_seconds())

    def _write(self, store: Store, simulation: Simulation, window: Window) -> WriteResult:
        arrived = pl.col("received_at").is_between(window.start, window.end, closed="left")
        readings = simulation.readings.filter(arrived)
        written = write(store, simulation.customers, snapshot(register(self.plants), readings), readings)
        legacy_store.write(store, legacy.arrivals(self.plants, window, self.seed, simulation.faults))
        return written
