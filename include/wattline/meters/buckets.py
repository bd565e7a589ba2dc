"""Readings of a long stretch of time, kept by it until they are taken: in memory, or on disk where they are many."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import polars as pl

HELD_ROWS = 600_000
"""Rows in memory at the most; when more come, all go to disk."""


class Buckets:
    """Rows that come in any order of time, and are given back by it, else in the order in which they came.

    Args:
        schema: of the rows; `at` counts seconds.
        start: where the first bucket begins; earlier rows belong to it.
        seconds: length of a bucket.
    """

    def __init__(self, schema: pl.Schema, start: int, seconds: int) -> None:
        self.seconds = seconds
        self._schema, self._start = schema, start
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
        bucket = ((pl.col("at").cast(pl.Int64) - self._start) // self.seconds).clip(0).alias("_bucket")
        parts = rows.with_columns(bucket).partition_by("_bucket", as_dict=True, include_key=False)
        for (number,), part in parts.items():
            self._held[int(number)].append(part)
            self._counts[int(number)] += part.height
        self._rows += rows.height
        if self._rows > HELD_ROWS:
            self._spill()

    def count(self, at: int) -> int:
        """How many rows there are in the bucket that begins at `at`."""
        return self._counts[(at - self._start) // self.seconds]

    def take(self, begin: int, end: int) -> pl.DataFrame:
        """The rows of the buckets from `begin` to `end`, where buckets begin; they are given once."""
        parts = [pl.DataFrame(schema=self._schema)]
        for number in range((begin - self._start) // self.seconds, -(-(end - self._start) // self.seconds)):
            for file in self._files.pop(number, []):
                parts.append(pl.read_ipc(file))
                file.unlink()
            parts.extend(self._held.pop(number, []))
        return pl.concat(parts, rechunk=True)

    def _spill(self) -> None:
        """Write what is held to disk, a file a bucket."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="wattline-readings-")
        for number, parts in self._held.items():
            file = Path(self._folder.name) / f"{number}-{len(self._files[number])}.arrow"
            pl.concat(parts).write_ipc(file)
            self._files[number].append(file)
        self._held.clear()
        self._rows = 0
