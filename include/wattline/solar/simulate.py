"""Simulated readings of solar plants: a physical day by pvlib, reported by gateways, disturbed by declared faults.

Everything follows from the seed and from `Plant.since`: whatever window is asked for, a row is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl
from pvlib.inverter import pvwatts
from pvlib.pvsystem import pvwatts_dc

from wattline.solar.faults import LATE_BY, Fault, Kind, disturb
from wattline.solar.fleet import Plant, customers, register
from wattline.solar.gateway import snapshot
from wattline.solar.tables import READING
from wattline.solar.weather import MINUTE, Array, midnight, minutes_of_day, sun_on_panels
from wattline.storage.contract import ENERGY
from wattline.window import Window

Counts = npt.NDArray[np.int64]

_STEP = Decimal("0.01")
"""The resolution of the energy counters, kWh; inside, energy is counted in whole steps and so exact."""
_TEMPERATURE_LOSS = -0.0037
"""Change of the panels' power per °C above 25 °C."""
_READING_TYPES = [
    (pl.col(name).cast(dtype) * _STEP).cast(dtype) if dtype == ENERGY else pl.col(name).cast(dtype)
    for name, dtype in READING.schema.items()
]
"""Turns counted steps into exact kWh, everything else into the contract's types."""
_REPORT_SECONDS = 300
_MAX_OFFSET_SECONDS = 200
_MAX_JITTER_SECONDS = 60
_BLOCK_DAYS = 31
_DAY = timedelta(days=1)
_NO_POWER = (Kind.BLACKOUT, Kind.DEAD_INVERTER)


@dataclass(frozen=True)
class Simulation:
    """What gateways did in a window, and the truth about it.

    Attributes:
        customers: CUSTOMER rows.
        inverters: INVERTER rows, with the newest reading of each.
        readings: READING rows that arrived in the window, in order of arrival; rows sent twice are in it twice.
        faults: what was wrong.
    """

    customers: pl.DataFrame
    inverters: pl.DataFrame
    readings: pl.DataFrame
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class _Block:
    """Consecutive local days of one plant, by the minute.

    Attributes:
        start: its first minute, UTC.
        power: `ackw` and `dckw`, kW, inverters x minutes.
        counters: `daykw` and `totkw` at the start of each minute and at the end of the last, in steps of 0.01 kWh,
            inverters x (minutes + 1).
    """

    start: datetime
    power: dict[str, Array]
    counters: dict[str, Counts]


def simulate(plants: Sequence[Plant], window: Window, seed: int, faults: Iterable[Fault] = ()) -> Simulation:
    """What the gateways of `plants` sent so that it arrived in `window`.

    Args:
        plants: from `fleet.plants`; their data begins at their `since`.
        window: by time of arrival, UTC.
        seed: the weather's and the gateways' seed.
        faults: those of the past count too, back to `since`: a counter once reset stays so.
    """
    faults = tuple(faults)
    readings = pl.concat([_plant_readings(plant, window, seed, faults) for plant in plants])
    readings = readings.sort("received_at", "mcno", "invno", "at", maintain_order=True)
    fleet = tuple(plants)
    return Simulation(customers(fleet), snapshot(register(fleet), readings), readings, faults)


def _plant_readings(plant: Plant, window: Window, seed: int, faults: tuple[Fault, ...]) -> pl.DataFrame:
    own = tuple(fault for fault in faults if fault.mcno == plant.mcno)
    # Rows that arrive in the window may have been measured before it, and a fault is put into all its rows at once.
    recent = [fault.start for fault in own if fault.end + LATE_BY >= window.start]
    measured = min(window.start, *recent) if recent else window.start
    frames = [
        _reports(plant, days, block, seed)
        for days, block in _blocks(plant, window.end, seed, own)
        if midnight(plant, days[-1] + _DAY) > measured - timedelta(seconds=_REPORT_SECONDS)
    ]
    rows = pl.concat([READING.schema.to_frame(), *frames]).filter(pl.col("at") >= plant.since)
    arrived = pl.col("received_at").is_between(window.start, window.end, closed="left")
    return disturb(rows, own).filter(arrived)


def _blocks(plant: Plant, end: datetime, seed: int, faults: tuple[Fault, ...]) -> Iterator[tuple[list[date], _Block]]:
    """The plant's local days from `since` to `end`, in blocks that memory can hold; counters go on from block to block.

    The weather before a window decides the counters in it, so it is computed again from the first day.
    """
    first = plant.since.astimezone(plant.zone).date()
    last = end.astimezone(plant.zone).date()
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    counters = np.array([round(inverter.first_totkw / _STEP) for inverter in plant.inverters], np.int64)
    for at in range(0, len(days), _BLOCK_DAYS):
        part = days[at : at + _BLOCK_DAYS]
        block = _block(plant, part, seed, faults, counters)
        counters = block.counters["totkw"][:, -1]
        yield part, block


