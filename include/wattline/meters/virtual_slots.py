"""The slots of virtual meters: which there are, and what the equation gives in each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from wattline.meters.exact import UNIT, Units, to_decimals
from wattline.meters.tables import FINDING, HOURLY, VALUE
from wattline.meters.virtual_meters import KIND, Operand, VirtualMeter
from wattline.storage.contract import UTC_TIME
from wattline.window import Window

_TOO_LARGE = 10**15 * UNIT
"""An hourly column holds 15 digits before the point."""
_SECOND = timedelta(seconds=1)
_EQUATION_SHOWN = 100

Flags = npt.NDArray[np.bool_]
Instants = npt.NDArray[np.int64]


def starts_of(window: Window, minutes: int) -> Window:
    """Where slots of `minutes` start that end within `window`; its first instant excluded, its last one included."""
    shift = _SECOND - timedelta(minutes=minutes)
    return Window(window.start + shift, window.end + shift)


@dataclass(frozen=True)
class _Axis:
    """The starts of all slots that any meter may have, in order; arrays of one length.

    Attributes:
        at: start, microseconds since 1970.
        cell: which interval of the grid it lies in, counted from the first.
        grid: whether it is the start of that interval.
        due: whether the slot ends within the window.
    """

    at: Instants
    cell: Instants
    grid: Flags
    due: Flags

    @classmethod
    def of(cls, rows: Iterable[pl.DataFrame], window: Window, minutes: int) -> _Axis:
        """The axis of operands' rows and of the window's grid."""
        step = minutes * 60_000_000
        low, high = (int(end.timestamp()) * 1_000_000 for end in (window.start, window.end))
        grid = np.arange(-(-(low - step + 1) // step) * step, high - step + 1, step, dtype=np.int64)
        at = np.unique(np.concatenate([grid, *(_instants(frame) for frame in rows)]))
        cell = (at - at[:1].sum() // step * step) // step
        return cls(at, cell, at % step == 0, (at > low - step) & (at <= high - step))


@dataclass(frozen=True)
class _Series:
    """Values of one meter along the axis: units, 0 where it has no row; and where it has one."""

    units: Units
    there: Flags


@dataclass
class _Results:
    """Rows and findings, meter by meter."""

    rows: list[tuple[int, Instants, Units]]
    findings: list[tuple[int, Instants, str, str]]

    def tell(self, meter: VirtualMeter, at: Instants, subject: str, detail: str) -> None:
        if at.size:
            self.findings.append((meter.id, at, subject, f"{meter.name}: {detail}"))


def evaluate(
    meters: Sequence[VirtualMeter], hourly: Mapping[str, pl.DataFrame], window: Window, minutes: int, places: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The slots that end within a window, of each meter.

    Args:
        meters: each after those of its equation.
        hourly: kind → HOURLY rows of the equations' meters that start within a slot's length before the window, or in
            it; those of virtual meters are not needed.
        window: any.
        minutes: length of a slot of the grid.
        places: decimal places of the hourly table of virtual meters.

    Returns:
        Rows of HOURLY["virtual_meter"], and of FINDING where a slot has none.
    """
    axis = _Axis.of(hourly.values(), window, minutes)
    series = dict(_series(axis, hourly))
    results = _Results([], [])
    for meter in meters:
        series[KIND, meter.id] = _computed(meter, axis, series, places, results)
    return _rows(results), _findings(results)


