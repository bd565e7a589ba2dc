"""One step of a pipeline in a process of its own, as Airflow runs it: prints seconds, rows and peak memory as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from pymongo import MongoClient

from wattline.quality.gate import check
from wattline.quality.quarantine import write_quarantine
from wattline.quality.result import import_great_expectations
from wattline.solar import collect, migrate, process
from wattline.solar.checks import MIGRATION_READINGS, READINGS
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION, INVERTER, READING, TICK_ROW
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore
from wattline.storage.staging import Staging
from wattline.window import Window, parse_time

Frames = dict[str, pl.DataFrame]


class Job:
    """What the steps share: the stores, the window, and the frames staged by steps before."""

    def __init__(self, mysql: str, mongo: str, folder: str, start: str, end: str) -> None:
        self.mysql, self.mongo = MySQLStore.from_url(mysql), MongoStore.from_url(mongo)
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

    def store(self, store: Any, table: Any, name: str) -> int:
        return int(store.upsert(table, self.staging.read(name)).rows)


STEPS: dict[str, Callable[[Job], int]] = {
    "extract inverters": lambda job: job.write(migrate.inverters(job.mysql, job.window, {})),
    "load inverters": lambda job: job.store(job.mongo, INVERTER, "inverters"),
    "extract readings": lambda job: job.write(migrate.readings(job.mysql, job.window, {})),
    "gate copies": lambda job: job.gate(MIGRATION_READINGS, "readings"),
    "load readings": lambda job: job.store(job.mongo, READING, "good_readings"),
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
"""Step → what it does; it returns how many rows it handled. The first five are the migration's."""
MIGRATION = 5


def main(name: str, *job: str) -> None:
    """Run one step and print how it went."""
    if name.startswith("gate"):
        import_great_expectations()  # the scheduler has it loaded before it forks a task
    prepared = Job(*job)
    started = time.perf_counter()
    rows = STEPS[name](prepared)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mb": peak / 1024}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
