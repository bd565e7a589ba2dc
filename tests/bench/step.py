"""One step of a pipeline in a process of its own, as Airflow runs it: prints seconds, rows and peak memory as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from pymongo import MongoClient

from tests.bench.memory import peak_mb
from wattline.migrate.checks import examine
from wattline.migrate.extract import extract
from wattline.migrate.judge import judge, pass_on
from wattline.migrate.load import load
from wattline.migrate.run import check_slice
from wattline.migrate.slices import cut
from wattline.migrate.source import Source
from wattline.quality.gate import check
from wattline.quality.quarantine import write_quarantine
from wattline.quality.result import import_great_expectations
from wattline.solar import collect, process
from wattline.solar.checks import READINGS
from wattline.solar.migrations import entry
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION, TICK_ROW
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore
from wattline.storage.staging import Staging
from wattline.window import Window, parse_time

Frames = dict[str, pl.DataFrame]


class Job:
    """What the steps share: the stores, the window, and the frames staged by steps before."""

    def __init__(self, mysql: str, mongo: str, folder: str, start: str, end: str) -> None:
        self.mysql, self.mongo = MySQLStore.from_url(mysql), MongoStore.from_url(mongo)
        self.source = Source.from_url(mysql)
        self.database: Any = MongoClient(mongo, tz_aware=True).get_default_database()
        self.staging = Staging(Path(folder), "bench")
        self.window = Window(parse_time(start, "start"), parse_time(end, "end"))

    def read(self, *names: str) -> Frames:
        return {name: self.staging.read(name) for name in names}

    def write(self, frames: Frames) -> int:
        for name, frame in frames.items():
            self.staging.write(name, frame)
        return max(frame.height for frame in frames.values())

    def gate(self, suite: Any, name: str) -> int:
        result = check(suite, self.staging.read(name), 0.05)
        write_quarantine(self.database, result, "bench", self.window)
        result.html()
        self.staging.write(f"good_{name}", result.good)
        return result.rows

    def migrate(self, table: str, step: str) -> int:
        plan = examine(entry(table), self.source)
        rows = 0
        for part in cut(plan, self.source, self.window, self.window.start, live=True):
            match step:
                case "extract":
                    rows += extract(plan, self.source, part, self.staging)["rows"]
                case "gate":
                    result = judge(plan, self.source, part, self.staging, 0.05)
                    write_quarantine(self.database, result, "bench", part.window)
                    result.html()
                    pass_on(plan, part, self.staging, result)
                    rows += result.rows
                case "load":
                    rows += sum(load(plan, self.mongo, part, self.staging).values())
                case "verify":
                    rows += check_slice(plan, self.source, self.mongo, part).rows[0]
        return rows

    def store(self, store: Any, table: Any, name: str) -> int:
        return int(store.upsert(table, self.staging.read(name)).rows)


STEPS: dict[str, Callable[[Job], int]] = {
    **{
        f"{step} {table}": lambda job, table=table, step=step: job.migrate(table, step)
        for table in ("inverter", "inverterlog")
        for step in ("extract", "gate", "load", "verify")
    },
    "collect inverters": lambda job: job.write(collect.inverters(job.mysql, job.window, {})),
    "collect readings": lambda job: job.write(collect.readings(job.mongo, job.window, job.read("inverters"))),
    "gate values": lambda job: job.gate(READINGS, "readings"),
    "process": lambda job: job.write(
        process.inverter_log(job.window, job.read("inverters", "good_readings", "state", "later", "starts"))
    ),
    "store inverter log": lambda job: job.store(job.mongo, TICK_ROW, "inverterlog"),
    "store day generation": lambda job: job.store(job.mongo, DAY_GENERATION, "day_generation"),
    "store day total generation": lambda job: job.store(job.mongo, DAY_TOTAL_GENERATION, "day_total_generation"),
    "store MySQL inverter log": lambda job: job.store(job.mysql, TICK_ROW, "inverterlog"),
}
"""Step → what it does; it returns how many rows it handled. The first eight are the migration's."""
MIGRATION = 8


def main(name: str, *job: str) -> None:
    """Run one step and print how it went."""
    if name.startswith("gate"):
        import_great_expectations()  # the scheduler has it loaded before it forks a task
    prepared = Job(*job)
    started = time.perf_counter()
    rows = STEPS[name](prepared)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mb": peak_mb()}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
