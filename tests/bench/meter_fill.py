"""A MyEMS installation for the benchmarks, filled inside MariaDB by its sequence engine: nothing crosses the wire."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from wattline.meters import myems
from wattline.meters.upgrade import upgrade
from wattline.storage.mysql import MySQLStore, connect
from wattline.storage.schema import mysql_url

_SESSION = "SET SESSION time_zone = '+00:00', sql_mode = 'TRADITIONAL', unique_checks = 0"
_METERS = """INSERT INTO tbl_meters (id, name, uuid, energy_category_id, is_counted, hourly_low_limit,
    hourly_high_limit, cost_center_id)
    SELECT seq, CONCAT('Meter ', seq), UUID(), 1, 1, 0, 10000, 1 FROM seq_1_to_{meters}"""
_POINTS = """INSERT INTO tbl_points (id, name, data_source_id, object_type, units, high_limit, low_limit, is_trend,
    address)
    SELECT seq, CONCAT('Point ', seq), 1, 'ENERGY_VALUE', 'kWh', 99999999, 0, 1, '{{}}' FROM seq_1_to_{meters}"""
_LINKS = "INSERT INTO tbl_meters_points (meter_id, point_id) SELECT seq, seq FROM seq_1_to_{meters}"
_READINGS = """INSERT INTO tbl_energy_value (point_id, utc_date_time, actual_value, is_bad)
    SELECT p.seq, TIMESTAMP'{start}' + INTERVAL t.seq * {every} + p.seq MOD {jitter} SECOND,
        1000 + p.seq + t.seq * {every} * (1 + p.seq MOD 7) * 0.000271, 0
    FROM seq_{first}_to_{last} t, seq_1_to_{meters} p ORDER BY t.seq, p.seq"""
_HOURS = """INSERT INTO tbl_meter_hourly (meter_id, start_datetime_utc, actual_value)
    SELECT p.seq, TIMESTAMP'{start}' + INTERVAL t.seq HOUR, 1.5 FROM seq_{first}_to_{last} t, seq_1_to_{meters} p"""
_ROWS_AT_ONCE = 1_000_000


def create(urls: tuple[str, str, str], meters: int) -> None:
    """Make the three databases with so many meters, and the unique keys."""
    myems.create(*urls)
    with closing(MySQLStore.from_url(urls[2])) as store:
        upgrade(store, lambda _: None)
    _run(urls[0], [each.format(meters=meters) for each in (_METERS, _POINTS, _LINKS)])


def fill_readings(historical: str, meters: int, start: datetime, count: int, every: int = 60) -> None:
    """So many readings of each meter, one every `every` seconds from `start` on (UTC), in the order of arrival."""
    _parts(historical, _READINGS, meters, count, start=f"{start:%F %T}", every=every, jitter=min(every, 50))
    _settle(historical, "tbl_energy_value")


def fill_hours(energy: str, meters: int, start: datetime, count: int) -> None:
    """So many hourly rows of each meter from `start` on (UTC)."""
    _parts(energy, _HOURS, meters, count, start=f"{start:%F %T}")
    _settle(energy, "tbl_meter_hourly")


def empty(energy: str) -> None:
    """Take every computed row away."""
    _run(energy, [f"TRUNCATE {table}" for table in ("tbl_meter_hourly", "meter_hourly_quality")])


def _settle(url: str, table: str) -> None:
    """Let the server write to disk what it holds back, which would slow down whoever is measured next."""
    _run(url, [f"ANALYZE TABLE {table}", f"FLUSH TABLES {table} FOR EXPORT", "UNLOCK TABLES"])


def _parts(url: str, statement: str, meters: int, count: int, **names: object) -> None:
    step = max(_ROWS_AT_ONCE // meters, 1)
    parts = range(0, count, step)
    _run(url, [statement.format(meters=meters, first=at, last=min(at + step, count) - 1, **names) for at in parts])


def _run(url: str, statements: list[str]) -> None:
    with closing(connect(mysql_url(url))) as connection:
        cursor = connection.cursor()
        cursor.execute(_SESSION)
        for statement in statements:
            cursor.execute(statement)
            cursor.fetchall()
            connection.commit()
