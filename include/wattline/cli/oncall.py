"""`wattline oncall`: try the channels, and look at what the on-call was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from pymongo import DESCENDING
from rich.console import Console
from rich.table import Table

from wattline.airflow_api import AirflowApi
from wattline.alerts.channels import NotificationError, send
from wattline.alerts.duty import VARIABLE, FailedAttempt, load_memory
from wattline.alerts.oncall import Failure, Notice, compose
from wattline.cli.connect import pipeline_documents
from wattline.errors import TerminalError, WattlineError
from wattline.settings import settings
from wattline.storage.documents import documents, translated

app = typer.Typer(no_args_is_help=True, help="Look after the messages to the on-call.")


@app.command()
def test() -> None:
    """Send a test message through every channel of WATTLINE_ONCALL_URLS; exit code 1 if one of them fails."""
    options = settings()
    trial = Failure("wattline", "", "none", None, 0, "", options.airflow_url, kind="test")
    try:
        results: Sequence[Any] = send(
            compose([Notice(trial)], options.oncall_language), options.oncall_urls.get_secret_value().split()
        )
    except NotificationError as error:
        results = error.results
    table = Table("channel", "result")
    for result in results:
        table.add_row(result.channel, "sent" if result.ok else result.error)
    Console().print(table)
    if not all(result.ok for result in results):
        raise typer.Exit(1)


@app.command()
def status(
    limit: Annotated[int, typer.Option(help="How many notices to show.", min=1)] = 20,
) -> None:
    """Show the latest notices; exit code 1 if the newest one did not reach every channel."""
    notices = _notices(limit)
    table = Table("at (UTC)", "what", "run", "told")
    table.columns[0].no_wrap = True
    for notice in notices:
        key = notice["_id"]
        name = f"{key['dag_id']}.{key['task_id']}" if key["task_id"] else key["dag_id"]
        table.add_row(f"{notice['at']:%Y-%m-%d %H:%M:%S}", f"{name} {notice['kind']}", key["run_id"], _told(notice))
    Console().print(table if notices else "No notice yet.")
    problems = _unrecorded(notices[0]["at"] if notices else None)
    newest = next((notice for notice in notices if not notice["folded"]), None)
    if newest is not None and not all(channel["ok"] for channel in newest["channels"]):
        problems.insert(0, "the newest notice did not reach every channel")
    if problems:
        raise TerminalError("; ".join(problems))


def _notices(limit: int) -> list[dict[str, Any]]:
    with pipeline_documents() as database, translated():
        return list(documents(database, "oncall_notice").find().sort("at", DESCENDING).limit(limit))


def _unrecorded(newest: datetime | None) -> list[str]:
    """Attempts that failed while MongoDB could not be written are known to Airflow alone."""
    given = settings()
    try:
        with AirflowApi(given.airflow_url, given.airflow_user, given.airflow_password.get_secret_value()) as api:
            failed = load_memory(api.variable(VARIABLE)).last_failed
    except WattlineError as error:
        return [f"Airflow's variable {VARIABLE} cannot be read: {error}"]
    return [_describe(failed)] if failed and (newest is None or failed.at > newest) else []


def _describe(failed: FailedAttempt) -> str:
    names = ", ".join(failed.failures)
    return f"at {failed.at:%Y-%m-%d %H:%M} UTC not every channel was told of {names}: {failed.error}"


def _told(notice: Mapping[str, Any]) -> str:
    if notice["folded"]:
        return "folded"
    failed = [f"{each['channel']}: {each['error']}" for each in notice["channels"] if not each["ok"]]
    sent = len(notice["channels"]) - len(failed)
    return "\n".join([f"sent to {sent} of {len(notice['channels'])}", *failed])
