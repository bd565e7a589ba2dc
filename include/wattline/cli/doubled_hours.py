"""What `wattline meters upgrade` tells of hours that have several rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
from rich.table import Table

from wattline.cli.console import wide_console
from wattline.errors import BadInputError
from wattline.meters.upgrade import GROUPS

_SHOWN_GROUPS = 50


class DoubledHours:
    """Doubled hours, as they come: some are shown, all are counted and written into the file.

    Args:
        file: where to, as CSV; nowhere if None.

    Raises:
        BadInputError: the file cannot be written.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._shown = pl.DataFrame(schema=GROUPS)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._rows = 0
        if file:
            try:
                file.write_text(",".join(GROUPS) + "\n")
            except OSError as error:
                problem, remedy = f"{file} cannot be written: {error.strerror}", "Name a file in a folder of yours"
                raise BadInputError(problem, field="--report", remedy=remedy) from error

    def add(self, groups: pl.DataFrame) -> None:
        """Take some GROUPS."""
        self._shown = pl.concat([self._shown, groups.head(_SHOWN_GROUPS - self._shown.height)])
        self._counts.update(groups.select("kind", "why").rows())
        self._rows += int(groups["removed_ids"].list.len().sum())
        if self._file:
            with self._file.open("a") as out:
                out.write(_as_text(groups).write_csv(include_header=False))

    @property
    def rows(self) -> int:
        """How many rows do not stay."""
        return self._rows

    def show(self) -> None:
        """Print the first of them, and the counts of all."""
        console = wide_console()
        if not self._rows:
            console.print("No hour is doubled.")
            return
        total = self._counts.total()
        some = f", the first {_SHOWN_GROUPS}" if total > _SHOWN_GROUPS else ""
        table = Table("kind", "meter", "slot (UTC)", "rows", "stays", "move away", "why", title=f"doubled hours{some}")
        for row in _as_text(self._shown).iter_rows(named=True):
            table.add_row(
                row["kind"],
                row["meter_id"],
                row["start_datetime_utc"],
                row["rows"],
                f"{row['kept_value']} (id {row['kept_id']})",
                row["removed_values"],
                row["why"],
            )
        console.print(table)
        for (kind, why), count in sorted(self._counts.items()):
            console.print(f"{kind}: {count:,} slots: {why}.", highlight=False)
        console.print(f"{self._rows:,} rows are more than one a slot.", highlight=False)


def _as_text(groups: pl.DataFrame) -> pl.DataFrame:
    """Every column as text, lists with blanks between."""
    return groups.with_columns(
        pl.col("start_datetime_utc").dt.strftime("%Y-%m-%d %H:%M:%S"),
        pl.col("removed_ids", "removed_values").list.eval(pl.element().cast(pl.String)).list.join(" "),
    ).select(pl.all().cast(pl.String))
