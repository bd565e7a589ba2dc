"""`wattline generation`: what a plant made, whether its figures agree, and the light that it had."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from wattline.cli.connect import gateway_mysql, pipeline_mongo, reader_mysql
from wattline.cli.console import wide_console
from wattline.errors import BadInputError
from wattline.solar.generation_show import Generation, Length, Site, find_site, generation
from wattline.solar.history_command import history_command
from wattline.solar.import_irradiance import import_irradiance, read_irradiance
from wattline.solar.verdicts import verdicts

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

Mcno = Annotated[int, typer.Argument(metavar="MCNO", help="Number of the plant.")]
_BAR_WIDTH = 40
_SHOWN_REJECTS = 10
_AFTER_IMPORT = ("migration_minute_10", "generation_summary")
_FORMS = {"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}


@app.callback()
def root() -> None:
    """See what plants made, and whether their figures agree.

    The figures are MongoDB's (`WATTLINE_MONGO_URL`), plants MySQL's (`WATTLINE_MYSQL_SOURCE_URL`).
    """


@app.command()
def show(
    mcno: Mcno,
    day: Annotated[str | None, typer.Option(help="A local day: 2026-11-20; default: today.")] = None,
    month: Annotated[str | None, typer.Option(help="A month instead: 2026-11.")] = None,
    year: Annotated[str | None, typer.Option(help="A year instead: 2026.")] = None,
) -> None:
    """Show the energy of a plant's hours, days or months as figures and bars, and its inverters beside their median.

    - `wattline generation show 1001`
    - `wattline generation show 1001 --day 2026-11-20`
    - `wattline generation show 1001 --month 2026-11`
    """
    with reader_mysql() as plants:
        site = find_site(plants, mcno)
    length, first = _period({"day": day, "month": month, "year": year}, datetime.now(site.zone).date())
    with pipeline_mongo() as store:
        shown = generation(store, site, length, first)
    _print(wide_console(), site, f"{first:{_FORMS[length]}}", shown)


@app.command()
def check(
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many days back.")] = 30,
) -> None:
    """List the days whose figures do not agree: hours, day counter, growth of the lifetime counter, sum of inverters.

    The exit code is 1 where a difference has no explanation, where a plant has energy on a day that is over and nobody
    has checked it, and where nothing was checked at all. Every finding names plant, inverter, day and amount.

    - `wattline generation check --days 7`
    """
    now = datetime.now(UTC)
    since = now.date() - timedelta(days=days)
    with pipeline_mongo() as store:
        found = verdicts(store, since, now)
    for finding in found.apart["finding"]:
        typer.echo(finding)
    for mcno, first, last, count in found.unchecked.iter_rows():
        # Whatever its time zone, a day begins 14 hours before UTC's at most, and ends 12 hours after.
        start, end = (datetime.combine(day, time(), UTC) for day in (first, last + timedelta(days=1)))
        ends = (start - timedelta(hours=14), end + timedelta(hours=12))
        command = history_command(["time_generation", "generation_summary"], *ends)
        typer.echo(f"plant {mcno}: energy and no verdict on {count} days from {first} to {last}. Run `{command}`")
    typer.echo(
        f"{found.checked:,} days of inverters and plants since {since}: {found.checked - found.apart.height:,} agree, "
        f"{found.apart.height - found.unexplained:,} are explained, {found.unexplained:,} are not"
    )
    if not found.checked:
        typer.echo("Nothing was checked: has `generation_summary` run, and is it the right database?")
    if found.unexplained or found.unchecked.height or not found.checked:
        raise typer.Exit(1)


@app.command("import-irradiance")
def import_irradiance_file(
    file: Annotated[Path, typer.Argument(help="The CSV file, plain or .gz.")],
    *,
    mcno: Annotated[int, typer.Option(min=1, help="Number of the plant.")],
    plant_id: Annotated[str | None, typer.Option(help="Which PLANT_ID, where the file holds several.")] = None,
) -> None:
    """Load what a plant's irradiance sensor said (CSV) into MySQL, for its performance ratio.

    The file's first line names the columns `DATE_TIME` (local time of the plant) and `IRRADIATION` (kW/m² in the plane
    of the panels); others are ignored. Loading a file again changes nothing.

    - `wattline generation import-irradiance weather.csv.gz --mcno 1`
    """
    with gateway_mysql() as store:
        site = find_site(store, mcno)
        rows, rejects = read_irradiance(file, site.zone.key, plant_id)
        written = import_irradiance(store, mcno, rows)
    typer.echo(
        f"Plant {mcno}: {written.inserted} values are new, {written.updated} changed, {written.unchanged} were there"
    )
    for line, value, reason in rejects.head(_SHOWN_REJECTS).select("line", "value", "reason").iter_rows():
        typer.echo(f"line {line}: {value!r} {reason}")
    if rejects.height:
        typer.echo(f"{rejects.height} rows cannot be used")
    # The window ends before its end, so the last value's own hour must be in it.
    command = history_command(_AFTER_IMPORT, rows["at"][0], rows["at"][-1] + timedelta(microseconds=1))
    typer.echo(f"Next: {command}" if command else "Next: nothing, the pipelines are about to take them")


def _period(given: dict[Length, str | None], today: date) -> tuple[Length, date]:
    """Which period is asked for, and its first day."""
    asked = {length: text for length, text in given.items() if text is not None}
    if len(asked) > 1:
        raise BadInputError("only one of them, please", field="--day/--month/--year", remedy="Leave out the others")
    for length, text in asked.items():
        try:
            return length, datetime.strptime(text, _FORMS[length]).date()  # noqa: DTZ007 - a date has no zone
        except ValueError as error:
            example = f"{today:{_FORMS[length]}}"
            raise BadInputError(f"{text!r} is none", field=f"--{length}", remedy=f"Write {example}") from error
    return "day", today


def _print(console: Console, site: Site, when: str, shown: Generation) -> None:
    title = f"Plant {site.mcno}, {site.name}: {when} ({site.zone.key})"
    parts = Table("", "kWh", "", "", title=title)
    parts.columns[1].justify = "right"
    largest = float(shown.parts["energy"].max() or 0)  # type: ignore[arg-type] # a Decimal
    for label, energy, note in shown.parts.iter_rows():
        parts.add_row(label, _number(energy), Bar(largest or 1, 0, float(energy), width=_BAR_WIDTH), note)
    console.print(parts)
    if shown.inverters.height:
        console.print(_inverters(shown.inverters))
    for line in (_sentence(shown.total), *shown.findings):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _inverters(rows: pl.DataFrame) -> Table:
    table = Table(
        "inverter", "kWh", "rated kW", "kWh/kW", "of the median", "h running", title="Inverters beside their median"
    )
    for column in table.columns:
        column.justify = "right"
    names = ("energy", "capacity_kw", "specific_yield")
    for row in rows.sort("invno").iter_rows(named=True):
        deviation = row["peer_deviation"]
        beside = "" if deviation is None else f"{100 * deviation:+.1f} %"
        table.add_row(
            str(row["invno"]), *(_number(row[name]) for name in names), beside, _number(row["running_hours"], 1)
        )
    return table


def _sentence(total: dict[str, float | Decimal | None]) -> str:
    """What is known of the whole."""
    if not total:
        return "The summary has not come here yet: `generation_summary`"
    known = {
        "{} kWh": _number(total["energy"]),
        "of {} kW": _number(total["capacity_kw"], 1),
        "{} kWh/kW": _number(total["specific_yield"]),
        "{} h running": _number(total["running_hours"], 1),
        "{} kWh/m² of light": _number(total.get("irradiation")),
        "performance ratio {}": _number(total.get("performance_ratio")),
    }
    return "The plant: " + ", ".join(text.format(value) for text, value in known.items() if value)


def _number(value: float | Decimal | None, places: int = 2) -> str:
    return "" if value is None else f"{value:,.{places}f}"
