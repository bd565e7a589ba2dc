"""`make demo`: two days of simulated plants and meters through the real pipelines, and tables of what came of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from zoneinfo import ZoneInfo

import MySQLdb
from pymongo import MongoClient
from pymongo.database import Database
from rich.console import Console
from rich.table import Table

from local import meters
from local.environment import DATABASE
from local.processes import StackError
from local.servers import HOST, OWNER
from local.stack import WATTLINE, Report, Stack
from wattline.airflow_api import AirflowApi
from wattline.cli.history import submit
from wattline.settings import settings
from wattline.solar.faults import Kind, default_faults
from wattline.solar.fleet import FIRST_MCNO, plants
from wattline.solar.tables import TICK
from wattline.window import Window

PLANTS = 5
SEED = 1
SITE_ZONE = ZoneInfo("Asia/Seoul")
SETTLE_SECONDS = 300
NOTICE_SECONDS = 60
PIPELINES = ("migration_inverter_m10", "inverterlog")
MIGRATIONS = ("migration_minute_10", "migration_day_1", "migration_daygeneration_d01")
COMPUTED = (
    "time_generation",
    "mysql_total_generation",
    "generation_summary",
    "statistics_inverter_avg",
    "statistics_inverter_median",
    "reliability_inverter",
)


def run(stack: Stack, console: Console, report: Report) -> None:
    """Start the stack, fill the source, run the pipelines and into the gate, print the tables; harmless when repeated.

    Raises:
        StackError: a step failed; what it said is on the terminal.
    """
    stack.up(report)
    start, end = _two_days(datetime.now(SITE_ZONE))
    _run_plants(stack, report, start, end)
    _run_meters(stack, report, start, end)
    with stack.airflow() as api:
        _settle(stack, api)
    report(f"Running {', '.join(COMPUTED)} over the plants' days")
    _wattline(stack, "history", *COMPUTED, *_options(start, end), "--chunk", "2d")
    _run_into_the_gate(stack, report, Window(start, end))
    report(f"This is what there is at {datetime.now(UTC):%H:%M} UTC; the live pipelines add a tick every ten minutes")
    for table in (_mysql_rows(stack), _mongo_rows(stack), _quarantine(stack), _mails(stack), _messages(stack)):
        console.print(table)
    _wattline(stack, "migrate", "status")
    for table in (meters.meters(stack.environment), meters.hours_by_reason(stack.environment)):
        console.print(table)
    report(meters.closure(stack.environment))
    report("The newest faults of the plants; a history run records them, and tells nobody")
    _wattline(stack, "events", "list", "--limit", "12")
    report("A plant's day; `wattline generation show --help` has months and years")
    _wattline(stack, "generation", "show", str(FIRST_MCNO), "--day", f"{start:%F}")


def _run_plants(stack: Stack, report: Report, start: datetime, end: datetime) -> None:
    """The plants' readings, and the pipelines up to their tick rows."""
    report(
        f"Filling MySQL with two days of {PLANTS} simulated plants, as field gateways do: {start:%F} and the day after"
    )
    _wattline(stack, "simulate", "--plants", str(PLANTS), "--seed", str(SEED), *_options(start, end))
    report(f"Running {' and '.join(PIPELINES)} over them, and up to now, through Airflow's scheduler")
    # Up to now, so that the live runs of pipelines that read their rows find the hours before complete.
    now = datetime.now(UTC)
    until = now - (now - start) % TICK
    _wattline(stack, "history", *PIPELINES, *_options(start, until), "--chunk", "3d")
    report(f"Starting {', '.join(MIGRATIONS)}: their first run brings the old system's other tables")
    with stack.airflow() as api:
        for dag_id in MIGRATIONS:
            api.unpause(dag_id)


def _run_meters(stack: Stack, report: Report, start: datetime, end: datetime) -> None:
    report("Filling MyEMS with two days of simulated meters: each of the first ones shows one thing of the field")
    _wattline(stack, "meters", "demo", "--days", "2", "--seed", str(SEED), "--until", end.isoformat())
    for dag_id in meters.PIPELINES:
        report(f"Running {dag_id} over them")
        _wattline(stack, "history", dag_id, *_options(start, end), "--chunk", "1d")


def _run_into_the_gate(stack: Stack, report: Report, window: Window) -> None:
    mcno, tick = nonsense_tick(window)
    report(
        f"Running the ten minutes from {tick.start:%F %H:%M} UTC alone, as a live run does: "
        f"the gateway of plant {mcno} sends nonsense, the gate stops the batch and tells the on-call"
    )
    with stack.airflow() as api:
        batch = submit(api, ["inverterlog"], [tick])
        _settle(stack, api)
    report(_told(stack, batch))


def _options(start: datetime, end: datetime) -> tuple[str, ...]:
    return "--from", start.isoformat(), "--to", end.isoformat()


