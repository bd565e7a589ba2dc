"""Rows of a long stretch of time, kept by it until they are taken: in memory, or on disk where they are many."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

HELD_ROWS = 600_000
"""Rows in memory at the most; when more come, all go to disk."""
Rows = npt.NDArray[np.void]
"""Rows of several fields, one of which is `at`, in seconds."""


class Buckets:
    """Rows that come in any order of time, and are given back by it, else in the order in which they came.

    On disk they lie as in memory, so that reading them back costs no more than a copy.

    Args:
        dtype: of the rows; its field `at` counts seconds.
        start: where the first bucket begins; earlier rows belong to it.
        seconds: length of a bucket.
    """

    def __init__(self, dtype: np.dtype[Any], start: int, seconds: int) -> None:
        self.seconds = seconds
        self._dtype, self._start = dtype, start
        self._held: dict[int, list[Rows]] = defaultdict(list)
        self._files: dict[int, Path] = {}
        self._counts = defaultdict[int, int](int)
        self._rows = 0
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Buckets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, rows: Rows) -> None:
        """Keep rows."""
        number = np.maximum((rows["at"].astype(np.int64) - self._start) // self.seconds, 0)
        if np.any(number[1:] < number[:-1]):
            order = np.argsort(number, kind="stable")
            rows, number = rows[order], number[order]
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(number)) + 1):
            if len(part):
                bucket = int(number[part[0]])
                self._held[bucket].append(rows[part[0] : part[-1] + 1])
                self._counts[bucket] += len(part)
        self._rows += len(rows)
        if self._rows > HELD_ROWS:
            self._spill()

    def count(self, at: int) -> int:
        """How many rows there are in the bucket that begins at `at`."""
        return self._counts[(at - self._start) // self.seconds]

    def take(self, begin: int, end: int) -> Rows:
        """The rows of the buckets from `begin` to `end`, where buckets begin; they are given once."""
        parts: list[Rows] = []
        for number in range((begin - self._start) // self.seconds, -(-(end - self._start) // self.seconds)):
            if file := self._files.pop(number, None):
                parts.append(np.fromfile(file, self._dtype))
                file.unlink()
            parts.extend(self._held.pop(number, []))
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self._dtype), *parts])

    def _spill(self) -> None:
        """Write what is held to disk, to a file a bucket."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="wattline-readings-")
        for number, parts in self._held.items():
            path = self._files.setdefault(number, Path(self._folder.name) / str(number))
            with path.open("ab") as file:
                for part in parts:
                    part.tofile(file)
        self._held.clear()
        self._rows = 0
