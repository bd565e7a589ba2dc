"""What a migration of a whole `inverterlog` is compared with: dlt, and floors that no program can beat.

`python -m tests.bench.migrate_bench ROWS DAYS` measures them on throw-away servers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from local.servers import MariaDB, MongoDB, free_port
from tests.bench.fill import fill_inverterlog
from tests.bench.floors import FLOORS, Measured, make_target
from tests.bench.migrate_step import STEPS
from tests.servers import RunningServer
from wattline.storage.mysql import connect
from wattline.storage.schema import mysql_url as mysql_url_of

CHECKOUT = Path(__file__).parents[2]
BENCH_PYTHON = CHECKOUT / ".venv-bench/bin/python"
DLT_COLLECTION = "inverterlog"
END = datetime(2026, 11, 1, tzinfo=UTC)
WORKERS = 2
ROWS, DAYS = 500_000, 30
_CHANGE = "UPDATE inverterlog SET dckw = COALESCE(dckw, 0) + 0.5, received_at = received_at + INTERVAL 1 SECOND"


def measure_dlt(mysql_url: str, mongo_url: str) -> Measured:
    """Copy every reading by dlt into an empty collection that has the validator and indexes of readings.

    Raises:
        SystemExit: `.venv-bench` is not made yet, dlt failed, or rows are missing.
    """
    if not BENCH_PYTHON.exists():
        raise SystemExit("dlt has no virtual environment yet: run `make .venv-bench/ready`, or `make bench`")
    client: MongoClient[Any] = MongoClient(mongo_url)
    with client:
        database = client.get_default_database()
        make_target(database, DLT_COLLECTION)
        measured = _run("dlt", [str(BENCH_PYTHON), "tests/bench/dlt_pipeline.py", mysql_url, mongo_url])
        stored = database[DLT_COLLECTION].count_documents({})
    if stored != measured["rows"]:
        raise SystemExit(f"dlt counted {measured['rows']:,} rows and stored {stored:,}")
    return measured


def measure_floor(name: str, mysql_url: str, mongo_url: str) -> Measured:
    """One of FLOORS in a process of its own.

    Raises:
        SystemExit: it failed.
    """
    urls = [mysql_url] if name == "read" else [mysql_url, mongo_url]
    return _run(f"floor {name}", [sys.executable, "-m", "tests.bench.floors", name, *urls])


def _run(what: str, command: list[str]) -> Measured:
    """What a program printed on its last line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stderr}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def measure_steps(urls: tuple[str, str], folder: Path) -> dict[str, Measured]:
    """Each step of a live run over all slices, each in a process of its own."""
    return {step: _migrate(urls, folder, step, "0/1") for step in STEPS}


def measure_together(urls: tuple[str, str], folder: Path) -> Measured:
    """All steps, two slices at a time, as Airflow runs mapped tasks on two cores: the seconds from first to last."""
    with ThreadPoolExecutor(WORKERS) as pool:
        shares = [f"{number}/{WORKERS}" for number in range(WORKERS)]
        # The slices are cut before, once for all workers.
        _migrate(urls, folder, "plan", "0/1")
        started = time.perf_counter()
        parts = list(pool.map(lambda share: _migrate(urls, folder, "all", share), shares))
    return {
        # Starting Python and importing libraries is no work of the migration: Airflow's workers are forked.
        "seconds": max(part["seconds"] for part in parts),
        "elapsed": time.perf_counter() - started,
        "rows": sum(part["rows"] for part in parts),
        "peak_mb": max(part["peak_mb"] for part in parts),
        "longest": max(part["longest"] for part in parts),
        "bytes": sum(part["bytes"] for part in parts),
    }


def _migrate(urls: tuple[str, str], folder: Path, step: str, share: str) -> Measured:
    return _run(f"{step} {share}", [sys.executable, "-m", "tests.bench.migrate_step", *urls, str(folder), step, share])


def change(mysql_url: str) -> None:
    """Write every reading again, with another value, in the order of arrival."""
    with closing(connect(mysql_url_of(mysql_url))) as connection:
        connection.autocommit(True)
        connection.cursor().execute(_CHANGE)


def measure(urls: tuple[str, str], rows: int, days: int) -> dict[str, Measured]:
    """What goes into the table, by name: each on the same rows, one after the other."""
    fill_inverterlog(urls[0], rows, days, END)
    results: dict[str, Measured] = {f"floor: {name}": measure_floor(name, *urls) for name in FLOORS}
    results["dlt, new rows"] = measure_dlt(*urls)
    _empty(urls[1])
    cases: dict[str, Callable[[], None]] = {"new": _nothing, "the same": _nothing, "changed": lambda: change(urls[0])}
    for name, prepare in cases.items():
        prepare()
        with tempfile.TemporaryDirectory() as folder:
            steps = measure_steps(urls, Path(folder))
        results |= {f"{step}, {name} rows": one for step, one in steps.items()}
        results[f"one slice at a time, {name} rows"] = _sum(steps)
    _empty(urls[1])
    cases["changed again"] = cases.pop("changed")
    for name, prepare in cases.items():
        prepare()
        with tempfile.TemporaryDirectory() as folder:
            results[f"two slices at a time, {name} rows"] = measure_together(urls, Path(folder))
    return results


def report(results: dict[str, Measured], console: Console) -> None:
    """A table of seconds, rows/s, memory, longest statement and bytes, and the ratio to dlt."""
    table = Table(
        "what", "s", "rows/s", "peak MB", "longest query s", "MB from MySQL", title="Migration of inverterlog"
    )
    for name, one in results.items():
        cells = [f"{one['seconds']:.2f}", f"{one['rows'] / one['seconds']:,.0f}", f"{one['peak_mb']:.0f}"]
        cells += [f"{one['longest']:.2f}", f"{one['bytes'] / 1e6:.0f}"] if "longest" in one else ["", ""]
        table.add_row(f"[bold]{name}" if "at a time" in name else name, *cells)
    console.print(table)
    dlt = results["dlt, new rows"]["seconds"]
    for name in ("one slice at a time, new rows", "two slices at a time, new rows"):
        console.print(f"{name}: {dlt / results[name]['seconds']:.1f} times as fast as dlt")


def _sum(steps: dict[str, Measured]) -> Measured:
    return {
        "seconds": sum(one["seconds"] for one in steps.values()),
        "rows": max(one["rows"] for one in steps.values()),
        "peak_mb": max(one["peak_mb"] for one in steps.values()),
        "longest": max(one["longest"] for one in steps.values()),
        "bytes": sum(one["bytes"] for one in steps.values()),
    }


def _empty(mongo_url: str) -> None:
    client: MongoClient[Any] = MongoClient(mongo_url)
    with client:
        client.drop_database(client.get_default_database().name)


def _nothing() -> None:
    """The rows as they are."""


def bench(console: Console, rows: int = ROWS, days: int = DAYS) -> None:
    """Measure on throw-away servers, and print."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        mariadb = RunningServer(MariaDB(Path(folder) / "mariadb", free_port()))
        mongo = RunningServer(MongoDB(Path(folder) / "mongo", free_port()))
        for server in (mariadb, mongo):
            stack.callback(server.kill)
            server.start()
        urls = mariadb.server.url("bench_migrate"), mongo.server.url("bench_migrate")
        report(measure(urls, rows, days), console)


if __name__ == "__main__":
    bench(Console(width=140), *map(int, sys.argv[1:]))
