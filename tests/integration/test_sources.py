"""Simulator and importer against real servers, through the command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from tests.generation_world import store
from wattline.cli import COMMANDS, app
from wattline.settings import settings
from wattline.solar import collect, process
from wattline.solar.faults import default_faults
from wattline.solar.fleet import plants
from wattline.solar.simulate import simulate
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, INVERTER, READING, TABLES
from wattline.storage import schema
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

pytestmark = pytest.mark.integration

SECRET = "not-to-be-seen"
START = datetime(2026, 11, 20, tzinfo=UTC)
MIDDLE, END = START + timedelta(hours=4), START + timedelta(hours=24)
KEY = list(READING.key)


@dataclass
class Sources:
    """The command line with MySQL as the gateways' user and MongoDB, both with their schema."""

    mysql: MySQLStore
    mongo: MongoStore
    environment: dict[str, str]

    def run(self, *arguments: str) -> Result:
        settings.cache_clear()
        result = CliRunner().invoke(app, list(arguments), env=self.environment)
        settings.cache_clear()
        assert SECRET not in result.output
        return result

    def simulate(self, start: datetime, end: datetime, *more: str) -> Result:
        return self.run("simulate", "--plants", "3", "--from", start.isoformat(), "--to", end.isoformat(), *more)


@pytest.fixture
def sources(fresh_mysql: str, fresh_mongo: str) -> Iterator[Sources]:
    schema.upgrade_mysql(fresh_mysql)
    schema.upgrade_mongo(fresh_mongo, TABLES)
    owner = make_url(fresh_mysql)
    gateway = owner.set(username=f"gw_{owner.database}", password=SECRET).render_as_string(hide_password=False)
    schema.grant_mysql(fresh_mysql, gateway, "gateway")
    mysql, mongo = MySQLStore.from_url(fresh_mysql), MongoStore.from_url(fresh_mongo)
    yield Sources(mysql, mongo, {"WATTLINE_MYSQL_GATEWAY_URL": gateway, "WATTLINE_MONGO_URL": fresh_mongo})
    mysql.close()
    mongo.close()


def test_simulated_plants_are_in_mysql_as_their_gateways_sent_them(sources: Sources) -> None:
    result = sources.simulate(START, END)
    assert result.exit_code == 0, result.output
    fleet, window = plants(3, 7, START), Window(START, END)
    world = simulate(fleet, window, 7, default_faults(7, window, fleet))
    assert_frame_equal(sources.mysql.read(READING), world.readings.unique(KEY).sort(KEY))
    assert world.readings.height > world.readings.unique(KEY).height
    assert_frame_equal(sources.mysql.read(INVERTER), world.inverters.sort("mcno", "invno"))
    assert_frame_equal(sources.mysql.read(CUSTOMER), world.customers)
    for kind in {fault.kind for fault in world.faults}:
        assert kind in result.output


def test_running_again_changes_nothing_and_a_later_window_goes_on(sources: Sources) -> None:
    sources.simulate(START, MIDDLE)
    assert "0 readings are new, 0 changed" in sources.simulate(START, MIDDLE).output
    sources.simulate(MIDDLE, END)
    in_parts = {table.name: sources.mysql.read(table) for table in (CUSTOMER, INVERTER, READING)}
    sources.simulate(START, END)
    for table in (CUSTOMER, INVERTER, READING):
        assert_frame_equal(sources.mysql.read(table), in_parts[table.name])
    grown = sources.mysql.read(READING).filter(mcno=1002, invno=1)["totkw"]
    assert grown.is_sorted()


def test_an_older_window_does_not_turn_the_newest_reading_back(sources: Sources) -> None:
    sources.simulate(START, END)
    newest = sources.mysql.read(INVERTER)
    edited = newest.with_columns(capacity_kw=pl.lit(99.0))
    sources.mysql.upsert(INVERTER, edited)
    sources.simulate(START, MIDDLE)
    assert_frame_equal(sources.mysql.read(INVERTER), edited)


def test_worlds_are_not_mixed(sources: Sources) -> None:
    sources.simulate(START, MIDDLE)
    other_seed = sources.simulate(START, MIDDLE, "--seed", "8")
    assert other_seed.exit_code == 1
    assert "--seed: plant 1001 is there, but not of seed 8" in other_seed.stderr
    earlier = sources.simulate(START - timedelta(days=1), MIDDLE)
    assert earlier.exit_code == 1
    assert "begin at 2026-11-20T00:00Z" in earlier.stderr


