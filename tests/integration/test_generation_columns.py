"""Hours of the old system beside those that the platform computes, whose rows have more columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from alembic import command
from sqlalchemy import make_url

from tests.integration.migrating import Bench
from wattline.solar.contracts import ALL_TABLES
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.migrations import entry
from wattline.storage import schema
from wattline.storage.bson_frames import validator
from wattline.storage.documents import create_collection
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

pytestmark = pytest.mark.integration

START = datetime(2026, 10, 1, 3, tzinfo=UTC)
HOURS = entry("timegeneration")
WINDOW = Window(START, START + timedelta(days=1))
OLD = replace(TIME_GENERATION, columns=TIME_GENERATION.columns[:4], own_column=None)
FLAGS = list(TIME_GENERATION.schema)[4:]


def test_hours_of_the_old_system_have_no_flags_and_give_way_to_those_of_the_platform(
    fresh_mysql: str, fresh_mongo: str, tmp_path: Path
) -> None:
    with schema._engine(make_url(fresh_mysql)).begin() as connection:
        command.upgrade(schema._alembic(connection), "0002")
    bench = Bench(fresh_mysql, fresh_mongo, tmp_path)
    values = ", ".join(f"({mcno}, {invno}, '2026-10-01 03:00:00', 4.5, NOW(6))" for mcno in (1, 2) for invno in (0, 1))
    bench.sql(f"INSERT INTO timegeneration VALUES {values}")
    with bench.open() as (_, store):  # as the version before left it
        create_collection(store.database, "time_generation", validator(OLD), ())
        store.upsert(OLD, pl.DataFrame([(3, 1, START, Decimal(2))], OLD.schema, orient="row"))

    assert "time_generation" in schema.stale_collections(fresh_mongo, ALL_TABLES)
    schema.upgrade_mysql(fresh_mysql)
    schema.upgrade_mongo(fresh_mongo, ALL_TABLES)
    assert bench.migrate(HOURS, WINDOW) == {"rows": 4, "inserted": 4}
    with bench.open() as (_, store):
        rows = store.read(TIME_GENERATION)
        assert rows["mcno"].to_list() == [1, 1, 2, 2, 3]
        assert rows.select(FLAGS).null_count().row(0) == (5, 5, 5, 5)

        ours = rows.filter(pl.col("mcno") != 2).with_columns(
            spans_gap=True, estimated=False, counter_reset=False, fresh_ticks=6, timekw=pl.lit(Decimal(9))
        )
        store.upsert(TIME_GENERATION, ours)
        mysql = MySQLStore.from_url(fresh_mysql)
        mysql.upsert(TIME_GENERATION, ours)
        assert mysql.read(TIME_GENERATION).equals(store.read(TIME_GENERATION))
        mysql.close()
        assert bench.migrate(HOURS, WINDOW) == {"rows": 5, "unchanged": 2, "kept": 3}
        assert store.read(TIME_GENERATION).filter(pl.col("mcno") != 2)["timekw"].to_list() == [9, 9, 9]
