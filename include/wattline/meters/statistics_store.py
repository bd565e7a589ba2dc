"""Keeps the statistics in the energy database current, run by run, at a cost that does not grow with the history.

A changed slot changes its day, its month and its year. A run reads the slots of the days that changed, and of the rest
of the month and the year only the rows of their days and months; see `statistics`. That is some sixty rows a meter,
where a year has 8,760 slots. The median alone needs them all. So a month's median is brought up to date when a local
day has ended, a year's when a local month has. Until then it is as it was, and MEDIAN_DUE names the row. Every other
column is right after every run.

All slots are read for a year of which there is no row yet: of a meter in its first run, or where hours were there
before Wattline.

Two runs of one kind of meter take turns (GET_LOCK), so that neither builds a month on days that the other is changing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import sqlalchemy as sa

from wattline.errors import TransientError, WattlineError
from wattline.meters.databases import Databases
from wattline.meters.periods import Period, first_day, local_days, next_first_day, start_of, zone_of
from wattline.meters.statistics import PARTS, renewed, statistics
from wattline.meters.tables import HOURLY, MEDIAN_DUE, STATISTICS
from wattline.storage.contract import UTC_TIME, Table
from wattline.storage.mysql import MySQLStore
from wattline.storage.sql import sql_table
from wattline.storage.store import Condition, between
from wattline.window import Window

_NAMED = 500
"""Meters in one statement: from a thousand on, MariaDB joins them and reads the whole table."""
_ROWS = 100_000
"""Slots and stored statistics that are in memory at once."""
_AROUND = 60
"""Stored statistics of a meter that a run reads: the days of a month, the months of a year."""
_CLOSE = timedelta(days=7)
_LOCK = "CONCAT_WS('.', 'wattline', %s, MD5(DATABASE()))"
_PATIENCE = 120
"""Seconds to wait for another run."""


@dataclass(frozen=True)
class _Work:
    """What one call is about."""

    energy: MySQLStore
    kind: str
    zone: str
    minutes: int

    @property
    def site(self) -> ZoneInfo:
        return zone_of(self.zone)

    def slots(self, meters: Sequence[int], first: date, until: date) -> pl.DataFrame:
        """The hourly rows of the local days from `first` to the one before `until`, as `statistics` takes them."""
        table, name = HOURLY[self.kind], f"{self.kind}_id"
        span = between("start_datetime_utc", start_of(first, self.site), start_of(until, self.site))
        return self._read(table, name, meters, *span).rename({name: "meter_id"})

    def statistics(self, meters: Sequence[int], periods: Sequence[Period], first: date, until: date) -> pl.DataFrame:
        """The stored statistics of periods that begin from `first` to the day before `until`."""
        span = (Condition("start_local", ">=", first), Condition("start_local", "<", until))
        where = (Condition("kind", "=", self.kind), Condition("period", "in", list(periods)), *span)
        return self._read(STATISTICS, "meter_id", meters, *where)

    def chunks(self, meters: Sequence[int], first: date, until: date) -> Iterator[list[int]]:
        """The meters, as many at a time as memory is meant for."""
        size = max(1, _ROWS // ((until - first).days * 24 * 60 // self.minutes + _AROUND))
        return (list(meters[place : place + size]) for place in range(0, len(meters), size))

    def _read(self, table: Table, name: str, meters: Sequence[int], *where: Condition) -> pl.DataFrame:
        parts = (meters[place : place + _NAMED] for place in range(0, len(meters), _NAMED))
        read = [self.energy.read(table, (Condition(name, "in", list(part)), *where)) for part in parts]
        return pl.concat(read) if read else table.schema.to_frame()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other run changes statistics of this kind meanwhile.

        Raises:
            TransientError: another one does not come to its end.
        """
        if self._ask(f"SELECT GET_LOCK({_LOCK}, {_PATIENCE})") != 1:
            raise TransientError(f"meter_statistics: another run has been changing rows of {self.kind} for too long")
        try:
            yield
        finally:
            with suppress(WattlineError):
                self._ask(f"SELECT RELEASE_LOCK({_LOCK})")

    def write(self, rows: pl.DataFrame, due: pl.DataFrame, gone: pl.DataFrame, settled: pl.DataFrame) -> int:
        """Bring in rows and the medians that are due, remove rows and medians that are not; all of it or nothing."""
        with self.energy.transaction() as cursor:
            cursor.execute(f"SELECT IS_USED_LOCK({_LOCK}) = CONNECTION_ID()", (f"statistics-{self.kind}",))
            if cursor.fetchone()[0] != 1:
                raise TransientError("meter_statistics: the connection broke, and with it the turn of this run")
            _delete(cursor, STATISTICS, gone)
            _delete(cursor, MEDIAN_DUE, pl.concat([gone, settled]))
            self.energy.upsert(MEDIAN_DUE, due)
            return self.energy.upsert(STATISTICS, rows).rows

    def _ask(self, statement: str) -> Any:
        with self.energy.transaction() as cursor:
            cursor.execute(statement, (f"statistics-{self.kind}",))
            return cursor.fetchone()[0]


def refresh(databases: Databases, kind: str, changed: pl.DataFrame, zone: str, minutes: int) -> int:
    """Bring the statistics of changed slots up to date, but for medians of months and years; see `refresh_medians`.

    The hourly rows are as they shall be before this is called. Slots that have no row any more count as changed, too.

    Args:
        databases: the installation; only its energy database is used.
        kind: meter, offline_meter or virtual_meter.
        changed: meter_id and start_datetime_utc of the slots; slots that did not change may be among them.
        zone: IANA name of the site's time zone.
        minutes: length of a slot.

    Returns:
        How many rows of STATISTICS were written.

    Raises:
        BadInputError: no time zone has that name.
        TransientError: the server cannot be reached, or another run takes too long; a part may be written.
        TerminalError: a table is missing, or a total has more digits than its column.
    """
    work = _Work(databases.energy, kind, zone, minutes)
    rows = 0
    for first, until, meters in _spans(work, changed):
        for some in work.chunks(meters, first, until):
            with work.alone():
                rows += _refresh(work, some, first, until)
    return rows


