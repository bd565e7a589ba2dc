"""`make bench`: one tick of growing fleets through every step, each in its own process, on throw-away servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import MySQLdb
import polars as pl
from rich.console import Console
from rich.table import Table

from local.servers import HOST, OWNER, MariaDB, MongoDB, free_port
from tests.bench.meter_bench import bench as meters
from tests.bench.migrate_bench import bench as migration
from tests.bench.outbox_bench import bench as messages
from tests.bench.reliability_bench import bench as reliability
from tests.bench.statistics_bench import bench as statistics
from tests.bench.step import MIGRATION, STEPS
from tests.servers import RunningServer
from wattline.solar.tables import CUSTOMER, INVERTER, READING, TICK
from wattline.storage.contract import ENERGY, UTC_TIME
from wattline.storage.mysql import MySQLStore
from wattline.storage.schema import upgrade_mysql
from wattline.window import Window

SIZES = (1_000, 10_000, 50_000)
PER_PLANT = 20
TICK_AT = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
CHECKOUT = Path(__file__).parents[2]

Measured = dict[str, dict[str, float]]


def fleet(inverters: int) -> dict[Any, pl.DataFrame]:
    """Registers and two ticks of readings, two per inverter and tick."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    units = pl.DataFrame({"n": range(inverters)}).select(
        mcno=(pl.col("n") // PER_PLANT + 1).cast(pl.Int32), invno=(pl.col("n") % PER_PLANT + 1).cast(pl.Int32)
    )
    instant = pl.lit(start).cast(UTC_TIME)
    nothing = {column.name: None for column in INVERTER.columns if column.nullable}
    known = {"capacity_kw": pl.lit(50.0), "installed_at": instant, "updated_at": instant}
    register = units.with_columns(**nothing | known)
    plants = (
        units.select("mcno")
        .unique()
        .with_columns(
            name=pl.format("Plant {}", "mcno"),
            owner=pl.lit(None),
            address=pl.lit(None),
            latitude=pl.lit(36.0),
            longitude=pl.lit(127.0),
            timezone=pl.lit("Asia/Seoul"),
            status=pl.lit("in_use"),
            capacity_kw=pl.lit(1000.0),
            updated_at=instant,
        )
    )
    offsets = pl.DataFrame({"minute": [3, 8, 13, 18]})
    at = pl.lit(TICK_AT - 2 * TICK) + pl.duration(minutes="minute", seconds=pl.col("mcno") % 60)
    readings = units.join(offsets, how="cross").with_columns(
        at=at.cast(UTC_TIME),
        ackw=pl.lit(40.0),
        dckw=pl.lit(42.0),
        daykw=(pl.col("minute") * 2 + 100).cast(ENERGY),
        totkw=(pl.col("minute") * 2 + 50_000).cast(ENERGY),
        status=pl.lit(1),
    )
    readings = readings.with_columns(received_at=pl.col("at") + timedelta(seconds=2))
    return {CUSTOMER: plants, INVERTER: register, READING: readings}


def run_step(name: str, urls: tuple[str, str], folder: str, window: Window) -> dict[str, float]:
    """One step in its own process; what it printed."""
    arguments = [name, *urls, folder, window.start.isoformat(), window.end.isoformat()]
    command = [sys.executable, "-m", "tests.bench.step", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def measure(inverters: int, mariadb: RunningServer, mongo: RunningServer) -> Measured:
    """Fill the source, compute the tick before unmeasured, then measure every step of one tick."""
    name = f"bench_{inverters}"
    urls = mariadb.server.url(name), mongo.server.url(name)
    connection = MySQLdb.connect(host=HOST, port=mariadb.server.port, user=OWNER, passwd=mariadb.server.password)
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    upgrade_mysql(urls[0])
    source = MySQLStore.from_url(urls[0])
    for table, frame in fleet(inverters).items():
        source.upsert(table, frame)
    source.close()
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            run_step(step, urls, folder, Window(TICK_AT - 2 * TICK, TICK_AT - TICK))
        return {step: run_step(step, urls, folder, Window(TICK_AT - TICK, TICK_AT)) for step in STEPS}


def report(results: dict[int, Measured], console: Console) -> None:
    """A table of seconds and rows/s per step and size, with the growth from the smallest to the largest."""
    sizes = list(results)
    table = Table("step", *(f"{size:,}: s · rows/s · MB" for size in sizes), "growth s", title="One tick, by inverters")
    for step in STEPS:
        cells = [results[size][step] for size in sizes]
        growth = cells[-1]["seconds"] / max(cells[0]["seconds"], 1e-9)
        table.add_row(step, *(_cell(cell) for cell in cells), f"× {growth:.1f}")
    for title, steps in (("migration", list(STEPS)[:MIGRATION]), ("inverterlog", list(STEPS)[MIGRATION:])):
        sums = [sum(results[size][step]["seconds"] for step in steps) for size in sizes]
        peaks = [max(results[size][step]["peak_mb"] for step in steps) for size in sizes]
        cells_ = [f"{seconds:.2f} s · peak {peak:.0f} MB" for seconds, peak in zip(sums, peaks, strict=True)]
        table.add_row(f"[bold]{title}", *cells_, f"× {sums[-1] / sums[0]:.1f}")
    console.print(table)
    console.print(f"Inverters grow × {sizes[-1] / sizes[0]:.0f}.")


def _cell(cell: dict[str, float]) -> str:
    return f"{cell['seconds']:.2f} · {cell['rows'] / max(cell['seconds'], 1e-9):,.0f} · {cell['peak_mb']:.0f}"


def parse_seconds() -> float:
    """Seconds of work to load every DAG file, in a fresh process that has Airflow's SDK loaded."""
    files = [str(file) for file in sorted((CHECKOUT / "dags").glob("*.py"))]
    code = f"import time, runpy, airflow.sdk\ns = time.process_time()\nfor f in {files!r}: runpy.run_path(f)\n"
    code += "print(time.process_time() - s)"
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AIRFLOW_HOME": home}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=CHECKOUT / "plugins",
            env=environment,
        )
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure and print."""
    console = Console(width=140)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        mariadb = RunningServer(MariaDB(Path(folder) / "mariadb", free_port()))
        mongo = RunningServer(MongoDB(Path(folder) / "mongo", free_port()))
        try:
            mariadb.start()
            mongo.start()
            sizes = [int(size) for size in sys.argv[1:]] or SIZES
            report({size: measure(size, mariadb, mongo) for size in sizes}, console)
        finally:
            mariadb.kill()
            mongo.kill()
    migration(console)
    meters(console)
    statistics(console)
    messages(console)
    reliability(console)
    console.print(f"All DAG files parse in {parse_seconds():.2f} s. Measured in {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