def test_live_mode_catches_up_and_ends_in_good_order_on_sigterm(sources: Sources) -> None:
    start = datetime.now(UTC) - timedelta(minutes=30)
    command = [sys.executable, "-m", "wattline.cli", "simulate", "--plants", "2", "--from", start.isoformat(), "--live"]
    environment = {**os.environ, **sources.environment, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as live:
        assert live.stdout is not None
        first_write = next((line for line in live.stdout if re.match(r"\d\d:\d\d:\d\dZ \d+ readings", line)), "")
        live.send_signal(signal.SIGTERM)
        rest = live.stdout.read()
    assert first_write, rest
    assert live.returncode == 0, rest
    newest = sources.mysql.maximum(READING, "received_at")
    assert isinstance(newest, datetime)
    assert timedelta(0) <= datetime.now(UTC) - newest < timedelta(minutes=10)


CSV = """DATE_TIME,PLANT_ID,SOURCE_KEY,DC_POWER,AC_POWER,DAILY_YIELD,TOTAL_YIELD
01-05-2020 06:00,9,b,0,0,0,1000
01-05-2020 06:00,9,a,0,0,0,2000
01-05-2020 12:00,9,b,50,4.8,30.5,1030.5
01-05-2020 12:00,9,a,50,broken,30,2030
01-05-2020 18:00,9,b,10,0.9,41.25,1041.25
01-05-2020 18:00,9,a,10,0.9,40,2040
01-05-2020 23:45,9,a,0,0,0,2040
02-05-2020 00:00,9,b,0,0,41.25,1041.25
02-05-2020 12:00,9,b,50,4.8,20.1234565,1061.3734565
"""


def test_an_imported_log_passes_the_check_after_the_pipelines_and_not_when_a_value_is_wrong(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plant.csv").write_text(CSV)
    plant = ("plant.csv", "--timezone", "Asia/Kolkata", "--mcno", "1", "--scale", "DC_POWER=0.1")
    imported = sources.run("import-csv", *plant)
    assert imported.exit_code == 0, imported.output
    assert "8 new, 0 changed, 0 were there" in imported.output
    assert "AC_POWER is no number" in imported.output
    assert pl.read_csv("plant.csv.rejects.csv")["line"].to_list() == [5]
    assert "0 new, 0 changed, 8 were there" in sources.run("import-csv", *plant).output
    assert sources.mysql.read(READING)["dckw"].max() == 5

    pipelines(sources, Window(datetime(2020, 4, 30, tzinfo=UTC), datetime(2020, 5, 3, tzinfo=UTC)))
    checked = sources.run("check-csv", *plant)
    assert checked.exit_code == 0, checked.output
    for reason in ("early_reset", "missing_rows", "rounding"):
        assert f"\n{reason}: " in checked.output

    day = sources.mongo.read(DAY_GENERATION).filter(pl.col("invno") == 2, pl.col("day") == date(2020, 5, 1))
    sources.mongo.upsert(DAY_GENERATION, day.with_columns(daykw=pl.col("daykw") + 1))
    wrong = sources.run("check-csv", *plant)
    assert wrong.exit_code == 1
    assert "2 differences have no reason" in wrong.output  # the inverter's day, and the plant's sum


def pipelines(sources: Sources, window: Window) -> None:
    """What the two DAGs do, without Airflow and without gates."""
    for table in (INVERTER, READING):
        sources.mongo.upsert(table, sources.mysql.read(table))
    register = collect.inverters(sources.mysql, window, {})
    log = collect.readings(sources.mongo, window, register)
    store(sources.mongo, process.inverter_log(window, {**register, **log, "good_readings": log["readings"]}))


def test_mistakes_are_told_in_one_line_without_secrets(sources: Sources, tmp_path: Path) -> None:
    missing = sources.run("import-csv", str(tmp_path / "no.csv"), "--timezone", "UTC", "--mcno", "1")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("Error: ")
    assert "Traceback" not in missing.output
    assert sources.run("import-csv").exit_code == 2
    assert sources.run("simulat").exit_code == 2
    down = {"WATTLINE_MYSQL_GATEWAY_URL": f"mysql://gateway:{SECRET}@127.0.0.1:9/solar"}
    away = Sources(sources.mysql, sources.mongo, down).simulate(START, END)
    assert away.exit_code == 1
    assert away.stderr.startswith("Error: ")
    unset = Sources(sources.mysql, sources.mongo, {"WATTLINE_MYSQL_GATEWAY_URL": ""}).simulate(START, END)
    assert "WATTLINE_MYSQL_GATEWAY_URL is not set" in unset.stderr


def test_help_is_quick_and_every_command_explains_itself(sources: Sources) -> None:
    slow = ("polars", "pvlib", "MySQLdb", "pymongo", "sqlalchemy", "pydantic")
    loaded = f"import sys, wattline.cli; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"
    overview = sources.run("--help").output
    for name in COMMANDS:
        assert name in overview
        explained = sources.run(name, "--help")
        assert explained.exit_code == 0, name
        assert "install-completion" not in explained.output