def nonsense_tick(window: Window) -> tuple[int, Window]:
    """A plant of the demo whose gateway sends nonsense in `window`, two whole days, and ten minutes full of it."""
    faults = default_faults(SEED, window, plants(PLANTS, SEED, window.start))
    inside = (each for each in faults if window.start <= each.start and each.end <= window.end)
    fault = next(each for each in inside if each.kind is Kind.NONSENSE)
    last = Window(fault.start, fault.end).ticks(TICK)[-1]
    return fault.mcno, Window(last - TICK, last)


def _settle(stack: Stack, api: AirflowApi) -> None:
    """Wait until no run is active, live ones included, so that the tables count what is really done."""
    deadline = monotonic() + SETTLE_SECONDS
    while api.get("/api/v2/dags/~/dagRuns?state=running&state=queued&limit=1")["total_entries"]:
        if monotonic() > deadline:
            raise StackError(f"runs are still active after {SETTLE_SECONDS} s: see {stack.settings.airflow_url}")
        sleep(1)


def _told(stack: Stack, batch: str) -> str:
    """What the on-call was told of the gate that stopped the runs of `batch`; Airflow calls back a moment later."""
    deadline = monotonic() + NOTICE_SECONDS
    gate = {"_id.run_id": {"$regex": batch}, "_id.task_id": "gate"}
    with _client(stack) as client:
        while (notice := client[DATABASE]["oncall_notice"].find_one(gate)) is None:
            if monotonic() > deadline:
                raise StackError(f"no alert within {NOTICE_SECONDS} s: see {stack.settings.airflow_url}")
            sleep(0.5)
    if notice["folded"]:
        minutes = settings().oncall_fold_minutes
        return f"The on-call heard of this gate less than {minutes} minutes ago: this time is counted, and not sent"
    if not all(channel["ok"] for channel in notice["channels"]):
        raise StackError("the alert did not reach everybody: see `wattline oncall status`")
    return "The on-call was told by mail and SMS, see below"


def _two_days(now: datetime) -> tuple[datetime, datetime]:
    """The last two whole days at the plants: the same all day long, so that a second demo finds its rows."""
    end = datetime.combine(now.date(), clock(), SITE_ZONE)
    return end - timedelta(days=2), end


def _wattline(stack: Stack, *arguments: str) -> None:
    done = subprocess.run([WATTLINE, *arguments], env=stack.environment.process(), check=False)
    if done.returncode:
        raise StackError(
            f"`wattline {arguments[0]}` failed, see above; the stack is still up: {stack.settings.airflow_url}"
        )


def _mysql_rows(stack: Stack) -> Table:
    server = stack.environment.mariadb
    table = Table("MySQL table", "rows", title=f"MySQL {DATABASE}")
    connection = MySQLdb.connect(host=HOST, port=server.port, user=OWNER, passwd=server.password, database=DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = %s ORDER BY 1", [DATABASE]
            )
            names = [name for (name,) in cursor.fetchall()]
            for name in names:
                cursor.execute(f"SELECT COUNT(*) FROM `{name}`")  # noqa: S608 - the server's own table names
                table.add_row(name, f"{cursor.fetchone()[0]:,}")
    finally:
        connection.close()
    return table


def _mongo_rows(stack: Stack) -> Table:
    table = Table("MongoDB collection", "documents", title=f"MongoDB {DATABASE}")
    with _client(stack) as client:
        database = client[DATABASE]
        for name in sorted(database.list_collection_names()):
            table.add_row(name, f"{database[name].count_documents({}):,}")
    return table


def _quarantine(stack: Stack) -> Table:
    table = Table(
        "pipeline", "table", "field", "reason", "rows", "status", title="Quarantine: rows that a gate rejected"
    )
    with _client(stack) as client:
        for found in _reasons(client[DATABASE]):
            group = found["_id"]
            names = ("pipeline", "table", "field", "reason")
            table.add_row(*(str(group[name]) for name in names), f"{found['rows']:,}", group["status"])
    return table


def _reasons(database: Database[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    group = {name: f"${name}" for name in ("pipeline", "table", "status")}
    reason = {"field": "$reasons.field", "reason": "$reasons.reason"}
    yield from database["quarantine"].aggregate(
        [
            {"$unwind": "$reasons"},
            {"$group": {"_id": group | reason, "rows": {"$sum": 1}}},
            {"$sort": {"rows": -1, "_id": 1}},
        ]
    )


def _mails(stack: Stack) -> Table:
    table = Table("at", "to", "subject", title="Mails that went out")
    for mail in _lines(stack.settings.sink_folder / "mail.jsonl"):
        table.add_row(mail["at"][:19], ", ".join(mail["to"]), mail["subject"])
    return table


def _messages(stack: Stack) -> Table:
    table = Table("at", "to", "text", title="SMS that went out")
    for message in _lines(stack.settings.sink_folder / "sms.jsonl"):
        if "refused" not in message:
            table.add_row(message["at"][:19], message["to"], message["text"])
    return table


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _client(stack: Stack) -> MongoClient[dict[str, Any]]:
    return MongoClient(stack.environment.mongodb.url(DATABASE))
