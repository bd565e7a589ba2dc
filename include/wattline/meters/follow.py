"""What follows from hours that changed: virtual meters that are made of them, and everybody's statistics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from wattline.meters import virtual
from wattline.meters.databases import Databases
from wattline.meters.statistics_store import refresh, refresh_medians
from wattline.meters.tables import HOURLY, METER_KINDS
from wattline.storage.store import Condition
from wattline.window import Window

VIRTUAL = HOURLY["virtual_meter"]


def compute_virtual(databases: Databases, window: Window, minutes: int) -> tuple[virtual.Computed, pl.DataFrame]:
    """Compute the virtual meters of a window.

    Returns:
        What was done; and meter_id and start_datetime_utc of every slot of theirs in the window, changed or not: a
        killed try may have changed any of them.
    """
    done = virtual.compute(databases, window, minutes)
    where = [Condition("start_datetime_utc", ">=", window.start), Condition("start_datetime_utc", "<", window.end)]
    there = databases.energy.read(VIRTUAL, where, VIRTUAL.key)
    return done, _named(pl.concat([done.changed, there]).unique(maintain_order=True), "virtual_meter")


def refresh_statistics(
    databases: Databases, slots: Mapping[str, pl.DataFrame], window: Window, zone: str, minutes: int
) -> dict[str, int]:
    """Bring statistics up to date; how many rows of them were written for each kind of meter.

    Args:
        databases: the installation.
        slots: kind of meter → meter_id and start_datetime_utc of slots that may have changed.
        window: what the run computes; the medians of months and years are due where days and months end in it.
        zone: IANA name of the site's time zone.
        minutes: length of a slot.
    """
    written = {kind: refresh(databases, kind, changed, zone, minutes) for kind, changed in slots.items()}
    for kind in METER_KINDS:
        written[kind] = written.get(kind, 0) + refresh_medians(databases, kind, window, zone, minutes)
    return written


def follow_offline(databases: Databases, slots: pl.DataFrame, zone: str, minutes: int) -> None:
    """What follows from the stored slots (offline_meter_id, start_datetime_utc) of a form."""
    if slots.is_empty():
        return
    starts = slots["start_datetime_utc"].sort()
    window = Window(starts[0], starts[-1] + timedelta(minutes=minutes))
    _, computed = compute_virtual(databases, window, minutes)
    changed = {"offline_meter": _named(slots, "offline_meter"), "virtual_meter": computed}
    refresh_statistics(databases, changed, window, zone, minutes)


def _named(slots: pl.DataFrame, kind: str) -> pl.DataFrame:
    return slots.rename({f"{kind}_id": "meter_id"})
