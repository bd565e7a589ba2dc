"""Compares what the pipelines stored with the CSV file it came from, without any of the pipelines' code.

Per inverter and local day, the file's *last* value is what its last row says. Its *good* value leaves out two habits of
real inverters: a day counter that still shows yesterday's energy after midnight, and one that restarts before midnight.
Where the stored value is not the last value, it must be the good one, and the difference gets its reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import cast

import polars as pl

from wattline.errors import BadInputError
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION, INVERTER, PLANT, TICK, TICK_ROW
from wattline.storage.contract import ENERGY
from wattline.storage.store import Condition, Store

_KEY = ["invno", "local_day"]
_EXACT = pl.Decimal(38, 18)
_ZERO = pl.lit(0, _EXACT)
_GOOD_IS_STORED = (
    pl.col("stored") == pl.col("good").round(ENERGY.scale, mode="half_away_from_zero").cast(_EXACT)
).fill_null(value=False)

REASONS = {
    "early_reset": "the inverter restarts its day counter before midnight: the value before that is stored",
    "late_reset": "the rows of the day show the energy of the day before only: 0 is stored",
    "counter_reset": "the lifetime counter fell: the stored one goes on from where it was",
    "missing_rows": "the file has no rows of the inverter on that day: no energy, the counter as before",
    "rounding": "the file says more than 6 decimals",
}
"""Why a stored value may differ from the file's last value of the day."""


@dataclass(frozen=True)
class Comparison:
    """The result of a check.

    Attributes:
        compared: quantity (`daykw`, `totkw`, `plant daykw`, `plant totkw`, `tick rows`) → how many were compared.
        differences: `quantity, invno, day, file, good, stored, reason`; a null reason is an error of somebody.
    """

    compared: dict[str, int]
    differences: pl.DataFrame

    @property
    def unexplained(self) -> int:
        """How many differences have no reason."""
        return self.differences["reason"].null_count()


def check(rows: pl.DataFrame, store: Store, mcno: int) -> Comparison:
    """Compare the rows of a CSV log with the tick rows and days of plant `mcno`.

    Args:
        rows: `CsvLog.rows`.
        store: MongoDB `solar`.
        mcno: the plant.

    Raises:
        BadInputError: the store does not know an inverter of the file.
    """
    here = Condition("mcno", "=", mcno)
    numbers = store.read(INVERTER, [here], ["invno", "serial_no"])
    unknown = sorted(set(rows["source_key"]) - set(numbers["serial_no"]))
    if unknown:
        raise BadInputError(
            f"plant {mcno} has no inverter {unknown[0]}",
            field="--mcno",
            remedy="Import the file first, and run the migration to MongoDB",
        )
    numbered = rows.join(numbers, left_on="source_key", right_on="serial_no", maintain_order="left")
    first, last = (cast("date", end) for end in (rows["local_day"].min(), rows["local_day"].max()))
    days = [here, Condition("day", ">=", first), Condition("day", "<=", last)]
    stored_day, stored_total = store.read(DAY_GENERATION, days), store.read(DAY_TOTAL_GENERATION, days)
    of_file = _every_day(file_days(numbered))
    parts = {
        "daykw": _compared(of_file, stored_day, "daykw"),
        "totkw": _compared(of_file, stored_total, "totkw"),
        "plant daykw": _plant_sums(stored_day, "daykw"),
        "plant totkw": _plant_sums(stored_total, "totkw"),
        "tick rows": _tick_counts(numbered, store, here),
    }
    listed = pl.col("file").ne_missing(pl.col("stored")) | ~_GOOD_IS_STORED
    different = [part.filter(listed).select(pl.lit(name).alias("quantity"), pl.all()) for name, part in parts.items()]
    return Comparison({name: part.height for name, part in parts.items()}, pl.concat(different))


