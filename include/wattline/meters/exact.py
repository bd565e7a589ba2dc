"""Exact numbers as integers: a decimal of six places is a count of millionths, which numpy adds without loss."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

PLACES = 6
"""Decimal places of every value of the rule; MyEMS's columns have three or six."""
UNIT = 10**PLACES
"""Units in one kWh."""
Units = npt.NDArray[Any]
"""Counts of 10^-6: int64, or Python's integers (dtype object) where sums might not fit."""


def to_units(values: pl.Series) -> Units:
    """Decimals of up to six places as units; they must not exceed nine million million.

    Raises:
        polars.exceptions.InvalidOperationError: a value has no place in 64 bits.
    """
    return values.cast(pl.Decimal(38, PLACES)).to_physical().cast(pl.Int64).to_numpy()


def to_decimals(name: str, units: Units) -> pl.Series:
    """Units as decimals of six places."""
    one = pl.lit(Decimal(1).scaleb(-PLACES), dtype=pl.Decimal(38, PLACES))
    if units.dtype == object:
        exact = [Decimal(int(each)).scaleb(-PLACES) for each in units]
        return pl.Series(name, exact, dtype=pl.Decimal(21, PLACES))
    whole = pl.Series(name, units, dtype=pl.Int64)
    return pl.select((whole.cast(pl.Decimal(38, 0)) * one).cast(pl.Decimal(21, PLACES))).to_series()


def rounded(units: Units, places: int) -> Units:
    """Units, none negative, cut to a column of `places` decimal places, half away from zero."""
    if places >= PLACES:
        return units
    step = 10 ** (PLACES - places)
    cut: Units = (units + step // 2) // step * step
    return cut


def summable(units: Units, most: int) -> Units:
    """`units` in a type in which `most` of them can be added: Python's integers where 64 bits might not do."""
    largest = float(np.abs(units).max(initial=0))
    return units.astype(object) if 2 * largest * max(most, 1) >= 2.0**63 else units
