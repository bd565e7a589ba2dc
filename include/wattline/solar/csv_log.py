"""Reads inverter logs in the public CSV layout: one row per inverter and time, local time without zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from wattline.errors import BadInputError
from wattline.storage.contract import ENERGY, POWER, UTC_TIME

POWERS = {"DC_POWER": "dckw", "AC_POWER": "ackw"}
ENERGIES = {"DAILY_YIELD": "daykw", "TOTAL_YIELD": "totkw"}
LAYOUT = ("DATE_TIME", "PLANT_ID", "SOURCE_KEY", *POWERS, *ENERGIES)
"""The columns a file must have, in any order; others are ignored."""

TIME_FORMATS = ("%d-%m-%Y %H:%M", "%Y-%m-%d %H:%M:%S")
"""How times may be written: both forms are around in the public layout."""

_TEXT_ENERGY = pl.Decimal(32, 18)
_EXACT = pl.Decimal(38, 18)
_MAX_SCALE = 1_000_000
"""The room that `_EXACT` leaves above `_TEXT_ENERGY`."""
_REJECT_SCHEMA = pl.Schema(
    {"line": pl.Int64(), "field": pl.String(), "value": pl.String(), "reason": pl.String(), "remedy": pl.String()}
)


@dataclass(frozen=True)
class CsvLog:
    """The usable rows of a file and the others.

    Attributes:
        rows: `line, source_key, local_day, at` (UTC), `ackw, dckw` (kW), `daykw, totkw` (kWh, 6 decimals, halves away
            from zero), `exact_daykw, exact_totkw` (kWh, as the file says it); one row per inverter and time, in this
            order.
        rejects: `line, field, value, reason, remedy` of every row that is left out, in order of line.
        repeated: rows left out because the same row stands in the file before.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    repeated: int


def zone(name: str) -> ZoneInfo:
    """The time zone called `name`.

    Raises:
        BadInputError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadInputError(
            f"{name!r} is no time zone", field="--timezone", remedy="Use an IANA name, e.g. Asia/Kolkata"
        ) from error


def read_log(path: Path, timezone: str, scale: Mapping[str, Decimal], plant_id: str | None = None) -> CsvLog:
    """Read a CSV file, plain or .gz.

    Args:
        path: the file.
        timezone: IANA zone of its times.
        scale: column → factor that turns its values into kW or kWh; 1 where not given.
        plant_id: the PLANT_ID to read; needed where the file holds several.

    Raises:
        BadInputError: the file cannot be read, lacks a column, holds several plants and `plant_id` chooses none, or
            has no usable row; the zone or a scaled column does not exist.
    """
    zone(timezone)
    _check_scale(scale)
    fields, ragged = _split(path)
    parsed = _parsed(_of_plant(fields, plant_id), timezone, scale)
    faulty, good = _judged(parsed, _checks(timezone))
    rows, repeated, contradicting = _without_repeats(good)
    rejects = pl.concat([ragged, faulty, contradicting]).sort("line")
    if rows.is_empty():
        first = rejects.row(0, named=True) if rejects.height else {"line": None, "field": None, "reason": "no rows"}
        raise BadInputError(
            f"{path.name} has no usable row; the first: {first['reason']}",
            row=first["line"],
            field=first["field"],
            remedy="Check that the file has the public layout",
        )
    return CsvLog(rows, rejects, repeated)


def _check_scale(scale: Mapping[str, Decimal]) -> None:
    for column, factor in scale.items():
        if column not in {*POWERS, *ENERGIES} or not (factor.is_finite() and 0 < factor <= _MAX_SCALE):
            raise BadInputError(
                f"{column}={factor} is no scale",
                field="--scale",
                remedy=f"Give a factor up to {_MAX_SCALE} of {', '.join((*POWERS, *ENERGIES))}, e.g. DC_POWER=0.1",
            )


def _lines(path: Path) -> pl.DataFrame:
    """`line` (its number) and `text` of every line that is not empty."""
    try:
        return pl.read_csv(
            path,
            has_header=False,
            new_columns=["text"],
            separator="\x1f",
            quote_char=None,
            infer_schema=False,
            encoding="utf8-lossy",
            row_index_name="line",
            row_index_offset=1,
        ).drop_nulls()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInputError(f"{path} cannot be read: {error}", remedy="Give a CSV file, plain or .gz") from error


def _split(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The fields of every row as text, under their column names, with the number of their line; and ragged rows."""
    fields = _lines(path).select(
        pl.col("line").cast(pl.Int64),
        pl.col("text"),
        parts=pl.col("text").str.split(",").list.eval(pl.element().str.strip_chars(' "\t\r')),
    )
    header: list[str] = fields["parts"][0].to_list() if fields.height else []
    missing = [name for name in LAYOUT if name not in header]
    if missing:
        raise BadInputError(
            f"{path.name} has no column {', '.join(missing)}",
            row=1,
            remedy=f"Its first line must name {','.join(LAYOUT)}",
        )
    whole = pl.col("parts").list.len() == len(header)
    ragged = (
        fields[1:]
        .remove(whole)
        .select(
            "line",
            pl.lit("row").alias("field"),
            pl.col("text").alias("value"),
            pl.format("has {} fields instead of {}", pl.col("parts").list.len(), len(header)).alias("reason"),
            pl.lit("Write one row a line, without commas inside a field").alias("remedy"),
        )
    )
    columns = [pl.col("parts").list.get(header.index(name)).alias(name) for name in LAYOUT]
    return fields[1:].filter(whole).select("line", *columns), _REJECT_SCHEMA.to_frame().vstack(ragged)


