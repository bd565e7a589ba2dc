"""The check of every inverter's state at one tick: collect, check and store, on throw-away servers.

`python -m tests.bench.reliability_bench [INVERTERS]`; 10,000 without an argument. The first tick is new to all of them;
then comes one at which nothing happens, and one at which every tenth changes. Loading pvlib is not in the figures.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from local.servers import MongoDB, free_port
from tests.reliability_world import TICK, targets
from tests.servers import RunningServer
from wattline.solar import collect_reliability
from wattline.solar.events import store_events
from wattline.solar.legacy_tables import EVENT_LOG
from wattline.solar.reliability_check import check
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG
from wattline.solar.sun import elevation  # noqa: F401 - loads pvlib
from wattline.solar.tables import TICK_ROW
from wattline.storage.mongo import MongoStore
from wattline.window import Window

PER_PLANT = 20
START = datetime(2026, 11, 2, 3, tzinfo=UTC)
CASES = ("first tick", "nothing happens", "every tenth changes")
STEPS = ("collect logs", "collect states", "check", "store")

Measured = dict[str, float]


def rows(units: pl.DataFrame, at: datetime, stopped_every: int | None) -> pl.DataFrame:
    """TICK_ROW rows of one tick; every n-th inverter is without grid."""
    row = dict.fromkeys(TICK_ROW.schema, pl.lit(0)) | dict.fromkeys(
        ("stale", "counter_reset", "daykw_carried"), pl.lit(value=False)
    )
    lost = pl.int_range(pl.len()) % stopped_every == 0 if stopped_every else pl.lit(value=False)
    row |= {"ackw": pl.when(lost).then(0.0).otherwise(40.0), "status": pl.when(lost).then(2).otherwise(1)}
    row |= {"at": pl.lit(at), "reading_at": pl.lit(at - timedelta(minutes=2)), "previous_at": pl.lit(None)}
    del row["mcno"], row["invno"]
    return units.select("mcno", "invno").with_columns(**row).select(TICK_ROW.schema.names()).cast(dict(TICK_ROW.schema))


def run(store: MongoStore, fleet: pl.DataFrame, window: Window) -> Measured:
    """One run; seconds of each step."""
    measured: Measured = {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        measured[name] = time.perf_counter() - began
        return found

    inputs = {"targets": fleet}
    logs = step("collect logs", lambda: collect_reliability.logs(store, window, inputs))
    inputs |= {"good_ticks": logs["ticks"]}
    inputs |= step("collect states", lambda: _states(store, window, inputs))
    found = step("check", lambda: check(window, inputs))

    def write() -> None:
        store_events(store.database, found["event"], window.end)
        for table, name in ((RUN_ALERT_LOG, "run_alert_log"), (RUN_ALERT, "run_alert"), (EVENT_LOG, "event_log")):
            store.upsert(table, found[name])

    step("store", write)
    return measured


def _states(store: MongoStore, window: Window, inputs: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    collectors = (collect_reliability.states, collect_reliability.events)
    return {name: frame for collect in collectors for name, frame in collect(store, window, inputs).items()}


def measure(server: RunningServer, inverters: int) -> dict[str, Measured]:
    """Seconds of each step in each case."""
    fleet = targets((mcno, PER_PLANT, 36.0, 127.0, "Asia/Seoul") for mcno in range(1, inverters // PER_PLANT + 1))
    store = MongoStore.from_url(server.server.url(f"bench_{inverters}"))
    measured = {}
    for number, case in enumerate(CASES):
        at = START + number * TICK
        store.upsert(TICK_ROW, rows(fleet, at, 10 if case == CASES[-1] else None))
        measured[case] = run(store, fleet, Window(at - TICK, at))
    store.close()
    return measured


def bench(console: Console, inverters: int = 10_000) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        server = RunningServer(MongoDB(Path(folder) / "mongo", free_port()))
        try:
            server.start()
            measured = measure(server, inverters)
        finally:
            server.kill()
    table = Table("step", *CASES, title=f"reliability_inverter: {inverters:,} inverters, one tick, seconds")
    for step in STEPS:
        table.add_row(step, *(f"{measured[case][step]:.3f}" for case in CASES))
    table.add_row("[bold]all", *(f"{sum(measured[case].values()):.3f}" for case in CASES))
    console.print(table)


if __name__ == "__main__":
    bench(Console(width=140), *map(int, sys.argv[1:2]))
