"""Readings of counters with their marks: MyEMS's `tbl_energy_value`, of which marks are written and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from wattline.meters.reading_statements import ENERGY_VALUE as _VALUE
from wattline.meters.registry import instant
from wattline.meters.tables import BIG, VALUE
from wattline.storage import sql
from wattline.storage.mysql import MySQLStore

ROWS = 200_000
"""About how many readings are in memory at once."""
_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_MARKED_AT_ONCE = 10_000
"""Rows of one transaction: while it lasts, it may keep a gateway from inserting at the table's end."""
_RUN = 16
"""From so many ids in a row on, a range of ids is quicker than a list."""


@dataclass(frozen=True)
class Readings:
    """The readings of some points.

    Every method gives columns of `wattline.meters.cleaning.READING`, in no order.

    Attributes:
        store: the historical database.
        points: a column `point_id` (BIG), each once; readings of other points are not seen.
    """

    store: MySQLStore
    points: pl.DataFrame

    def slices(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """The readings of all points in `[start, end)`, in steps of time with about ROWS readings."""
        step = expected = max(ROWS // self.points.height * _MINUTE, _MINUTE)
        while start < end:
            limit = 2 * ROWS if step > _SECOND else None
            rows = self._fetch(*_between(start, min(start + step, end)), limit=limit)
            if rows.height == limit:
                step = max(min(step // 2, expected), _SECOND)
                continue
            yield rows
            start += step
            step = step * 2 if rows.height < ROWS // 2 else step

    def of(self, points: Sequence[int], start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """The readings of some points in `[start, end)`, so many points at a time that they have about ROWS."""
        left, share = list(points), max(ROWS // max((end - start) // _MINUTE, 1), 1)
        while left:
            limit = 2 * ROWS if share > 1 else None
            rows = self._fetch(*_between(start, end), _VALUE.c.point_id.in_(left[:share]), limit=limit)
            if rows.height == limit:
                share //= 2
                continue
            yield rows
            left = left[share:]

    def unchecked(self, before: datetime, ids: tuple[int, int], oldest: datetime) -> Iterator[pl.DataFrame]:
        """Those of a time before `before` that nobody checked, by ids, backwards.

        They are read in steps of ROWS ids: all steps of `ids`, and on from there down to the first step in which
        nothing is unchecked of a time from `oldest` on, be it before `before` or not.

        Args:
            before: up to when.
            ids: the first and the last one.
            oldest: from when on those with ids below the first one are seen.
        """
        first, end = ids[0], ids[1] + 1
        while end > 0:
            start = max(end - ROWS, first) if end > first else end - ROWS
            is_far = end <= first
            moment = _VALUE.c.utc_date_time >= _time(oldest) if is_far else _VALUE.c.utc_date_time < _time(before)
            rows = self._fetch(_VALUE.c.id >= start, _VALUE.c.id < end, moment, _VALUE.c.is_bad.is_(None))
            if is_far and rows.is_empty():
                return
            yield rows.filter(pl.col("at") < before)
            end = start

    def mark(self, ids: pl.Series, *, bad: bool, even_bad: bool = False) -> int:
        """Set `is_bad` of readings; killed within, it leaves some marked and the others as they were.

        Args:
            ids: which.
            bad: what they are.
            even_bad: whether one that is marked bad may become good. Otherwise it stays bad even if somebody marked it
                after it was read.

        Returns:
            How many it changed.
        """
        changed = 0
        clauses: list[sa.ColumnElement[bool]] = [_VALUE.c.is_bad.is_(None)]
        if bad or even_bad:
            clauses.append(_VALUE.c.is_bad != int(bad))
        for chosen in _batches(ids):
            statement = sa.update(_VALUE).where(chosen, sa.or_(*clauses)).values(is_bad=int(bad))
            with self.store.transaction() as cursor:
                cursor.execute(str(statement.compile(dialect=sql.DIALECT, compile_kwargs={"literal_binds": True})))
                changed += cursor.rowcount
        return changed

    def _fetch(self, *clauses: sa.ColumnElement[bool], limit: int | None = None) -> pl.DataFrame:
        at = sa.func.to_seconds(_VALUE.c.utc_date_time).label("at")
        columns = (_VALUE.c.id, _VALUE.c.point_id, at, _VALUE.c.actual_value.label("value"), _VALUE.c.is_bad)
        typed = self.store.fetch(sa.select(*columns).where(*clauses).limit(limit)).select(
            pl.col("id", "point_id").cast(BIG),
            instant("at"),
            pl.col("value").cast(VALUE),
            pl.col("is_bad").cast(pl.Boolean),
        )
        return typed.join(self.points.select("point_id"), on="point_id", how="semi")


def _batches(ids: pl.Series) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions that name _MARKED_AT_ONCE ids each: many in a row by their ends, the others one by one."""
    for part in ids.sort().to_frame("id").iter_slices(_MARKED_AT_ONCE):
        run = (pl.col("id").diff() != 1).fill_null(value=True).cum_sum()
        runs = part.group_by(run.alias("run")).agg(first=pl.col("id").min(), last=pl.col("id").max(), ids="id")
        is_long = pl.col("ids").list.len() >= _RUN
        ranges = [
            _VALUE.c.id.between(first, last) for first, last in runs.filter(is_long).select("first", "last").iter_rows()
        ]
        single = runs.filter(~is_long)["ids"].explode().to_list()
        yield sa.or_(*ranges, *([_VALUE.c.id.in_(single)] if single else []))


def _between(start: datetime, end: datetime) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return _VALUE.c.utc_date_time >= _time(start), _VALUE.c.utc_date_time < _time(end)


def _time(moment: datetime) -> sa.ColumnElement[datetime]:
    """An instant as the server compares it with a DATETIME."""
    return sa.literal(moment.astimezone(UTC).replace(tzinfo=None), mysql.DATETIME())