def _computed(
    meter: VirtualMeter, axis: _Axis, series: Mapping[Operand, _Series], places: int, results: _Results
) -> _Series:
    """Add a meter's slots to the results; its values along the axis."""
    nothing = _Series(np.zeros(axis.at.size, dtype=object), np.zeros(axis.at.size, dtype=bool))
    of_name = {name: series.get(operand, nothing) for name, operand in meter.operands.items()}
    some, complete = _presence(axis, of_name.values())
    slots = np.flatnonzero(complete)
    units, undefined = meter.expression.evaluate(
        {name: each.units[slots] for name, each in of_name.items()}, slots.size, places
    )
    large = (np.abs(units) >= _TOO_LARGE) & ~undefined
    good, due = ~(undefined | large), axis.due[slots]
    results.rows.append((meter.id, axis.at[slots[good & due]], units[good & due]))
    shown = meter.expression.text[:_EQUATION_SHOWN]
    zero = f"something in {shown!r} is divided by zero. The slot has no row until its meters have other values"
    results.tell(meter, axis.at[slots[undefined & due]], "division_by_zero", zero)
    digits = "the value has more than 15 digits before the point. Look at the equation and its meters"
    results.tell(meter, axis.at[slots[large & due]], "too_large", digits)
    missing = some & ~complete & axis.due
    for name, each in of_name.items():
        kind, number = meter.operands[name]
        detail = f"{name}, {kind.replace('_', ' ')} {number}, has no row. The slot is computed when it has one"
        results.tell(meter, axis.at[missing & ~each.there], "missing_operand", detail)
        missing &= each.there
    found = _Series(nothing.units, nothing.there)
    found.units[slots[good]] = units[good]
    found.there[slots[good]] = True
    return found


def _presence(axis: _Axis, operands: Iterable[_Series]) -> tuple[Flags, Flags]:
    """Which slots a meter has, and in which of them all of its operands have rows."""
    there = [each.there for each in operands]
    if not there:
        return axis.grid, axis.grid
    some = np.logical_or.reduce(there)
    empty_cell = np.bincount(axis.cell, weights=some)[axis.cell] == 0
    return some | (axis.grid & empty_cell), np.logical_and.reduce(there)


def _series(axis: _Axis, hourly: Mapping[str, pl.DataFrame]) -> Iterator[tuple[Operand, _Series]]:
    for kind, rows in hourly.items():
        for (number,), part in rows.partition_by(f"{kind}_id", as_dict=True).items():
            each = _Series(np.zeros(axis.at.size, dtype=object), np.zeros(axis.at.size, dtype=bool))
            place = np.searchsorted(axis.at, _instants(part))
            each.units[place] = part["actual_value"].cast(VALUE).to_physical().to_list()
            each.there[place] = True
            yield (kind, int(number)), each


def _instants(rows: pl.DataFrame) -> Instants:
    return rows["start_datetime_utc"].to_physical().to_numpy()


def _rows(results: _Results) -> pl.DataFrame:
    numbers = [np.full(at.size, number) for number, at, _ in results.rows]
    empty = np.zeros(0, dtype=np.int64)
    frame = pl.DataFrame(
        {
            "virtual_meter_id": np.concatenate([empty, *numbers]),
            "start_datetime_utc": np.concatenate([empty, *(at for _, at, _ in results.rows)]),
        }
    )
    units = np.concatenate([empty.astype(object), *(units for _, _, units in results.rows)])
    return frame.select(
        "virtual_meter_id", _from_instants("start_datetime_utc"), to_decimals("actual_value", units)
    ).cast(dict(HOURLY[KIND].schema))  # type: ignore[arg-type] # a schema is a mapping of names


def _findings(results: _Results) -> pl.DataFrame:
    parts = [
        pl.DataFrame({"start_datetime_utc": at}).select(
            pl.lit(KIND).alias("kind"),
            pl.lit(number, pl.Int64).alias("meter_id"),
            _from_instants("start_datetime_utc"),
            pl.lit(subject).alias("subject"),
            pl.lit(detail).alias("detail"),
        )
        for number, at, subject, detail in results.findings
    ]
    return pl.concat([FINDING.schema.to_frame(), *parts])


def _from_instants(name: str) -> pl.Expr:
    return pl.from_epoch(pl.col(name), "us").dt.replace_time_zone("UTC").cast(UTC_TIME)
