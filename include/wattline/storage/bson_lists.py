"""Lists of numbers as BSON arrays, made for many rows at once.

An array is a document whose names are the places of its values: "0", "1", … So the values whose places have the same
number of digits have the same number of bytes, null aside, and are one block.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

DOUBLE, ARRAY, BOOL, DATE, NULL, INT, LONG = 1, 4, 8, 9, 10, 16, 18
"""The first byte of a field, by its type; its name and the value follow."""
NUMBERS: tuple[pl.DataType, ...] = (pl.Int32(), pl.Float64())
"""What a list may hold."""
_LENGTH = 4
_ZERO = ord("0")

Bytes = npt.NDArray[np.uint8]


def array_bytes(kind: int, values: Any, valid: Any, lengths: Any) -> tuple[Bytes, Any]:
    """The arrays of all rows, one after the other, and how many bytes each has.

    Args:
        kind: the type of the values, of which each has the same size.
        values: those of all rows, one after the other.
        valid: which of them are there; the others are null.
        lengths: how many each row has. Rows are padded to the longest meanwhile, so they had better be about alike.
    """
    size, inside = values.itemsize, np.arange(lengths.max(initial=0)) < lengths[:, None]
    there = _spread(valid, inside)
    numbers = _spread(np.ascontiguousarray(values).view("u1").reshape(-1, size), inside)
    row, blocks = _layout(inside.shape[1], kind, size)
    arrays = np.tile(row, (len(lengths), 1))
    kept = None if there.all() else np.ones(arrays.shape, bool)
    for places, within in blocks:
        block = arrays[:, within].reshape(len(lengths), places.stop - places.start, -1)
        block[:, :, -size:] = numbers[:, places]
        if kept is not None:
            block[:, :, 0] = np.where(there[:, places], kind, NULL)
            keep = kept[:, within].reshape(block.shape)
            keep[:, :, -size:] = there[:, places, None]
            if not inside.all():
                keep[:, :, :-size] = inside[:, places, None]
    sizes = np.full(len(lengths), len(row)) if kept is None else np.count_nonzero(kept, axis=1)
    arrays[:, :_LENGTH] = sizes.astype("<i4").view("u1").reshape(-1, _LENGTH)
    if kept is None:
        return arrays.ravel(), sizes
    # In half the time that a mask takes in numpy.
    return pl.Series(arrays.ravel()).filter(pl.Series(kept.ravel())).to_numpy(), sizes


def _spread(values: Any, inside: Any) -> Any:
    """Values of all rows, one after the other, as one row of a matrix each."""
    if inside.all():
        return values.reshape(*inside.shape, *values.shape[1:])
    spread = np.zeros((*inside.shape, *values.shape[1:]), values.dtype)
    spread[inside] = values
    return spread


@lru_cache(maxsize=64)
def _layout(count: int, kind: int, size: int) -> tuple[Bytes, list[tuple[slice, slice]]]:
    """An array of `count` zeros; and, by their number of digits, which places are where in it."""
    parts, blocks, first, digits, at = [np.zeros(_LENGTH, "u1")], [], 0, 1, _LENGTH
    while first < count:
        last = min(10**digits, count)
        block = np.zeros((last - first, 2 + digits + size), "u1")
        block[:, 0] = kind
        block[:, 1 : 1 + digits] = np.arange(first, last)[:, None] // 10 ** np.arange(digits - 1, -1, -1) % 10 + _ZERO
        parts.append(block.ravel())
        blocks.append((slice(first, last), slice(at, at + block.size)))
        first, digits, at = last, digits + 1, at + block.size
    return np.concatenate([*parts, np.zeros(1, "u1")]), blocks
