"""Steps of a migration of `inverterlog` in a process of their own, as Airflow runs them; prints figures as JSON.

`python -m tests.bench.migrate_step MYSQL_URL MONGO_URL FOLDER STEP 0/2`: of a live run's slices, every second one, from
the first on. STEP is `plan`, `extract`, `gate`, `load`, `verify`, or `all` for one after the other.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.memory import peak_mb
from wattline.migrate.checks import Plan, examine
from wattline.migrate.extract import extract
from wattline.migrate.judge import judge, pass_on
from wattline.migrate.load import load
from wattline.migrate.run import check_slice
from wattline.migrate.slices import Slice, cut
from wattline.migrate.source import Source
from wattline.quality.quarantine import write_quarantine
from wattline.quality.result import import_great_expectations
from wattline.solar.migrations import entry
from wattline.storage.mongo import MongoStore
from wattline.storage.staging import Staging
from wattline.window import Window

STEPS = ("extract", "gate", "load", "verify")
WINDOW = Window(datetime(2026, 11, 2, tzinfo=UTC) - timedelta(minutes=10), datetime(2026, 11, 2, tzinfo=UTC))
"""The first live run after everything was written: it takes all of it."""


def main(mysql: str, mongo: str, folder: str, step: str, share: str) -> None:
    """Run the steps over the worker's slices and print how it went."""
    worker, workers = map(int, share.split("/"))
    if step in ("gate", "all"):
        import_great_expectations()  # the scheduler has it loaded before it forks a task
    source, store, staging = Source.from_url(mysql), MongoStore.from_url(mongo), Staging(Path(folder), "bench")
    started = time.perf_counter()
    plan = examine(entry("inverterlog"), source)
    parts = _slices(plan, source, staging)[worker::workers]
    handled = Counter(dict.fromkeys(STEPS, 0))
    for part in parts:
        steps = _steps(plan, source, store, staging, part)
        for name in STEPS if step == "all" else (step,) if step in STEPS else ():
            handled[name] += steps[name]()
    figures = {
        "seconds": time.perf_counter() - started,
        "rows": max(handled.values()),
        "slices": len(parts),
        "peak_mb": peak_mb(),
        "longest": source.effort.longest,
        "bytes": source.effort.size,
    }
    print(json.dumps(figures))  # noqa: T201


def _slices(plan: Plan, source: Source, staging: Staging) -> list[Slice]:
    """The slices, cut once for all steps: the server's estimates, by which they are cut, are never the same twice."""
    if not staging.read_note("slices"):
        parts = cut(plan, source, WINDOW, None, live=True)
        staging.write_note("slices", {"slices": [part.to_json() for part in parts]})
    return [Slice.from_json(part) for part in staging.read_note("slices")["slices"]]


def _steps(
    plan: Plan, source: Source, store: MongoStore, staging: Staging, part: Slice
) -> dict[str, Callable[[], int]]:
    """The steps of one slice; each returns how many rows it handled."""

    def gate() -> int:
        result = judge(plan, source, part, staging, 0.05)
        write_quarantine(store.database, result, "bench", part.window)
        pass_on(plan, part, staging, result)
        return int(result.rows)

    return {
        "extract": lambda: int(extract(plan, source, part, staging)["rows"]),
        "gate": gate,
        "load": lambda: sum(load(plan, store, part, staging).values()),
        "verify": lambda: _verified(plan, source, store, part),
    }


def _verified(plan: Plan, source: Source, store: MongoStore, part: Slice) -> int:
    verdict = check_slice(plan, source, store, part)
    verdict.require(plan.entry.name)
    return verdict.rows[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
