"""`wattline meters upgrade`: tables by contract, doubled hours shown and moved away, one row a slot from then on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wattline.cli.doubled_hours import DoubledHours
from wattline.errors import BadInputError, TerminalError
from wattline.meters import myems, upgrade
from wattline.meters.tables import CLOSURE, FINDING, HOURLY, METER_KINDS, OWN
from wattline.storage import sql
from wattline.storage.contract import Table
from wattline.storage.mysql import MySQLStore

pytestmark = pytest.mark.integration

HOUR = datetime(2026, 11, 1, 5, tzinfo=UTC).replace(tzinfo=None)
DOUBLED = [
    (1, 7, HOUR, "10.5"),
    (2, 7, HOUR.replace(hour=6), "1"),
    (3, 7, HOUR, "10.5"),
    (4, 7, HOUR, "10.5"),
    (5, 8, HOUR, "2"),
    (6, 8, HOUR, "2.000001"),
    (7, 9, HOUR, "3"),
]
"""Id, meter, slot, energy: slot 5 of meter 7 three times alike, of meter 8 twice with other values."""


@pytest.fixture
def store(fresh_mysql: str) -> Iterator[MySQLStore]:
    """An energy database as MyEMS leaves it, with some hours doubled."""
    myems.create(fresh_mysql, fresh_mysql, fresh_mysql)
    with closing(MySQLStore.from_url(fresh_mysql)) as opened:
        for kind in METER_KINDS:
            insert(opened, kind, DOUBLED)
        yield opened


def insert(store: MySQLStore, kind: str, rows: list[tuple[Any, ...]]) -> None:
    with store._cursor() as cursor:
        cursor.executemany(f"INSERT INTO tbl_{kind}_hourly VALUES (%s, %s, %s, %s)", rows)


def ask(store: MySQLStore, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with store._cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def hourly(store: MySQLStore, kind: str) -> list[tuple[Any, ...]]:
    return ask(store, f"SELECT id, {kind}_id, start_datetime_utc, actual_value FROM tbl_{kind}_hourly ORDER BY id")


def nothing(_: pl.DataFrame) -> None:
    pass


def test_myems_tables_are_made_once_and_stay_as_they_are(store: MySQLStore, fresh_mysql: str) -> None:
    before = hourly(store, "meter")
    myems.create(fresh_mysql, fresh_mysql, fresh_mysql, places=3)
    assert hourly(store, "meter") == before
    assert before[0][3] == Decimal("10.500000")
    found = ask(store, "SELECT index_name FROM information_schema.statistics WHERE table_name = 'tbl_energy_value'")
    assert len({name for (name,) in found}) == 3


def test_an_older_installation_has_three_places(fresh_mysql: str) -> None:
    myems.create(fresh_mysql, fresh_mysql, fresh_mysql, places=3)
    with closing(MySQLStore.from_url(fresh_mysql)) as opened:
        scales = ask(
            opened,
            "SELECT DISTINCT numeric_precision, numeric_scale FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND data_type = 'decimal'",
        )
        assert scales == [(18, 3)]
        upgrade.upgrade(opened, nothing)
    with pytest.raises(TerminalError, match="5 places"):
        myems.create(fresh_mysql, fresh_mysql, fresh_mysql, places=5)


def test_each_doubled_slot_is_told_with_what_stays_and_why(store: MySQLStore) -> None:
    told = pl.concat(upgrade.duplicates(store, ["meter"]))
    assert told.schema == upgrade.GROUPS
    assert told.rows() == [
        (
            "meter",
            7,
            HOUR.replace(tzinfo=UTC),
            3,
            1,
            Decimal("10.5"),
            [3, 4],
            [Decimal("10.5"), Decimal("10.5")],
            upgrade.EQUAL,
        ),
        ("meter", 8, HOUR.replace(tzinfo=UTC), 2, 6, Decimal("2.000001"), [5], [Decimal(2)], upgrade.DIFFERENT),
    ]
    assert pl.concat(upgrade.duplicates(store))["kind"].to_list() == [kind for kind in METER_KINDS for _ in range(2)]


def test_looking_changes_nothing(store: MySQLStore) -> None:
    before = [hourly(store, kind) for kind in METER_KINDS]
    list(upgrade.duplicates(store))
    assert [hourly(store, kind) for kind in METER_KINDS] == before
    assert ask(store, "SHOW TABLES LIKE 'meter_%%'") == []


def test_what_shared_a_slot_is_moved_and_nothing_is_lost(store: MySQLStore) -> None:
    told: list[pl.DataFrame] = []
    upgrade.upgrade(store, told.append)
    for kind in METER_KINDS:
        assert [row[0] for row in hourly(store, kind)] == [1, 2, 6, 7]
        moved = ask(
            store,
            f"SELECT id, meter_id, start_datetime_utc, actual_value, kept_id FROM {upgrade.REMOVED} "
            "WHERE kind = %s ORDER BY id",
            kind,
        )
        assert moved == [
            (3, 7, HOUR, Decimal("10.5"), 1),
            (4, 7, HOUR, Decimal("10.5"), 1),
            (5, 8, HOUR, Decimal(2), 6),
        ]
    assert pl.concat(told).height == 2 * len(METER_KINDS)


def test_once_upgraded_a_slot_has_one_row_and_upserts_replace_it(store: MySQLStore) -> None:
    with pytest.raises(TerminalError, match=r"tbl_meter_hourly has no unique key.*wattline meters upgrade"):
        upgrade.require_unique(store)
    upgrade.upgrade(store, nothing)
    upgrade.require_unique(store)
    for kind, table in HOURLY.items():
        row = {f"{kind}_id": 7, "start_datetime_utc": HOUR.replace(tzinfo=UTC), "actual_value": Decimal("0.25")}
        result = store.upsert(table, pl.DataFrame([row], schema=table.schema))
        assert (result.inserted, result.updated) == (0, 1)
        assert hourly(store, kind)[0] == (1, 7, HOUR, Decimal("0.25"))
        with pytest.raises(TerminalError, match="Duplicate entry"):
            insert(store, kind, [(100, 7, HOUR, "1")])


def test_the_index_that_myems_had_is_replaced_and_not_doubled(store: MySQLStore) -> None:
    upgrade.upgrade(store, nothing)
    query = (
        "SELECT index_name, non_unique, GROUP_CONCAT(column_name ORDER BY seq_in_index) "
        "FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'tbl_meter_hourly' "
        "GROUP BY index_name, non_unique ORDER BY 1"
    )
    assert ask(store, query) == [("PRIMARY", 0, "id"), ("tbl_meter_hourly_index_1", 0, "meter_id,start_datetime_utc")]


def test_again_it_does_nothing(store: MySQLStore) -> None:
    upgrade.upgrade(store, nothing)
    before = [hourly(store, kind) for kind in METER_KINDS]
    told: list[pl.DataFrame] = []
    upgrade.upgrade(store, told.append)
    assert told == []
    assert [hourly(store, kind) for kind in METER_KINDS] == before
    assert ask(store, f"SELECT COUNT(*) FROM {upgrade.REMOVED}") == [(3 * len(METER_KINDS),)]


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize("statement", ["INSERT INTO tbl_meter_hourly_duplicates", "DELETE t", "COMMIT", "ALTER"])
def test_killed_anywhere_a_rerun_puts_it_right(
    store: MySQLStore, fresh_mysql: str, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(upgrade, "_GROUPS_AT_ONCE", 1)
    with store._cursor() as cursor:
        kind = type(cursor)
    execute, left = kind.execute, [2]

    def dies(self: Any, query: Any, args: Any = None) -> Any:
        if str(query).startswith(statement):
            left[0] -= 1
            if not left[0]:
                raise _KilledError
        return execute(self, query, args)

    with monkeypatch.context() as killing:
        killing.setattr(kind, "execute", dies)
        with pytest.raises(_KilledError):
            upgrade.upgrade(store, nothing)
    store.close()
    with closing(MySQLStore.from_url(fresh_mysql)) as again:
        upgrade.upgrade(again, nothing)
        assert [[row[0] for row in hourly(again, each)] for each in METER_KINDS] == [[1, 2, 6, 7]] * 3
        moved = ask(again, f"SELECT kind, id FROM {upgrade.REMOVED} ORDER BY kind, id")
        assert moved == [(each, number) for each in sorted(METER_KINDS) for number in (3, 4, 5)]


def test_a_row_that_is_doubled_meanwhile_is_found_as_well(store: MySQLStore) -> None:
    late = iter([(50, 9, HOUR, "3")])

    def tell(_: pl.DataFrame) -> None:
        for row in late:
            insert(store, "meter", [row])

    upgrade.upgrade(store, tell)
    assert [row[0] for row in hourly(store, "meter")] == [1, 2, 6, 7]


def test_a_service_that_goes_on_doubling_is_told(store: MySQLStore) -> None:
    numbers = iter(range(50, 100))

    def tell(groups: pl.DataFrame) -> None:
        if groups["kind"][0] == "meter":
            insert(store, "meter", [(next(numbers), 7 + next(numbers) % 3, HOUR, "3") for _ in range(2)])

    with pytest.raises(TerminalError, match="Stop MyEMS's own normalization services"):
        upgrade.upgrade(store, tell)


def test_many_meters_are_looked_at_some_at_a_time(store: MySQLStore) -> None:
    insert(store, "meter", [(100 + n, 100 + n // 2, HOUR, "1") for n in range(60)])
    frames = list(upgrade.duplicates(store, ["meter"]))
    assert len(frames) == 4
    assert sum(frame.height for frame in frames) == 32


def test_another_database_is_told_apart(fresh_mysql: str) -> None:
    with closing(MySQLStore.from_url(fresh_mysql)) as empty:
        for act in (lambda: upgrade.upgrade(empty, nothing), lambda: upgrade.require_unique(empty)):
            with pytest.raises(TerminalError, match=r"no table tbl_meter_hourly.*WATTLINE_MYEMS_ENERGY_URL"):
                act()


LONG = {(FINDING.name, "detail"), (CLOSURE.name, "finding")}


@pytest.mark.parametrize("table", OWN, ids=lambda table: table.name)
def test_own_tables_are_what_the_contracts_say(store: MySQLStore, table: Table) -> None:
    upgrade.create_own(store)
    found = ask(
        store,
        "SELECT column_name, column_type, is_nullable, extra FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position",
        table.mysql,
    )
    assert [name for name, *_ in found] == table.schema.names()
    for column, (_, kind, nullable, extra) in zip(table.columns, found, strict=True):
        wanted = (
            sql.mysql_type(column.dtype).compile(dialect=sql.DIALECT).lower().replace(" ", "").replace("integer", "int")
        )
        assert kind.startswith("text" if (table.name, column.name) in LONG else wanted), column.name
        assert (nullable == "YES") == column.nullable, column.name
        assert extra == "", column.name
    keys = ask(
        store,
        "SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics "
        "WHERE table_schema = DATABASE() AND table_name = %s GROUP BY index_name",
        table.mysql,
    )
    named = {name: tuple(columns.split(",")) for name, columns in keys}
    assert named.pop("PRIMARY") == table.key
    assert sorted(named.values()) == sorted(table.indexes)


def test_a_long_sentence_fits(store: MySQLStore) -> None:
    upgrade.create_own(store)
    values = {
        "kind": "virtual_meter",
        "meter_id": 1,
        "start_datetime_utc": HOUR.replace(tzinfo=UTC),
        "subject": "division_by_zero",
        "detail": "x" * 2000,
    }
    store.upsert(FINDING, pl.DataFrame([values], schema=FINDING.schema))
    assert store.read(FINDING).row(0, named=True) == values


@pytest.mark.parametrize("name", ["missing/doubled.csv", ""])
def test_a_report_that_cannot_be_written_is_named_before_any_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError, match=r"^--report: .*cannot be written.*Name a file in a folder"):
        DoubledHours(tmp_path / name)
