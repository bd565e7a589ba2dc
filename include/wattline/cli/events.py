"""`wattline events`: see what happened to plants, and mark it as seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from getpass import getuser
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from wattline.alerts.acknowledge import check as acknowledge
from wattline.alerts.notice import event_id
from wattline.cli.connect import pipeline_documents
from wattline.storage.documents import Document, translated

app = typer.Typer(no_args_is_help=True, help="See what happened to plants, and mark it as seen.")


@app.command(name="list")
def list_events(
    days: Annotated[int, typer.Option(help="How many days back.", min=1)] = 7,
    mcno: Annotated[int | None, typer.Option(help="Only this plant.")] = None,
    unchecked: Annotated[bool, typer.Option("--open", help="Only what lasts and nobody has checked.")] = False,
    notices: Annotated[bool, typer.Option("--notices", help="Notices, too: each start and stop.")] = False,
    limit: Annotated[int, typer.Option(help="How many to show, newest first.", min=1)] = 50,
) -> None:
    """Show the newest faults with their ids, and how their messages fared."""
    which: Document = {"raised_at": {"$gte": datetime.now(UTC) - timedelta(days=days)}}
    which |= {"mcno": mcno} if mcno is not None else {}
    which |= {"cleared_at": None, "checked": False} if unchecked else {}
    which |= {} if notices else {"level": "fault"}
    with pipeline_documents() as database, translated():
        events = list(database["event"].find(which).sort("raised_at", -1).limit(limit))
        names = [_identifier(event) for event in events]
        messages = _messages(database, names)
    table = Table("id", "what", "over (UTC)", "checked by", "messages")
    table.columns[0].no_wrap = True
    for name, event in zip(names, events, strict=True):
        over = f"{event['cleared_at']:%m-%d %H:%M}" if event["cleared_at"] else ""
        table.add_row(name, event.get("message") or "", over, event.get("checked_by") or "", messages.get(name, ""))
    Console().print(table if events else "No event.")


@app.command()
def check(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Of the event, as `wattline events list` shows it.")],
    by: Annotated[str, typer.Option(help="Who has seen it; your login name.")] = "",
) -> None:
    """Mark an event as seen: it is not escalated, and nobody else is told that it began."""
    with pipeline_documents() as database:
        done = acknowledge(database, identifier, by or getuser(), datetime.now(UTC))
    typer.echo(f"{identifier} {'is checked' if done else 'was checked before'}.")


def _identifier(event: Document) -> str:
    return event_id(event["mcno"], event["invno"], event["type"], event["raised_at"].replace(tzinfo=UTC))


def _messages(database: Any, names: list[str]) -> dict[str, str]:
    """Event → its messages, counted by state."""
    by = {"event": "$event", "status": "$status"}
    stages = [{"$match": {"event": {"$in": names}}}, {"$group": {"_id": by, "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}]
    told: dict[str, list[str]] = {}
    for group in database["outbox"].aggregate(stages):
        told.setdefault(group["_id"]["event"], []).append(f"{group['n']} {group['_id']['status']}")
    return {name: ", ".join(parts) for name, parts in told.items()}
