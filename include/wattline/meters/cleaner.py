"""The cleaning of a MyEMS installation: reads readings, judges them, and writes the marks that change.

A first look at all points tells those at which there may be something to find; the rest is good. Only of these few are
the readings read that a judgement needs: they reach further back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import polars as pl
import sqlalchemy as sa

from wattline.meters.cleaning import PATIENCE, POINT, READING, crossed, judge, suspects
from wattline.meters.databases import Databases
from wattline.meters.marks import ROWS, Readings
from wattline.meters.tables import BIG, SETTING, VALUE
from wattline.storage.contract import UTC_TIME
from wattline.window import Window

_PIECE_ROWS = 8 * ROWS
"""About how many readings are cleaned at a time; of those that are not checked the ids are in memory."""
_SHORTEST, _LONGEST = timedelta(hours=6), timedelta(days=7)
_HOUR = timedelta(hours=1)
_OUTAGE = timedelta(days=14)
"""How old readings may be that were sent before those of the window and are judged with them."""
_STRAY = 0.01
"""Share of the ids of a time, at either end, that may be strays: readings with a wrong time."""

_POINTS = sa.table("tbl_points", *map(sa.column, ("id", "object_type", "low_limit", "high_limit")))
_LINKS = sa.table("tbl_meters_points", sa.column("meter_id"), sa.column("point_id"))


@dataclass(frozen=True)
class Cleaned:
    """What a cleaning did.

    Attributes:
        read: readings of the window, of all points.
        bad: how many were marked bad, by reason, in the window and beside it.
        good: how many were marked good.
        unchecked: how many wait for later readings.
        findings: what is wrong with the register, each a sentence with its remedy.
    """

    read: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    good: int = 0
    unchecked: int = 0
    findings: tuple[str, ...] = ()

    def __add__(self, other: Cleaned) -> Cleaned:
        return Cleaned(
            self.read + other.read,
            self.bad + other.bad,
            self.good + other.good,
            self.unchecked + other.unchecked,
            self.findings + other.findings,
        )


def clean(
    databases: Databases,
    window: Window,
    *,
    until: datetime | None = None,
    patience: timedelta = PATIENCE,
    recheck: bool = False,
) -> Cleaned:
    """Judge the readings of a window, and write the marks that change.

    Beside them are judged: readings up to 2 × `patience` before the window, which may be late, or may have waited for
    those of the window; and unchecked readings of any earlier time that arrived with those of the window, by their ids,
    with all within 2 × `patience` of them. What was sent before the window's first reading, after an outage of the
    whole site, is found by going back through the ids until a large stretch of them has nothing unchecked of the last
    two weeks. A reading that is marked bad stays so, whoever marked it; one that is marked good is judged again.

    Args:
        databases: system and energy are read; historical is read, and its `tbl_energy_value.is_bad` written.
        window: of any length; memory does not grow with it.
        until: up to when the readings have arrived; the window's end by default.
        patience: how long a counter may be off its line; see `wattline.meters.cleaning`.
        recheck: whether marks of before count for nothing: then readings become good again, too.

    Returns:
        Counts, and findings on the register.

    Raises:
        TerminalError: a table or a right is missing.
        TransientError: a server cannot be reached; what is written so far is right, and a rerun does the rest.
    """
    points = read_points(databases)
    done = Cleaned(findings=tuple(_findings(points)))
    if points.is_empty():
        return done
    work = _Work(Readings(databases.historical, points), points, until or window.end, patience, recheck)
    before = window.start - work.reach
    since = before
    for piece in _pieces(window, points.height):
        done += work.all_points(piece, since, before)
        since = piece.end
    return done


def read_points(databases: Databases) -> pl.DataFrame:
    """Every point of type ENERGY_VALUE by POINT; where it has several meters, the smallest `max_rate` of them."""
    is_energy = _POINTS.c.object_type == sa.literal_column("'ENERGY_VALUE'")
    found = databases.system.fetch(
        sa.select(_POINTS.c.id.label("point_id"), _POINTS.c.low_limit, _POINTS.c.high_limit).where(is_energy)
    )
    links = databases.system.fetch(sa.select(_LINKS.c.meter_id, _LINKS.c.point_id)).cast(
        dict.fromkeys(_LINKS.c.keys(), BIG)
    )
    known = databases.energy.read(SETTING, columns=["meter_id", "max_rate"])
    rates = links.join(known, on="meter_id").group_by("point_id").agg(pl.col("max_rate").min())
    points = found.with_columns(pl.col("point_id").cast(BIG), pl.col("low_limit", "high_limit").cast(VALUE))
    return points.join(rates, on="point_id", how="left").select(POINT.names()).sort("point_id")


def _findings(points: pl.DataFrame) -> Iterator[str]:
    for point, low, high, _ in crossed(points).iter_rows():
        yield (
            f"point {point}: low_limit {low} is above high_limit {high}, so no reading is held against them. "
            "Correct the limits in tbl_points"
        )


@dataclass
class _Work:
    """One cleaning."""

    readings: Readings
    points: pl.DataFrame
    until: datetime
    patience: timedelta
    recheck: bool

    @property
    def reach(self) -> timedelta:
        """How far what decides about a reading may lie from it."""
        return 2 * self.patience

    def all_points(self, window: Window, since: datetime, before: datetime) -> Cleaned:
        """Clean the window at every point; from `since` on what is late or has waited; before `before` what came along.

        What came along is judged first: until then the readings beside it, by their ids, are unchecked, too, so that a
        run after a kill finds it again.
        """
        unchecked, ids = pl.DataFrame(schema={"point_id": BIG, "id": BIG, "at": UTC_TIME}), pl.Series("id", [], BIG)
        odd: set[int] = set()
        read, last = 0, pl.DataFrame(schema=READING)
        for rows in self.readings.slices(window.start - _HOUR - self.reach, window.end + self.reach):
            linked = pl.concat([last, rows])
            odd.update(suspects(linked, self.points))
            last = linked.sort("at", "id").unique("point_id", keep="last")
            ids = _ends(ids, rows.filter(_within(window.start - _HOUR, window.end + _HOUR))["id"])
            read += rows.filter(_within(window.start, window.end)).height
            waits = _within(since, window.end) & pl.col("is_bad").is_null()
            unchecked = pl.concat([unchecked, rows.filter(waits).select(unchecked.columns)])
        # The look reaches far enough back for what is less than an hour late.
        odd.update(unchecked.filter(pl.col("at") < window.start - _HOUR)["point_id"])
        calm = unchecked.filter(~pl.col("point_id").is_in(list(odd)))["id"]
        done = self.late(ids, before)
        done += Cleaned(read=read, good=self.readings.mark(calm, bad=False))
        return done + self.some_points(sorted(odd), Window(since, window.end))

    def some_points(self, points: Sequence[int], window: Window) -> Cleaned:
        """Clean the window at the points that are named."""
        done = Cleaned()
        for rows in self.readings.of(points, window.start - self.reach, window.end + self.reach):
            judged = judge(rows, self.points, until=self.until, patience=self.patience, recheck=self.recheck)
            own = judged.join(rows.select("id", "at", was="is_bad"), on="id").filter(_within(window.start, window.end))
            bad = own.filter("is_bad", ~pl.col("was").fill_null(value=False))
            unmarked = pl.col("was").is_null() | (pl.col("was") & self.recheck)
            good = own.filter(~pl.col("is_bad"), unmarked)["id"]
            self.readings.mark(bad["id"], bad=True)
            self.readings.mark(good, bad=False, even_bad=self.recheck)
            reasons = Counter(bad["reason"].cast(pl.String).to_list())
            waiting = own.filter(pl.col("is_bad").is_null(), pl.col("was").is_null())
            done += Cleaned(bad=reasons, good=good.len(), unchecked=waiting.height)
        return done

    def late(self, ids: pl.Series, before: datetime) -> Cleaned:
        """Clean around readings of a time before `before` that arrived with those that have these ids, or just earlier.

        Args:
            ids: the first and the last one; none where there are no readings.
            before: up to when.
        """
        done = Cleaned()
        if ids.is_empty():
            return done
        found = [
            rows.select("point_id", hour=pl.col("at").dt.truncate("1h")).unique()
            for rows in self.readings.unchecked(before, (ids[0], ids[-1]), before - _OUTAGE)
        ]
        hours = pl.concat(found).unique().sort("hour")
        apart = (pl.col("hour").diff() > 2 * self.reach).fill_null(value=False)
        for _, group in hours.group_by(apart.cum_sum(), maintain_order=True):
            first, last = (cast("datetime", group["hour"][place]) for place in (0, -1))
            concerned = group["point_id"].unique().sort().to_list()
            for piece in _pieces(Window(first - self.reach, last + _HOUR + self.reach), len(concerned)):
                done += self.some_points(concerned, piece)
        return done


def _ends(known: pl.Series, ids: pl.Series) -> pl.Series:
    """The first and the last one of both, but for strays among `ids`."""
    ends = [ids.quantile(_STRAY, "lower"), ids.quantile(1 - _STRAY, "higher")]
    both = pl.concat([known, pl.Series("id", ends).cast(BIG).drop_nulls()]).sort()
    return both.gather([0, -1]) if both.len() else both


def _pieces(window: Window, points: int) -> Iterator[Window]:
    """The window in pieces of about _PIECE_ROWS, if each of `points` is read once a minute."""
    length = min(max(timedelta(minutes=_PIECE_ROWS // points), _SHORTEST), _LONGEST)
    start = window.start
    while start < window.end:
        yield Window(start, min(start + length, window.end))
        start += length


def _within(start: datetime, end: datetime) -> pl.Expr:
    return pl.col("at").is_between(start, end, closed="left")
