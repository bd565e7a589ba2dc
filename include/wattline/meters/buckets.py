"""Readings of a long stretch of time, kept by slot until they are taken: in memory, and on disk where they are many."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import polars as pl

HELD_ROWS = 1_500_000
"""Rows in memory at the most; when more come, all go to disk."""


class Buckets:
    """Rows that come in any order of time, and are given back slot by slot, in the order in which they came.

    Args:
        schema: of the rows; `at` counts seconds.
        start: where the first slot begins; earlier rows belong to it.
        slot: length of a slot in seconds.
    """

    def __init__(self, schema: pl.Schema, start: int, slot: int) -> None:
        self._schema, self._start, self._slot = schema, start, slot
        self._held: dict[int, list[pl.DataFrame]] = defaultdict(list)
        self._files: dict[int, list[Path]] = defaultdict(list)
        self._rows, self._counts = 0, defaultdict[int, int](int)
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Buckets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, rows: pl.DataFrame) -> None:
        """Keep rows."""
        number = ((pl.col("at").cast(pl.Int64) - self._start) // self._slot).clip(0).alias("_slot")
        for (slot,), part in rows.with_columns(number).partition_by("_slot", as_dict=True, include_key=False).items():
            self._held[int(slot)].append(part)
            self._counts[int(slot)] += part.height
        self._rows += rows.height
        if self._rows > HELD_ROWS:
            self._spill()

    def count(self, slot: int) -> int:
        """How many rows of a slot there are."""
        return self._counts[slot]

    def take(self, first: int, end: int) -> pl.DataFrame:
        """The rows of the slots from `first` to the one before `end`, which are given once."""
        parts = [pl.DataFrame(schema=self._schema)]
        for slot in range(first, end):
            for file in self._files.pop(slot, []):
                parts.append(pl.read_ipc(file))
                file.unlink()
            parts.extend(self._held.pop(slot, []))
        return pl.concat(parts, rechunk=True)

    def _spill(self) -> None:
        """Write what is held to disk, a file a slot."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="wattline-readings-")
        for slot, parts in self._held.items():
            file = Path(self._folder.name) / f"{slot}-{len(self._files[slot])}.arrow"
            pl.concat(parts).write_ipc(file)
            self._files[slot].append(file)
        self._held.clear()
        self._rows = 0
