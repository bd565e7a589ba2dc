"""Statistics of power in a process of its own; prints seconds, rows and peak memory as JSON.

`python -m tests.bench.statistics_step WAY STATISTIC MONGO_URL PLANTS START END FOLDER`: WAY is one of WAYS, STATISTIC
avg or median, START and END in ISO 8601; FOLDER is where steps leave their frames. Importing libraries is not counted:
Airflow's workers have them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy.ma  # noqa: F401 - polars imports it when it first needs it
import polars as pl

from tests.bench.memory import peak_mb
from tests.bench.statistics_fill import register
from tests.bench.statistics_ways import by_aggregation, by_pandas
from wattline.quality.gate import check
from wattline.quality.result import import_great_expectations
from wattline.solar import scope
from wattline.solar.checks import POWER_LOGS
from wattline.solar.collect_statistics import logs
from wattline.solar.statistics import averages, medians
from wattline.solar.statistics_tables import STATISTICS_AVG, STATISTICS_MEDIAN
from wattline.storage.contract import Table
from wattline.storage.mongo import MongoStore
from wattline.storage.staging import Staging
from wattline.window import Window

Frames = dict[str, pl.DataFrame]
Processor = Callable[[Window, Frames], Frames]
STATISTICS: dict[str, tuple[Processor, Table]] = {
    "avg": (averages, STATISTICS_AVG),
    "median": (medians, STATISTICS_MEDIAN),
}


@dataclass(frozen=True)
class Job:
    """What is to be computed, from where, and the folder of staged frames."""

    statistic: str
    url: str
    plants: int
    window: Window
    folder: Path

    @property
    def staging(self) -> Staging:
        return Staging(self.folder, "bench")

    @property
    def parts(self) -> range:
        return range(self.staging.read_note("parts")["count"])

    def inputs(self) -> Frames:
        return {"inverters": register(self.plants), "scope": scope.own(self.window)}

    def computed(self, days: pl.DataFrame, good_logs: pl.DataFrame) -> pl.DataFrame:
        process, _ = STATISTICS[self.statistic]
        return process(self.window, self.inputs() | {"days": days, "good_logs": good_logs})["statistics"]


def own(job: Job) -> int:
    """Part by part: read, compute, write; how many logs there were."""
    rows = 0
    with closing(MongoStore.from_url(job.url)) as store:
        for part in logs(store, job.window, job.inputs()):
            store.upsert(STATISTICS[job.statistic][1], job.computed(part["days"], part["logs"]))
            rows += part["logs"].height
    return rows


def collect(job: Job) -> int:
    """The first task of four."""
    rows = parts = 0
    with closing(MongoStore.from_url(job.url)) as store:
        for frames in logs(store, job.window, job.inputs()):
            for name, frame in frames.items():
                job.staging.write(f"{name}_{parts}", frame)
            rows, parts = rows + frames["logs"].height, parts + 1
    job.staging.write_note("parts", {"count": parts})
    return rows


def gate(job: Job) -> int:
    """The second task."""
    rows = 0
    for part in job.parts:
        good = check(POWER_LOGS, job.staging.read(f"logs_{part}"), 0.05).good
        job.staging.write(f"good_logs_{part}", good)
        rows += good.height
    return rows


def process(job: Job) -> int:
    """The third task."""
    rows = 0
    for part in job.parts:
        good = job.staging.read(f"good_logs_{part}")
        job.staging.write(f"statistics_{part}", job.computed(job.staging.read(f"days_{part}"), good))
        rows += good.height
    return rows


def store(job: Job) -> int:
    """The last task; how many documents there are."""
    with closing(MongoStore.from_url(job.url)) as target:
        return sum(
            target.upsert(STATISTICS[job.statistic][1], job.staging.read(f"statistics_{part}")).rows
            for part in job.parts
        )


WAYS: dict[str, Callable[[Job], int]] = {
    **{step.__name__: step for step in (own, collect, gate, process, store)},
    "pandas": lambda job: by_pandas(job.url, job.statistic, job.plants, job.window),
    "aggregation": lambda job: by_aggregation(job.url, job.statistic, job.plants, job.window),
}


def main(*arguments: str) -> None:
    """Compute once and print how it went."""
    way, statistic, url, plants, start, end, folder = arguments
    if way == "gate":
        import_great_expectations()  # the scheduler has it loaded before it forks a task
    window = Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
    job = Job(statistic, url, int(plants), window, Path(folder))
    started = time.perf_counter()
    rows = WAYS[way](job)
    print(json.dumps({"seconds": time.perf_counter() - started, "rows": rows, "peak_mb": peak_mb()}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
