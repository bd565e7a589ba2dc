"""From tick rows to the mean or median power of each slot of a day: pure, frame to frame.

The logs of a day are a matrix of inverters and slots, NaN where there is none. A slot holds one tick, so the mean and
the median of an inverter's slot are its log; those of a plant's slot are over its inverters. Sums go by inverter
number: the same logs give the same digits, in whatever order they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from wattline.solar.statistics_tables import STATISTICS_AVG, STATISTICS_MEDIAN
from wattline.solar.sun import elevation
from wattline.solar.tables import PLANT, TICK
from wattline.storage.contract import Table
from wattline.window import Window

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Middle = Callable[[Array, Flags], Array]
_FIGURES = ("ackw", "dckw", "ackw_per_kw", "dckw_per_kw")
_UNIT = ("mcno", "invno")
_BEYOND = 2**31
_PACKED = pl.col("mcno").cast(pl.Int64) * _BEYOND + pl.col("invno")


def averages(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The processor of `statistics_inverter_avg`: `statistics` by the contract STATISTICS_AVG.

    Args:
        window: of the run.
        inputs: `inverters`, and `days` (of one start and end) of `wattline.solar.collect_statistics`; `good_logs`, rows
            of LOG that are not stale.
    """
    return {"statistics": statistics(STATISTICS_AVG, mean, inputs)}


