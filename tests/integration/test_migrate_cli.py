"""`wattline migrate` on real servers, with the platform's own tables."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.integration.migrating import START, Bench
from wattline.cli import app
from wattline.migrate.entry import Entry
from wattline.migrate.slices import FIRST, LAST, Slice
from wattline.migrate.state import fail, note_check
from wattline.migrate.status import statuses
from wattline.settings import settings
from wattline.solar.contracts import ALL_TABLES
from wattline.solar.migrations import ENTRIES, entry
from wattline.storage import schema
from wattline.window import Window

pytestmark = pytest.mark.integration

LOG, REGISTER, EVENTS = entry("inverterlog"), entry("sensor_type"), entry("event")
HOUR = Window(START, START + timedelta(hours=1))
ROWS = 3_000
AT = ["--from", HOUR.start.isoformat(), "--to", HOUR.end.isoformat()]


class Command:
    """The command line, and both servers behind it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.environment = {"WATTLINE_MYSQL_SOURCE_URL": bench.mysql_url, "WATTLINE_MONGO_URL": bench.mongo_url}

    def __call__(self, *arguments: str, code: int = 0) -> str:
        settings.cache_clear()
        result = CliRunner().invoke(app, ["migrate", *arguments], env=self.environment)
        settings.cache_clear()
        assert result.exit_code == code, result.output
        return result.output

    def change(self, query: dict[str, Any], change: dict[str, Any] | None) -> None:
        """Change or remove a reading's document by hand."""
        with self.bench.open() as (_, store):
            readings = store.database["inverter_reading_202610"]
            done: Any = readings.delete_many(query) if change is None else readings.update_many(query, change)
            assert getattr(done, "deleted_count", None) or done.modified_count

    def migrate(self, entry: Entry = LOG, window: Window = HOUR, *, live: bool = True) -> dict[str, int]:
        return self.bench.migrate(entry, window, live=live)


@pytest.fixture
def wattline(fresh_mysql: str, fresh_mongo: str, tmp_path: Path) -> Command:
    schema.upgrade_mysql(fresh_mysql)
    schema.upgrade_mongo(fresh_mongo, ALL_TABLES)
    bench = Bench(fresh_mysql, fresh_mongo, tmp_path)
    moment = f"TIMESTAMP'{START:%Y-%m-%d %H:%M:%S}' + INTERVAL (seq - 1) DIV 4 SECOND"
    columns = "(mcno, invno, `at`, ackw, dckw, daykw, totkw, status, received_at)"
    bench.sql(
        f"INSERT INTO inverterlog {columns} SELECT 1, (seq - 1) MOD 4 + 1, {moment}, seq / 7, 1, seq / 3, seq, 1,"
        f" {moment} + INTERVAL 1 SECOND FROM seq_1_to_{ROWS}",
        "INSERT INTO sensor_type VALUES (1, '일사량', 'W/m2'), (2, '온도', '°C')",
    )
    return Command(bench)


def test_every_entry_fits_the_schema_and_what_does_not_is_told(wattline: Command) -> None:
    names = [each.name for group in ENTRIES.values() for each in group]
    assert [line.split() for line in wattline("check").splitlines()] == [[name, "ok"] for name in names]

    wattline.bench.sql(
        "ALTER TABLE inverterlog ADD COLUMN fan_speed INT, DROP KEY inverterlog_received_at",
        "ALTER TABLE temperature ADD COLUMN humidity INT",
    )
    lines = wattline("check", code=1).splitlines()
    (refused,) = [line for line in lines if "refused" in line]
    assert refused.startswith("inverterlog     refused: ")
    assert "received_at: inverterlog has no index that begins with it" in refused
    assert "temperature.humidity (int(11)) is not in the entry" in lines[lines.index("temperature     ok") + 1]
    assert wattline.bench.raw("migration_state") == [], "nothing is written"


