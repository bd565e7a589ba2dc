"""`wattline import-csv`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from wattline.cli.connect import gateway_mysql
from wattline.cli.console import wide_console
from wattline.errors import BadInputError
from wattline.solar.csv_log import CsvLog, read_log
from wattline.solar.import_csv import PlantOptions, import_log

File = Annotated[Path, typer.Argument(help="The CSV file, plain or .gz.")]
TimeZone = Annotated[str, typer.Option(help="IANA zone of the file's times and of the plant's day: Asia/Kolkata.")]
Mcno = Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Number of the plant in Wattline.")]
Scale = Annotated[
    list[str], typer.Option(help="Factor that turns a column into kW or kWh: DC_POWER=0.1; may be given several times.")
]
PlantId = Annotated[str | None, typer.Option(help="Which PLANT_ID, where the file holds several.")]

_SHOWN_REJECTS = 10


def import_csv(
    file: File,
    *,
    timezone: TimeZone,
    mcno: Mcno,
    scale: Scale = [],  # noqa: B006 - typer copies the default
    plant_id: PlantId = None,
    name: Annotated[str | None, typer.Option(help="Name of the plant; default: Plant and its number.")] = None,
    latitude: Annotated[float | None, typer.Option(min=-90, max=90, help="Default: a town of the time zone.")] = None,
    longitude: Annotated[
        float | None, typer.Option(min=-180, max=180, help="Default: a town of the time zone.")
    ] = None,
    capacity_kw: Annotated[float | None, typer.Option(min=0, help="Installed DC power of the plant, kWp.")] = None,
    inverter_kw: Annotated[float | None, typer.Option(min=0, help="Rated AC power of each inverter, kW.")] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rows go that cannot be used; default: FILE's name + .rejects.csv, here.")
    ] = None,
) -> None:
    """Load a real plant's inverter log (CSV) into MySQL.

    The file's first line names the columns `DATE_TIME`, `PLANT_ID`, `SOURCE_KEY`, `DC_POWER`, `AC_POWER`, `DAILY_YIELD`
    and `TOTAL_YIELD`. Times are local, as `15-05-2020 06:30` or `2020-05-15 06:30:00`. Powers are kW and energies kWh,
    after `--scale`; energies are exact decimals, rounded to 6 places, halves away from zero.

    Each `SOURCE_KEY` becomes an inverter, numbered in sorted order, and is kept as its serial number. A row arrives, as
    far as Wattline knows, when it is measured. Rows that cannot be used are listed and written to a file, with the
    reason; the others are loaded. Loading a file again changes nothing.

    To try it:

    - `wattline import-csv plant_1.csv.gz --timezone Asia/Kolkata --mcno 1 --scale DC_POWER=0.1`
    """
    if (latitude is None) != (longitude is None):
        raise BadInputError("only one is given", field="--latitude/--longitude", remedy="Give both or none")
    log = read_log(file, timezone, parse_scales(scale), plant_id)
    plant = PlantOptions(mcno, timezone, name, latitude, longitude, capacity_kw, inverter_kw)
    with gateway_mysql() as store:
        written = import_log(store, log, plant)
    console = wide_console()
    days = log.rows["local_day"].unique().sort().cast(pl.String)
    console.print(
        f"Plant {mcno}: {log.rows['source_key'].n_unique()} inverters, {log.rows.height} readings on {len(days)} days, "
        f"{days[0]} to {days[-1]}: {written.inserted} new, {written.updated} changed, {written.unchanged} were there.\n"
        f"{log.repeated} rows stand in the file more than once, {log.rejects.height} are rejected."
    )
    if log.rejects.height:
        _report_rejects(console, log, rejects or Path(f"{file.name}.rejects.csv"))


def parse_scales(given: list[str]) -> dict[str, Decimal]:
    """`["DC_POWER=0.1"]` as a mapping.

    Raises:
        BadInputError: one of them is not written that way.
    """
    scales = {}
    for text in given:
        column, _, factor = text.partition("=")
        try:
            scales[column] = Decimal(factor)
        except InvalidOperation as error:
            raise BadInputError(f"{text!r} is no scale", field="--scale", remedy="Write DC_POWER=0.1") from error
    return scales


def _report_rejects(console: Console, log: CsvLog, path: Path) -> None:
    log.rejects.write_csv(path)
    table = Table("line", "field", "value", "reason", "remedy", title="rejected rows", title_style="red")
    for row in log.rejects.head(_SHOWN_REJECTS).select(pl.all().cast(pl.String)).iter_rows():
        table.add_row(*row)
    console.print(table)
    console.print(f"[red]All {log.rejects.height} rejected rows are in {path}")
