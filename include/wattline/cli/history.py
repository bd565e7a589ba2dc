"""`wattline history`: run pipelines over any past window, through the real scheduler, in runs of a day or so."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wattline.airflow_api import AirflowApi
from wattline.errors import BadInputError, TerminalError
from wattline.settings import settings
from wattline.window import Window, parse_time

app = typer.Typer()

_GRID = timedelta(minutes=10)
"""The shortest interval of a pipeline; windows are cut at its multiples."""
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_POLL_SECONDS = 1.0


@app.command()
def history(
    dags: Annotated[list[str], typer.Argument(help="DAGs to run, in the order in which they depend on each other.")],
    start: Annotated[str, typer.Option("--from", help="Begin of the window, with offset: 2026-11-01T00:00Z.")],
    end: Annotated[str, typer.Option("--to", help="End of the window (not included).")],
    chunk: Annotated[str, typer.Option(help="What one run computes: 1d, 6h, 30m.")] = "1d",
    wait: Annotated[bool, typer.Option(help="Show progress until all runs are done.")] = True,
) -> None:
    """Compute a past window with the same code as the live runs, one run a day instead of one every ten minutes.

    It also unpauses the DAGs. Running it again gives the same rows.

    Example: wattline history migration_inverter_m10 inverterlog --from 2026-11-01T00:00Z --to 2026-12-01T00:00Z
    """
    window = Window(parse_time(start, "--from"), parse_time(end, "--to"))
    window.require_past("--to")
    window.require_grid(_GRID, "--from/--to")
    windows = split(window, parse_chunk(chunk))
    dags = list(dict.fromkeys(dags))
    given = settings()
    with AirflowApi(given.airflow_url, given.airflow_user, given.airflow_password.get_secret_value()) as api:
        batch = submit(api, dags, windows)
        if wait:
            _follow(api, batch, len(dags) * len(windows))


def parse_chunk(text: str) -> timedelta:
    """A whole number of minutes, hours or days: `30m`, `6h`, `1d`.

    Raises:
        BadInputError: anything else, or no multiple of ten minutes.
    """
    match = re.fullmatch(r"([1-9]\d*)([mhd])", text)
    length = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if length < _GRID or length % _GRID:
        raise BadInputError(f"{text!r} is no chunk", field="--chunk", remedy="Use e.g. 1d, 6h or a multiple of 10m")
    return length


def split(window: Window, chunk: timedelta) -> list[Window]:
    """Cut `window` into consecutive windows of `chunk`, the last one perhaps shorter."""
    starts = [window.start + n * chunk for n in range(-(-(window.end - window.start) // chunk))]
    return [Window(low, min(low + chunk, window.end)) for low in starts]


def submit(api: AirflowApi, dags: Sequence[str], windows: Sequence[Window]) -> str:
    """Queue every window for every DAG, oldest first; returns what all their run ids contain."""
    for dag_id in dags:
        api.require_dag(dag_id)
    now = datetime.now(UTC)
    batch = f"history_{now:%Y%m%dT%H%M%S%f}"
    for window in windows:
        for dag_id in dags:
            api.trigger(dag_id, f"{batch}__{window.start:%Y-%m-%dT%H%M}", window, min(window.end, now))
    for dag_id in dags:
        api.unpause(dag_id)
    return batch


def _follow(api: AirflowApi, batch: str, runs: int) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("runs done", total=runs)
        while True:
            counts = api.counts(batch)
            done = counts.succeeded + counts.failed
            progress.update(task, completed=done)
            if done >= runs:
                break
            time.sleep(_POLL_SECONDS)
    if counts.failed:
        raise TerminalError(f"{counts.failed} of {runs} runs failed: {', '.join(counts.some_failed)}")
