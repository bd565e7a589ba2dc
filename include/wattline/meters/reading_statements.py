"""The statements that read MyEMS's `tbl_energy_value`, and by which of its indexes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from wattline.storage.mysql import MySQLStore

MOST = 10**11
"""No counter is that far from zero, and sums of such ones would leave the columns: the gate takes them out."""
_FEW, _FEW_SHARE = 50, 0.2
"""Points that are named: at most so many, and at most so large a share of the table."""
_NEARBY_ROWS, _SPREAD = 1_000_000, 4
"""Up to so many readings are looked for close together: among at most so many times as many primary keys."""
ENERGY_VALUE = sa.table(
    "tbl_energy_value",
    sa.column("id", sa.BigInteger()),
    sa.column("point_id", sa.BigInteger()),
    sa.column("utc_date_time", mysql.DATETIME()),
    sa.column("actual_value"),
    sa.column("is_bad", sa.Integer()),
)
"""MyEMS's table of readings, good ones and others."""


def good(points: pl.Series, start: int, end: int, share: float) -> sa.Select[Any]:
    """Good readings of the seconds `[start, end)`, of these points or, where they are many or most, of all."""
    rows = sa.select(*_columns()).where(*_during(start, end), _is_good())
    if not _are_few(points, share):
        return rows
    named: list[sa.ColumnElement[int]] = [sa.literal_column(str(int(point))) for point in points.unique().sort()]
    return rows.where(ENERGY_VALUE.c.point_id.in_(named))


def looks(meters: pl.DataFrame, end: int) -> sa.SelectBase:
    """The newest good reading of each point before the second `end`, however old: a look into the index each."""
    looks = [
        sa.select(*_columns())
        .where(ENERGY_VALUE.c.point_id == sa.literal_column(str(int(point))), ENERGY_VALUE.c.utc_date_time < _time(end))
        .where(_is_good(), sa.func.abs(ENERGY_VALUE.c.actual_value) <= sa.literal_column(str(MOST)))
        .order_by(ENERGY_VALUE.c.utc_date_time.desc(), ENERGY_VALUE.c.id.desc())
        .limit(1)
        for point in meters["point_id"].unique(maintain_order=True)
    ]
    return sa.union_all(*looks) if len(looks) > 1 else looks[0]


def quickest(store: MySQLStore, points: pl.Series, start: int, end: int, share: float) -> sa.Select[Any]:
    """As `good`, by primary key where one reading a minute and point would be close together in it.

    Readings mostly come in the order of time, so those of an hour are neighbours. By the index on the time the server
    looks each of them up by itself, which takes twice as long.
    """
    statement, rows = good(points, start, end, share), points.len() * (end - start) // 60
    ids = sa.select(sa.func.min(ENERGY_VALUE.c.id).label("low"), sa.func.max(ENERGY_VALUE.c.id).label("high"))
    # To look for them costs a look at the index, which would be lost on a table that holds hardly anything else.
    if rows > _NEARBY_ROWS or _are_few(points, share) or _close(store.fetch(ids), rows):
        return statement
    found = store.fetch(ids.where(*_during(start, end)))
    if found["low"][0] is None or not _close(found, rows):
        return statement
    low, high = found.row(0)
    between = ENERGY_VALUE.c.id.between(sa.literal_column(str(low)), sa.literal_column(str(high)))
    return statement.where(between).with_hint(ENERGY_VALUE, "FORCE INDEX (PRIMARY)")


def _are_few(points: pl.Series, share: float) -> bool:
    return points.len() <= _FEW and share <= _FEW_SHARE


def _close(ids: pl.DataFrame, rows: int) -> bool:
    low, high = ids.row(0)
    return low is None or bool(high - low <= _SPREAD * rows)


def _columns() -> list[sa.ColumnElement[Any]]:
    at = sa.func.to_seconds(ENERGY_VALUE.c.utc_date_time).label("at")
    return [ENERGY_VALUE.c.point_id, at, ENERGY_VALUE.c.actual_value.label("value")]


def _during(start: int, end: int) -> list[sa.ColumnElement[bool]]:
    return [ENERGY_VALUE.c.utc_date_time >= _time(start), ENERGY_VALUE.c.utc_date_time < _time(end)]


def _is_good() -> sa.ColumnElement[bool]:
    return ENERGY_VALUE.c.is_bad == sa.literal_column("0")


def _time(seconds: int) -> sa.ColumnElement[datetime]:
    """An instant as the server compares it with a DATETIME, so that its index serves."""
    return sa.literal(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None), mysql.DATETIME())