def _block(plant: Plant, days: list[date], seed: int, faults: tuple[Fault, ...], counters: Counts) -> _Block:
    start = midnight(plant, days[0])
    ackw, dckw = _power(plant, *sun_on_panels(plant, days, seed))
    for fault in faults:
        if fault.kind in _NO_POWER:
            low, high = (max((end - start) // MINUTE, 0) for end in (fault.start, fault.end))
            ackw[_touched(plant, fault), low:high] = dckw[_touched(plant, fault), low:high] = 0
    lengths = np.array([minutes_of_day(plant, day) for day in days])
    block = _Block(start, {"ackw": ackw, "dckw": dckw}, _count(ackw, lengths, counters))
    for fault in sorted(faults, key=lambda fault: fault.start):
        if fault.kind is Kind.COUNTER_RESET:
            _reset(fault, _touched(plant, fault), block, np.cumsum(lengths))
    return block


def _power(plant: Plant, light: Array, cell: Array) -> tuple[Array, Array]:
    """AC and DC power, kW, inverters x minutes."""

    def each(name: str) -> Array:
        return np.array([[getattr(inverter, name)] for inverter in plant.inverters])

    dckw = pvwatts_dc(light * each("mismatch"), cell, each("panels_kw"), _TEMPERATURE_LOSS)
    ackw = pvwatts(dckw, each("rated_kw") / each("efficiency"), each("efficiency"))
    return np.maximum(ackw, 0), np.where(ackw > 0, dckw, 0)


def _count(ackw: Array, lengths: Counts, counters: Counts) -> dict[str, Counts]:
    """The counters of a block whose days have `lengths` minutes and whose lifetime counters begin at `counters`."""
    energy = np.pad(np.cumsum(ackw / 60, axis=1), ((0, 0), (1, 0))) / float(_STEP)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    of_days = np.floor(energy[:, ends] - energy[:, starts]).astype(np.int64)
    before = np.concatenate([counters[:, None], counters[:, None] + np.cumsum(of_days, axis=1)], axis=1)
    # The end of the block is the first instant of a day that has made nothing yet.
    today = np.append(np.repeat(np.arange(len(lengths)), lengths), len(lengths))
    day = np.floor(energy - energy[:, np.append(starts, ends[-1])[today]]).astype(np.int64)
    return {"daykw": day, "totkw": before[:, today] + day}


def _reset(fault: Fault, rows: Counts, block: _Block, day_ends: Counts) -> None:
    """Let the counters of `rows` start again from 0 at the start of the fault, in place."""
    minute = (fault.start - block.start) // MINUTE
    if 0 <= minute < day_ends[-1]:
        midnight_after = int(day_ends[np.searchsorted(day_ends, minute, side="right")])
        for name, end in (("daykw", midnight_after), ("totkw", None)):
            counts = block.counters[name]
            counts[rows, minute:end] -= counts[rows, minute, None]


def _touched(plant: Plant, fault: Fault) -> Counts:
    return np.flatnonzero([fault.touches(inverter.invno) for inverter in plant.inverters])


def _reports(plant: Plant, days: list[date], block: _Block, seed: int) -> pl.DataFrame:
    """What the plant's gateway reports of these days: READING rows, without faults of the line."""
    sent = [_report_times(plant, day, seed) for day in days]
    seconds = np.concatenate([times for times, _ in sent]) - round(block.start.timestamp())
    delay = np.concatenate([delays for _, delays in sent])
    # The gateway asks one inverter after the other, a second each.
    turn = np.array([[inverter.invno - 1] for inverter in plant.inverters])
    minutes = (seconds + turn) // 60
    at = pl.Series((seconds + turn).ravel() * 1_000_000).cast(pl.Duration("us")) + block.start
    steps = {name: np.take_along_axis(counts, minutes, 1).ravel() for name, counts in block.counters.items()}
    kilowatts = {name: np.take_along_axis(kw, minutes, 1).ravel().round(3) for name, kw in block.power.items()}
    return pl.DataFrame(
        {
            "mcno": np.full(minutes.size, plant.mcno),
            "invno": np.repeat([inverter.invno for inverter in plant.inverters], minutes.shape[1]),
            "at": at,
            **kilowatts,
            **steps,
            "status": (kilowatts["ackw"] > 0).astype(np.int64),
            "received_at": at + pl.Series(np.tile(delay, len(turn)) * 1_000_000).cast(pl.Duration("us")),
        }
    ).select(_READING_TYPES)


def _report_times(plant: Plant, day: date, seed: int) -> tuple[Counts, Counts]:
    """When the gateway's reports of the local day start (seconds since the epoch), and how long each is on its way."""
    random = np.random.default_rng((seed, plant.mcno, day.toordinal(), 1))
    offset = plant.mcno * 37 % _MAX_OFFSET_SECONDS
    slots = np.arange(0, minutes_of_day(plant, day) * 60, _REPORT_SECONDS)
    jitter = random.integers(0, _MAX_JITTER_SECONDS, len(slots))
    return round(midnight(plant, day).timestamp()) + slots + offset + jitter, random.integers(2, 9, len(slots))
