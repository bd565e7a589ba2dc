"""A week of plants with scripted faults, and the events that must come of it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import polars as pl

from tests.reliability_world import silence, targets, tick_rows
from wattline.solar.sun import elevation
from wattline.window import Window

SEOUL = ZoneInfo("Asia/Seoul")
ALL = tuple(range(1, 301))
LATITUDE, LONGITUDE = 36.5, 127.0


def at(day: int, clock: str) -> datetime:
    """A time of the week's `day`, 1 to 7, by the clock in Seoul."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 3, 1 + day, hour, minute, tzinfo=SEOUL).astimezone(UTC)


WEEK = Window(at(1, "00:00"), at(8, "00:00"))

# Plants have 1 to 4 inverters: 1 + number % 4. A reading is a minute old at its tick.
EXPECTED = {
    # One inverter without grid.
    (3, 2, 201, at(2, "10:00")): (at(2, "11:30"), "raised cleared"),
    # A whole plant without grid: one event.
    (7, 0, 201, at(3, "13:00")): (at(3, "14:00"), "raised cleared"),
    # Dead from morning over the night to the next morning: one event, nothing at night.
    (11, 1, 203, at(4, "09:20")): (at(5, "10:00"), "raised cleared"),
    # The only inverter of its plant is silent: its own event.
    (4, 1, 202, at(1, "13:00")): (at(1, "15:10"), "raised cleared"),
    # A plant is silent over the night.
    (15, 0, 202, at(2, "16:00")): (at(3, "08:10"), "raised cleared"),
    # Three of four fall silent, then the fourth; one comes back, then the others.
    (19, 1, 202, at(3, "11:00")): (at(3, "11:30"), "raised merged"),
    (19, 2, 202, at(3, "11:00")): (at(3, "11:30"), "raised merged"),
    (19, 3, 202, at(3, "11:00")): (at(3, "11:30"), "raised merged"),
    (19, 0, 202, at(3, "11:30")): (at(3, "14:00"), "raised cleared"),
    (19, 2, 202, at(3, "14:00")): (at(3, "14:40"), "raised cleared"),
    (19, 3, 202, at(3, "14:00")): (at(3, "14:40"), "raised cleared"),
    (19, 4, 202, at(3, "14:00")): (at(3, "14:40"), "raised cleared"),
    # Without grid, then silent: it stays a blackout.
    (23, 3, 201, at(4, "11:00")): (at(4, "15:10"), "raised cleared"),
    # It stands still, then falls silent: the one ends, the other begins.
    (27, 1, 203, at(4, "10:20")): (at(4, "13:00"), "raised cleared"),
    (27, 1, 202, at(4, "13:00")): (at(4, "14:10"), "raised cleared"),
    # On and off at every tick: flapping with the fifth transition, over an hour after the last.
    (31, 2, 204, at(5, "10:40")): (at(5, "12:30"), "raised cleared"),
    # On and off, and dead in the end: the fault shows when flapping is over.
    (32, 1, 204, at(5, "10:40")): (at(5, "12:40"), "raised cleared"),
    (32, 1, 203, at(5, "12:40")): (at(5, "15:00"), "raised cleared"),
    # The collector is silent for two hours: nobody's event, but one plant stays away afterwards.
    (35, 0, 202, at(7, "13:20")): (at(7, "15:10"), "raised cleared"),
    # Everybody in the plant has a fault, but not the same.
    (39, 1, 201, at(6, "11:00")): (at(6, "12:00"), "raised cleared"),
    (39, 2, 203, at(6, "11:20")): (at(6, "12:00"), "raised cleared"),
    (39, 3, 203, at(6, "11:20")): (at(6, "12:00"), "raised cleared"),
    (39, 4, 203, at(6, "11:20")): (at(6, "12:00"), "raised cleared"),
    # Taken out of use in the middle of an event: that ends.
    (43, 2, 201, at(4, "10:00")): (at(4, "12:00"), "raised cleared"),
    # Nobody has repaired it when the week ends.
    (47, 1, 203, at(7, "10:20")): (None, "raised"),
    # Plants without grid at night: until the morning, until the day; and one inverter from the evening into the night.
    (51, 0, 201, at(2, "23:00")): (at(3, "06:00"), "raised cleared"),
    (55, 0, 201, at(2, "23:00")): (at(3, "09:00"), "raised cleared"),
    (59, 1, 201, at(2, "20:00")): (at(3, "01:00"), "raised cleared"),
}
"""The faults: natural key of the event → when it is over, and what is said."""


