"""Late rows on real servers: from the reading to hours, days, months and years, and what the command shows of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from tests.generation_world import HOUR, local
from tests.summary_world import SummaryWorld
from wattline.cli import app
from wattline.migrate.run import migrate
from wattline.migrate.source import Source
from wattline.settings import settings
from wattline.solar.contracts import ALL_TABLES
from wattline.solar.irradiance import IRRADIANCE
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.migrations import entry
from wattline.solar.summary_tables import DAY_PERFORMANCE, PERIOD_GENERATION
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, INVERTER
from wattline.storage import recompute, schema
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
START = local("2026-10-30T00:00")
SECRET = "not-to-be-seen"


class Servers(SummaryWorld):
    """A world whose stores are servers, with marks where pipelines keep them."""

    def __init__(self, mysql: str, mongo: str, plants: dict[int, str]) -> None:
        super().__init__(plants)
        registers = {table: self.mysql.read(table) for table in (CUSTOMER, INVERTER)}
        self.urls = {"mysql": mysql, "mongo": mongo}
        self.mysql, self.mongo = MySQLStore.from_url(mysql), MongoStore.from_url(mongo)
        for table, rows in registers.items():
            self.mysql.upsert(table, rows)

    def inverterlog(self, window: Window, *, before: datetime | None = None) -> None:
        super().inverterlog(window, before=before)
        for pipeline, due in self.marks.items():
            recompute.mark(self.mongo.database, due.select(pl.lit(pipeline).alias("pipeline"), "mcno", "start", "end"))
            self.marks[pipeline] = due.clear()

    def due(self, pipeline: str, window: Window) -> pl.DataFrame:
        due = recompute.due(self.mongo.database, pipeline, window, live=True, most_days=7)
        recompute.clear(self.mongo.database, pipeline, due)
        return due

    def user(self, role: str) -> str:
        """The URL of a user with the rights of `role`."""
        owner = make_url(self.urls["mysql"])
        url = owner.set(username=f"{role[:2]}_{owner.database}", password=SECRET).render_as_string(hide_password=False)
        schema.grant_mysql(self.urls["mysql"], url, role)
        return url

    def wattline(self, *arguments: str) -> Result:
        """The command `wattline generation`, as its users."""
        environment = {
            "WATTLINE_MYSQL_SOURCE_URL": self.user("source"),
            "WATTLINE_MYSQL_GATEWAY_URL": self.user("gateway"),
            "WATTLINE_MONGO_URL": self.urls["mongo"],
        }
        settings.cache_clear()
        result = CliRunner().invoke(app, ["generation", *arguments], env=environment)
        settings.cache_clear()
        assert SECRET not in result.output
        return result

    def close(self) -> None:
        self.mysql.close()
        self.mongo.close()


@pytest.fixture
def servers(fresh_mysql: str, fresh_mongo: str) -> Iterator[Servers]:
    schema.upgrade_mysql(fresh_mysql)
    schema.upgrade_mongo(fresh_mongo, ALL_TABLES)
    made = Servers(fresh_mysql, fresh_mongo, {1: "Europe/Berlin", 2: "Asia/Seoul"})
    yield made
    made.close()


def documents(servers: Servers, name: str) -> dict[str, Any]:
    return {repr(each["_id"]): each for each in servers.mongo.database[name].find()}


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    assert before.keys() <= after.keys()
    return [document for key, document in after.items() if before.get(key) != document]


def test_late_rows_change_the_hours_days_and_months_they_touch_and_no_others(servers: Servers) -> None:
    outage, mended = Window(START + 36 * HOUR, START + 48 * HOUR), START + 73 * HOUR
    servers.produce(START, 3, received=lambda at: mended if outage.start <= at < outage.end else at)
    servers.produce(START, 4, mcno=2)
    for n in range(3):
        servers.run(Window(START + n * DAY, START + (n + 1) * DAY))
    names = (TIME_GENERATION.mongo, DAY_PERFORMANCE.mongo, PERIOD_GENERATION.mongo, "generation_check")
    before = {name: documents(servers, name) for name in names}
    assert servers.checks()["2026-11-01"]["explained_by"] == "spans_gap"
    servers.run(Window(START + 3 * DAY, START + 3 * DAY + 2 * HOUR))

    after = {name: documents(servers, name) for name in names}
    of_plant = {
        name: [each for each in changed(before[name], after[name]) if each["mcno"] == 1 and each["invno"] == 1]
        for name in names
    }
    hours = [each["start"] for each in of_plant["time_generation"] if each["start"] < START + 3 * DAY]
    # Energy of the hours of the outage, and the hour after it, which does not hold it any more.
    assert min(hours) == outage.start
    assert max(hours) == outage.end
    assert {each["day"] for each in of_plant["day_performance"]} == {"2026-10-31", "2026-11-02"}
    assert {each["day"] for each in of_plant["generation_check"]} == {"2026-10-31", "2026-11-01"}
    assert {(each["period"], each["start"]) for each in of_plant["period_generation"]} == {
        ("month", "2026-10-01"),
        ("month", "2026-11-01"),
        ("year", "2026-01-01"),
    }
    assert {str(k): v["energy"] for k, v in servers.performances().items()}["2026-10-31"] == 160
    assert servers.periods()["month", "2026-10-01"]["energy"] == 320
    assert servers.periods()["year", "2026-01-01"]["energy"] == 480
    assert all(row["agrees"] for row in servers.checks().values())
    elsewhere = {
        each["day"] for each in changed(before["day_performance"], after["day_performance"]) if each["mcno"] == 2
    }
    assert elsewhere == {"2026-11-02"}, "the day under way"
    ended = {"pipeline": "time_generation", "end": {"$lte": START + 3 * DAY + 2 * HOUR}}
    assert servers.mongo.database["recompute"].count_documents(ended) == 0


def test_a_run_that_was_killed_before_its_months_is_put_right_by_the_next(servers: Servers) -> None:
    servers.produce(START, 2)
    servers.run(Window(START, START + DAY))
    second = Window(START + DAY, START + 2 * DAY)
    servers.inverterlog(second)
    servers.time_generation(second)
    upsert = servers.mongo.upsert

    def killed(table: object, frame: pl.DataFrame) -> object:
        if table is PERIOD_GENERATION:
            raise KeyboardInterrupt
        return upsert(table, frame)

    servers.mongo.upsert = killed
    with pytest.raises(KeyboardInterrupt):
        servers.summary(second)
    servers.mongo.upsert = upsert
    assert servers.periods()["month", "2026-10-01"]["energy"] == 160
    servers.summary(Window(second.end - HOUR, second.end))
    assert servers.periods()["month", "2026-10-01"]["energy"] == 320
    assert servers.periods()["year", "2026-01-01"]["days"] == 2


WEATHER = "DATE_TIME,IRRADIATION\n" + "".join(
    f"30-10-2026 {hour:02}:{minute:02},0.5\n" for hour in range(24) for minute in (0, 15, 30, 45)
)


def test_the_command_shows_what_the_pipelines_stored_and_irradiance_of_a_file(servers: Servers, tmp_path: Path) -> None:
    servers.produce(START, 2)
    servers.run(Window(START, START + 2 * DAY))
    file = tmp_path / "weather.csv"
    file.write_text(WEATHER)
    loaded = servers.wattline("import-irradiance", str(file), "--mcno", "1")
    assert loaded.exit_code == 0, loaded.output
    assert "96 values are new" in loaded.output
    assert (
        "0 values are new, 0 changed, 96 were there"
        in servers.wattline("import-irradiance", str(file), "--mcno", "1").output
    )
    with closing(Source.from_url(servers.user("source"), 5.0)) as source:
        moved = migrate(entry("irradiance"), source, servers.mongo, tmp_path, Window(START, START + DAY), live=False)
    assert moved["inserted"] == 96
    assert servers.mongo.read(IRRADIANCE).height == 96
    plan = pl.DataFrame([(1, START, START + DAY, "")], recompute.DUE, orient="row")
    servers.summary(Window(START + 47 * HOUR, START + 48 * HOUR), plan)
    shown = servers.wattline("show", "1", "--day", "2026-10-30")
    assert shown.exit_code == 0, shown.output
    assert "160.00 kWh" in shown.output
    assert "performance ratio" in shown.output
    assert servers.wattline("check", "--days", "3660").exit_code == 0
    unknown = servers.wattline("show", "77")
    assert unknown.exit_code == 1
    assert "there is no plant 77. Take one of 1, 2" in unknown.stderr


def test_the_check_asks_for_verdicts_on_days_of_the_platform_and_not_of_the_old_system(servers: Servers) -> None:
    servers.produce(START, 1)
    servers.run(Window(START, START + DAY))
    assert servers.wattline("check", "--days", "3660").exit_code == 0
    rows = [(mcno, 0, date(2025, 6, 1), Decimal(5)) for mcno in (1, 2)]
    servers.mongo.upsert(DAY_GENERATION, pl.DataFrame(rows, DAY_GENERATION.schema, orient="row"))
    days = servers.mongo.database["day_generation"]
    days.update_one({"mcno": 2, "day": "2025-06-01"}, {"$set": {"origin": "mysql"}})
    result = servers.wattline("check", "--days", "3660")
    assert result.exit_code == 1
    assert re.findall(r"plant \d+: energy and no verdict on 1 days", result.output) == [
        "plant 1: energy and no verdict on 1 days"
    ]


def test_a_reset_is_explained_by_the_time_between_its_readings(servers: Servers) -> None:
    for hour, totkw, daykw in (
        (-1, 1000, 0),
        (8, 1000, 0),
        (9, 1050, 50),
        (10, 1100, 100),
        (11, 0, 150),
        (12, 50, 200),
    ):
        servers.send(START + hour * HOUR + timedelta(minutes=1), str(totkw), str(daykw))
    servers.run(Window(START - 2 * HOUR, START + DAY))
    row = servers.checks()["2026-10-30"]
    assert (row["growth"], row["daykw"], row["explained_by"]) == (150, 200, "counter_reset")
