"""What follows from hours that changed: virtual meters that are made of them, and everybody's statistics."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta

import polars as pl

from wattline.meters import virtual
from wattline.meters.databases import Databases
from wattline.meters.statistics_store import refresh, refresh_medians
from wattline.meters.tables import HOURLY, METER_KINDS
from wattline.meters.virtual_meters import read_register
from wattline.storage.store import Condition
from wattline.window import Window

VIRTUAL = HOURLY["virtual_meter"]


def compute_virtual(
    databases: Databases, window: Window, minutes: int, meters: Collection[int] | None = None
) -> tuple[virtual.Computed, pl.DataFrame]:
    """Compute virtual meters in a window: those of the given numbers, or all.

    Returns:
        What was done; and meter_id and start_datetime_utc of every slot of theirs in the window, changed or not: a
        killed try may have changed any of them.
    """
    done = virtual.compute(databases, window, minutes, meters)
    where = [Condition("start_datetime_utc", ">=", window.start), Condition("start_datetime_utc", "<", window.end)]
    if meters is not None:
        where.append(Condition(VIRTUAL.key[0], "in", sorted(meters)))
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
    """What follows from the stored slots (offline_meter_id, start_datetime_utc) of a form.

    Only virtual meters that depend on the form's meters are computed, and of each day only those of the day's meters:
    elsewhere the form says nothing.
    """
    if slots.is_empty():
        return
    register = read_register(databases.system)
    computed = [VIRTUAL.schema.to_frame().select(pl.col(VIRTUAL.key[0]).alias("meter_id"), VIRTUAL.key[1])]
    for window, offline in _stretches(slots, zone, minutes):
        if meters := register.above(("offline_meter", number) for number in offline):
            computed.append(compute_virtual(databases, window, minutes, meters)[1])
    changed = {"offline_meter": _named(slots, "offline_meter"), "virtual_meter": pl.concat(computed).unique()}
    starts = slots["start_datetime_utc"].sort()
    refresh_statistics(databases, changed, Window(starts[0], starts[-1] + timedelta(minutes=minutes)), zone, minutes)


def _stretches(slots: pl.DataFrame, zone: str, minutes: int) -> Iterator[tuple[Window, list[int]]]:
    """The slots' local days, and the meters that have them; days in a row with the same meters are one stretch."""
    start = pl.col("start_datetime_utc")
    days = slots.group_by(start.dt.convert_time_zone(zone).dt.date().alias("day")).agg(
        start.min().alias("first"), start.max().alias("last"), pl.col("offline_meter_id").unique().sort()
    )
    merged: list[tuple[Window, list[int]]] = []
    before: date | None = None
    for day, first, last, meters in days.sort("day").iter_rows():
        end = last + timedelta(minutes=minutes)
        if merged and merged[-1][1] == meters and before == day - timedelta(days=1):
            merged[-1] = Window(merged[-1][0].start, end), meters
        else:
            merged.append((Window(first, end), meters))
        before = day
    yield from merged


def _named(slots: pl.DataFrame, kind: str) -> pl.DataFrame:
    return slots.rename({f"{kind}_id": "meter_id"})
