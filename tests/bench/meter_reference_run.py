"""MyEMS's way of working, to measure Wattline against: meter by meter, on the same databases.

Two processes share the meters. Each meter takes a connection to the energy database and one to the historical one, and
four statements: its newest hourly row, its base, its readings, and an INSERT for each hundred rows. Python walks the
readings as decimals and takes them one by one from the front of a list, as MyEMS does, so that a long range costs the
square of its length. The driver is MyEMS's too, mysql-connector-python, which is why this runs in an environment of
its own and imports nothing of Wattline. A meter with nothing to do is no error.

`python -m tests.bench.meter_reference_run SYSTEM_URL HISTORICAL_URL ENERGY_URL START NOW MINUTES` prints seconds,
rows and peak memory of its largest process as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from multiprocessing import Pool
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import mysql.connector

from tests.meter_reference import SMALLEST_BASE, ZERO, slots_of

ROWS_PER_INSERT = 100
PROCESSES = 2
_METERS = (
    "SELECT m.id, p.id, m.hourly_low_limit, m.hourly_high_limit FROM tbl_meters m, tbl_meters_points mp, tbl_points p "
    "WHERE mp.meter_id = m.id AND p.id = mp.point_id AND p.object_type = 'ENERGY_VALUE'"
)
_NEWEST = "SELECT MAX(start_datetime_utc) FROM tbl_meter_hourly WHERE meter_id = %s"
_BASE = (
    "SELECT actual_value FROM tbl_energy_value WHERE point_id = %s AND utc_date_time < %s AND is_bad = 0 "
    "ORDER BY utc_date_time DESC, id DESC LIMIT 1"
)
_READINGS = (
    "SELECT utc_date_time, actual_value FROM tbl_energy_value "
    "WHERE point_id = %s AND utc_date_time >= %s AND utc_date_time < %s AND is_bad = 0 ORDER BY utc_date_time, id"
)
_INSERT = "INSERT INTO tbl_meter_hourly (meter_id, start_datetime_utc, actual_value) VALUES (%s, %s, %s)"


class Urls(NamedTuple):
    """`mysql://user:password@host:port/database` of each database."""

    system: str
    historical: str
    energy: str


class Meter(NamedTuple):
    """A meter, its point and its limits, as the system database has them."""

    id: int
    point_id: int
    low: Decimal
    high: Decimal


@dataclass(frozen=True)
class Job:
    """What is the same for all meters. Instants are UTC."""

    urls: Urls
    start: datetime
    now: datetime
    minutes_to_count: int = 60
    minutes_to_clean: int = 30


def run(job: Job, processes: int = PROCESSES) -> tuple[float, int]:
    """Compute what is due of every meter, as the service does it once a minute.

    Returns:
        Seconds, from the first connection to the end of the last process, and hourly rows written.
    """
    started = time.perf_counter()
    with closing(_connect(job.urls.system)) as connection:
        meters = [Meter(*row) for row in _rows(connection, _METERS)]
    with Pool(processes) as pool:
        rows = sum(pool.map(partial(normalize, job), meters))
    return time.perf_counter() - started, rows


def normalize(job: Job, meter: Meter) -> int:
    """Compute what is due of one meter; returns how many rows that were."""
    with closing(_connect(job.urls.energy)) as energy:
        newest = _rows(energy, _NEWEST, meter.id)[0][0]
        first, slots = slots_of(
            newest and newest.replace(tzinfo=UTC), job.start, job.now, job.minutes_to_count, job.minutes_to_clean
        )
        if slots == 0:
            return 0
        first, slot = first.replace(tzinfo=None), timedelta(minutes=job.minutes_to_count)
        with closing(_connect(job.urls.historical)) as historical:
            bases = _rows(historical, _BASE, meter.point_id, first)
            readings = _rows(historical, _READINGS, meter.point_id, first, first + slot * slots)
        base = max(bases[0][0], ZERO) if bases else ZERO
        ends = [first + slot * (number + 1) for number in range(slots)]
        values = walk(readings, base, ends, meter.low, meter.high)
        rows = [(meter.id, end - slot, value) for end, value in zip(ends, values, strict=True)]
        for number in range(0, slots, ROWS_PER_INSERT):
            energy.cursor().executemany(_INSERT, rows[number : number + ROWS_PER_INSERT])
            energy.commit()
    return slots


def walk(
    readings: list[tuple[datetime, Decimal]], base: Decimal, ends: list[datetime], low: Decimal, high: Decimal
) -> list[Decimal]:
    """The energy of each slot, by its end; readings are good ones in order, none before the first slot."""
    waiting = list(readings)
    values = []
    previous = base
    for end in ends:
        initial, increment = previous, ZERO
        while waiting and waiting[0][0] < end:
            value = waiting.pop(0)[1]
            if value > previous:
                increment += value - previous
            previous = value
        counts = initial > SMALLEST_BASE and low <= increment <= high
        values.append(increment if counts else ZERO)
    return values


def _rows(connection: Any, statement: str, *values: object) -> Any:
    cursor = connection.cursor()
    cursor.execute(statement, values)
    return cursor.fetchall()


def _connect(url: str) -> Any:
    parsed = urlsplit(url)
    return mysql.connector.connect(
        host=parsed.hostname,
        port=parsed.port,
        user=parsed.username,
        password=unquote(parsed.password or ""),
        database=parsed.path[1:],
        use_pure=True,  # its C part does not load beside every OpenSSL
    )


def main(*arguments: str) -> None:
    """Run once and print how it went."""
    system, historical, energy, start, now, minutes = arguments
    first, last = (datetime.fromisoformat(text).astimezone(UTC) for text in (start, now))
    seconds, rows = run(Job(Urls(system, historical, energy), first, last, minutes_to_count=int(minutes)))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mb": peak}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
