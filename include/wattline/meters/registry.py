"""The register: which meters there are, their limits, and up to where their hours are computed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from wattline.errors import TerminalError
from wattline.meters.databases import Databases
from wattline.meters.tables import BIG, HOURLY, SETTING, VALUE
from wattline.storage.contract import UTC_TIME, Column, Table
from wattline.storage.mysql import MySQLStore
from wattline.storage.store import Condition

EPOCH = 62_167_219_200
"""TO_SECONDS('1970-01-01'): instants travel as seconds, which a zero date in an old table cannot break."""

METER = Table(
    name="meter",
    key=("meter_id",),
    columns=(
        Column("meter_id", BIG, "the meter"),
        Column("name", pl.String(), "its name", nullable=True),
        Column("point_id", BIG, "its point of type ENERGY_VALUE"),
        Column("points", pl.Int32(), "how many such points it has", minimum=1, maximum=1),
        Column("low_limit", VALUE, "hourly low limit, inclusive"),
        Column("high_limit", VALUE, "hourly high limit, inclusive"),
        Column("modulus", VALUE, "the counter's states are below it", nullable=True),
        Column("newest", UTC_TIME, "start of its newest hourly row", nullable=True),
    ),
)
"""A meter as the pipeline knows it; a batch of the gate, not a stored table."""

_NAMED = 100
_METERS = sa.table("tbl_meters", *map(sa.column, ("id", "name", "hourly_low_limit", "hourly_high_limit")))
_LINKS = sa.table("tbl_meters_points", sa.column("meter_id"), sa.column("point_id"))
_POINTS = sa.table("tbl_points", sa.column("id"), sa.column("object_type"))
_SCALES = sa.table(
    "COLUMNS",
    *map(sa.column, ("table_schema", "table_name", "column_name", "numeric_scale")),
    schema="information_schema",
)


def read_meters(databases: Databases) -> pl.DataFrame:
    """Every meter with a point of type ENERGY_VALUE, by the contract METER and in its order."""
    energy_point = sa.and_(
        _POINTS.c.id == _LINKS.c.point_id, _POINTS.c.object_type == sa.literal_column("'ENERGY_VALUE'")
    )
    joined = _METERS.join(_LINKS, _LINKS.c.meter_id == _METERS.c.id).join(_POINTS, energy_point)
    statement = sa.select(
        _METERS.c.id.label("meter_id"),
        _METERS.c.name,
        _POINTS.c.id.label("point_id"),
        _METERS.c.hourly_low_limit.label("low_limit"),
        _METERS.c.hourly_high_limit.label("high_limit"),
    ).select_from(joined)
    # Two servers, perhaps: they are asked at the same time.
    with ThreadPoolExecutor(1) as system:
        asked = system.submit(databases.system.fetch, statement)
        known = databases.energy.read(SETTING, columns=["meter_id", "modulus"])
        top = newest(databases.energy)
        found = asked.result()
    meters = (
        found.sort("meter_id", "point_id")
        .with_columns(pl.len().over("meter_id").alias("points"))
        .unique("meter_id", keep="first", maintain_order=True)
        .join(known, on="meter_id", how="left")
        .join(top, on="meter_id", how="left")
    )
    return METER.conform(meters)


def newest(energy: MySQLStore) -> pl.DataFrame:
    """meter_id and `newest`, the start of its newest hourly row, of every meter that has one."""
    hourly = sa.table(str(HOURLY["meter"].mysql), sa.column("meter_id"), sa.column("start_datetime_utc"))
    top = sa.func.to_seconds(sa.func.max(hourly.c.start_datetime_utc)).label("newest")
    found = energy.fetch(sa.select(hourly.c.meter_id, top).group_by(hourly.c.meter_id))
    return found.select(pl.col("meter_id").cast(BIG), instant("newest")).drop_nulls()


def first_holes(energy: MySQLStore, start: datetime, minutes: int) -> pl.DataFrame:
    """Where rows are missing: meter_id and `hole`, the start of the first slot without a row since `start`.

    It counts the rows of all meters, which takes the server a second for some millions of them.

    Args:
        energy: the energy database.
        start: UTC; its minutes are cut off.
        minutes: length of a slot.
    """
    start = start.replace(minute=0, second=0, microsecond=0)
    hourly = sa.table(
        str(HOURLY["meter"].mysql), sa.column("meter_id"), sa.column("start_datetime_utc", mysql.DATETIME())
    )
    since = hourly.c.start_datetime_utc >= sa.literal(start.replace(tzinfo=None), mysql.DATETIME())
    top = sa.func.to_seconds(sa.func.max(hourly.c.start_datetime_utc)).label("top")
    counted = energy.fetch(
        sa.select(hourly.c.meter_id, sa.func.count().label("rows"), top).where(since).group_by(hourly.c.meter_id)
    )
    due = (pl.col("top").cast(pl.Int64) - EPOCH - int(start.timestamp())) // (60 * minutes) + 1
    short = counted.filter(pl.col("rows") < due)["meter_id"].cast(BIG).sort()
    found = [pl.DataFrame(schema={"meter_id": BIG, "hole": UTC_TIME})]
    for part in short.to_frame().iter_slices(_NAMED):
        where = [Condition("start_datetime_utc", ">=", start), Condition("meter_id", "in", part["meter_id"].to_list())]
        rows = energy.read(HOURLY["meter"], where, HOURLY["meter"].key)
        phase = rows.group_by("meter_id").agg(_minute=pl.col("start_datetime_utc").min().dt.minute() % minutes)
        first = phase.select("meter_id", start_datetime_utc=pl.lit(start, UTC_TIME) + pl.duration(minutes="_minute"))
        following = rows.with_columns(pl.col("start_datetime_utc") + timedelta(minutes=minutes))
        # A row must begin at the start, and where another one ends.
        missing = pl.concat([first, following]).join(rows, on=rows.columns, how="anti")
        found.append(missing.group_by("meter_id").agg(pl.col("start_datetime_utc").min().alias("hole")))
    return pl.concat(found)


def instant(name: str) -> pl.Expr:
    """A column of TO_SECONDS as instants."""
    return pl.from_epoch(pl.col(name).cast(pl.Int64) - EPOCH, "s").dt.cast_time_unit("us").dt.replace_time_zone("UTC")


def hourly_places(energy: MySQLStore, kind: str = "meter") -> int:
    """Decimal places of the hourly table's values: six, or three in older installations.

    Raises:
        TerminalError: the table has no such column, or it is no decimal.
    """
    table = str(HOURLY[kind].mysql)
    found = energy.fetch(
        sa.select(_SCALES.c.numeric_scale.label("places")).where(
            _SCALES.c.table_schema == sa.func.database(),
            _SCALES.c.table_name == sa.literal_column(f"'{table}'"),
            _SCALES.c.column_name == sa.literal_column("'actual_value'"),
        )
    )["places"]
    if found.len() != 1 or found[0] is None:
        raise TerminalError(f"{table} has no decimal column actual_value; is this MyEMS's energy database?")
    return int(found[0])
