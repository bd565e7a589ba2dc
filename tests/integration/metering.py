"""A small MyEMS installation for tests: meters, their readings, and what was made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from wattline.meters import myems
from wattline.meters.databases import Databases
from wattline.meters.plan import Options
from wattline.meters.run import normalize
from wattline.meters.tables import HOURLY, QUALITY
from wattline.meters.upgrade import upgrade
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

START = datetime(2026, 3, 1, tzinfo=UTC)
OPTIONS = Options(start=START)
_METER = (
    "INSERT INTO tbl_meters (id, name, uuid, energy_category_id, is_counted, hourly_low_limit, hourly_high_limit, "
    "cost_center_id) VALUES (%s, %s, UUID(), 1, 1, %s, %s, 1)"
)
_POINT = (
    "INSERT INTO tbl_points (id, name, data_source_id, object_type, units, high_limit, low_limit, is_trend, address) "
    "VALUES (%s, %s, 1, %s, 'kWh', 99999999, 0, 1, '{}')"
)
_READING = "INSERT INTO tbl_energy_value (point_id, utc_date_time, actual_value, is_bad) VALUES (%s, %s, %s, %s)"


@dataclass
class Site:
    """An installation in one database, which stands for all three.

    Attributes:
        url: its owner.
        options: the settings of its normalization.
    """

    url: str
    options: Options = OPTIONS
    databases: Databases = field(init=False)

    def __post_init__(self) -> None:
        self.databases = Databases(*(MySQLStore.from_url(self.url) for _ in range(3)))

    def create(self, places: int = 6) -> Site:
        """Make the tables, as MyEMS and `wattline meters upgrade` do."""
        myems.create(self.url, self.url, self.url, places=places)
        upgrade(self.databases.energy, lambda _: None)
        return self

    def sql(self, statement: str, rows: Iterable[tuple[Any, ...]] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement as the owner, once for each of `rows`."""
        with closing(MySQLStore.from_url(self.url)) as store, store._cursor() as cursor:
            if rows is None:
                cursor.execute(statement)
                return list(cursor.fetchall())
            cursor.executemany(statement, list(rows))
            return []

    def meter(self, number: int, *, low: str = "0", high: str = "1000", points: int = 1) -> None:
        """A meter whose points are `number`, `number` + 100000, …"""
        self.sql(_METER, [(number, f"Meter {number}", low, high)])
        for point in range(number, number + 100_000 * points, 100_000):
            self.sql(_POINT, [(point, f"Point {point}", "ENERGY_VALUE")])
            self.sql("INSERT INTO tbl_meters_points (meter_id, point_id) VALUES (%s, %s)", [(number, point)])

    def read(self, meter: int, readings: Mapping[int, object], is_bad: int | None = 0) -> None:
        """Readings of a meter: second after START → the counter."""
        rows = [
            (meter, (START + timedelta(seconds=at)).replace(tzinfo=None), value, is_bad)
            for at, value in readings.items()
        ]
        self.sql(_READING, rows)

    def run(self, begin: int, end: int, *, live: bool = False) -> Mapping[str, int]:
        """Normalize the hours `[begin, end)` after START."""
        window = Window(START + timedelta(hours=begin), START + timedelta(hours=end))
        return normalize(self.databases, window, self.options, live=live)

    def hourly(self, meter: int) -> dict[int, Decimal]:
        """Hour after START → energy; fails where an hour has two rows."""
        rows = self.sql(
            f"SELECT start_datetime_utc, actual_value FROM tbl_meter_hourly WHERE meter_id = {meter} ORDER BY 1"
        )
        found = {_hour(at): value for at, value in rows}
        assert len(found) == len(rows)
        return found

    def quality(self, meter: int) -> dict[int, dict[str, Any]]:
        """Hour after START → row of QUALITY."""
        rows = self.databases.energy.read(QUALITY).filter(pl.col("meter_id") == meter)
        return {_hour(row["start_datetime_utc"].replace(tzinfo=None)): row for row in rows.iter_rows(named=True)}

    def reasoned(self) -> pl.DataFrame:
        """All rows of QUALITY, but for when their readings were read."""
        return self.databases.energy.read(QUALITY).drop("read_at")

    def reasons(self, meter: int) -> list[str]:
        """The reasons of a meter's hours, in their order."""
        return [row["reason"] for row in self.quality(meter).values()]

    def everything(self) -> pl.DataFrame:
        """All hourly rows."""
        return self.databases.energy.read(HOURLY["meter"])


def _hour(at: datetime) -> int:
    return int((at - START.replace(tzinfo=None)) // timedelta(hours=1))
