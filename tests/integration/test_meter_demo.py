"""`wattline meters create`, `upgrade` and `demo` as a user runs them, and what the meters' user may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.servers import RunningServer
from wattline import settings as settings_module
from wattline.cli import app, connect
from wattline.errors import TerminalError
from wattline.meters.fleet import Show
from wattline.meters.tables import HOURLY, SETTING
from wattline.storage.mysql import MySQLStore

pytestmark = pytest.mark.integration

PARTS = ("system", "historical", "energy")
UNTIL = "2025-11-02T06:30Z"
DEMO = ("demo", "--days", "1", "--seed", "7", "--until", UNTIL)
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def names(_mariadb: RunningServer) -> Iterator[dict[str, str]]:
    """The three databases and the meters' user, none of which exists yet."""
    unique = uuid4().hex[:8]
    made = {part: f"myems_{part}_{unique}" for part in PARTS}
    yield {**made, "user": f"meters_{unique}"}
    with closing(MySQLStore.from_url(_mariadb.server.url(""))) as store, store._cursor() as cursor:
        for database in made.values():
            cursor.execute(f"DROP DATABASE IF EXISTS {database}")


@pytest.fixture
def run(
    names: dict[str, str], _mariadb: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Runs `wattline meters …` with the settings of these databases."""
    for part in PARTS:
        url = f"mysql://{names['user']}:m%40ters'@127.0.0.1:{_mariadb.server.port}/{names[part]}"
        monkeypatch.setenv(f"WATTLINE_MYEMS_{part.upper()}_URL", url)
    monkeypatch.setenv("WATTLINE_MYEMS_OWNER_URL", _mariadb.server.url(names["energy"]))
    monkeypatch.setenv("WATTLINE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("WATTLINE_ENV_FILE", raising=False)
    settings_module.settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, ["meters", *arguments])
    settings_module.settings.cache_clear()


@pytest.fixture
def demo(run: Run, names: dict[str, str]) -> Run:
    """The same, with a demo in the databases."""
    if "demo" not in names:
        result = run(*DEMO)
        assert result.exit_code == 0, result.output
        names["demo"] = "done"
    return run


def query(store: MySQLStore, statement: str) -> list[tuple[Any, ...]]:
    with store._cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def test_create_makes_all_that_a_trial_needs_and_then_nothing_more(run: Run) -> None:
    first, second = run("create"), run("create")
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert first.output == second.output
    with connect.myems() as databases:
        assert databases.energy.count(SETTING) == databases.energy.count(HOURLY["meter"])
        assert query(databases.system, "SELECT COUNT(*) FROM tbl_meters")[0][0] >= 0


@pytest.mark.parametrize(
    ("part", "statement", "allowed"),
    [
        ("system", "SELECT * FROM tbl_points", True),
        ("system", "UPDATE tbl_meters SET name = 'x'", False),
        ("system", "CREATE TEMPORARY TABLE t (a INT)", False),
        ("historical", "SELECT * FROM tbl_energy_value LIMIT 1", True),
        ("historical", "UPDATE tbl_energy_value SET is_bad = 1 WHERE id = -1", True),
        ("historical", "UPDATE tbl_energy_value SET actual_value = 1 WHERE id = -1", False),
        ("historical", "DELETE FROM tbl_energy_value WHERE id = -1", False),
        (
            "historical",
            "INSERT INTO tbl_energy_value (point_id, utc_date_time, actual_value) VALUES (1, NOW(), 1)",
            False,
        ),
        ("historical", "UPDATE tbl_offline_meter_files SET status = 'done' WHERE id = -1", True),
        ("historical", "UPDATE tbl_offline_meter_files SET file_object = '' WHERE id = -1", False),
        ("historical", "CREATE TEMPORARY TABLE t (a INT)", True),
        ("energy", "UPDATE tbl_meter_hourly SET actual_value = 0 WHERE id = -1", True),
        ("energy", "DELETE FROM tbl_meter_hourly WHERE id = -1", False),
        ("energy", "DELETE FROM tbl_virtual_meter_hourly WHERE id = -1", True),
        ("energy", "DELETE FROM tbl_offline_meter_hourly WHERE id = -1", True),
        ("energy", "DELETE FROM meter_finding WHERE meter_id = -1", True),
        ("energy", "UPDATE meter_statistics SET slots = 1 WHERE meter_id = -1", True),
        ("energy", "UPDATE meter_hourly_quality SET minutes = 60 WHERE meter_id = -1", True),
        ("energy", "UPDATE meter_daily_closure SET slots = 1 WHERE meter_id = -1", True),
        ("energy", "UPDATE meter_setting SET modulus = 1 WHERE meter_id = -1", False),
        ("energy", "DELETE FROM tbl_meter_hourly_duplicates", False),
        ("energy", "DROP TABLE meter_statistics", False),
    ],
)
def test_the_meters_user_may_do_its_work_and_no_more(demo: Run, part: str, statement: str, allowed: bool) -> None:
    with connect.myems() as databases:
        store = getattr(databases, part)
        if allowed:
            query(store, statement)
        else:
            with pytest.raises(TerminalError, match="denied"):
                query(store, statement)


def test_the_demo_is_there_and_again_adds_nothing(demo: Run, tmp_path: Path) -> None:
    again = demo(*DEMO)
    assert "0 readings are new" in again.output
    assert (tmp_path / "offline" / "wattline-demo-2025-11.xlsx").exists()
    with connect.myems() as databases:
        meters = query(databases.system, "SELECT id, name FROM tbl_meters ORDER BY id")
        assert [name.split(": ")[1] for _, name in meters[: len(Show)]] == list(Show)
        ((rows, keys),) = query(
            databases.historical, "SELECT COUNT(*), COUNT(DISTINCT point_id, utc_date_time) FROM tbl_energy_value"
        )
        assert rows == keys > 20_000
        out_of_order = query(
            databases.historical,
            "SELECT COUNT(*) FROM tbl_energy_value a JOIN tbl_energy_value b ON b.id = a.id + 1 "
            "WHERE b.utc_date_time < a.utc_date_time",
        )
        assert out_of_order == [(0,)]
        known = query(databases.energy, "SELECT modulus FROM meter_setting WHERE modulus IS NOT NULL")
        assert known == [(Decimal(10_000),)]


def test_what_a_kill_left_out_is_added(demo: Run) -> None:
    owner = connect.myems_owner_url()
    with closing(MySQLStore.from_url(owner.replace("_energy_", "_historical_"))) as store:
        before = query(
            store, "SELECT point_id, utc_date_time, actual_value, is_bad FROM tbl_energy_value ORDER BY 1, 2"
        )
        query(store, "DELETE FROM tbl_energy_value WHERE id % 3 = 0")
        assert demo(*DEMO).exit_code == 0
        after = query(store, "SELECT point_id, utc_date_time, actual_value, is_bad FROM tbl_energy_value ORDER BY 1, 2")
    assert after == before


def test_a_later_end_goes_on_and_an_earlier_begin_or_another_seed_is_refused(demo: Run) -> None:
    later = demo("demo", "--days", "1", "--seed", "7", "--until", "2025-11-02T07:00Z")
    assert later.exit_code == 0
    assert "since 2025-11-01T05:00Z" in later.output
    counted = demo("demo", "--days", "1", "--seed", "7", "--until", "2025-11-02T07:00Z")
    assert "0 readings are new" in counted.output
    earlier = demo("demo", "--days", "2", "--seed", "7", "--until", UNTIL)
    assert earlier.exit_code == 1
    assert "begins at 2025-11-01T05:00Z" in earlier.stderr
    other = demo("demo", "--days", "1", "--seed", "8", "--until", UNTIL)
    assert other.exit_code == 1
    assert "is of seed 7" in other.stderr


def test_a_myems_with_meters_of_its_own_is_left_alone(demo: Run) -> None:
    owner = connect.myems_owner_url()
    with closing(MySQLStore.from_url(owner.replace("_energy_", "_system_"))) as store:
        query(store, "UPDATE tbl_meters SET description = 'main hall' WHERE id = 3")
        result = demo(*DEMO)
        assert result.exit_code == 1
        assert "meters of its own, such as 'Demo 3" in result.stderr
        query(
            store, "UPDATE tbl_meters a JOIN tbl_meters b ON b.id = 4 SET a.description = b.description WHERE a.id = 3"
        )


def test_upgrade_shows_doubled_hours_before_it_moves_them(demo: Run, tmp_path: Path) -> None:
    with closing(MySQLStore.from_url(connect.myems_owner_url())) as store:
        query(store, "ALTER TABLE tbl_meter_hourly DROP INDEX tbl_meter_hourly_index_1")
        row = {"meter_id": 7, "start_datetime_utc": datetime(2025, 11, 1, 5, tzinfo=UTC), "actual_value": Decimal(3)}
        for value in ("3", "3", "4"):
            rows = pl.DataFrame([row | {"actual_value": Decimal(value)}], schema=HOURLY["meter"].schema)
            store.upsert(HOURLY["meter"], rows)
        report = tmp_path / "doubled.csv"
        looked = demo("upgrade", "--dry-run", "--report", str(report))
        assert looked.exit_code == 0, looked.output
        assert "newest row stays" in looked.output
        assert "2 rows are more than one a slot" in looked.output
        assert pl.read_csv(report)["removed_values"].to_list() == ["3.000000 3.000000"]
        assert query(store, "SELECT COUNT(*) FROM tbl_meter_hourly") == [(3,)]
        done = demo("upgrade")
        assert done.exit_code == 0, done.output
        assert done.output.index("newest row stays") < done.output.index("2 rows moved to")
        assert query(store, "SELECT actual_value FROM tbl_meter_hourly") == [(Decimal(4),)]
        assert "No hour is doubled" in demo("upgrade").output


@pytest.mark.parametrize("name", ["OWNER", "SYSTEM"])
def test_an_unreadable_url_is_not_shown_and_a_missing_one_is_named(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, said in (("nonsense://hunter2", "cannot be read"), ("", f"WATTLINE_MYEMS_{name}_URL is not set")):
        monkeypatch.setenv(f"WATTLINE_MYEMS_{name}_URL", url)
        settings_module.settings.cache_clear()
        result = run("create")
        assert result.exit_code == 1
        assert said in result.stderr
        assert "hunter2" not in result.output + result.stderr