def test_what_was_deleted_and_changed_is_found_key_by_key_and_mended(wattline: Command) -> None:
    assert wattline.migrate() == {"rows": ROWS, "inserted": ROWS}
    assert f"1 slices, {ROWS:,} rows, {ROWS:,} documents: both sides agree." in wattline("verify", "inverterlog")

    wattline.change({"invno": 2, "at": {"$lt": START + timedelta(seconds=10)}}, None)
    wattline.change({"invno": 3, "at": {"$lt": START + timedelta(seconds=30)}}, {"$inc": {"ackw": 1}})
    found = wattline("verify", "inverterlog", code=1)
    assert f"1 slices, {ROWS:,} rows, {ROWS - 10:,} documents: 40 keys differ: 10 missing, 30 different." in found
    assert "the first 20" in found
    assert "│ 1    │ 2     │ 2026-10-31 23:00:09.000000+00:00 │ missing   │" in found
    assert "`wattline migrate repair inverterlog`" in found

    assert "40 keys differ" in wattline("repair", "inverterlog", "--dry-run", code=1)
    assert "40 keys differ" in wattline("verify", "inverterlog", *AT, code=1)
    mended = wattline("repair", "inverterlog")
    assert "40 mended, 0 removed, 0 unmended." in mended
    assert mended.splitlines()[-1].endswith("both sides agree.")
    assert "both sides agree" in wattline("verify", "inverterlog", *AT)
    assert wattline.migrate() == {"rows": ROWS, "unchanged": ROWS}


def test_only_a_window_is_mended(wattline: Command) -> None:
    wattline.migrate()
    wattline.change({"invno": 2, "at": START}, None)
    wattline.change({"invno": 2, "at": START + timedelta(minutes=12)}, None)
    early = ["--from", HOUR.start.isoformat(), "--to", (HOUR.start + timedelta(minutes=10)).isoformat()]
    assert "1 mended" in wattline("repair", "inverterlog", *early)
    assert "1 keys differ: 1 missing" in wattline("verify", "inverterlog", code=1)
    long_ago = ["--from", "2020-01-01T00:00Z", "--to", "2020-01-02T00:00Z"]
    assert wattline("verify", "inverterlog", *long_ago) == "inverterlog: no row to compare.\n"


def test_what_cannot_be_mended_ends_with_1(wattline: Command) -> None:
    wattline.migrate()
    wattline.bench.sql(
        "INSERT INTO inverterlog (mcno, invno, `at`, received_at) VALUES (0, 1, '2026-10-31 23:30', '2026-10-31 23:31')"
    )
    told = wattline("repair", "inverterlog", code=1)
    assert "0 mended, 0 removed, 1 unmended." in told
    assert told.count("1 keys differ: 1 missing") == 2