@cache
def fleet(plants: tuple[int, ...] = ALL) -> pl.DataFrame:
    """The inverters of `plants`."""
    found = targets((mcno, 1 + mcno % 4, LATITUDE, LONGITUDE, "Asia/Seoul") for mcno in plants)
    removed = (pl.col("mcno") == 43) & (pl.col("invno") == 2)
    return found.with_columns(removed_at=pl.when(removed).then(pl.lit(at(4, "12:00"))).otherwise("removed_at"))


def unit(mcno: int, *invnos: int) -> pl.Expr:
    """Rows of a plant, or of some of its inverters."""
    return (pl.col("mcno") == mcno) & (pl.col("invno").is_in(invnos) if invnos else pl.lit(value=True))


def during(start: datetime, end: datetime) -> pl.Expr:
    """Ticks from `start` on and before `end`."""
    return pl.col("at").is_between(start, end, closed="left")


def power(rows: pl.DataFrame, where: pl.Expr, status: int) -> pl.DataFrame:
    """No AC power where `where`, and the status word."""
    return rows.with_columns(
        ackw=pl.when(where).then(0.0).otherwise("ackw"),
        status=pl.when(where).then(pl.lit(status, pl.Int32())).otherwise("status"),
    )


@cache
def script(plants: tuple[int, ...] = ALL) -> pl.DataFrame:
    """The week's tick rows of `plants`."""
    rows = tick_rows(WEEK, fleet(plants))
    times = rows["at"].unique().sort()
    sun = elevation(times.dt.replace_time_zone(None).to_numpy(), LATITUDE, LONGITUDE)
    rows = power(rows, pl.col("at").is_in(times.filter(pl.Series(sun <= 2)).implode()), 0)
    odd = pl.col("at").dt.minute().is_in([0, 20, 40])
    for where, status in (
        (unit(3, 2) & during(at(2, "10:00"), at(2, "11:30")), 2),
        (unit(7) & during(at(3, "13:00"), at(3, "14:00")), 2),
        (unit(11, 1) & during(at(4, "09:00"), at(5, "10:00")), 3),
        (unit(23, 3) & during(at(4, "11:00"), at(4, "15:10")), 2),
        (unit(27, 1) & during(at(4, "10:00"), at(4, "14:10")), 3),
        (unit(31, 2) & during(at(5, "10:00"), at(5, "11:30")) & odd, 3),
        (unit(32, 1) & during(at(5, "10:00"), at(5, "11:20")) & odd, 3),
        (unit(32, 1) & during(at(5, "11:20"), at(5, "15:00")), 3),
        (unit(39, 1) & during(at(6, "11:00"), at(6, "12:00")), 2),
        (unit(39, 2, 3, 4) & during(at(6, "11:00"), at(6, "12:00")), 3),
        (unit(43, 2) & during(at(4, "10:00"), at(4, "13:00")), 2),
        (unit(47, 1) & during(at(7, "10:00"), at(9, "00:00")), 3),
        (unit(51) & during(at(2, "23:00"), at(3, "06:00")), 2),
        (unit(55) & during(at(2, "23:00"), at(3, "09:00")), 2),
        (unit(59, 1) & during(at(2, "20:00"), at(3, "01:00")), 2),
    ):
        rows = power(rows, where, status)
    for where, start, end in (
        (unit(4), at(1, "11:59"), at(1, "15:05")),
        (unit(15), at(2, "14:59"), at(3, "08:05")),
        (unit(19, 1), at(3, "09:59"), at(3, "13:55")),
        (unit(19, 2, 3), at(3, "09:59"), at(3, "14:35")),
        (unit(19, 4), at(3, "10:29"), at(3, "14:35")),
        (unit(23, 3), at(4, "11:29"), at(4, "15:05")),
        (unit(27, 1), at(4, "11:59"), at(4, "14:05")),
        (pl.lit(value=True), at(6, "01:59"), at(6, "04:05")),
        (pl.lit(value=True), at(7, "10:59"), at(7, "13:05")),
        (unit(35), at(7, "10:59"), at(7, "15:05")),
    ):
        rows = silence(rows, where, start, end)
    return rows
