"""Entries: a wrong one is refused before anything moves; drift is noticed; shared collections keep what is not ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.integration.migrating import CREATE_LOG, HOUR, LOG, REGISTER, Bench, fill
from wattline.errors import BadInputError, TerminalError
from wattline.migrate.checks import examine
from wattline.migrate.entry import Entry
from wattline.migrate.state import note_drift, unknown_drift
from wattline.storage.bson_frames import validator
from wattline.storage.contract import UTC_TIME, Column, Table
from wattline.storage.documents import create_collection

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(fresh_mysql: str, fresh_mongo: str, tmp_path: Path) -> Bench:
    made = Bench(fresh_mysql, fresh_mongo, tmp_path)
    made.sql(CREATE_LOG)
    return made


def _column(name: str, dtype: pl.DataType) -> Entry:
    """LOG with another type of one column."""
    columns = tuple(replace(c, dtype=dtype) if c.name == name else c for c in LOG.target.columns)
    return replace(LOG, target=replace(LOG.target, columns=columns))


REFUSED: list[tuple[str, Entry, str, str]] = [
    ("no table", replace(LOG, source="nowhere"), "", "nowhere: there is no such table"),
    ("no column", replace(LOG, renamed={"note": "remark"}), "", "entry row, remark: log has no such column (for note)"),
    ("dropped column", LOG, "ALTER TABLE log DROP note", "entry row, note: log has no such column (for note)"),
    ("no ignored column", replace(LOG, ignored={"x": "why"}), "", "entry row, x: log has no such column"),
    ("no index", LOG, "DROP INDEX log_updated_at ON log", "updated_at: log has no index that begins with it"),
    ("no index of time", LOG, "DROP INDEX log_at ON log", "entry row, at: log has no index that begins with it"),
    ("nullable watermark", LOG, "ALTER TABLE log MODIFY updated_at DATETIME(6) NULL", "would never be found"),
    ("watermark of text", LOG, "ALTER TABLE log MODIFY updated_at VARCHAR(30) NOT NULL", "does not become"),
    ("changed type", LOG, "ALTER TABLE log MODIFY energy DOUBLE", "energy: double does not become Decimal"),
    ("more places", LOG, "ALTER TABLE log MODIFY energy DECIMAL(20,7)", "decimal(20,7) does not become Decimal"),
    ("text for a number", _column("unit", pl.String()), "", "unit: int(11) does not become String exactly"),
    ("inexact", _column("energy", pl.Float64()), "", "energy: decimal(18,6) does not become Float64 exactly"),
    ("not unique", LOG, "ALTER TABLE log DROP PRIMARY KEY, ADD id INT AUTO_INCREMENT PRIMARY KEY", "keeps the key"),
    ("no primary key", LOG, "ALTER TABLE log DROP PRIMARY KEY", "log: the table has no primary key"),
    ("encoded key", replace(LOG, encodings={"unit": "cp949"}), "", "does not become Int32"),
]


@pytest.mark.parametrize(
    ("change", "entry", "told"), [pytest.param(sql, entry, told, id=name) for name, entry, sql, told in REFUSED]
)
def test_a_wrong_entry_is_refused_before_anything_moves(bench: Bench, change: str, entry: Entry, told: str) -> None:
    fill(bench, 4)
    if change:
        bench.sql(change)
    with pytest.raises(BadInputError) as refused:
        bench.migrate(entry, HOUR)
    assert told in str(refused.value)
    assert refused.value.remedy
    with bench.open() as (_, store):
        assert store.database.list_collection_names() == []


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"changed": "touched"}, "map the watermark touched"),
    ({"deletions": "soft"}, "only a full reconciliation"),
    ({"time_zone": "Europe/Berlin"}, "clocks in Europe/Berlin go back once a year"),
    ({"unique": False}, "doubled keys show only in the whole table"),
    ({"ignored": {"note": "why"}}, "note is both mapped and ignored"),
    ({"renamed": {"remark": "note"}}, "has no column 'remark'"),
    ({"target": replace(LOG.target, mongo=None)}, "is not kept in MongoDB"),
]


@pytest.mark.parametrize(("change", "told"), CONTRADICTIONS, ids=[each[1] for each in CONTRADICTIONS])
def test_an_entry_that_contradicts_itself_cannot_be_made(change: dict[str, Any], told: str) -> None:
    with pytest.raises(TerminalError, match=told):
        replace(LOG, **change)


def test_new_columns_of_the_source_are_told_once_and_never_dropped_silently(bench: Bench) -> None:
    fill(bench, 4)
    bench.sql("ALTER TABLE log ADD colour VARCHAR(10), ADD shape INT")
    with bench.open() as (source, store):
        drift = examine(LOG, source).drift
        assert drift == ("log.colour (varchar(10)) is not in the entry", "log.shape (int(11)) is not in the entry")
        assert unknown_drift(store.database, LOG, drift) == drift
        note_drift(store.database, LOG, drift)
        assert unknown_drift(store.database, LOG, drift) == ()
        ignoring = replace(LOG, ignored={"colour": "nobody asks"})
        assert examine(ignoring, source).drift == drift[1:]
        bench.sql("ALTER TABLE log ADD size INT")
        assert unknown_drift(store.database, LOG, examine(LOG, source).drift) == (
            "log.size (int(11)) is not in the entry",
        )
    assert bench.migrate(LOG, HOUR)["inserted"] == 4


STAMP = Column("updated_at", UTC_TIME, "last change of the row")
DAYS = Table(
    "figure",
    ("unit", "at"),
    tuple(column for column in LOG.target.columns if column.name not in ("updated_at", "note")),
    mongo="figure",
)
SHARED = Entry("figure", "log", DAYS, changed="updated_at", extra=(STAMP,), shared=True, ignored={"note": "not asked"})


def test_a_shared_collection_keeps_what_other_pipelines_wrote(bench: Bench) -> None:
    fill(bench, 8)
    with bench.open() as (_, store):
        create_collection(store.database, "figure", validator(DAYS), ())
        ours = pl.DataFrame({"unit": [1], "at": [HOUR.start], "energy": [99], "power": [9.5]}).cast(
            pl.Schema(DAYS.schema)
        )
        store.upsert(DAYS, ours)
        # Older than the row, so nothing but its origin keeps it.
        store.database["figure"].update_one({"unit": 1}, {"$set": {"updated_at": HOUR.start}})
    assert bench.migrate(SHARED, HOUR) == {"rows": 8, "inserted": 7, "kept": 1}
    found = {(each["unit"], each["at"]): each for each in bench.raw("figure")}
    assert found[1, HOUR.start]["power"] == 9.5
    assert "origin" not in found[1, HOUR.start]
    assert found[2, HOUR.start]["origin"] == "mysql"
    with bench.open() as (_, store):
        check = store.database["migration_check"].find_one({})
        assert check
        assert check["explained"] == {"of another pipeline": 1}
        # The platform computes what it had migrated before: from now on the figure is its own.
        store.upsert(DAYS, ours.with_columns(unit=pl.lit(2, pl.Int32)))
    bench.sql("UPDATE log SET power = -1, updated_at = '2026-10-31 23:30:00' WHERE `at` = '2026-10-31 23:00:00'")
    assert bench.migrate(SHARED, HOUR) == {"rows": 8, "updated": 2, "unchanged": 4, "kept": 2}


def test_the_migration_makes_a_shared_collection_with_the_validator_of_its_contract(bench: Bench) -> None:
    fill(bench, 8)
    bench.migrate(SHARED, HOUR)
    with bench.open() as (_, store):
        options = store.database["figure"].options()
        assert options["validator"] == validator(DAYS)
        assert any("updated_at" in str(index["key"]) for index in store.database["figure"].list_indexes())


def test_two_entries_of_one_table_make_two_collections(bench: Bench) -> None:
    fill(bench, 8)
    slim = Table("slim", ("unit", "at"), LOG.target.columns[:2], mongo="slim")
    entry = Entry("slim", "log", slim, ignored=dict.fromkeys(("energy", "power", "note", "updated_at"), "not asked"))
    assert bench.migrate(REGISTER)["inserted"] == bench.migrate(entry)["inserted"] == 8