def test_a_whole_table_is_compared_as_a_whole(wattline: Command) -> None:
    wattline.migrate(REGISTER)
    assert "1 slices, 2 rows, 2 documents: both sides agree" in wattline("verify", "sensor_type")
    wattline.bench.sql("UPDATE sensor_type SET unit = 'W' WHERE type = 1", "DELETE FROM sensor_type WHERE type = 2")
    found = wattline("verify", "sensor_type", code=1)
    assert "2 keys differ: 1 different, 1 left over" in found
    assert "Nothing says when its rows were written" in found
    assert "1 mended, 1 removed, 0 unmended." in wattline("repair", "sensor_type")
    assert "both sides agree" in wattline("verify", "sensor_type")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["verify", "nothing"], "there is no migration 'nothing'. Take one of inverter, inverterlog"),
        (["status", "nothing"], "there is no migration 'nothing'"),
        (["verify", "inverterlog", "--from", "2026-11-01T00:00Z"], "--from/--to: only one end is given"),
        (["repair", "inverterlog", "--from", "2026-11-01", "--to", "2026-11-02"], "has no offset"),
        (["repair", "inverterlog", "--from", "2026-11-01T00:00Z", "--to", "2999-11-02T00:00Z"], "is not over yet"),
        (["verify", "sensor_type", *AT], "--from/--to: sensor_type has no change column"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_one_line(wattline: Command, arguments: list[str], error: str) -> None:
    told = wattline(*arguments, code=1)
    assert error in told
    assert told.startswith("Error: ")
    assert told.count("\n") == 1


def test_a_missing_setting_is_named(wattline: Command) -> None:
    wattline.environment["WATTLINE_MYSQL_SOURCE_URL"] = ""
    assert "WATTLINE_MYSQL_SOURCE_URL is not set" in wattline("check", code=1)


def test_the_status_of_a_table_that_ran_of_one_that_failed_and_of_one_that_did_not(wattline: Command) -> None:
    assert "not run yet" in wattline("status", "inverterlog")
    wattline.bench.sql(
        "INSERT INTO inverterlog (mcno, invno, `at`, received_at) VALUES (0, 1, '2026-10-31 23:30', '2026-10-31 23:31')"
    )
    wattline.migrate()
    wattline.migrate(REGISTER)
    with wattline.bench.open() as (_, store):
        fail(store.database, EVENTS, "run 7", "verify: 3 keys differ [red]")
    told = wattline("status")
    for dag_id in ENTRIES:
        assert told.count(dag_id) == 1
    (line,) = [line for line in told.splitlines() if "inverter_reading_YYYYMM" in line]
    assert "2026-11-01 00:00" in line
    assert "agrees" in told
    assert "event failed at " in told
    assert "verify: 3 keys differ [red]" in told
    assert "sensor_type" not in wattline("status", "inverterlog")

    with wattline.bench.open() as (_, store):
        database, now = store.database, datetime.now(UTC)
        by_name = {each.name: each for each in statuses(database, ENTRIES, now)}
    log, register, events = (by_name[each.name] for each in (LOG, REGISTER, EVENTS))
    assert (log.dag_id, log.watermark, log.lag) == ("migration_inverter_m10", HOUR.end, now - HOUR.end)
    assert (log.counts["rows"], log.documents, log.differing, log.quarantined) == (ROWS + 1, ROWS, 0, 1)
    assert log.checked_at is not None
    assert now - log.checked_at < timedelta(minutes=1)
    assert (register.whole, register.watermark, register.lag, register.documents) == (True, None, None, 2)
    assert register.since_run is not None
    assert register.since_run < timedelta(minutes=1)
    assert (events.run_at, events.error, events.differing) == (None, "verify: 3 keys differ [red]", None)


def test_a_slice_that_differs_is_seen_though_another_one_agreed_after_it(wattline: Command) -> None:
    wattline.migrate()
    with wattline.bench.open() as (source, store):
        wattline.change({"invno": 2, "at": START}, None)
        wattline("verify", "inverterlog", code=1)
        part = _slice(START + timedelta(days=3), START + timedelta(days=4))
        note_check(store.database, LOG, part, {"differences": []}, source.now() + timedelta(seconds=5))
        assert "1 differ" in wattline("status", "inverterlog")
    wattline("repair", "inverterlog")
    assert "agrees" in wattline("status", "inverterlog")


def test_every_table_with_years_of_months_and_verifications_is_told_within_a_second(wattline: Command) -> None:
    with wattline.bench.open() as (_, store):
        database = store.database
        for month in range(120):
            for stem in ("inverter_reading", "conn_box_log"):
                database[f"{stem}_{2017 + month // 12}{month % 12 + 1:02d}"].insert_one({"_id": 1})
        checks = [
            {
                "_id": {"table": name, "by": "changed", "start": start, "end": start + timedelta(minutes=12)},
                "table": name,
                "at": start + timedelta(minutes=13),
                "flaws": int(n == 0),
                "differences": [],
            }
            for name in ("inverterlog", "event", "event_log", "smslog", "conn_box_log")
            for n in range(10_000)
            for start in (START + n * timedelta(minutes=10),)
        ]
        database["migration_check"].insert_many(checks)
        note_check(database, LOG, _slice(FIRST, LAST), {"differences": []}, START + timedelta(minutes=12))
        statuses(database, ENTRIES, datetime.now(UTC))
        started = time.perf_counter()
        found = statuses(database, ENTRIES, datetime.now(UTC))
        assert time.perf_counter() - started < 1
    assert len(found) == sum(map(len, ENTRIES.values()))
    assert {each.documents for each in found if each.name in ("inverterlog", "conn_box_log")} == {120}


def _slice(start: datetime, end: datetime) -> Slice:
    return Slice(0, "changed", start, end, end)
