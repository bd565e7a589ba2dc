"""The statistics of power beside pandas and beside an aggregation in the database, on the same tick rows.

`python -m tests.bench.statistics_bench [PLANTS DAYS]` measures on a throw-away mongod; without arguments 1,000 plants
of ten inverters over a day, and 100 over 30 days.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from local.servers import MongoDB, free_port
from tests.bench.statistics_fill import PER_PLANT, fill
from tests.servers import RunningServer
from wattline.solar.statistics_tables import STATISTICS_TABLES
from wattline.storage.months import collection_name
from wattline.storage.schema import upgrade_mongo

CASES = ((1_000, 1), (100, 30))
"""Plants and days."""
START = datetime(2026, 11, 1, 15, tzinfo=UTC)
"""Midnight in Seoul."""
RUNS = (
    ("own", "avg"),
    ("own", "median"),
    ("tasks", "avg"),
    ("pandas", "avg"),
    ("pandas", "median"),
    ("aggregation", "avg"),
)
_NAMES = {
    "own": "Wattline: read, compute, write",
    "tasks": "Wattline: task by task, with staging and gate",
    "pandas": "pandas: find, groupby, ReplaceOne",
    "aggregation": "MongoDB: $match, $group, $group, $merge",
}
TICK_ROWS = collection_name("inverterlog", START)
_TASKS = ("collect", "gate", "process", "store")
_CHECKOUT = Path(__file__).parents[2]

Measured = dict[str, float]


def measure(server: RunningServer, plants: int, days: int) -> dict[tuple[str, str], Measured]:
    """Each way in a process of its own, into empty collections with the contract's validators and indexes.

    Raises:
        SystemExit: a way failed, or found another number of logs or made other documents than the first.
    """
    url = server.server.url(f"bench_{plants}_{days}")
    fill(url, plants, START, days)
    client: MongoClient[Any] = MongoClient(url)
    with client:
        database = client.get_default_database()
        results: dict[tuple[str, str], Measured] = {}
        known: dict[str, Any] = {}
        for way, statistic in RUNS:
            for table in STATISTICS_TABLES:
                database.drop_collection(str(table.mongo))
            upgrade_mongo(url, STATISTICS_TABLES)
            # What was written before goes to disk now, and all rows are in memory, for every way alike.
            client.admin.command("fsync")
            database[TICK_ROWS].count_documents({"stale": False})
            results[way, statistic] = _way(way, statistic, url, plants, days)
            if way == "aggregation":
                results[way, statistic]["rows"] = results["own", statistic]["rows"]
            else:
                found = _sample(database[f"statics_inverter_{statistic}"])
                if known.setdefault(statistic, found) != found:
                    raise SystemExit(f"{way} {statistic}: other documents")
        client.drop_database(database.name)
    if len({one["rows"] for one in results.values()}) != 1:
        raise SystemExit(f"not the same logs: {results}")
    return results


def _way(way: str, statistic: str, url: str, plants: int, days: int) -> Measured:
    """Seconds and logs, and the peak of the process that needs most; tasks are processes one after the other."""
    arguments = [statistic, url, str(plants), START.isoformat(), (START + timedelta(days=days)).isoformat()]
    with tempfile.TemporaryDirectory() as folder:
        steps = [_step(step, *arguments, folder) for step in (_TASKS if way == "tasks" else [way])]
    return {
        "seconds": sum(one["seconds"] for one in steps),
        "rows": steps[0]["rows"],
        "peak_mb": max(one["peak_mb"] for one in steps),
    }


def _step(way: str, *arguments: str) -> Measured:
    command = [sys.executable, "-m", "tests.bench.statistics_step", way, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_CHECKOUT)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def _sample(collection: Any) -> Any:
    """How many documents there are, and some of them but for the last digits."""
    some = collection.find({"mcno": {"$lte": 3}}).sort("_id", 1)
    return collection.count_documents({}), [{name: _rounded(value) for name, value in one.items()} for one in some]


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value


def report(results: dict[str, dict[tuple[str, str], Measured]], console: Console) -> None:
    """A table of seconds, logs/s, memory, and how many times as long as Wattline each way took."""
    table = Table("case", "way", "statistic", "s", "logs/s", "peak MB", "× Wattline", title="Statistics of power")
    for case, ways in results.items():
        for (way, statistic), one in ways.items():
            ratio = one["seconds"] / ways["own", statistic]["seconds"]
            cells = [f"{one['seconds']:.2f}", f"{one['rows'] / one['seconds']:,.0f}", f"{one['peak_mb']:.0f}"]
            table.add_row(case, _NAMES[way], statistic, *cells, f"{ratio:.1f}")
    console.print(table)
    own = [ways["own", "avg"] for ways in results.values()]
    first, last = own[0], own[-1]
    growth = last["seconds"] / first["seconds"]
    console.print(f"Logs grow × {last['rows'] / first['rows']:.1f}, Wattline's seconds × {growth:.1f}.")
    console.print("The aggregation leaves daylight out, and slots without logs; MongoDB has a median from 7 on.")


def bench(console: Console, cases: tuple[tuple[int, int], ...] = CASES) -> None:
    """Measure on a throw-away server, and print."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        server = RunningServer(MongoDB(Path(folder) / "mongo", free_port()))
        server.start()
        client: MongoClient[Any] = MongoClient(server.server.url("admin"))
        with client:
            # As a server of this size has it: with less, every way measures how fast pages come from disk.
            client.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig="cache_size=4G")
        try:
            for plants, days in cases:
                name = f"{plants:,} × {PER_PLANT} inverters × {days} days"
                results[name] = measure(server, plants, days)
        finally:
            server.kill()
    report(results, console)


if __name__ == "__main__":
    given = tuple(map(int, sys.argv[1:]))
    bench(Console(width=150), ((given[0], given[1]),) if given else CASES)
