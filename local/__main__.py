"""`python -m local`: the local stack from the command line (`make up`, `make down`, …)."""

from __future__ import annotations

import subprocess
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from local.demo import run as run_demo
from local.environment import ADMIN, VIEWER
from local.processes import StackError
from local.servers import ServerError
from local.settings import LocalSettings
from local.stack import Stack

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The local stack: servers, sinks and Airflow.")
console = Console()


def _report(line: str) -> None:
    console.print(f"[dim]·[/] {line}")


def _stack() -> Stack:
    return Stack(LocalSettings())


def _addresses(stack: Stack) -> Table:
    """Where the UI is and how to log in."""
    table = Table.grid(padding=(0, 2))
    table.add_row("Airflow", stack.settings.airflow_url)
    for user in (ADMIN, VIEWER):
        table.add_row(f"login {user}", stack.environment.password(f"airflow_{user}"))
    table.add_row("environment", f". {stack.settings.env_file}")
    return table


@app.command()
def up() -> None:
    """Start everything that does not run; harmless when all of it does."""
    stack = _stack()
    stack.up(_report)
    console.print(_addresses(stack))


@app.command()
def demo() -> None:
    """Start everything, run two simulated days through the pipelines, and show what came of it."""
    stack = _stack()
    run_demo(stack, console, _report)
    console.print(_addresses(stack))


@app.command()
def down() -> None:
    """Stop everything; the data stay."""
    _stack().down(_report)


@app.command()
def clean() -> None:
    """Stop everything and remove the data folder."""
    _stack().clean(_report)


@app.command()
def status() -> None:
    """Show each process; the exit code is 1 unless all are healthy."""
    table = Table("process", "state", "pid", "ports", "memory")
    states = _stack().state()
    for state in states:
        word = "[green]healthy[/]" if state.ready else "[yellow]not ready[/]" if state.pid else "[red]stopped[/]"
        ports, memory = ", ".join(map(str, state.ports)), f"{state.memory / 2**20:.0f} MB" if state.memory else ""
        table.add_row(state.name, word, str(state.pid or ""), ports, memory)
    console.print(table)
    if not all(state.ready for state in states):
        raise typer.Exit(1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A process, as `status` names it; all of them by default.")] = "*",
) -> None:
    """Follow the logs; end with Ctrl-C."""
    files = sorted(_stack().settings.log_folder.glob(f"{name}.log"))
    if not files:
        raise StackError(f"there is no log called {name!r}")
    subprocess.run(["tail", "-n", "20", "-F", *map(str, files)], check=False)


def main() -> None:
    """Run the command; an expected error is one message, not a traceback."""
    try:
        app()
    except (StackError, ServerError) as error:
        console.print(f"[red]Error:[/] {error}", highlight=False, markup=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
