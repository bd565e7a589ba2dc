"""Brings what a plant's irradiance sensor said, as a CSV file, into MySQL `solar`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import polars as pl

from wattline.errors import BadInputError
from wattline.solar.csv_log import TIME_FORMATS
from wattline.solar.irradiance import IRRADIANCE
from wattline.storage.contract import UTC_TIME
from wattline.storage.store import Condition, Store, WriteResult

_LAYOUT = ("DATE_TIME", "IRRADIATION")


def read_irradiance(path: Path, timezone: str, plant_id: str | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a CSV file, plain or .gz, with the columns DATE_TIME and IRRADIATION (kW/m²).

    Args:
        path: the file.
        timezone: IANA zone of its times.
        plant_id: the PLANT_ID to read; needed where the file holds several.

    Returns:
        `at` (UTC), `poa_kw_m2` of the usable rows, in order of time; `line, value, reason` of the others.

    Raises:
        BadInputError: the file cannot be read, lacks a column, holds several plants and `plant_id` chooses none, or
            has no usable row.
    """
    fields = _fields(path, plant_id)
    local = pl.coalesce(
        pl.col("DATE_TIME").str.to_datetime(form, strict=False, time_unit="us") for form in TIME_FORMATS
    )
    at = local.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    value = pl.col("IRRADIATION").cast(pl.Float64, strict=False)
    rows = fields.with_columns(at=at.cast(UTC_TIME), poa_kw_m2=pl.when(value.is_finite()).then(value)).sort(
        "at", "line"
    )
    reason = (
        pl.when(pl.col("at").is_null())
        .then(pl.lit("is no time of the plant, or happened twice there"))
        .when(pl.col("poa_kw_m2").is_null())
        .then(pl.lit("is no number"))
        .when(pl.col("at").is_duplicated())
        .then(pl.lit("stands there more than once"))
    )
    rows = rows.with_columns(
        reason=reason, value=pl.when(pl.col("at").is_null()).then("DATE_TIME").otherwise("IRRADIATION")
    )
    good = rows.filter(pl.col("reason").is_null()).select("at", "poa_kw_m2")
    if good.is_empty():
        raise BadInputError(f"{path.name} has no usable row", remedy=f"It must have the columns {', '.join(_LAYOUT)}")
    return good, rows.filter(pl.col("reason").is_not_null()).select("line", "value", "reason").sort("line")


def import_irradiance(store: Store, mcno: int, rows: pl.DataFrame) -> WriteResult:
    """Write the rows of `read_irradiance` as those of plant `mcno`; doing it again changes nothing.

    Args:
        store: MySQL `solar`, as the gateways' user.
        mcno: the plant.
        rows: `at, poa_kw_m2`.
    """
    first, last = (cast("datetime", end) for end in (rows["at"].min(), rows["at"].max()))
    here = (Condition("mcno", "=", mcno), Condition("at", ">=", first), Condition("at", "<=", last))
    stored = store.read(IRRADIANCE, here).rename({"updated_at": "before"})
    new = rows.with_columns(mcno=pl.lit(mcno, pl.Int32), now=pl.lit(datetime.now(UTC)).cast(UTC_TIME))
    # What is there already keeps its stamp: it did not change.
    both = new.join(stored, on=["mcno", "at", "poa_kw_m2"], how="left")
    return store.upsert(IRRADIANCE, both.with_columns(updated_at=pl.coalesce("before", "now")))


def _fields(path: Path, plant_id: str | None) -> pl.DataFrame:
    """The columns of the layout as text, and `line`, the number of a row's line."""
    try:
        fields = pl.read_csv(path, infer_schema=False, row_index_name="line", row_index_offset=2)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInputError(f"{path} cannot be read: {error}", remedy="Give a CSV file, plain or .gz") from error
    missing = [name for name in _LAYOUT if name not in fields.columns]
    if missing:
        raise BadInputError(
            f"{path.name} has no column {', '.join(missing)}",
            row=1,
            remedy=f"Its first line must name {','.join(_LAYOUT)}",
        )
    return _of_plant(path, fields, plant_id).select("line", *_LAYOUT)


def _of_plant(path: Path, fields: pl.DataFrame, plant_id: str | None) -> pl.DataFrame:
    """The rows of one plant, where the file says whose they are."""
    if "PLANT_ID" not in fields.columns:
        return fields
    plants = fields["PLANT_ID"].unique().sort().to_list()
    held = ", ".join(map(str, plants))
    if plant_id is None and len(plants) > 1:
        raise BadInputError(f"the file holds the plants {held}", field="PLANT_ID", remedy="Choose one by --plant-id")
    if plant_id is not None and plant_id not in plants:
        raise BadInputError(
            f"{path.name} does not hold plant {plant_id}", field="--plant-id", remedy=f"It holds {held}"
        )
    return fields if plant_id is None else fields.filter(pl.col("PLANT_ID") == plant_id)
