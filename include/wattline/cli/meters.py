"""`wattline meters`: the meters of a MyEMS installation."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from wattline.cli.connect import myems as myems_databases
from wattline.cli.connect import myems_owner_url, myems_urls
from wattline.cli.console import wide_console
from wattline.cli.doubled_hours import DoubledHours
from wattline.cli.explained_hour import show
from wattline.meters import myems
from wattline.meters.databases import Databases
from wattline.meters.demo import World
from wattline.meters.demo_forms import write_forms
from wattline.meters.explain import explain as explain_hour
from wattline.meters.fleet import Show
from wattline.meters.follow import follow_offline
from wattline.meters.offline import Importer, import_files
from wattline.meters.plan import configured
from wattline.meters.settle import summary
from wattline.meters.statistics_store import rebuild
from wattline.meters.tables import METER_KINDS
from wattline.meters.upgrade import REMOVED, duplicates
from wattline.meters.upgrade import upgrade as make_unique
from wattline.meters.virtual import WHOLE_METER
from wattline.settings import settings
from wattline.storage import schema
from wattline.storage.mysql import MySQLStore
from wattline.storage.store import WriteResult
from wattline.window import Window, parse_time

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def root() -> None:
    """Look after MyEMS's meters, whose hourly energy Wattline computes.

    The databases are `WATTLINE_MYEMS_SYSTEM_URL`, `…_HISTORICAL_URL` and `…_ENERGY_URL`, perhaps on three hosts.
    """


@app.command()
def create() -> None:
    """Create MyEMS's databases and tables where they are missing, for a trial, and do what `upgrade` does.

    All three are made on the server of `WATTLINE_MYEMS_OWNER_URL`, under the names that the other URLs have. A live
    MyEMS has them: run `wattline meters upgrade` there.
    """
    owners = _owner_urls()
    myems.create(*owners)
    _make_ready(owners)


@app.command()
def upgrade(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the doubled hours; change nothing.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every doubled hour into a CSV file.", dir_okay=False)
    ] = None,
) -> None:
    """Make MyEMS's energy database ready: Wattline's tables, and a unique key on the hourly ones.

    MyEMS allows several rows of one meter and hour. Each is shown with the row that stays and why: the oldest where all
    values are equal, else the newest. The others move to `tbl_meter_hourly_duplicates`. Stop MyEMS's own normalization
    services first. The owner is `WATTLINE_MYEMS_OWNER_URL`; the user of `WATTLINE_MYEMS_ENERGY_URL` gets its rights.

    - `wattline meters upgrade --dry-run --report doubled.csv`
    - `wattline meters upgrade`
    """
    _upgrade(myems_owner_url(), report, dry_run=dry_run)


@app.command()
def demo(
    meters: Annotated[int, typer.Option(min=len(Show), max=10_000, help="How many meters.")] = len(Show) + 4,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days before --until it begins.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Which world: the same seed gives the same readings.")] = 7,
    until: Annotated[str | None, typer.Option(help="Where it ends: 2026-11-20T00:00Z; default: now.")] = None,
) -> None:
    """Fill a MyEMS of simulated meters: readings by the minute, and forms of offline meters in the watched folder.

    Each of the first meters shows one thing that happens in the field, by which it is named; the others run normally.
    Databases and tables are created where they are missing. It refuses a MyEMS that has meters of its own.

    Running it again adds nothing, and a later end goes on where it ended.

    - `wattline meters demo`
    - `wattline meters demo --meters 100 --days 30 --seed 7 --until 2026-11-20T00:00Z`
    """
    end = parse_time(until, "--until") if until else datetime.now(UTC).replace(second=0, microsecond=0)
    # An hour more, so that the first hour of the days has a reading to begin from.
    whole = Window(end - timedelta(days=days, hours=1), end)
    whole.require_past("--until")
    owners = _owner_urls()
    myems.create(*owners)
    with closing(Databases(*(MySQLStore.from_url(url) for url in owners))) as databases:
        world = World.open(databases, meters, seed, whole.start)
        _make_ready(owners)
        world.register(databases)
        written = WriteResult(0, 0, 0)
        for window in _tracked(world.windows(whole.end)):
            written += world.send(databases, window, whole.end)
    given = settings()
    forms = write_forms(given.offline_folder, seed, world.since, end, ZoneInfo(given.meters_zone))
    _tell_demo(world, written, forms)


def _tracked(windows: list[Window]) -> Iterable[Window]:
    console = Console(stderr=True)
    return track(windows, "readings", console=console, transient=True, disable=not console.is_terminal)


@app.command()
def explain(
    meter: Annotated[str, typer.Argument(help="The meter's id or name.")],
    hour: Annotated[str, typer.Argument(help="Any time within the hour, with offset: 2026-11-20T06:00Z")],
) -> None:
    """Show how an hour of a meter came to its value: the counter before, every reading with what it adds, the reason.

    The readings of today are counted again; what is stored stands beside it.

    - `wattline meters explain 3 2026-11-20T06:00Z`
    - `wattline meters explain "Cold store" 2026-11-20T15:00+09:00`
    """
    with myems_databases() as databases:
        show(explain_hour(databases, meter, parse_time(hour, "HOUR"), configured()), wide_console())


@app.command("import-forms")
def import_forms(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Excel forms of offline meters.")],
) -> None:
    """Load forms of meters that are read by hand, as `meter_offline_forms` does with its watched folder.

    Each day's energy is spread over the day's hours; virtual meters and statistics follow. The files stay where they
    are. A cell that cannot be loaded is named with its remedy; the others are loaded.

    - `wattline meters import-forms boilers-2026-10.xlsx`
    """
    given = settings()
    zone, minutes = given.meters_zone, given.meters_minutes_to_count
    with myems_databases() as databases:
        importer = Importer(databases, zone, minutes, lambda slots: follow_offline(databases, slots, zone, minutes))
        forms = import_files(importer, files)
    for form in forms:
        typer.echo(form)
    if any(form.findings for form in forms):
        raise typer.Exit(1)


@app.command()
def findings() -> None:
    """Show which slots of virtual meters and days of offline ones have no row, and what to do about it.

    What is said of many slots of a meter stands there once. Times are starts of slots, UTC.
    """
    with myems_databases() as databases:
        found = summary(databases.energy)
    if found.is_empty():
        typer.echo("No findings.")
        return
    table = Table("kind", "meter", "subject", "slots", "first", "last", "what it is, what to do", title="findings")
    for row in found.iter_rows(named=True):
        ends = [f"{at:%Y-%m-%d %H:%M}" if at > WHOLE_METER else "" for at in (row["first"], row["last"])]
        slots = f"{row['slots']:,}" if ends[0] else "all"
        # Names of meters may hold brackets, which are no markup.
        table.add_row(row["kind"], str(row["meter_id"]), row["subject"], slots, *ends, Text(row["detail"]))
    wide_console().print(table)


@app.command()
def statistics() -> None:
    """Compute all statistics of days, months and years anew: after `WATTLINE_METERS_ZONE` or hours of MyEMS changed."""
    given = settings()
    with myems_databases() as databases:
        for kind in METER_KINDS:
            rows = rebuild(databases, kind, given.meters_zone, given.meters_minutes_to_count)
            typer.echo(f"{kind:14} {rows:,} rows")


def _tell_demo(world: World, written: WriteResult, forms: list[Path]) -> None:
    console = wide_console()
    table = Table("meter", "shows", title="simulated meters")
    for meter in world.meters[: len(Show)]:
        table.add_row(str(meter.number), meter.shows)
    console.print(table)
    console.print(
        f"{len(world.meters)} meters since {world.since:%Y-%m-%dT%H:%MZ}, the others of normal load: "
        f"{written.inserted:,} readings are new, {written.unchanged:,} were there.",
        highlight=False,
    )
    for path in forms:
        console.print(f"Form of the offline meters: {path}", highlight=False, soft_wrap=True, markup=False)


def _make_ready(owners: tuple[str, str, str]) -> None:
    """Rights of the meters user in MyEMS's databases, and the energy database upgraded."""
    for url, user, part in zip(owners, myems_urls(), ("system", "historical"), strict=False):
        schema.grant_mysql(url, user, f"meters_{part}")
    typer.echo("MyEMS    databases and tables, rights of the meters user")
    _upgrade(owners[-1])


def _upgrade(owner_url: str, report: Path | None = None, *, dry_run: bool = False) -> None:
    found, moved = DoubledHours(report), DoubledHours(None)
    with closing(MySQLStore.from_url(owner_url)) as store:
        for groups in duplicates(store):
            found.add(groups)
        found.show()
        if dry_run:
            return
        make_unique(store, moved.add)
    if moved.rows:
        typer.echo(f"Energy   {moved.rows:,} rows moved to {REMOVED}")
    typer.echo("Energy   Wattline's tables, one row a slot")
    user = settings().myems_energy_url.get_secret_value()
    if user:
        schema.grant_mysql(owner_url, user, "meters_energy")
        typer.echo("Energy   rights of the meters user")


def _owner_urls() -> tuple[str, str, str]:
    """The owner's URLs of the three databases, all on the owner's server."""
    owner = schema.mysql_url(myems_owner_url())
    names = (schema.mysql_url(url).database for url in myems_urls())
    system, historical, energy = (owner.set(database=name).render_as_string(hide_password=False) for name in names)
    return system, historical, energy