def _of_plant(fields: pl.DataFrame, plant_id: str | None) -> pl.DataFrame:
    found = fields["PLANT_ID"].unique().sort().to_list()
    if plant_id is None and len(found) > 1:
        raise BadInputError(
            f"the file holds the plants {', '.join(found)}", field="PLANT_ID", remedy="Choose one by --plant-id"
        )
    if plant_id is not None and plant_id not in found:
        raise BadInputError(
            f"the file does not hold plant {plant_id}", field="--plant-id", remedy=f"It holds {', '.join(found)}"
        )
    return fields if plant_id is None else fields.filter(pl.col("PLANT_ID") == plant_id)


def _parsed(fields: pl.DataFrame, timezone: str, scale: Mapping[str, Decimal]) -> pl.DataFrame:
    """The text of `fields`, and beside it what it means; null where it means nothing."""
    local = pl.coalesce(
        pl.col("DATE_TIME").str.to_datetime(form, strict=False, time_unit="us") for form in TIME_FORMATS
    )

    def at(ambiguous: str) -> pl.Expr:
        zoned = local.dt.replace_time_zone(timezone, ambiguous=pl.lit(ambiguous), non_existent="null")
        return zoned.dt.convert_time_zone("UTC").cast(UTC_TIME)

    powers = [
        (pl.col(name).cast(POWER, strict=False) * float(scale.get(name, 1))).alias(field)
        for name, field in POWERS.items()
    ]
    exact = [
        (pl.col(name).cast(_TEXT_ENERGY, strict=False).cast(_EXACT) * scale.get(name, Decimal(1))).alias(
            f"exact_{field}"
        )
        for name, field in ENERGIES.items()
    ]
    rounded = [
        pl.col(f"exact_{field}").round(ENERGY.scale, mode="half_away_from_zero").cast(ENERGY, strict=False).alias(field)
        for field in ENERGIES.values()
    ]
    times = {"local": local, "local_day": local.dt.date(), "at": at("null"), "first_at": at("earliest")}
    return fields.with_columns(**times).with_columns(*powers, *exact).with_columns(*rounded)


def _checks(timezone: str) -> list[tuple[str, pl.Expr, str, str]]:
    """Field, when its value is bad, why, and what to do; the first that holds is the row's reason."""
    number = "Write a plain number, e.g. 12.5"
    clocks = "Correct the file by the logger's own clock, or leave the row out"
    return [
        ("SOURCE_KEY", pl.col("SOURCE_KEY") == "", "is empty", "Name the inverter"),
        ("DATE_TIME", pl.col("local").is_null(), "is no time", "Write 15-05-2020 06:30 or 2020-05-15 06:30:00"),
        ("DATE_TIME", pl.col("first_at").is_null(), f"does not exist in {timezone}: clocks went forward", clocks),
        ("DATE_TIME", pl.col("at").is_null(), f"happened twice in {timezone}: clocks went back", clocks),
        *(
            (name, ~pl.col(field).is_finite().fill_null(value=False), "is no number", number)
            for name, field in POWERS.items()
        ),
        *((name, pl.col(field).is_null(), "is no number below 10^12", number) for name, field in ENERGIES.items()),
    ]


def _judged(parsed: pl.DataFrame, checks: Sequence[tuple[str, pl.Expr, str, str]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rejects among `parsed`, and the other rows with what they mean."""
    first = pl.coalesce(
        pl.when(bad).then(
            pl.struct(
                field=pl.lit(field), value=pl.col(field), reason=pl.lit(f"{field} {reason}"), remedy=pl.lit(remedy)
            )
        )
        for field, bad, reason, remedy in checks
    )
    judged = parsed.with_columns(fault=first)
    faulty = judged.drop_nulls("fault").select("line", "fault").unnest("fault")
    exact = [f"exact_{name}" for name in ENERGIES.values()]
    columns = ["line", "local_day", "at", *POWERS.values(), *ENERGIES.values(), *exact]
    good = judged.filter(pl.col("fault").is_null()).select(*columns, source_key="SOURCE_KEY", text="DATE_TIME")
    return _REJECT_SCHEMA.to_frame().vstack(faulty.select(_REJECT_SCHEMA.names())), good


def _without_repeats(good: pl.DataFrame) -> tuple[pl.DataFrame, int, pl.DataFrame]:
    """One row per inverter and time, the first; how many were the same again; and those that say something else."""
    key = ["source_key", "at"]
    values = [*POWERS.values(), *ENERGIES.values()]
    ordered = good.sort(*key, "line")
    first = pl.col("line") == pl.col("line").first().over(key)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).first().over(key) for name in values)
    marked = ordered.with_columns(first=first, same=same, before=pl.col("line").first().over(key))
    contradicting = marked.remove(pl.col("first") | pl.col("same")).select(
        "line",
        pl.lit("DATE_TIME").alias("field"),
        pl.col("text").alias("value"),
        pl.format("contradicts line {}: the same inverter and time", "before").alias("reason"),
        pl.lit("Keep one of them; the first was taken").alias("remedy"),
    )
    repeated = marked.filter(~pl.col("first") & pl.col("same")).height
    return marked.filter("first").drop("first", "same", "before", "text"), repeated, contradicting
