"""The hourly normalization beside MyEMS's way of working and beside a plain client that only reads the rows.

`python -m tests.bench.meter_bench [all]` measures on a throw-away MariaDB. `all` adds 10,000 meters, also with 90
days of hourly history; filling takes a quarter of an hour.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from local.servers import MariaDB, free_port
from tests.bench.meter_fill import create, empty, fill_hours, fill_readings
from tests.bench.migrate_bench import BENCH_PYTHON
from tests.servers import RunningServer

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
_CHECKOUT = Path(__file__).parents[2]
_READ = (
    "SELECT point_id, utc_date_time, actual_value FROM tbl_energy_value "
    "WHERE utc_date_time >= '{start:%F %T}' AND utc_date_time < '{end:%F %T}' AND is_bad = 0"
)
Urls = tuple[str, str, str]


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        name: in the table.
        meters: how many.
        fill: makes the readings and the rows that are there before.
        start: where meters without rows begin.
        now: the present; `minutes_to_clean` are left.
        read: what the plain client reads, `[start, end)`.
        original: whether the original's way is measured too.
    """

    name: str
    meters: int
    fill: Callable[[Urls], None]
    start: datetime
    now: datetime
    read: tuple[datetime, datetime]
    original: bool = True


def _days(meters: int, days: int, *, original: bool = True) -> Case:
    def fill(urls: Urls) -> None:
        fill_readings(urls[1], meters, START - timedelta(minutes=10), days * 1440 + 10)

    name = f"{meters:,} meters × {days} days"
    end = START + days * DAY
    return Case(name, meters, fill, START, end + timedelta(minutes=30), (START, end), original)


def _hour(meters: int, history_days: int, every: int = 60) -> Case:
    """One new hour; before it readings, one every `every` seconds, and hourly rows of so many days."""
    hour = START + history_days * DAY

    def fill(urls: Urls) -> None:
        fill_readings(urls[1], meters, START, history_days * 86_400 // every, every)
        fill_readings(urls[1], meters, hour - timedelta(minutes=10), 70)
        fill_hours(urls[2], meters, START, history_days * 24)

    end = hour + timedelta(hours=1)
    name = f"one new hour, {meters:,} meters, {history_days} days before"
    return Case(name, meters, fill, START, end + timedelta(minutes=30), (hour, end))


def _nothing(meters: int) -> Case:
    def fill(urls: Urls) -> None:
        fill_readings(urls[1], meters, START, 60)
        fill_hours(urls[2], meters, START, 1)

    return Case(
        f"nothing to do, {meters:,} meters", meters, fill, START, START + timedelta(minutes=100), (START, START)
    )


CASES = (
    _days(100, 1),
    _days(1_000, 1),
    _days(100, 30),
    _hour(1_000, 1),
    _nothing(1_000),
    _days(1, 365),
)
LARGE = (_days(10_000, 1, original=False), _hour(10_000, 90, every=3_600))


def measure(case: Case, server: RunningServer) -> dict[str, float]:
    """Seconds and megabytes of each way on the same rows, and how many readings there were."""
    names = [
        f"bench_{case.meters}_{abs(hash(case.name)) % 10**6}_{part}" for part in ("system", "historical", "energy")
    ]
    urls: Urls = tuple(server.server.url(name) for name in names)  # type: ignore[assignment] # three
    create(urls, case.meters)
    case.fill(urls)
    live = [case.start.isoformat(), case.now.isoformat()]
    plain = min(_plain(urls[1], case), _plain(urls[1], case))
    own = _python("tests.bench.meter_step", *urls, *live, "1")
    figures = {"plain": plain, "own": own["seconds"], "peak_mb": own["peak_mb"], "hours": own["rows"]}
    if case.original:
        _take_back(urls[2], case)
        theirs = _python("tests.bench.meter_reference_run", *urls, *live, "60", python=str(BENCH_PYTHON))
        figures |= {"original": theirs["seconds"], "original_hours": theirs["rows"]}
        if theirs["rows"] != own["rows"]:
            raise SystemExit(f"{case.name}: {own['rows']:,.0f} hours, the original {theirs['rows']:,.0f}")
    for url in urls:
        _client(url, f"DROP DATABASE {sa.make_url(url).database}")
    return figures


def _take_back(energy: str, case: Case) -> None:
    """The rows as they were before the first way."""
    if case.read[0] == case.start:
        if case.read[1] > case.read[0]:
            empty(energy)
        return
    _client(energy, f"DELETE FROM tbl_meter_hourly WHERE start_datetime_utc >= '{case.read[0]:%F %T}'")


def _plain(historical: str, case: Case) -> float:
    """MariaDB's own client, which sends the rows to nowhere."""
    started = time.perf_counter()
    _client(historical, _READ.format(start=case.read[0], end=case.read[1]))
    return time.perf_counter() - started


def _client(url: str, statement: str) -> None:
    parsed = sa.make_url(url)
    place = ["--host", str(parsed.host), "--port", str(parsed.port), "--user", str(parsed.username)]
    command = ["mariadb", "--no-defaults", *place, "--skip-column-names", "--quick", "--execute", statement]
    subprocess.run(
        [*command, str(parsed.database)],
        env={"MYSQL_PWD": str(parsed.password), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _python(module: str, *arguments: str, python: str = sys.executable) -> dict[str, float]:
    done = subprocess.run(
        [python, "-m", module, *arguments], capture_output=True, text=True, check=False, cwd=_CHECKOUT
    )
    if done.returncode:
        raise SystemExit(f"{module} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def report(results: dict[str, dict[str, float]], console: Console) -> None:
    """A table of seconds and ratios."""
    headings = ("case", "hours", "plain client s", "Wattline s", "hours/s", "MB", "original s", "× original", "× plain")
    table = Table(*headings, title="Hourly normalization of meters")
    for name, one in results.items():
        original = one.get("original")
        beside = [f"{original:.2f}", f"{original / one['own']:.1f}"] if original else ["", ""]
        speed = f"{one['hours'] / one['own']:,.0f}"
        cells = [f"{one['hours']:,.0f}", f"{one['plain']:.2f}", f"{one['own']:.2f}", speed, f"{one['peak_mb']:.0f}"]
        table.add_row(name, *cells, *beside, f"{one['own'] / one['plain']:.2f}")
    console.print(table)


def bench(console: Console, cases: tuple[Case, ...] = CASES) -> None:
    """Measure on a throw-away server, and print."""
    with tempfile.TemporaryDirectory() as folder:
        server = RunningServer(MariaDB(Path(folder) / "mariadb", free_port()))
        server.start()
        # As a server of this size has it: with less, every way of reading measures how fast pages come from disk.
        _client(server.server.url("mysql"), f"SET GLOBAL innodb_buffer_pool_size = {2 * 2**30}")
        try:
            report({case.name: measure(case, server) for case in cases}, console)
        finally:
            server.kill()


if __name__ == "__main__":
    bench(Console(width=150), CASES + LARGE if sys.argv[1:] == ["all"] else CASES)
