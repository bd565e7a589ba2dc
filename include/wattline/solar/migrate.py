"""Collectors of the migration from MySQL: faithful copies of rows."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from wattline.solar.tables import INVERTER, MAX_COMMIT_DELAY, READING
from wattline.storage.store import Condition, Store, between
from wattline.window import Window

Frames = dict[str, pl.DataFrame]


def inverters(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The whole register, as it is now: it is small, and holds only the newest reading of each inverter.

    Returns:
        `inverters`: INVERTER rows.
    """
    return {"inverters": store.read(INVERTER)}


def readings(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> Frames:
    """The readings measured in the window, both ends included, and those that arrived in it for whatever other time.

    It looks for arrivals a little before the window too: a row written then may have been committed after that window
    was copied.

    Returns:
        `readings`: READING rows in key order.
    """
    measured = (Condition("at", ">=", window.start), Condition("at", "<=", window.end))
    arrived = between("received_at", window.start - MAX_COMMIT_DELAY, window.end)
    rows = pl.concat([store.read(READING, where) for where in (measured, arrived)])
    return {"readings": rows.unique(READING.key, keep="last", maintain_order=True).sort(READING.key)}
