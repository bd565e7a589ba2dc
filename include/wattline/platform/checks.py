"""What heartbeat measures: one row a subject, in one form whatever was measured.

A row says whether the subject is in order now (null: nobody expects anything of it yet). Whether anybody is told is
`heartbeat`'s matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import psutil

from wattline.errors import WattlineError
from wattline.settings import settings
from wattline.solar.tables import INVERTER
from wattline.storage.store import Store

CHECK = pl.Schema(
    {
        "subject": pl.String(),
        "ok": pl.Boolean(),
        "value": pl.Float64(),
        "limit": pl.Float64(),
        "detail": pl.String(),
    }
)
"""One row a subject: `value` against `limit` in the unit that `detail` names, both null where there is no number."""

MAX_DISK, MAX_MEMORY = 0.9, 0.9
"""Shares in use above which a server is in trouble."""
MAX_LOAD = 4.0
"""Processes that want a core, a core, over 15 minutes."""
_LONGEST = 300


def server(stores: Mapping[str, Store]) -> pl.DataFrame:
    """The machine on which the tasks run, and whether its databases answer: rows of CHECK.

    While MongoDB is down its row is not stored either, as nothing is: the watchdog tells of that.

    Args:
        stores: subject → a database, which is asked what every run asks.
    """
    folder = _existing(settings().data_dir.absolute())
    disk = psutil.disk_usage(str(folder)).percent / 100
    memory = psutil.virtual_memory().percent / 100
    load = psutil.getloadavg()[2] / (psutil.cpu_count() or 1)
    rows: list[tuple[object, ...]] = [
        ("disk", disk <= MAX_DISK, disk, MAX_DISK, f"{disk:.0%} of the disk below {folder} is in use"),
        ("memory", memory <= MAX_MEMORY, memory, MAX_MEMORY, f"{memory:.0%} of the memory is in use"),
        ("load", load <= MAX_LOAD, load, MAX_LOAD, f"load of {load:.1f} a core over 15 minutes"),
    ]
    return pl.DataFrame([*rows, *(_answers(store, subject) for subject, store in stores.items())], CHECK, orient="row")


def _answers(store: Store, subject: str) -> tuple[object, ...]:
    try:
        count = store.count(INVERTER)
    except WattlineError as error:
        return subject, False, None, None, str(error)[:_LONGEST]
    return subject, True, None, None, f"answers: {count} inverters"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there: it is on the disk that will fill up."""
    return next(each for each in (folder, *folder.parents) if each.exists())