def file_days(rows: pl.DataFrame) -> pl.DataFrame:
    """What the file says per inverter and local day.

    Args:
        rows: `invno, local_day, at, exact_daykw, exact_totkw` (kWh), in time order per inverter.

    Returns:
        `invno, local_day`; `daykw, totkw` of the last row; `good_daykw`, before any restart and without values left
        from the day before; `good_totkw`, going on over every fall so far; `daykw_why, totkw_why`, the reason for which
        good and last value differ. kWh.
    """
    last_totals = rows.group_by(_KEY, maintain_order=True).agg(before=pl.col("exact_totkw").last())
    last_totals = last_totals.with_columns(pl.col("before").shift().over("invno"))
    rows = rows.join(last_totals, on=_KEY, maintain_order="left")
    growth = pl.col("exact_totkw") - pl.col("before")
    # Energy that the lifetime counter did not count since yesterday is yesterday's: until a row of today shows up.
    left_over = (growth >= 0) & (growth * 2 < pl.col("exact_daykw"))
    rows = rows.with_columns(
        carried=left_over.fill_null(value=False).cast(pl.Int8).cum_min().over(_KEY) == 1,
        fall=pl.max_horizontal(pl.col("exact_totkw").shift().over("invno") - pl.col("exact_totkw"), _ZERO).fill_null(0),
    ).with_columns(fallen=pl.col("fall").cum_sum().over("invno"))
    rows = rows.with_columns(own=pl.when(~pl.col("carried")).then("exact_daykw"))
    before = pl.col("own").shift().over(_KEY)
    rows = rows.with_columns(rises=pl.col("own").is_not_null() & (before.is_null() | (pl.col("own") > before)))
    days = rows.group_by(_KEY, maintain_order=True).agg(
        daykw=pl.col("exact_daykw").last(),
        totkw=pl.col("exact_totkw").last(),
        good_totkw=pl.col("exact_totkw").last() + pl.col("fallen").last(),
        risen=pl.col("own").filter("rises").last(),
        peak=pl.col("own").max(),
        made=pl.col("exact_totkw").last() - pl.coalesce("before", "exact_totkw").first(),
    )
    # A peak that the lifetime counter bears out is the day's energy, even if the day counter restarted and rose again.
    good = pl.when(pl.col("peak") <= pl.col("made") * 2).then("peak").otherwise("risen")
    return days.select(
        *_KEY,
        "daykw",
        "totkw",
        "good_totkw",
        good_daykw=good.fill_null(_ZERO),
        daykw_why=pl.when(good.is_null()).then(pl.lit("late_reset")).otherwise(pl.lit("early_reset")),
        totkw_why=pl.lit("counter_reset"),
    )


def _every_day(days: pl.DataFrame) -> pl.DataFrame:
    """`days` with a row for every inverter on every day from its first to the file's last."""
    calendar = days.select(pl.date_range(pl.col("local_day").min(), pl.col("local_day").max()))
    every = days.select("invno").unique().join(calendar, how="cross").sort(_KEY)
    full = every.join(days, on=_KEY, how="left", maintain_order="left")
    return full.with_columns(
        pl.col("good_totkw").forward_fill().over("invno"),
        pl.col("good_daykw").fill_null(_ZERO),
        pl.col("daykw_why", "totkw_why").fill_null("missing_rows"),
    ).drop_nulls("good_totkw")


def _compared(of_file: pl.DataFrame, stored: pl.DataFrame, name: str) -> pl.DataFrame:
    values = stored.select("invno", pl.col("day").alias("local_day"), pl.col(name).cast(_EXACT).alias("stored"))
    shown = of_file.join(values, on=_KEY, how="left", maintain_order="left").select(
        "invno",
        pl.col("local_day").alias("day"),
        pl.col(name).alias("file"),
        pl.col(f"good_{name}").alias("good"),
        "stored",
        why=f"{name}_why",
    )
    why = pl.when(pl.col("good") == pl.col("file")).then(pl.lit("rounding")).otherwise("why")
    return shown.with_columns(pl.when(_GOOD_IS_STORED).then(why).alias("reason")).drop("why")


def _plant_sums(stored: pl.DataFrame, name: str) -> pl.DataFrame:
    """The plant's row of each day against the sum of its inverters."""
    plant, inverter = pl.col("invno") == PLANT, pl.col("invno") != PLANT
    return (
        stored.group_by("day", maintain_order=True)
        .agg(
            file=pl.col(name).filter(inverter).sum().cast(_EXACT),
            stored=pl.col(name).filter(plant).first().cast(_EXACT),
        )
        .select(
            pl.lit(PLANT, pl.Int32).alias("invno"),
            "day",
            "file",
            pl.col("file").alias("good"),
            "stored",
            pl.lit(None, pl.String).alias("reason"),
        )
    )


def _tick_counts(rows: pl.DataFrame, store: Store, here: Condition) -> pl.DataFrame:
    """Tick rows per inverter against the ticks from the file's first row to its last."""
    step = int(TICK.total_seconds())
    first, last = (cast("datetime", end).timestamp() for end in (rows["at"].min(), rows["at"].max()))
    low, high = (datetime.fromtimestamp(math.ceil(seconds / step) * step, UTC) for seconds in (first, last))
    ticks = store.read(TICK_ROW, [here, Condition("at", ">=", low), Condition("at", "<=", high)], ["invno", "at"])
    on_grid = ticks.filter(pl.col("at").dt.epoch("s") % step == 0).group_by("invno").agg(stored=pl.len())
    counted = rows.select("invno").unique(maintain_order=True).join(on_grid, on="invno", how="left")
    expected = pl.lit((high - low) // TICK + 1).cast(_EXACT)
    return counted.sort("invno").select(
        "invno",
        pl.lit(None, pl.Date).alias("day"),
        expected.alias("file"),
        expected.alias("good"),
        pl.col("stored").fill_null(0).cast(_EXACT),
        pl.lit(None, pl.String).alias("reason"),
    )
