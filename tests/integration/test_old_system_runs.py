"""Runs over a time that only the old system knows, on real servers: its rows stay, in both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from tests.generation_world import HOUR, World, local
from tests.integration.pipeline_runs import Platform
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, DAY_TOTAL_GENERATION, INVERTER, READING
from wattline.storage.contract import Table
from wattline.window import Window

pytestmark = pytest.mark.integration

MIDNIGHT = local("2026-06-10T00:00")
OLD = Decimal(500)
VALUES = {DAY_GENERATION: "daykw", DAY_TOTAL_GENERATION: "totkw", TIME_GENERATION: "timekw"}
MOMENTS: dict[str, list[date | datetime]] = {
    "day": [date(2026, 6, 10), date(2026, 6, 11)],
    "start": [MIDNIGHT + 12 * HOUR, MIDNIGHT + 36 * HOUR],
}


@pytest.fixture
def platform(fresh_mysql: str, fresh_mongo: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """Two days of a plant; the platform knows the second one of inverter 1, the old system all."""
    made, world = Platform(fresh_mysql, fresh_mongo, monkeypatch), World({1: "Europe/Berlin"}, inverters=2)
    for table in (CUSTOMER, INVERTER):
        made.mysql.upsert(table, world.mysql.read(table))
    for n in range(6 * 24):
        world.send(MIDNIGHT + timedelta(hours=24, minutes=10 * n + 5), Decimal(1000 + n), Decimal(n))
    made.mongo.upsert(READING, world.readings())
    for table, value in VALUES.items():
        when = table.key[-1]
        known = [(1, invno, moment, OLD) for invno in (0, 1, 2) for moment in MOMENTS[when]]
        rows = pl.DataFrame(known, {name: table.schema[name] for name in (*table.key, value)}, orient="row")
        nulls = [pl.lit(None, dtype).alias(name) for name, dtype in table.schema.items() if name not in rows.columns]
        for store in (made.mysql, made.mongo):
            store.upsert(table, rows.with_columns(nulls))
        made.database[str(table.mongo)].update_many({}, {"$set": {"origin": "mysql"}})
    made.read_until(MIDNIGHT + 48 * HOUR)
    yield made
    made.close()


def stored(platform: Platform, table: Table, moment: int) -> list[list[Decimal]]:
    """What MySQL and MongoDB hold of the plant and of each inverter."""
    at = MOMENTS[table.key[-1]][moment]
    rows = (store.read(table).filter(pl.col(table.key[-1]) == at) for store in (platform.mysql, platform.mongo))
    return [each.sort("invno")[VALUES[table]].to_list() for each in rows]


def test_history_runs_replace_only_what_is_made_of_readings(platform: Platform) -> None:
    kept = {}
    for hours in (Window(MIDNIGHT, MIDNIGHT + 23 * HOUR), Window(MIDNIGHT + 23 * HOUR, MIDNIGHT + 48 * HOUR)):
        for dag_id in ("inverterlog", "time_generation", "mysql_total_generation"):
            for task, said in platform.start(dag_id, hours, live=False).items():
                kept[task] = kept.get(task, 0) + (said or {}).get("kept", 0)
    for table in VALUES:
        assert stored(platform, table, 0) == [[OLD] * 3] * 2
    assert stored(platform, DAY_GENERATION, 1) == [[143, 143, OLD]] * 2
    assert stored(platform, DAY_TOTAL_GENERATION, 1) == [[1143, 1143, OLD]] * 2
    assert stored(platform, TIME_GENERATION, 1) == [[OLD + 6, 6, OLD]] * 2
    # Both runs compute the first day: it ends in the second one's window.
    assert (kept["store_day_generation"], kept["store_mysql_day_generation"]) == (7, 7)
    assert (kept["store_time_generation"], kept["store_mysql_time_generation"]) == (4, 4)
