"""Virtual meters in a real database: rows, findings that come and go, and nothing written twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from tests.integration.meter_rights import least_rights
from tests.integration.metering import START, Site
from wattline.cli import meters as command
from wattline.errors import TerminalError
from wattline.meters import myems, virtual
from wattline.meters.databases import Databases
from wattline.meters.follow import follow_offline
from wattline.meters.tables import FINDING, HOURLY, STATISTICS
from wattline.meters.virtual import WHOLE_METER, Computed, compute
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
_METER = (
    "INSERT INTO tbl_virtual_meters (id, name, uuid, equation, energy_category_id, is_counted, cost_center_id) "
    "VALUES (%s, %s, UUID(), %s, 1, 1, 1)"
)
_VARIABLE = "INSERT INTO tbl_variables (virtual_meter_id, name, meter_type, meter_id) VALUES (%s, %s, %s, %s)"
_TABLES = ("tbl_virtual_meters", "tbl_variables", *(str(table.mysql) for table in HOURLY.values()), "meter_finding")


@pytest.fixture(scope="module")
def installation(module_mysql: str) -> Iterator[Site]:
    made = Site(module_mysql).create()
    yield made
    made.databases.close()


@pytest.fixture
def site(installation: Site) -> Site:
    """An installation with nothing in the tables that count here."""
    for table in _TABLES:
        installation.sql(f"DELETE FROM {table}")
    return installation


def define(site: Site, meters: dict[int, str], *variables: tuple[int, str, str, int]) -> None:
    site.sql(_METER, [(number, f"V{number}", equation) for number, equation in meters.items()])
    site.sql(_VARIABLE, variables)


def nested(site: Site) -> None:
    """Meter 1 = offline 7 + meter 11, meter 2 = meter 1 / meter 12."""
    define(
        site,
        {2: "V1 / x", 1: "Boiler + X1"},
        (1, "boiler", "offline_meter", 7),
        (1, "x1", "meter", 11),
        (2, "v1", "virtual_meter", 1),
        (2, "X", "meter", 12),
    )


def measured(site: Site, kind: str, meter: int, *values: str | None) -> None:
    """Energy of the hours from START on; None leaves an hour out."""
    rows = [
        (meter, (START + n * HOUR).replace(tzinfo=None), value) for n, value in enumerate(values) if value is not None
    ]
    site.sql(
        f"INSERT INTO tbl_{kind}_hourly ({kind}_id, start_datetime_utc, actual_value) VALUES (%s, %s, %s) "
        "ON DUPLICATE KEY UPDATE actual_value = VALUES(actual_value)",
        rows,
    )


def run(site: Site, begin: int, end: int) -> Computed:
    return compute(site.databases, Window(START + begin * HOUR, START + end * HOUR), 60)


def hour(at: datetime) -> int:
    return int((at - START) / HOUR)


def rows(site: Site) -> dict[tuple[int, int], Decimal]:
    """Meter and hour after START → value."""
    found = site.databases.energy.read(HOURLY["virtual_meter"]).rows()
    return {(meter, hour(at)): value for meter, at, value in found}


def findings(site: Site) -> dict[tuple[int, int], str]:
    """Meter and hour after START → subject."""
    found = site.databases.energy.read(FINDING).select("meter_id", "start_datetime_utc", "subject").rows()
    return {(meter, hour(at)): subject for meter, at, subject in found}


def changed(done: Computed) -> list[tuple[int, int]]:
    return [(meter, hour(at)) for meter, at in done.changed.rows()]


def test_operands_of_every_kind_are_read_and_a_second_run_changes_nothing(site: Site) -> None:
    nested(site)
    measured(site, "offline_meter", 7, "1", "2")
    measured(site, "meter", 11, "0.5", "0.000001")
    measured(site, "meter", 12, "3", "-4")
    done = run(site, 0, 2)
    assert rows(site) == {
        (1, 0): Decimal("1.5"),
        (1, 1): Decimal("2.000001"),
        (2, 0): Decimal("0.5"),
        (2, 1): Decimal("-0.5"),
    }
    assert (done.rows, done.findings, dict(done.refused)) == (4, 0, {})
    assert changed(done) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    stored = site.sql("SELECT * FROM tbl_virtual_meter_hourly")
    again = run(site, 0, 2)
    assert (again.rows, changed(again)) == (4, [])
    assert site.sql("SELECT * FROM tbl_virtual_meter_hourly") == stored


def test_findings_come_and_go_with_what_the_operands_say(site: Site) -> None:
    nested(site)
    measured(site, "offline_meter", 7, "1", None, "1")
    measured(site, "meter", 11, "1", "1", "1")
    measured(site, "meter", 12, "2", "2", "0")
    run(site, 0, 3)
    assert rows(site) == {(1, 0): 2, (1, 2): 2, (2, 0): 1}
    assert findings(site) == {
        (1, 1): "missing_operand",
        (2, 1): "missing_operand",
        (2, 2): "division_by_zero",
    }
    measured(site, "offline_meter", 7, None, "3")
    measured(site, "meter", 12, "0", None, "4")
    done = run(site, 0, 3)
    assert rows(site) == {(1, 0): 2, (1, 1): 4, (1, 2): 2, (2, 1): 2, (2, 2): Decimal("0.5")}
    assert findings(site) == {(2, 0): "division_by_zero"}
    assert changed(done) == [(1, 1), (2, 0), (2, 1), (2, 2)]


def test_a_run_leaves_other_hours_as_they_are(site: Site) -> None:
    nested(site)
    measured(site, "offline_meter", 7, *["1"] * 4)
    measured(site, "meter", 11, *["1"] * 4)
    measured(site, "meter", 12, "0", "1", "1", "0")
    run(site, 0, 4)
    measured(site, "meter", 11, *["3"] * 4)
    measured(site, "meter", 12, *["4"] * 4)
    assert changed(run(site, 1, 3)) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [rows(site)[1, n] for n in range(4)] == [2, 4, 4, 2]
    assert findings(site) == {(2, 0): "division_by_zero", (2, 3): "division_by_zero"}


def test_parts_of_a_long_window_give_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    nested(site)
    for number, kind in ((7, "offline_meter"), (11, "meter"), (12, "meter")):
        measured(site, kind, number, *[str(n * number % 5) if n % 7 else None for n in range(30)])
    done = run(site, 0, 30)
    expected = rows(site), findings(site)
    assert done.rows > 20
    assert done.findings > 10
    for table in ("tbl_virtual_meter_hourly", "meter_finding"):
        site.sql(f"DELETE FROM {table}")
    monkeypatch.setattr(virtual, "_VALUES_AT_ONCE", 20)
    parts = run(site, 0, 30)
    assert (rows(site), findings(site)) == expected
    assert (parts.rows, parts.findings, changed(parts)) == (done.rows, done.findings, changed(done))


def test_what_is_refused_stops_no_other_and_keeps_its_rows(site: Site) -> None:
    define(site, {1: "a", 2: "b + 1", 3: "2", 4: "c"}, (1, "a", "virtual_meter", 2), (2, "b", "virtual_meter", 1))
    measured(site, "virtual_meter", 1, "9")
    done = run(site, 0, 1)
    assert rows(site) == {(1, 0): 9, (3, 0): 2}
    whole = hour(WHOLE_METER)
    assert findings(site) == {(1, whole): "cycle", (2, whole): "cycle", (4, whole): "bad_equation"}
    assert set(done.refused) == {1, 2, 4}
    assert "'c' stands for no meter" in done.refused[4]
    site.sql("UPDATE tbl_virtual_meters SET equation = '5' WHERE id = 2")
    site.sql("DELETE FROM tbl_virtual_meters WHERE id = 4")
    run(site, 0, 1)
    assert rows(site) == {(1, 0): 5, (2, 0): 5, (3, 0): 2}
    assert findings(site) == {}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("nth", [1, 2])
def test_a_run_that_is_killed_between_two_tables_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    nested(site)
    measured(site, "offline_meter", 7, "1", "1")
    measured(site, "meter", 11, "1", "1")
    measured(site, "meter", 12, "0", "1")
    calls, original = iter(range(1, 100)), MySQLStore.upsert

    def upsert(store: MySQLStore, *given: Any) -> Any:
        if next(calls) == nth:
            raise Killed
        return original(store, *given)

    with monkeypatch.context() as patch:
        patch.setattr(MySQLStore, "upsert", upsert)
        with pytest.raises(Killed):
            run(site, 0, 2)
    assert (rows(site), findings(site)) == ({}, {})
    run(site, 0, 2)
    assert rows(site) == {(1, 0): 2, (1, 1): 2, (2, 1): 2}
    assert findings(site) == {(2, 0): "division_by_zero"}


def test_the_column_of_an_older_installation_is_filled_exactly(fresh_mysql: str) -> None:
    old = Site(fresh_mysql).create(places=3)
    with closing(old.databases):
        define(old, {1: "a/8", 2: "v*1000"}, (1, "a", "meter", 11), (2, "v", "virtual_meter", 1))
        measured(old, "meter", 11, "0.1", "-0.1")
        run(old, 0, 2)
        assert rows(old) == {
            (1, 0): Decimal("0.013"),
            (1, 1): Decimal("-0.013"),
            (2, 0): Decimal(13),
            (2, 1): Decimal(-13),
        }
        assert changed(run(old, 0, 2)) == []


def test_a_table_without_unique_key_is_refused(fresh_mysql: str) -> None:
    myems.create(fresh_mysql, fresh_mysql, fresh_mysql)
    bare = Site(fresh_mysql)
    with closing(bare.databases), pytest.raises(TerminalError, match="wattline meters upgrade"):
        run(bare, 0, 1)


def test_the_pipelines_users_may_do_this(site: Site) -> None:
    nested(site)
    measured(site, "offline_meter", 7, "1", "1")
    measured(site, "meter", 11, "1", "1")
    measured(site, "meter", 12, "0", "1")
    window = Window(START, START + 2 * HOUR)
    with closing(least_rights(site.url)) as databases:
        assert compute(databases, window, 60).findings == 1
        measured(site, "meter", 12, "1", "0")
        assert compute(databases, window, 60).changed.height == 2
    assert findings(site) == {(2, 1): "division_by_zero"}


def test_many_meters_take_a_handful_of_statements(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    define(site, dict.fromkeys(range(1, 301), "a + b"))
    site.sql(_VARIABLE, [(n, name, "meter", n + shift) for n in range(1, 301) for name, shift in (("a", 0), ("b", 1))])
    for n in range(1, 302):
        measured(site, "meter", n, str(n))
    asked: list[str] = []
    original = MySQLStore._query

    def query(store: MySQLStore, statement: str) -> pl.DataFrame:
        asked.append(statement)
        return original(store, statement)

    monkeypatch.setattr(MySQLStore, "_query", query)
    assert run(site, 0, 1).rows == 300
    assert len(asked) <= 8
    assert rows(site)[300, 0] == 601


def test_of_some_meters_nothing_else_is_written_or_settled(site: Site) -> None:
    nested(site)
    define(site, {3: "a", 4: "5"}, (3, "a", "meter", 99))
    run(site, 0, 1)
    assert set(findings(site)) == {(1, 0), (2, 0), (3, 0)}
    for number, kind in ((7, "offline_meter"), (11, "meter"), (12, "meter"), (99, "meter")):
        measured(site, kind, number, "1", "1")
    site.sql("UPDATE tbl_virtual_meters SET equation = '6' WHERE id = 4")
    done = compute(site.databases, Window(START, START + 2 * HOUR), 60, {2})
    # Meter 1 is computed for meter 2, and not stored.
    assert (done.rows, changed(done)) == (2, [(2, 0), (2, 1)])
    assert rows(site) == {(2, 0): 2, (2, 1): 2, (4, 0): 5}
    assert set(findings(site)) == {(1, 0), (3, 0)}


def offline_days(*days: tuple[int, int]) -> pl.DataFrame:
    """The slots of offline meters on some days after START."""
    slots = [(meter, START + (24 * day + n) * HOUR) for meter, day in days for n in range(24)]
    return pl.DataFrame(
        slots, schema=HOURLY["offline_meter"].schema.to_frame().select(HOURLY["offline_meter"].key).schema, orient="row"
    )


def test_a_form_concerns_its_days_and_the_meters_above_it(site: Site) -> None:
    define(
        site,
        {1: "a + m", 2: "v", 3: "m", 4: "5", 5: "b"},
        (1, "a", "offline_meter", 7),
        (1, "m", "meter", 11),
        (2, "v", "virtual_meter", 1),
        (3, "m", "meter", 11),
        (5, "b", "offline_meter", 8),
    )
    slots = offline_days((7, 0), (8, 1), (7, 30))
    stored = [(meter, at.replace(tzinfo=None), "1") for meter, at in slots.rows()]
    insert = (
        "INSERT INTO tbl_offline_meter_hourly (offline_meter_id, start_datetime_utc, actual_value) VALUES (%s, %s, %s)"
    )
    site.sql(insert, stored)
    measured(site, "meter", 11, *["1"] * 24)
    follow_offline(site.databases, slots, "UTC", 60)
    assert rows(site) == {
        **{(meter, n): 2 for meter in (1, 2) for n in range(24)},
        **{(5, 24 + n): 1 for n in range(24)},
    }
    assert set(findings(site)) == {(meter, 720 + n) for meter in (1, 2) for n in range(24)}
    days = site.databases.energy.read(STATISTICS).filter(pl.col("period") == "day", pl.col("kind") == "virtual_meter")
    assert [(meter, day.day) for meter, day in days.select("meter_id", "start_local").sort("meter_id").rows()] == [
        (1, 1),
        (2, 1),
        (5, 2),
    ]


def test_findings_are_listed_once_for_all_slots_of_which_they_say_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def databases() -> Iterator[Databases]:
        yield site.databases

    monkeypatch.setattr(command, "myems_databases", databases)
    assert "No findings" in CliRunner().invoke(command.app, ["findings"]).output
    define(site, {1: "a + b", 2: "c"}, (1, "a", "meter", 11), (1, "b", "meter", 12))
    site.sql("UPDATE tbl_virtual_meters SET name = '[/x]' WHERE id = 1")
    measured(site, "meter", 11, *["1"] * 30)
    run(site, 0, 30)
    result = CliRunner().invoke(command.app, ["findings"])
    assert result.exit_code == 0, result.output
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    assert [row[:6] for row in table if row[0]] == [
        ["virtual_meter", "1", "missing_operand", "30", "2026-03-01 00:00", "2026-03-02 05:00"],
        ["virtual_meter", "2", "bad_equation", "all", "", ""],
    ]
    assert "[/x]: b, meter 12, has no row." in " ".join(row[6] for row in table)
