"""Migrations on real servers: everything arrives, once, whatever happens on the way, and both sides are compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.integration.migrating import CREATE_LOG, HOUR, LOG, REGISTER, START, Bench, fill
from wattline.errors import BatchRejectedError, TerminalError, TransientError
from wattline.migrate import slices
from wattline.migrate import source as source_module
from wattline.migrate.source import Source
from wattline.migrate.state import load_state
from wattline.migrate.statements import Range
from wattline.storage.staging import Staging
from wattline.window import Window

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(fresh_mysql: str, fresh_mongo: str, tmp_path: Path) -> Bench:
    made = Bench(fresh_mysql, fresh_mongo, tmp_path)
    made.sql(CREATE_LOG)
    return made


def _state(bench: Bench, entry: Any = LOG) -> dict[str, Any]:
    with bench.open() as (_, store):
        return load_state(store.database, entry)


def _source(bench: Bench) -> list[tuple[Any, ...]]:
    return bench.sql("SELECT unit, `at`, energy, power, note, updated_at FROM log ORDER BY unit, `at`")


def _target(bench: Bench, entry: Any = LOG) -> list[tuple[Any, ...]]:
    rows = bench.documents(entry).with_columns(pl.col(pl.Datetime).dt.replace_time_zone(None))
    return rows.rows()


def test_a_window_brings_what_was_written_or_measured_in_it_and_moves_no_watermark(bench: Bench) -> None:
    fill(bench, 4 * 3600 * 3)
    late = "INSERT INTO log VALUES (9, '2026-10-20', 1, 1, 'late', '2026-10-31 23:30:00')"
    bench.sql(late, "INSERT INTO log VALUES (8, '2026-10-31 23:30:00', 1, 1, 'imported', '2026-11-05')")
    counts = bench.migrate(LOG, HOUR)
    # The tick at the window's end belongs to it, with the rows that speak of the same instant.
    assert counts == {"rows": 4 * 3601 + 2, "inserted": 4 * 3601 + 2}
    rows = bench.documents(LOG)
    assert rows.filter(pl.col("note").is_in(["late", "imported"])).height == 2
    assert rows.filter(pl.col("unit") < 8)["at"].max() == HOUR.end
    assert "watermark" not in _state(bench)
    assert bench.migrate(LOG, HOUR) == {"rows": 4 * 3601 + 2, "unchanged": 4 * 3601 + 2}


def test_the_first_live_run_brings_everything_and_the_next_what_was_written_since(bench: Bench) -> None:
    fill(bench, 12_000)
    assert bench.migrate(LOG, HOUR, live=True) == {"rows": 12_000, "inserted": 12_000}
    assert _target(bench) == _source(bench)
    assert _state(bench)["watermark"] == HOUR.end
    following = Window(HOUR.end, HOUR.end + timedelta(minutes=10))
    bench.sql(
        "UPDATE log SET power = -1, updated_at = '2026-11-01 00:05:00' WHERE unit = 2 AND `at` = '2026-10-31 23:00:07'",
        "INSERT INTO log VALUES (1, '2020-01-01', 5, 5, NULL, '2026-11-01 00:06:00')",
    )
    assert bench.migrate(LOG, following, live=True) == {"rows": 2, "inserted": 1, "updated": 1}
    assert _target(bench) == _source(bench)
    assert bench.migrate(LOG, following, live=True) == {"rows": 2, "unchanged": 2}
    empty = Window(following.end + timedelta(hours=1), following.end + timedelta(hours=2))
    assert bench.migrate(LOG, empty, live=True) == {}
    assert _state(bench)["watermark"] == empty.end


def test_many_slices_bring_what_one_brings(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 700)
    fill(bench, 12_000)
    bench.sql("UPDATE log SET updated_at = '2026-10-31 23:10:00' WHERE unit > 2")
    assert bench.migrate(LOG, HOUR, live=True) == {"rows": 12_000, "inserted": 12_000}
    assert _target(bench) == _source(bench)
    with bench.open() as (_, store):
        assert store.database["migration_check"].count_documents({}) > 8


@contextmanager
def _failing_after(calls: int, owner: Any, name: str) -> Iterator[None]:
    """A function that works a few times, and then ends the run as a kill does: before it does anything."""
    whole, left = getattr(owner, name), iter(range(calls))

    def limited(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise TransientError("the test ends the run here")
        return whole(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, limited)
        yield


def test_an_extract_that_ends_before_a_page_its_frame_or_its_note_goes_on_with_that_page(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_LARGEST_PAGE", 100)
    fill(bench, 1_000)
    for calls, owner, name in ((4, Source, "_page"), (2, Staging, "write"), (2, Staging, "write_note")):
        with _failing_after(calls, owner, name), pytest.raises(TransientError, match="the test ends the run here"):
            bench.migrate(LOG, HOUR, live=True)
    # Four pages, two, and two are complete; of the ninth there is the frame.
    assert bench.migrate(LOG, HOUR, live=True) == {"rows": 1_000, "inserted": 1_000}
    assert _target(bench) == _source(bench)


def test_a_row_that_was_written_into_another_slice_is_no_difference_in_its_old_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 700)
    fill(bench, 4_000)
    bench.migrate(LOG, HOUR, live=True)
    bench.sql("UPDATE log SET power = -1, updated_at = '2026-10-31 23:50:00' WHERE unit = 2")
    with bench.open() as (_, store):
        store.database["migration_state"].drop()
    # Each slice is verified before the next one is loaded.
    assert bench.migrate(LOG, HOUR, live=True) == {"rows": 4_000, "updated": 1_000, "unchanged": 3_000}
    assert _target(bench) == _source(bench)


def test_a_row_that_was_written_after_a_delayed_run_is_left_to_the_next(bench: Bench) -> None:
    fill(bench, 40)
    bench.migrate(LOG, HOUR, live=True)
    bench.sql("UPDATE log SET power = -1, updated_at = '2026-11-01 00:05:00' WHERE unit = 2")
    assert bench.migrate(LOG, HOUR, live=True) == {"rows": 30, "unchanged": 30}
    following = Window(HOUR.end, HOUR.end + timedelta(minutes=10))
    assert bench.migrate(LOG, following, live=True) == {"rows": 10, "updated": 10}


def test_an_older_row_never_takes_the_place_of_a_newer_document(bench: Bench) -> None:
    fill(bench, 4)
    bench.migrate(LOG, HOUR, live=True)
    with bench.open() as (_, store):
        name = "row_202610"
        newer = {"$set": {"power": 99.0, "updated_at": datetime(2026, 11, 20, tzinfo=UTC)}}
        store.database[name].update_one({"unit": 1}, newer)
    with pytest.raises(TerminalError, match="1 keys differ"):
        bench.migrate(LOG, HOUR, live=True)
    assert bench.documents(LOG)["power"][0] == 99.0


def test_rows_that_are_gone_stay_in_a_log_and_are_marked_in_a_register(bench: Bench) -> None:
    fill(bench, 40)
    bench.migrate(LOG, HOUR)
    bench.sql("DELETE FROM log WHERE unit = 3")
    assert bench.migrate(LOG, HOUR) == {"rows": 30, "unchanged": 30}
    assert bench.documents(LOG).height == 40
    assert _state(bench)["check"]["explained"] == {"gone from the source, kept": 10}

    assert bench.migrate(REGISTER) == {"rows": 30, "unchanged": 30, "deleted": 10}
    marked = [each for each in bench.raw("row_202610") if "deleted_at" in each]
    assert {each["unit"] for each in marked} == {3}
    bench.sql("INSERT INTO log VALUES (3, '2026-10-31 23:00:04', 1, 1, 'back', '2026-11-02')")
    assert bench.migrate(REGISTER) == {"rows": 31, "unchanged": 30, "updated": 1}
    (back,) = [each for each in bench.raw("row_202610") if each["note"] == "back"]
    assert "deleted_at" not in back


def test_a_document_that_was_lost_or_changed_is_found_key_by_key(bench: Bench) -> None:
    fill(bench, 4_000)
    bench.migrate(LOG, HOUR)
    with bench.open() as (_, store):
        collection = store.database["row_202610"]
        collection.delete_many({"unit": 2, "at": {"$lt": START + timedelta(seconds=3)}})
        collection.update_one({"unit": 4, "at": START}, {"$inc": {"power": 1e-9}})
        collection.update_one({"unit": 1, "at": START}, {"$set": {"note": "줄 1 "}})
    with pytest.raises(TerminalError, match=r"keys differ.*`wattline migrate repair row` mends them"):
        _verify_only(bench)
    found = _state(bench)["check"]["differences"]
    assert sorted((each["kind"], each["unit"]) for each in found) == [
        ("different", 1),
        ("different", 4),
        ("missing", 2),
        ("missing", 2),
        ("missing", 2),
    ]


def _verify_only(bench: Bench) -> None:
    from wattline.migrate.checks import examine
    from wattline.migrate.run import check_slice
    from wattline.migrate.slices import cut

    with bench.open() as (source, store):
        plan = examine(LOG, source)
        for part in cut(plan, source, HOUR, None, live=True):
            check_slice(plan, source, store, part).require(LOG.name)


def test_bad_rows_are_quarantined_and_the_others_arrive(bench: Bench) -> None:
    fill(bench, 100)
    bench.sql(
        "INSERT INTO log VALUES (0, '2026-10-31 23:10:00', 1, 1, 'no unit', '2026-10-31 23:11:00')",
        "INSERT INTO log VALUES (5, '0000-00-00', 1, 1, 'zero date', '2026-10-31 23:11:00')",
        "INSERT INTO log VALUES (6, '1999-12-31', 1, 1, 'no battery', '2026-10-31 23:11:00')",
        "INSERT INTO log VALUES (7, '2026-10-31 23:10:00', 1, 1, 'no stamp', '0000-00-00')",
        "INSERT INTO log VALUES (1, '2026-10-31 23:10:00.0001', 1, 1, 'twice', '2026-10-31 23:11:00')",
        "INSERT INTO log VALUES (1, '2026-10-31 23:10:00.0009', 2, 2, 'twice', '2026-10-31 23:11:00')",
    )
    assert bench.migrate(LOG, HOUR, live=True) == {"rows": 106, "inserted": 100, "quarantined": 6}
    reasons = {each["row"]["note"]: each["reasons"][0]["reason"] for each in bench.raw("quarantine")}
    assert reasons == {
        "no unit": "unit is below 1",
        "zero date": "at is a zero date",
        "no battery": "at is before 2000-01-01",
        "no stamp": "updated_at is a zero date",
        "twice": "several rows have the key unit, at",
    }
    bench.sql("UPDATE log SET unit = 5, updated_at = '2026-11-01 00:05:00' WHERE unit = 0")
    bench.sql("UPDATE log SET updated_at = '2026-11-01 00:05:00' WHERE unit = 7")
    following = Window(HOUR.end, HOUR.end + timedelta(minutes=10))
    assert bench.migrate(LOG, following, live=True)["inserted"] == 2
    assert "mysql.row" in {each["table"] for each in bench.raw("quarantine") if each["status"] == "resolved"}


def test_too_many_bad_rows_stop_the_slice_before_anything_is_loaded(bench: Bench) -> None:
    fill(bench, 28)
    bench.sql("INSERT INTO log SELECT 0, `at` + INTERVAL unit HOUR, 1, 1, 'no unit', updated_at FROM log LIMIT 21")
    with pytest.raises(BatchRejectedError, match="21 of 49 rows"):
        bench.migrate(LOG, HOUR, live=True, share=0.1)
    assert bench.documents(LOG).is_empty()
    assert "watermark" not in _state(bench)


def test_a_few_bad_rows_stop_no_tail(bench: Bench) -> None:
    """In a quiet log one bad row is a large share; one whose watermark is a zero date is tried again by every run."""
    fill(bench, 8)
    bench.migrate(LOG, HOUR, live=True)
    bench.sql(
        "INSERT INTO log VALUES (0, '2026-10-31 23:10:00', 1, 1, 'no unit', '2026-11-01 00:05:00')",
        "INSERT INTO log VALUES (7, '2026-10-31 23:10:00', 1, 1, 'no stamp', '0000-00-00')",
    )
    for start in (HOUR.end, HOUR.end + timedelta(hours=1)):
        counts = bench.migrate(LOG, Window(start, start + timedelta(minutes=10)), live=True, share=0.05)
        assert counts["quarantined"] == (2 if start == HOUR.end else 1)
    assert _state(bench)["watermark"] == HOUR.end + timedelta(minutes=70)


def test_rows_that_are_one_key_only_in_mongodb_are_told_wherever_they_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_ROWS", 700)
    fill(bench, 4_000)
    for part, minute in (("0001", 2), ("0009", 14)):
        bench.sql(
            f"INSERT INTO log VALUES (9, '2026-10-31 23:10:00.{part}', 1, 1, 'twice', '2026-10-31 23:{minute}:00')"
        )
    # Not one of the two takes the other's place, whichever slice it is in.
    assert bench.migrate(LOG, HOUR, live=True) == {"rows": 4_002, "inserted": 4_000, "quarantined": 2}
    assert {each["row"]["note"] for each in bench.raw("quarantine")} == {"twice"}
    _verify_only(bench)


def test_a_page_that_holds_the_source_too_long_is_made_smaller(bench: Bench) -> None:
    fill(bench, 20_000)
    with bench.open(seconds=0.01) as (source, _):
        table = source.table("log")
        found = sum(page.frame.height for page in source.pages(table, Range("updated_at"), _UNIT))
        assert found == 20_000
        assert source.effort.longest < 0.1


_UNIT = {"unit": ("unit", __import__("pyarrow").int64())}


def test_rows_of_one_stamp_are_read_in_pages_of_the_index(bench: Bench) -> None:
    fill(bench, 50_000)
    bench.sql("UPDATE log SET updated_at = '2026-10-31 23:50:00'")
    with bench.open() as (source, _):
        table = source.table("log")
        before = bench.sql("SHOW GLOBAL STATUS LIKE 'Handler_read_next'")[0][1]
        assert sum(page.frame.height for page in source.pages(table, Range("updated_at"), _UNIT)) == 50_000
        read = int(bench.sql("SHOW GLOBAL STATUS LIKE 'Handler_read_next'")[0][1]) - int(before)
        assert read < 55_000, "each page begins where the one before ended"
