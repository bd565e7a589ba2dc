"""One normalization from beginning to end in one process: what Airflow's tasks do one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import polars as pl

from wattline.meters import store
from wattline.meters.databases import Databases
from wattline.meters.normalize import Normalizer
from wattline.meters.plan import Job, Options, job, looks_for_holes
from wattline.meters.readings import bases, chunks
from wattline.meters.registry import first_holes, hourly_places, read_meters
from wattline.meters.upgrade import require_unique
from wattline.window import Window

HOURS_AT_ONCE, HOURS_AT_MOST = 5_000, 8_000
"""About how many hours are compared and written at once: fewer where the database waits, as each write has a price of
its own, and more where it is the slower one."""


def normalize(
    databases: Databases, window: Window, options: Options, *, live: bool, moment: datetime | None = None
) -> Mapping[str, int]:
    """Compute and store the slots that a run owes.

    Hours of one chunk are written while the next one is computed: the server and this process share the work.

    Args:
        databases: the installation.
        window: the run's interval, `minutes_to_clean` earlier than the clock.
        options: the settings.
        live: whether the run goes on from the newest rows and looks back.
        moment: what `revised_at` says; the clock by default.

    Returns:
        How many hours were new, revised, unchanged.

    Raises:
        TerminalError: the register or a table is not what it must be.
        TransientError: a server cannot be reached.
    """
    require_unique(databases.energy, ["meter"])
    meters = read_meters(databases)
    if looks_for_holes(window, live=live):
        holes = first_holes(databases.energy, options.start, options.minutes_to_count)
        meters = meters.join(holes, on="meter_id", how="left")
    planned = job(meters, window, options, live=live, places=hourly_places(databases.energy))
    counts: Counter[str] = Counter()
    at = moment or datetime.now(UTC)

    def keep(hours: list[pl.DataFrame]) -> None:
        counts.update(store.write(databases.energy, store.compare(databases.energy, pl.concat(hours), at)))

    with ThreadPoolExecutor(1) as writer:
        kept: Future[None] | None = None
        waiting: list[pl.DataFrame] = []
        for hours in computed(databases, planned):
            waiting.append(hours)
            rows = sum(each.height for each in waiting)
            if rows >= HOURS_AT_MOST or (rows >= HOURS_AT_ONCE and (kept is None or kept.done())):
                if kept is not None:
                    kept.result()
                kept, waiting = writer.submit(keep, waiting), []
        if kept is not None:
            kept.result()
        if waiting:
            keep(waiting)
    return {kind: counts[kind] for kind in store.KINDS}


def computed(databases: Databases, planned: Job) -> Iterator[pl.DataFrame]:
    """The job's hours by the contract QUALITY, some meters of a chunk at a time."""
    if planned.meters.is_empty():
        return
    normalizer: Normalizer | None = None
    for chunk in chunks(databases.historical, planned):
        if normalizer is None:
            normalizer = Normalizer.start(planned, bases(databases.historical, planned, chunk))
        yield from normalizer.blocks(chunk)
        del chunk  # it would stay in memory beside the next one