def refresh_medians(databases: Databases, kind: str, window: Window, zone: str, minutes: int) -> int:
    """Compute the medians that are due: those of months if a local day ends in the window, those of years if a month.

    Args:
        databases: the installation; only its energy database is used.
        kind: meter, offline_meter or virtual_meter.
        window: what the run computed; a day ends in it that ends after its start and not after its end.
        zone: IANA name of the site's time zone.
        minutes: length of a slot.

    Returns:
        How many rows of STATISTICS were written.

    Raises:
        BadInputError, TransientError, TerminalError: as `refresh`.
    """
    work = _Work(databases.energy, kind, zone, minutes)
    day, rows = window.end.astimezone(work.site).date(), 0
    for period, part in PARTS.items():
        if start_of(first_day(day, part), work.site) > window.start:
            where = (Condition("kind", "=", kind), Condition("period", "=", period))
            due = work.energy.read(MEDIAN_DUE, where)
            for (first,), group in due.group_by("start_local", maintain_order=True):
                until = next_first_day(first, period)
                for meters in work.chunks(group["meter_id"].to_list(), first, until):
                    rows += _settle(work, group.filter(pl.col("meter_id").is_in(meters)), until)
    return rows


def rebuild(databases: Databases, kind: str, zone: str, minutes: int) -> int:
    """Compute all statistics of a kind of meter anew: for hours that were there before, and for another time zone.

    Args and errors are those of `refresh`. A run that is killed leaves some out; run it again.

    Returns:
        How many rows of STATISTICS were written.
    """
    work = _Work(databases.energy, kind, zone, minutes)
    zone_of(zone)
    with work.energy.transaction() as cursor:
        for table in (STATISTICS, MEDIAN_DUE):
            cursor.execute(f"DELETE FROM {table.mysql} WHERE kind = %s", (kind,))  # noqa: S608 - a name of ours
    rows = sql_table(HOURLY[kind]).c
    meter, start = rows[f"{kind}_id"], rows["start_datetime_utc"]
    ends = [
        work.energy.fetch(sa.select(meter.label("meter_id"), end(start).label("start_datetime_utc")).group_by(meter))
        for end in (sa.func.min, sa.func.max)
    ]
    at = pl.col("start_datetime_utc").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return refresh(databases, kind, pl.concat(ends).select(pl.col("meter_id").cast(pl.Int64), at), zone, minutes)


def _spans(work: _Work, changed: pl.DataFrame) -> Iterator[tuple[date, date, list[int]]]:
    """Which local days of which meters to read slots of: `first` to the day before `until`.

    That is from the first day that changed to the last, whole months, where these are far apart, so that few spans
    differ, and whole years, where one has no row yet.
    """
    day = local_days(changed["start_datetime_utc"].cast(UTC_TIME), work.site)
    days = changed.select("meter_id", day=day).unique()
    if days.is_empty():
        return
    years = days.select("meter_id", start_local=pl.col("day").dt.truncate("1y")).unique()
    first, last = years["start_local"].sort()[0], years["start_local"].sort()[-1]
    stored = work.statistics(years["meter_id"].unique().sort().to_list(), ["year"], first, next_first_day(last, "day"))
    unknown = years.join(stored, on=("meter_id", "start_local"), how="anti")["meter_id"].unique()
    spans = days.group_by("meter_id").agg(first=pl.col("day").min(), last=pl.col("day").max())
    close = pl.col("last") - pl.col("first") < _CLOSE
    length = pl.when(close).then(pl.lit("1d")).otherwise(pl.lit("1mo"))
    length = pl.when(pl.col("meter_id").is_in(unknown.implode())).then(pl.lit("1y")).otherwise(length)
    until = pl.col("last").dt.truncate(length).dt.offset_by(length)
    spans = spans.select("meter_id", first=pl.col("first").dt.truncate(length), until=until)
    for ends, group in spans.sort("meter_id").group_by("first", "until", maintain_order=True):
        yield *ends, group["meter_id"].to_list()


def _refresh(work: _Work, meters: list[int], first: date, until: date) -> int:
    """Compute the statistics that a span of days is part of."""
    fresh = statistics(work.slots(meters, first, until), work.kind, work.zone, work.minutes)
    last = until - timedelta(days=1)
    month, year = first_day(first, "month"), first_day(first, "year")
    days = work.statistics(meters, ["day"], month, next_first_day(last, "month"))
    longer = work.statistics(meters, ["month", "year"], year, next_first_day(last, "year"))
    rows, due, gone = renewed(fresh, pl.concat([days, longer]), (first, until), work.site, work.minutes)
    return work.write(rows, due, gone, due.clear())


def _settle(work: _Work, due: pl.DataFrame, until: date) -> int:
    """Compute rows of STATISTICS from all their slots."""
    period, first = due["period"][0], due["start_local"][0]
    with work.alone():
        slots = work.slots(due["meter_id"].to_list(), first, until)
        rows = statistics(slots, work.kind, work.zone, work.minutes).filter(pl.col("period") == period)
        return work.write(rows, due.clear(), due.clear(), due)


def _delete(cursor: Any, table: Table, keys: pl.DataFrame) -> None:
    where = " AND ".join(f"{name} = %s" for name in table.key)
    if keys.height:
        cursor.executemany(f"DELETE FROM {table.mysql} WHERE {where}", keys.select(table.key).rows())  # noqa: S608 - ours
