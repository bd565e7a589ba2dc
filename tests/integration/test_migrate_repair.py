"""Repair on real servers: just the keys that differ are mended, and nothing that somebody else wrote is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.integration.migrating import CREATE_LOG, HOUR, LATER, LOG, REGISTER, START, Bench, fill
from wattline.errors import BadInputError
from wattline.migrate import repair as module
from wattline.migrate.checks import Plan, examine
from wattline.migrate.entry import Entry
from wattline.migrate.outstanding import outstanding
from wattline.migrate.run import check_slice
from wattline.migrate.scope import scope
from wattline.migrate.slices import Slice, cut
from wattline.migrate.source import Source
from wattline.migrate.state import watermark
from wattline.storage.contract import Column, Table
from wattline.storage.documents import Document
from wattline.storage.mongo import MongoStore
from wattline.window import Window

pytestmark = pytest.mark.integration

SHARED = replace(LOG, name="shared", shared=True)
LOST = timedelta(seconds=3)


@pytest.fixture
def bench(fresh_mysql: str, fresh_mongo: str, tmp_path: Path) -> Bench:
    made = Bench(fresh_mysql, fresh_mongo, tmp_path)
    made.sql(CREATE_LOG)
    return made


def _differences(bench: Bench, entry: Entry, window: Window | None = None) -> list[tuple[Any, ...]]:
    """Kind and key of what a verification outside of a run finds."""
    with bench.open() as (source, store):
        plan = examine(entry, source)
        parts = _scope(plan, source, store, window)
        found = [check_slice(plan, source, store, part).differences for part in parts]
    return sorted(row for each in found for row in each.select("kind", *entry.target.key).rows())


def _scope(plan: Plan, source: Source, store: MongoStore, window: Window | None) -> list[Slice]:
    name = plan.entry.name
    flawed = outstanding(store.database, [name]).get(name, ())
    return scope(plan, source, watermark(store.database, plan.entry), window, flawed)


def _repair(bench: Bench, entry: Entry = LOG) -> dict[str, int]:
    """Verify everything and mend it; the counts."""
    counts = {"mended": 0, "removed": 0, "unmended": 0}
    with bench.open() as (source, store):
        plan = examine(entry, source)
        for part in _scope(plan, source, store, None):
            found = check_slice(plan, source, store, part)
            for name, count in module.repair(plan, source, store, found.differences).items():
                counts[name] += count
    return counts


def _change(bench: Bench, unit: int, change: Document, **more: Any) -> None:
    with bench.open() as (_, store):
        done = store.database["row_202610"].update_one({"unit": unit, "at": START, **more}, change)
        assert done.modified_count == 1


def test_what_is_lost_changed_or_newer_than_its_row_is_mended_and_nothing_else(bench: Bench) -> None:
    fill(bench, 4_000)
    bench.migrate(LOG, HOUR, live=True)
    before = bench.raw("row_202610")
    with bench.open() as (_, store):
        store.database["row_202610"].delete_many({"unit": 2, "at": {"$lt": START + LOST}})
    _change(bench, 4, {"$inc": {"power": 1e-9}})
    _change(bench, 1, {"$set": {"updated_at": datetime(2026, 10, 31, 23, 30, tzinfo=UTC)}})
    _change(bench, 3, {"$set": {"updated_at": datetime(2026, 11, 20, tzinfo=UTC), "power": 99.0}})

    missing = [("missing", 2, START + timedelta(seconds=n)) for n in range(3)]
    assert _differences(bench, LOG) == [
        ("different", 1, START),
        ("different", 4, START),
        *missing,
        ("missing", 3, START),
    ]
    assert _repair(bench) == {"mended": 6, "removed": 0, "unmended": 0}
    assert _differences(bench, LOG) == []
    assert sorted(bench.raw("row_202610"), key=str) == sorted(before, key=str)
    assert bench.migrate(LOG, HOUR, live=True) == {"rows": 4_000, "unchanged": 4_000}


def test_a_live_run_that_writes_meanwhile_wins(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(bench, 8)
    bench.migrate(LOG, HOUR, live=True)
    _change(bench, 1, {"$set": {"power": 99.0}})
    _change(bench, 2, {"$set": {"power": 99.0}})
    with bench.open() as (_, store):
        lost = store.database["row_202610"].find_one_and_delete({"unit": 3, "at": START})
    read = module.source_rows

    def meanwhile(*arguments: Any) -> pl.DataFrame:
        rows = read(*arguments)
        _change(bench, 1, {"$set": {"power": 5.0, "updated_at": datetime(2026, 11, 1, 2, tzinfo=UTC)}})
        with bench.open() as (_, store):
            store.database["row_202610"].insert_one(lost | {"power": 6.0})
        return rows

    monkeypatch.setattr(module, "source_rows", meanwhile)
    assert _repair(bench) == {"mended": 1, "removed": 0, "unmended": 2}
    rows = bench.documents(LOG).filter(pl.col("at") == START)
    assert rows["power"].to_list()[0::2] == [5.0, 6.0]
    assert rows["power"][1] == pytest.approx(2 / 7)


def test_what_is_gone_is_marked_and_what_was_marked_by_mistake_is_back(bench: Bench) -> None:
    fill(bench, 40)
    bench.migrate(REGISTER)
    bench.sql("DELETE FROM log WHERE unit = 3")
    _change(bench, 1, {"$set": {"deleted_at": datetime(2026, 11, 20, tzinfo=UTC)}})
    _change(bench, 2, {"$set": {"note": "changed"}})
    assert _repair(bench, REGISTER) == {"mended": 2, "removed": 10, "unmended": 0}
    assert {each["unit"] for each in bench.raw("row_202610") if "deleted_at" in each} == {3}
    assert _differences(bench, REGISTER) == []
    assert bench.migrate(REGISTER) == {"rows": 30, "unchanged": 30}


def test_where_a_register_is_kept_small_what_is_gone_is_removed(bench: Bench) -> None:
    hard = replace(REGISTER, deletions="hard")
    fill(bench, 40)
    bench.migrate(hard)
    bench.sql("DELETE FROM log WHERE unit = 3")
    assert _repair(bench, hard) == {"mended": 0, "removed": 10, "unmended": 0}
    assert len(bench.raw("row_202610")) == 30


def test_a_document_that_missed_a_change_of_its_row_gets_it(bench: Bench) -> None:
    """The row is now in a later slice than its document: the later one finds it missing, the earlier one nothing."""
    fill(bench, 40)
    bench.migrate(LOG, HOUR)
    bench.sql(
        "UPDATE log SET power = 5, updated_at = '2026-10-31 23:40:00' WHERE unit = 1 AND `at` = '2026-10-31 23:00'"
    )
    middle = START + timedelta(minutes=30)
    with bench.open() as (source, store):
        plan = examine(LOG, source)
        part = next(each for each in scope(plan, source, None, HOUR) if each.by == "measured")
        early = replace(part, by="changed", without=None, end=middle)
        late = replace(part, by="changed", without=None, start=middle)
        assert check_slice(plan, source, store, early).agrees
        found = check_slice(plan, source, store, late).differences
        assert found["kind"].to_list() == ["missing"]
        counts = module.repair(plan, source, store, found)
        assert check_slice(plan, source, store, late).agrees
    assert counts == {"mended": 1, "removed": 0, "unmended": 0}
    assert _differences(bench, LOG, HOUR) == []


def test_documents_of_another_pipeline_are_left_alone(bench: Bench) -> None:
    fill(bench, 8)
    bench.migrate(SHARED, HOUR, live=True)
    _change(bench, 1, {"$set": {"origin": None, "power": 99.0}})
    _change(bench, 2, {"$set": {"power": 99.0}})
    with bench.open() as (source, store):
        plan = examine(SHARED, source)
        at_start = pl.DataFrame({"unit": [1, 2], "at": [START] * 2, "kind": ["missing", "different"]})
        found = at_start.cast({"unit": pl.Int32, "at": pl.Datetime("us", "UTC")})
        assert module.repair(plan, source, store, found) == {"mended": 1, "removed": 0, "unmended": 1}
    assert bench.documents(SHARED).filter(pl.col("at") == START)["power"].to_list()[:2] == [99.0, pytest.approx(2 / 7)]
    assert _differences(bench, SHARED) == []


def test_a_shared_collection_that_is_gone_comes_back_as_all_its_writers_know_it(bench: Bench) -> None:
    fill(bench, 8)
    once = replace(SHARED, target=replace(SHARED.target, month_column=None, mongo="all"))
    bench.migrate(once, HOUR, live=True)
    with bench.open() as (_, store):
        rule = store.database["all"].options()
        store.database["all"].drop()
    assert _repair(bench, once) == {"mended": 8, "removed": 0, "unmended": 0}
    with bench.open() as (_, store):
        assert store.database["all"].options() == rule


@pytest.mark.parametrize(
    "values",
    [
        "0, '2026-10-31 23:10:00', 1, 1, 'no unit', '2026-10-31 23:11:00'",
        "6, '1999-12-31', 1, 1, 'no battery', '2026-10-31 23:11:00'",
        "7, '2026-10-31 23:10:00', 1, 1, 'no stamp', '0000-00-00'",
        "5, '0000-00-00', 1, 1, 'zero date', '2026-10-31 23:11:00'",
    ],
)
def test_a_row_that_no_gate_lets_pass_is_not_brought_in_by_the_back_door(bench: Bench, values: str) -> None:
    fill(bench, 8)
    bench.migrate(LOG, HOUR, live=True)
    bench.sql(f"INSERT INTO log VALUES ({values})")
    _change(bench, 2, {"$set": {"power": 99.0}})
    assert _repair(bench) == {"mended": 1, "removed": 0, "unmended": 1}
    assert bench.documents(LOG).height == 8


def test_which_of_two_rows_is_right_only_people_know(bench: Bench) -> None:
    loose = replace(REGISTER, unique=False, target=replace(REGISTER.target, key=("at",)))
    bench.sql(
        "INSERT INTO log VALUES (1, '2026-10-31 23:00:00', 1, 1, 'one', '2026-10-31 23:01:00')",
        "INSERT INTO log VALUES (2, '2026-10-31 23:00:00', 2, 2, 'two', '2026-10-31 23:01:00')",
        "INSERT INTO log VALUES (1, '2026-10-31 23:00:01', 3, 3, 'three', '2026-10-31 23:01:00')",
    )
    assert _differences(bench, loose) == [("doubled", START), ("missing", START + timedelta(seconds=1))]
    assert _repair(bench, loose) == {"mended": 1, "removed": 0, "unmended": 1}
    assert [each["note"] for each in bench.raw("row_202610")] == ["three"]


def test_what_no_run_can_have_copied_yet_does_not_differ(bench: Bench) -> None:
    fill(bench, 8)
    bench.migrate(LOG, HOUR, live=True)
    bench.sql(
        "INSERT INTO log VALUES (5, '2026-10-31 23:30:00', 1, 1, 'committed late', '2026-10-31 23:58:30')",
        "INSERT INTO log VALUES (6, '2026-10-31 23:30:00', 1, 1, 'of the next run', '2026-11-01 00:05:00')",
        "UPDATE log SET power = 5, updated_at = '2026-11-01 00:06:00' WHERE unit = 1 AND `at` = '2026-10-31 23:00'",
    )
    for window in (None, HOUR, LATER):
        assert _differences(bench, LOG, window) == []
    bench.sql("INSERT INTO log VALUES (7, '2026-10-31 23:30:00', 1, 1, 'forgotten', '2026-10-31 23:57:30')")
    for window in (None, HOUR, LATER):
        assert _differences(bench, LOG, window) == [("missing", 7, START + timedelta(minutes=30))]


def test_of_a_whole_table_what_was_written_after_its_last_live_run_does_not_differ(bench: Bench) -> None:
    fill(bench, 8)
    bench.migrate(REGISTER, HOUR, live=True)
    late = "UPDATE log SET power = 5, updated_at = '2026-11-01 00:05:00' WHERE unit = 1 AND `at` = '2026-10-31 23:00'"
    bench.sql(late)
    assert _differences(bench, REGISTER) == []
    assert _differences(bench, replace(REGISTER, stamp=None)) == [("different", 1, START)]
    with pytest.raises(BadInputError, match="--from/--to: register has no change column"):
        _differences(bench, REGISTER, HOUR)


@pytest.mark.parametrize("entry", [LOG, REGISTER], ids=lambda entry: entry.name)
def test_what_a_failed_run_found_is_mended_though_the_watermark_did_not_reach_it(bench: Bench, entry: Entry) -> None:
    fill(bench, 8)
    bench.migrate(entry, HOUR, live=True)
    bench.sql(
        "UPDATE log SET power = 5, updated_at = '2026-11-01 00:05:00' WHERE unit = 1 AND `at` = '2026-10-31 23:00'"
    )
    following = Window(HOUR.end, HOUR.end + timedelta(minutes=10))
    with bench.open() as (source, store):
        plan = examine(entry, source)
        for part in cut(plan, source, following, HOUR.end, live=True):
            check_slice(plan, source, store, part)
    assert _differences(bench, entry) == [("different" if entry is REGISTER else "missing", 1, START)]
    assert _repair(bench, entry) == {"mended": 1, "removed": 0, "unmended": 0}
    assert _differences(bench, entry) == []
    assert bench.documents(entry)["power"][0] == 5.0


def test_before_the_first_live_run_all_that_is_settled_counts(bench: Bench) -> None:
    fill(bench, 4)
    bench.sql("INSERT INTO log VALUES (5, '2026-10-31 23:30:00', 1, 1, 'just now', UTC_TIMESTAMP(6))")
    assert [each[:2] for each in _differences(bench, LOG)] == [("missing", n) for n in (1, 2, 3, 4)]


def test_a_key_that_is_another_one_only_to_people_finds_its_own_row(bench: Bench) -> None:
    """MySQL takes `a` and `A` for one key, MongoDB does not; more keys than one statement asks for."""
    bench.sql("CREATE TABLE names (name VARCHAR(20) PRIMARY KEY, n INT)")
    bench.sql(*(f"INSERT INTO names VALUES ('n{n}', {n})" for n in range(300)))
    named = _named()
    bench.migrate(named)
    bench.sql("UPDATE names SET name = 'N0' WHERE name = 'n0'")
    with bench.open() as (_, store):
        store.database["name"].update_many({}, {"$inc": {"n": 1}})
    assert _repair(bench, named) == {"mended": 300, "removed": 1, "unmended": 0}
    kept = {each["name"]: each["n"] for each in bench.raw("name") if "deleted_at" not in each}
    assert kept == {"N0": 0} | {f"n{n}": n for n in range(1, 300)}

    with bench.open() as (_, store):
        store.database["name"].update_one({"name": "n0"}, {"$unset": {"deleted_at": 1}})
    assert _repair(bench, named) == {"mended": 0, "removed": 1, "unmended": 0}, "and not N0 again"


def _named() -> Entry:
    columns = (Column("name", pl.String(), "name"), Column("n", pl.Int32(), "number", nullable=True))
    return Entry("names", "names", Table("name", ("name",), columns, mongo="name"), deletions="soft")
