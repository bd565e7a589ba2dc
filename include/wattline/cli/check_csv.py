"""`wattline check-csv`."""

from __future__ import annotations

import polars as pl
import typer
from rich.table import Table

from wattline.cli.connect import pipeline_mongo
from wattline.cli.console import wide_console
from wattline.cli.import_csv import File, Mcno, PlantId, Scale, TimeZone, parse_scales
from wattline.solar.check_csv import REASONS, Comparison, check
from wattline.solar.csv_log import read_log


def check_csv(
    file: File,
    *,
    timezone: TimeZone,
    mcno: Mcno,
    scale: Scale = [],  # noqa: B006 - typer copies the default
    plant_id: PlantId = None,
) -> None:
    """Compare what the pipelines stored in MongoDB with the CSV file that `import-csv` loaded.

    Per inverter and local day: `daykw` with the file's last `DAILY_YIELD`, `totkw` with its last `TOTAL_YIELD`; per
    inverter the number of ten-minute rows; per day the plant's rows with the sum of its inverters. Every difference is
    listed with its reason; the exit code is 1 if one has none.

    To try it, after the pipelines ran over the file's days:

    - `wattline check-csv plant_1.csv.gz --timezone Asia/Kolkata --mcno 1 --scale DC_POWER=0.1`
    """
    log = read_log(file, timezone, parse_scales(scale), plant_id)
    with pipeline_mongo() as store:
        result = check(log.rows, store, mcno)
    console = wide_console()
    if result.differences.height:
        console.print(_differences(result))
    console.print(_summary(result))
    used = result.differences["reason"].drop_nulls().unique().sort()
    for reason in used:
        console.print(f"{reason}: {REASONS[reason]}")
    if result.unexplained:
        console.print(f"[red]{result.unexplained} differences have no reason")
        raise typer.Exit(1)


def _differences(result: Comparison) -> Table:
    table = Table("quantity", "inverter", "day", "file's last", "good", "stored", "reason", title="differences")
    text = result.differences.select(
        pl.exclude("good", "file", "stored").cast(pl.String), _number("file"), _number("good"), _number("stored")
    )
    for row in text.select("quantity", "invno", "day", "file", "good", "stored", "reason").iter_rows():
        *cells, reason = (cell or "" for cell in row)
        table.add_row(*cells, reason or "[red]none")
    return table


def _number(name: str) -> pl.Expr:
    """Without the zeros at the end."""
    return pl.col(name).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")


def _summary(result: Comparison) -> Table:
    reasons = [*REASONS, "no reason"]
    counts = (
        result.differences.with_columns(pl.col("reason").fill_null("no reason")).group_by("quantity", "reason").len()
    )
    of = {(quantity, reason): count for quantity, reason, count in counts.iter_rows()}
    shown = [reason for reason in reasons if any((quantity, reason) in of for quantity in result.compared)]
    table = Table("quantity", "compared", "equal", *shown, title="summary")
    for quantity, compared in result.compared.items():
        found = [of.get((quantity, reason), 0) for reason in shown]
        table.add_row(quantity, str(compared), str(compared - sum(found)), *map(str, found))
    return table
