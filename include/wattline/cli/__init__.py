"""The command `wattline`: its root, and where each command lives.

A command's module is imported when the command is called, not before: databases, pvlib and templates cost seconds, and
`wattline --help` needs none of them. The module of a command holds a function of the command's name; the module of a
group of commands holds `app`, a Typer application.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from wattline.errors import WattlineError

COMMANDS = {
    "simulate": ("wattline.cli.simulate", "Fill MySQL with readings of simulated solar plants, as field gateways do."),
    "import-csv": ("wattline.cli.import_csv", "Load a real plant's inverter log (CSV) into MySQL."),
    "check-csv": ("wattline.cli.check_csv", "Compare what the pipelines stored with the imported CSV file."),
    "schema": ("wattline.cli.schema", "Create and upgrade the tables and collections."),
    "migrate": ("wattline.cli.migrate", "See how the migrations from MySQL stand; verify and repair what they copied."),
    "meters": ("wattline.cli.meters", "Look after MyEMS's meters: tables, doubled hours, demo."),
    "generation": ("wattline.cli.generation", "See what plants made and whether it agrees; load irradiance."),
    "events": ("wattline.cli.events", "See what happened to plants, and mark it as seen."),
    "history": ("wattline.cli.history", "Compute past days again, through Airflow."),
    "watchdog": ("wattline.cli.watchdog", "Tell the on-call when the platform itself is silent; runs outside Airflow."),
    "oncall": ("wattline.cli.oncall", "Look after the messages to the on-call."),
}
"""Command → its module and the line that `wattline --help` shows."""

_COMPLETION = ("install_completion", "show_completion")


class _Commands(TyperGroup):
    """Loads a command's module on its first use, and tells a WattlineError in one line instead of a traceback."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, summary) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = _load(name)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except WattlineError as error:
            typer.secho(f"Error: {error}", err=True, fg="red")
            raise typer.Exit(1) from error


def _load(name: str) -> TyperCommand | TyperGroup:
    module = import_module(COMMANDS[name][0])
    application = getattr(module, "app", None)
    if application is None:
        application = typer.Typer(rich_markup_mode="markdown")
        application.command(name)(getattr(module, name.replace("-", "_")))
    command = cast("TyperCommand | TyperGroup", get_command(application))
    # Shell completion is installed once, by the root.
    command.params = [parameter for parameter in command.params if parameter.name not in _COMPLETION]
    return command


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Passwords never stand on the command line: `WATTLINE_ENV_FILE` names a file that holds the servers' URLs.",
)


@app.callback()
def root() -> None:
    """Open energy telemetry on Apache Airflow: sources, schema and history of a Wattline installation.

    A first look, on a machine where `make up` runs the servers:

    - `wattline schema upgrade` creates the tables
    - `wattline simulate --plants 20 --from 2026-11-20T00:00Z --to 2026-11-22T00:00Z --seed 7` fills them
    - `wattline import-csv plant.csv.gz --timezone Asia/Kolkata --mcno 1` loads a real plant

    Every command explains itself: `wattline simulate --help`.
    """
