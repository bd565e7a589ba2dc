"""A normalization that is killed anywhere, and again: the next run leaves every hour as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.metering import Site
from wattline.meters import normalize, readings, run

pytestmark = pytest.mark.integration

METERS, HOURS, KILLS = 20, 48, 8
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["MySQLdb", "sqlalchemy", "numpy"])


@pytest.fixture
def site(fresh_mysql: str) -> Iterator[Site]:
    made = Site(fresh_mysql).create()
    luck = random.Random(11)
    for meter in range(1, METERS + 1):
        made.meter(meter, high="50")
        value, rows = 1000.0, {}
        for at in range(-600, HOURS * 3600, 300):
            value += luck.choice([0, 0.25, 1, 9])
            rows[at] = value if luck.random() > 0.01 else 0
        made.read(meter, rows)
    yield made
    made.databases.close()


def _work(url: str, begun: Any) -> None:
    readings.CHUNK_ROWS, normalize.BLOCK_ROWS, run.HOURS_AT_ONCE, run.HOURS_AT_MOST = 1_000, 200, 40, 40
    begun.set()
    Site(url).run(0, HOURS)


def _start(site: Site) -> Any:
    begun = processes.Event()
    process = processes.Process(target=_work, args=(site.url, begun))
    process.start()
    assert begun.wait(60)
    return process


def _tables(site: Site) -> list[Any]:
    return [site.everything().rows(), site.reasoned().rows()]


def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(site: Site) -> None:
    whole = _start(site)
    whole.join()
    assert whole.exitcode == 0
    expected = _tables(site)
    assert len(expected[0]) == METERS * HOURS
    for table in ("tbl_meter_hourly", "meter_hourly_quality"):
        site.sql(f"DELETE FROM {table}")

    luck, unfinished = random.Random(5), 0
    for kill in range(KILLS):
        process = _start(site)
        enough = METERS * HOURS * kill // KILLS
        while process.is_alive() and site.sql("SELECT COUNT(*) FROM tbl_meter_hourly")[0][0] <= enough:
            time.sleep(luck.uniform(0, 0.005))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        unfinished += process.exitcode != 0
    assert unfinished >= KILLS // 2
    last = _start(site)
    last.join()
    assert last.exitcode == 0
    assert _tables(site) == expected