def medians(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The processor of `statistics_inverter_median`, as `averages`: `statistics` by the contract STATISTICS_MEDIAN."""
    return {"statistics": statistics(STATISTICS_MEDIAN, median, inputs)}


def mean(values: Array, there: Flags) -> Array:
    """The mean over the second axis of the values that are `there`; NaN where none is."""
    count = there.sum(axis=1)
    nothing = np.full(count.shape, np.nan)
    found: Array = np.divide(_sum(values, there), count, out=nothing, where=count > 0)
    return found


def median(values: Array, there: Flags) -> Array:
    """The median, as `mean`: of an even number of values the mean of the middle two."""
    rows = np.moveaxis(np.where(there, values, np.nan), 1, -1)
    ordered = np.sort(rows, axis=-1)  # NaN goes to the end
    count = there.sum(axis=1)[..., None]
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, rows.shape[-1] - 1), axis=-1)
    middle: Array = (low[..., 0] + high[..., 0]) / 2
    return middle


def statistics(table: Table, middle: Middle, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The documents of every inverter that was in use on the day or has logs of it, and of their plants.

    Args:
        table: the contract.
        middle: `mean` or `median`.
        inputs: as `averages` takes them.

    Returns:
        Rows of `table`: the inverters, then the plants.
    """
    days, logs = inputs["days"], inputs["good_logs"]
    start, end = days.select("start", "end").row(0)
    slots = -((start - end) // TICK)
    units = _units(days, inputs["inverters"], logs).with_columns(slots=pl.lit(slots, pl.Int32()))
    power = _power(units, logs, start, slots)
    light = _daylight(units, start, slots)
    rating = units["rating"].to_numpy()
    sums = "ackw_sum" in table.schema
    found = [_documents(units, power[:, :, None], rating[:, None], light, middle, sums=sums)]
    for members in _of_plants(units["mcno"].to_numpy()):
        first = members[:, 0]
        plants = units[first].with_columns(invno=pl.lit(PLANT, pl.Int32()))
        found.append(_documents(plants, power[:, members], rating[members], light[first], middle, sums=sums))
    return pl.concat(found).select(table.schema.names())


def _units(days: pl.DataFrame, inverters: pl.DataFrame, logs: pl.DataFrame) -> pl.DataFrame:
    """The inverters, in key order: `mcno, invno, day, start, latitude, longitude, rating` (kW; NaN where unknown)."""
    plants = inverters.select("mcno", "latitude", "longitude").unique("mcno")
    of_plant = days.join(plants, on="mcno", maintain_order="left")
    known = of_plant.join(inverters.select(*_UNIT, "capacity_kw", "installed_at", "removed_at"), on="mcno")
    in_use = (pl.col("installed_at") < pl.col("end")) & (pl.col("removed_at") > pl.col("start")).fill_null(value=True)
    # One whole number for both: to look for those is twice as fast.
    met = logs.select(unit=_PACKED).unique().select(mcno=pl.col("unit") // _BEYOND, invno=pl.col("unit") % _BEYOND)
    seen = of_plant.join(met.cast(pl.Int32), on="mcno")
    seen = seen.join(known.select(*_UNIT, "capacity_kw"), on=_UNIT, how="left")
    units = pl.concat([known.filter(in_use), seen], how="diagonal").unique(_UNIT).sort(_UNIT)
    # A rating of 0 is a field of the register that nobody filled in.
    rating = pl.when(pl.col("capacity_kw") > 0).then("capacity_kw").otherwise(float("nan"))
    return units.select(*_UNIT, "day", "start", "latitude", "longitude", rating=rating)


def _power(units: pl.DataFrame, logs: pl.DataFrame, start: datetime, slots: int) -> Array:
    """The values of _FIGURES, shape (4, units, slots); NaN where there is no log, or no rating."""
    known = units.select(unit=_PACKED).with_row_index("row")
    rows = logs.select("at", "ackw", "dckw", unit=_PACKED).join(known, on="unit")
    since = (pl.col("at") - pl.lit(start)).dt.total_microseconds() - 1
    place = rows.select("row", slot=since // (TICK // timedelta(microseconds=1)))
    power = np.full((len(_FIGURES), units.height, slots), np.nan)
    for figure, values in enumerate(("ackw", "dckw")):
        power[figure, place["row"].to_numpy(), place["slot"].to_numpy()] = rows[values].to_numpy()
    power[2:] = power[:2] / units["rating"].to_numpy()[:, None]
    return power


def _daylight(units: pl.DataFrame, start: datetime, slots: int) -> Flags:
    """Whether the sun is above the horizon in the middle of each slot, shape (units, slots)."""
    middles = np.datetime64(start.replace(tzinfo=None)) + np.timedelta64(TICK) * (np.arange(slots) + 0.5)
    places = units.select("latitude", "longitude").unique(maintain_order=True)
    latitude, longitude = places.to_numpy().T[:, :, None]
    light = elevation(middles, latitude, longitude) > 0
    of_unit = units.join(places.with_row_index("place"), on=places.columns, maintain_order="left")
    return np.asarray(light[of_unit["place"].to_numpy()])


def _of_plants(mcno: Any) -> Iterator[npt.NDArray[np.int64]]:
    """The rows of each plant's inverters, shape (plants, inverters): plants with as many inverters come together."""
    _, first, counts = np.unique(mcno, return_index=True, return_counts=True)
    for count in np.unique(counts):
        yield first[counts == count][:, None] + np.arange(count)


def _documents(
    units: pl.DataFrame, power: Array, rating: Array, light: Any, middle: Middle, *, sums: bool
) -> pl.DataFrame:
    """A row for each of `units`, which may be plants.

    Args:
        units: key, day, start and slots.
        power: the values of _FIGURES, shape (4, units, inverters of each, slots).
        rating: shape (units, inverters of each).
        light: shape (units, slots).
        middle: `mean` or `median`.
        sums: whether the sums are wanted, too.
    """
    there, rated = ~np.isnan(power[0]), ~np.isnan(rating)
    lit = there & light[:, None]
    installed = _sum(rating, rated & there.any(axis=2))
    columns: dict[str, Any] = {
        "installed_kw": pl.Series(np.where(installed > 0, installed, np.nan), nan_to_null=True),
        "count": _lists(there.sum(axis=1, dtype="i4")),
        "daylight_slots": light.sum(axis=1, dtype="i4"),
        "day_count": lit.sum(axis=(1, 2), dtype="i4"),
    }
    for figure, values in zip(_FIGURES, power, strict=True):
        if sums and not figure.endswith("_per_kw"):
            columns[f"{figure}_sum"] = _lists(_sum(values, there))
        known = rated[:, :, None] if figure.endswith("_per_kw") else np.True_
        of_slot = values[:, 0] if values.shape[1] == 1 else middle(values, there & known)
        columns[figure] = _lists(of_slot)
        of_day = middle(values.reshape(len(units), -1), (lit & known).reshape(len(units), -1))
        columns[figure.replace("kw", "kw_day", 1)] = pl.Series(of_day, nan_to_null=True)
    return units.with_columns(**columns)


def _sum(values: Array, there: Flags) -> Array:
    """The sum over the second axis of the values that are `there`."""
    found: Array = np.where(there, values, 0)
    return found[:, 0] if found.shape[1] == 1 else found.sum(axis=1)


def _lists(values: Any) -> pl.Series:
    """A list a row; NaN is null."""
    return pl.Series(values.ravel(), nan_to_null=True).reshape(values.shape).arr.to_list()
