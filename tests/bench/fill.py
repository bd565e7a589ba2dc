"""A large `inverterlog` for the benchmarks, made inside MariaDB: nothing but statements crosses the wire.

Rows come from MariaDB's sequence engine (`seq_1_to_N`, which MySQL lacks) and from checksums of their numbers, so the
same arguments always give the same rows. `python -m tests.bench.fill MYSQL_URL ROWS DAYS END` fills a database.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

from wattline.errors import BadInputError
from wattline.storage.mysql import connect
from wattline.storage.schema import mysql_url, upgrade_mysql
from wattline.window import parse_time

INTERVAL = timedelta(minutes=10)
PER_PLANT = 20
_CHUNK = 25_000
_MICROSECOND = timedelta(microseconds=1)
_FIRST_ARRIVAL = timedelta(seconds=6)
_SESSION = "SET SESSION time_zone = '+00:00', sql_mode = 'TRADITIONAL', optimizer_switch = 'derived_merge=off'"
"""Without merging, each expression is computed once a row, not once for every column that it goes into."""
_READINGS = """
    SELECT mcno, invno, at,
        IF(noise MOD 499 = 4, NULL, ROUND(ackw, 3)) ackw,
        IF(noise MOD 50 = 0, NULL, ROUND(ackw * 1.031, 3)) dckw,
        IF(noise MOD 97 = 1, NULL, CAST(daykw AS DECIMAL(18,6))) daykw,
        IF(noise MOD 97 = 2, NULL, CAST(counter + daykw AS DECIMAL(18,6))) totkw,
        CASE WHEN noise MOD 61 = 3 THEN NULL WHEN noise MOD 5003 = 5 THEN 3 ELSE 0 < daylight AND daylight < 1 END
            status,
        received_at, capacity_kw
    FROM (
        SELECT mcno, invno, at, received_at, noise, capacity_kw, daylight,
            capacity_kw * SIN(PI() * daylight) * (0.6 + 0.4 * noise / 4294967296) ackw,
            0.8 * capacity_kw * 12 / PI() * (1 - COS(PI() * daylight)) daykw,
            20000 + unit MOD 977 * 41.3 + 0.8 * capacity_kw * 24 / PI() * day counter
        FROM (
            SELECT mcno, invno, unit, at, received_at, noise, 20 + unit MOD 5 * 10 capacity_kw,
                LEAST(GREATEST(TIME_TO_SEC(at + INTERVAL 9 HOUR) / 43200 - 0.5, 0), 1) daylight,
                DATEDIFF(at + INTERVAL 9 HOUR, '{start}') day
            FROM (
                SELECT unit DIV {per_plant} + 1 mcno, unit MOD {per_plant} + 1 invno, unit, noise, received_at,
                    CAST(received_at - INTERVAL 2 + noise MOD 4 SECOND AS DATETIME) at
                FROM (
                    SELECT (seq - 1) MOD {inverters} unit, CRC32(seq) noise,
                        TIMESTAMP'{start}' + INTERVAL (seq - 1) DIV {inverters} * {interval} + {first_arrival}
                            + (seq - 1) MOD {inverters} * {spread} DIV {inverters} MICROSECOND received_at
                    FROM seq_{first}_to_{last}
                ) numbered
            ) sent
        ) lit
    ) measured"""
"""Readings by their number: inverter after inverter, tick after tick, so in the order in which they arrived. A gateway
speaks 2 to 6 s before its row arrives. The sun rises at 6 and sets at 18 o'clock in Seoul; the counter adds up. Some
values of each measured column are null."""
_LOG = "INSERT INTO inverterlog (mcno, invno, at, ackw, dckw, daykw, totkw, status, received_at) "
_LOG += "SELECT mcno, invno, at, ackw, dckw, daykw, totkw, status, received_at FROM ({readings}) reading"
_REGISTER = (
    "INSERT INTO inverter (mcno, invno, capacity_kw, installed_at, at, ackw, dckw, daykw, totkw, status, updated_at) "
    "SELECT mcno, invno, capacity_kw, '{start}', at, ackw, dckw, daykw, totkw, status, received_at "
    "FROM ({readings}) reading"
)
_PLANTS = (
    "INSERT INTO customer (mcno, name, latitude, longitude, timezone, status, capacity_kw, updated_at) "
    "SELECT seq, CONCAT('Plant ', seq), 34 + seq MOD 37 / 10, 126 + seq MOD 29 / 10, 'Asia/Seoul', 'in_use', "
    "{per_plant} * 40, '{start}' FROM seq_1_to_{plants}"
)


def fill_inverterlog(url: str, rows: int, days: int, end: datetime) -> int:
    """Fill an empty `inverterlog`, and `inverter` and `customer` for it; returns the number of inverters.

    Each inverter sends a reading in every ten minutes of `[end - days, end)`. There are as many inverters as `rows`
    takes; where they would send more, the first ones are left out. Rows go in by arrival, chunk by chunk.

    Args:
        url: `mysql://user:password@host:port/database` of the schema's owner, on MariaDB; made if it is missing.
        rows: readings in all, one per ten minutes or more.
        days: length of the time that they speak of.
        end: first instant after it, with time zone.

    Raises:
        BadInputError: there are too few rows for the days, or `end` has no time zone.
        TerminalError: the URL is no use, or its user may not do this.
        TransientError: the server cannot be reached.
    """
    ticks = timedelta(days=days) // INTERVAL
    if not 0 < ticks <= rows:
        raise BadInputError(f"{rows} rows do not fill {days} days", remedy=f"Ask for a day or more and {ticks} rows")
    if end.tzinfo is None:
        raise BadInputError(f"the end {end} has no time zone", remedy="Use a time with an offset")
    inverters = -(-rows // ticks)
    start = end.astimezone(UTC) - timedelta(days=days)
    names = {
        "start": start.strftime("%Y-%m-%d %H:%M:%S"),
        "inverters": inverters,
        "per_plant": PER_PLANT,
        "interval": INTERVAL // _MICROSECOND,
        # The last row of a tick comes before the tick ends, and before the first row of the next.
        "spread": (INTERVAL - 2 * _FIRST_ARRIVAL) // _MICROSECOND,
        "first_arrival": _FIRST_ARRIVAL // _MICROSECOND,
    }
    upgrade_mysql(url)
    with closing(connect(mysql_url(url))) as connection:
        connection.autocommit(True)
        cursor = connection.cursor()
        cursor.execute(_SESSION)
        cursor.execute(_PLANTS.format(plants=-(-inverters // PER_PLANT), **names))
        last = ticks * inverters
        for first in range(last - rows + 1, last + 1, _CHUNK):
            chunk = _READINGS.format(first=first, last=min(first + _CHUNK - 1, last), **names)
            cursor.execute(_LOG.format(readings=chunk))
        newest = _READINGS.format(first=last - inverters + 1, last=last, **names)
        cursor.execute(_REGISTER.format(readings=newest, **names))
        cursor.execute("ANALYZE TABLE customer, inverter, inverterlog")
    return inverters


def main(url: str, rows: str, days: str, end: str) -> None:
    """Fill and print how long it took."""
    started = time.perf_counter()
    inverters = fill_inverterlog(url, int(rows), int(days), parse_time(end, "end"))
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": int(rows), "inverters": inverters}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
