"""Awkward values of old databases: they arrive as they are, or are quarantined with a reason, and both sides agree."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bson import Decimal128
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.migrating import LATER, Bench
from wattline.migrate.checks import examine
from wattline.migrate.entry import Entry
from wattline.migrate.kinds import MAX_TEXT_BYTES
from wattline.migrate.run import migrate
from wattline.storage.contract import UTC_TIME, Column, Table

pytestmark = pytest.mark.integration
NULLABLE: dict[str, tuple[str, pl.DataType]] = {
    "big": ("BIGINT UNSIGNED", pl.UInt64()),
    "small": ("TINYINT UNSIGNED", pl.Int32()),
    "exact": ("DECIMAL(30,12)", pl.Decimal(34, 12)),
    "widened": ("DECIMAL(18,3)", pl.Decimal(18, 6)),
    "whole": ("INT", pl.Decimal(30, 2)),
    "single": ("FLOAT", pl.Float64()),
    "double_": ("DOUBLE", pl.Float64()),
    "micro": ("DATETIME(6)", UTC_TIME),
    "exact_time": ("DATETIME(6)", pl.Int64()),
    "stamp": ("TIMESTAMP(3) NULL", UTC_TIME),
    "day": ("DATE", pl.Date()),
    "yes": ("BIT(1)", pl.Boolean()),
    "flags": ("BIT(12)", pl.Int64()),
    "kind": ("ENUM('off','on','고장')", pl.String()),
    "detail": ("JSON", pl.String()),
    "text": ("TEXT CHARACTER SET utf8mb4", pl.String()),
    "long_text": ("LONGTEXT CHARACTER SET utf8mb4", pl.String()),
    "korean": ("VARCHAR(50) CHARACTER SET euckr", pl.String()),
    "western": ("VARCHAR(50) CHARACTER SET latin1", pl.String()),
    "mislabelled": ("VARCHAR(50) CHARACTER SET latin1", pl.String()),
}
TABLE = Table(
    "thing",
    ("id",),
    (
        Column("id", pl.Int32(), "number"),
        *(Column(name, dtype, name, nullable=True) for name, (_, dtype) in NULLABLE.items()),
    ),
    mongo="thing",
)
ENTRY = Entry("thing", "thing", TABLE, deletions="soft", encodings={"mislabelled": "cp949"})
CREATE = (
    "CREATE TABLE thing (id INT PRIMARY KEY, " + ", ".join(f"{name} {kind}" for name, (kind, _) in NULLABLE.items())
) + ")"


@pytest.fixture(scope="module")
def bench(module_mysql: str, module_mongo: str, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(module_mysql, module_mongo, tmp_path_factory.mktemp("stage"))
    made.sql(CREATE)
    return made


def _insert(bench: Bench, number: int, **values: str) -> None:
    """Insert a row of SQL expressions."""
    names = ", ".join(("id", *values))
    bench.sql(f"REPLACE INTO thing ({names}) VALUES ({', '.join((str(number), *values.values()))})".replace("%", "%%"))


def _document(bench: Bench, number: int) -> dict[str, Any]:
    bench.migrate(ENTRY)
    (found,) = [each for each in bench.raw("thing") if each["id"] == number and "deleted_at" not in each]
    return found


ARRIVING: list[tuple[str, str, Any]] = [
    ("big", "18446744073709551615", Decimal128("18446744073709551615")),
    ("big", "0", Decimal128("0")),
    ("exact", "-123456789012345678.123456789012", Decimal128("-123456789012345678.123456789012")),
    ("widened", "-0.125", Decimal128("-0.125000")),
    ("whole", "-2147483648", Decimal128("-2147483648.00")),
    ("single", "0.1", 0.10000000149011612),
    ("double_", "1e-320", 1e-320),
    ("double_", "-1.7976931348623157e308", -1.7976931348623157e308),
    ("double_", "0.1 + 0.2e0", 0.1 + 0.2),
    ("micro", "'1969-12-31 23:59:59.999999'", datetime(1969, 12, 31, 23, 59, 59, 999000, UTC)),
    ("micro", "'9999-12-31 23:59:59.999999'", datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)),
    ("exact_time", "'2026-11-01 00:00:00.123457'", 1793491200123457),
    ("stamp", "'2026-11-01 00:00:00.250'", datetime(2026, 11, 1, 0, 0, 0, 250000, UTC)),
    ("day", "'1582-10-15'", "1582-10-15"),
    ("yes", "b'1'", True),
    ("flags", "b'100000000001'", 2049),
    ("kind", "'고장'", "고장"),
    ("detail", '\'{"a": [1, "둘", null]}\'', '{"a": [1, "둘", null]}'),
    (
        "text",
        "'🌞 한글 \"quoted\", line\\nline\\r\\n\\ttab \\\\N \\\\ \\0 zero'",
        '🌞 한글 "quoted", line\nline\r\n\ttab \\N \\ \0 zero',
    ),
    ("text", "''", ""),
    ("text", "'\"'", '"'),
    ("text", "' '", " "),
    ("long_text", f"REPEAT('해', {MAX_TEXT_BYTES // 3})", "해" * (MAX_TEXT_BYTES // 3)),
    ("korean", "'한글 전기'", "한글 전기"),
    ("western", "'Zürich'", "Zürich"),
    ("mislabelled", "x'C7D1B1DB'", "한글"),
    ("mislabelled", "''", ""),
]


@pytest.mark.parametrize(("name", "sql", "value"), ARRIVING, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(ARRIVING)])
def test_a_value_arrives_as_it_is(bench: Bench, name: str, sql: str, value: Any) -> None:
    _insert(bench, 1, **{name: sql})
    document = _document(bench, 1)
    assert document[name] == value
    assert isinstance(document[name], type(value))
    assert [each for each in document if document[each] is not None] == ["_id", "id", name]
    assert bench.migrate(ENTRY)["unchanged"] >= 1


REFUSED = [
    ("micro", "'0000-00-00'", "micro is a zero date"),
    ("micro", "'2026-00-15'", "micro is a zero date"),
    ("exact_time", "'0000-00-00'", "exact_time is a zero date"),
    ("stamp", "'0000-00-00'", "stamp is a zero date"),
    ("day", "'2026-11-00'", "day is a zero date"),
    ("long_text", f"REPEAT('a', {MAX_TEXT_BYTES} + 1)", "long_text is longer than 4 MiB"),
    ("mislabelled", "x'80FF'", "mislabelled is no text in cp949"),
]


@pytest.mark.parametrize(("name", "sql", "reason"), REFUSED, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(REFUSED)])
def test_a_value_that_no_document_holds_is_quarantined_with_its_reason(
    bench: Bench, name: str, sql: str, reason: str
) -> None:
    _insert(bench, 3, text="'good'")
    _insert(bench, 2, **{name: sql})
    assert bench.migrate(ENTRY)["quarantined"] == 1
    (kept,) = [each for each in bench.raw("quarantine") if each["_id"]["key"] == {"id": 2}]
    assert [(each["field"], each["reason"]) for each in kept["reasons"]] == [(name, reason)]
    assert kept["status"] == "open"
    _insert(bench, 2, text="'mended'")
    assert "quarantined" not in bench.migrate(ENTRY)
    (kept,) = [each for each in bench.raw("quarantine") if each["_id"]["key"] == {"id": 2}]
    assert kept["status"] == "resolved"


@pytest.mark.parametrize(
    ("zone", "local", "stored"),
    [
        ("Asia/Seoul", "2026-11-01 00:30:00", datetime(2026, 10, 31, 15, 30, tzinfo=UTC)),
        ("Europe/Berlin", "2026-07-01 12:00:00", datetime(2026, 7, 1, 10, 0, tzinfo=UTC)),
        ("Europe/Berlin", "2026-03-29 02:30:00", "is a local time that the clocks skipped in Europe/Berlin"),
        ("Europe/Berlin", "2026-10-25 02:30:00", "is a local time that the clocks passed twice in Europe/Berlin"),
    ],
)
def test_naive_times_are_of_the_entrys_zone(bench: Bench, zone: str, local: str, stored: datetime | str) -> None:
    bench.sql("DROP TABLE IF EXISTS local", "CREATE TABLE local (id INT PRIMARY KEY, `at` DATETIME)")
    bench.sql(f"INSERT INTO local VALUES (1, '{local}')")
    table = Table(
        "local",
        ("id",),
        (Column("id", pl.Int32(), "number"), Column("at", UTC_TIME, "at", nullable=True)),
        mongo="local",
    )
    counts = bench.migrate(Entry("local", "local", table, time_zone=zone))
    if isinstance(stored, datetime):
        assert [each["at"] for each in bench.raw("local") if each["id"] == 1] == [stored]
    else:
        assert counts["quarantined"] == 1
        open_rows = [each for each in bench.raw("quarantine") if each["status"] == "open"]
        (kept,) = [each for each in open_rows if each["table"] == "mysql.local"]
        assert kept["reasons"][0]["reason"] == f"at {stored}"
    bench.sql("DELETE FROM local")
    bench.migrate(Entry("local", "local", table, time_zone=zone))


def test_rows_that_share_an_unenforced_key_are_all_quarantined(bench: Bench) -> None:
    bench.sql("CREATE TABLE doubled (id INT PRIMARY KEY AUTO_INCREMENT, a INT NULL, b VARCHAR(20))")
    bench.sql("INSERT INTO doubled (a, b) VALUES (1, 'x'), (1, 'y'), (2, 'z'), (NULL, 'none')")
    table = Table(
        "doubled",
        ("a",),
        (Column("a", pl.Int32(), "key"), Column("b", pl.String(), "b", nullable=True)),
        mongo="doubled",
    )
    entry = Entry("doubled", "doubled", table, unique=False, ignored={"id": "a number without meaning"})
    assert bench.migrate(entry) == {"rows": 4, "inserted": 1, "quarantined": 3}
    assert [each["b"] for each in bench.raw("doubled")] == ["z"]
    rejected = [each for each in bench.raw("quarantine") if each["table"] == "mysql.doubled"]
    reasons = sorted(each["reasons"][0]["reason"] for each in rejected)
    assert reasons == ["a is missing", "several rows have the key a", "several rows have the key a"]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.integers(0, 2**64 - 1),
            st.none() | st.decimals(Decimal(-(10**17)), 10**17, places=12),
            st.none() | FINITE,
            st.none() | st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30)),  # noqa: DTZ001 - as MySQL has them
            st.none() | st.dates(date(1000, 1, 1), date(9999, 12, 30)),
            st.none() | TEXT,
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_the_values_both_sides_agree_and_the_documents_hold_them(bench: Bench, rows: list[Any]) -> None:
    connection = bench.connection()
    cursor = connection.cursor()
    cursor.execute("DELETE FROM thing")
    for number, row in enumerate(rows, 100):
        cursor.execute(
            "INSERT INTO thing (id, big, exact, double_, micro, day, text) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (number, *row),
        )
    connection.close()
    bench.migrate(ENTRY)  # it verifies, and raises where the sides differ
    documents = {each["id"]: each for each in bench.raw("thing") if "deleted_at" not in each}
    for number, (big, exact, double, moment, day, text) in enumerate(rows, 100):
        found = documents[number]
        assert found["big"] == (None if big is None else Decimal128(str(big)))
        assert found["exact"] == (None if exact is None else Decimal128(f"{exact:.12f}"))
        assert found["double_"] == double
        cut = moment and moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
        assert found["micro"] == cut
        assert found["day"] == (day and day.isoformat())
        assert found["text"] == text


def test_json_stays_the_text_that_it_was(bench: Bench) -> None:
    _insert(bench, 4, detail="""'{"b":1.0,  "a":"\\\\u00e9"}'""")
    assert json.loads(_document(bench, 4)["detail"]) == {"b": 1.0, "a": "é"}


def test_a_plan_knows_every_column(bench: Bench) -> None:
    with bench.open() as (source, store):
        plan = examine(ENTRY, source)
        assert [one.column.name for one in plan.travels] == ["id", *NULLABLE]
        assert migrate(ENTRY, source, store, Path(bench.folder), LATER, live=False, share=1.0)["rows"] >= 1
