"""Statistics that are kept current run by run, in MariaDB, against statistics of all slots at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy.schema import CreateTable

from wattline.errors import TerminalError, TransientError
from wattline.meters import statistics_store
from wattline.meters.databases import Databases
from wattline.meters.statistics import KEY, statistics
from wattline.meters.statistics_store import rebuild, refresh, refresh_medians
from wattline.meters.tables import HOURLY, MEDIAN_DUE, STATISTICS
from wattline.storage.mysql import MySQLStore
from wattline.storage.sql import DIALECT, sql_table
from wattline.storage.store import Condition
from wattline.window import Window

pytestmark = pytest.mark.integration
ZONE = "Asia/Seoul"
HOUR = timedelta(hours=1)
TABLE = HOURLY["meter"]
# 22:00 on 30 January in Seoul.
START = datetime(2026, 1, 30, 13, tzinfo=UTC)


@pytest.fixture
def energy(fresh_mysql: str) -> Iterator[MySQLStore]:
    with closing(MySQLStore.from_url(fresh_mysql)) as store:
        with store.transaction() as cursor:
            for table in (*HOURLY.values(), STATISTICS, MEDIAN_DUE):
                cursor.execute(str(CreateTable(sql_table(table)).compile(dialect=DIALECT)))
        yield store


@pytest.fixture
def databases(energy: MySQLStore) -> Databases:
    return Databases(energy, energy, energy)


def slots(*rows: tuple[int, datetime, object]) -> pl.DataFrame:
    return pl.DataFrame(
        [(meter, at, Decimal(str(value))) for meter, at, value in rows], schema=TABLE.schema, orient="row"
    )


def everything(energy: MySQLStore, zone: str = ZONE, kind: str = "meter") -> pl.DataFrame:
    """Statistics of all hourly rows."""
    return statistics(energy.read(HOURLY[kind]).rename({f"{kind}_id": "meter_id"}), kind, zone, 60)


def check(energy: MySQLStore) -> None:
    """All is as if computed from all slots, but for medians that are named as due."""
    stored, expected = energy.read(STATISTICS), everything(energy)
    assert_frame_equal(stored.drop("median"), expected.drop("median"), check_exact=True)
    due = energy.read(MEDIAN_DUE)
    assert_frame_equal(stored.join(due, on=KEY, how="anti"), expected.join(due, on=KEY, how="anti"), check_exact=True)


def test_runs_of_any_kind_leave_the_statistics_of_all_slots(energy: MySQLStore, databases: Databases) -> None:
    chance = random.Random(4)
    done = [START]
    for number in range(12):
        window = Window(START + HOUR * 3 * number, START + HOUR * 3 * (number + 1))
        starts = [window.start + HOUR * n for n in range(3)]
        changed = [(meter, at) for at in starts for meter in (1, 2, 3) if chance.random() < 0.9]
        changed += [(chance.randint(1, 3), chance.choice(done)) for _ in range(chance.randint(0, 2))]
        rows = slots(*((*key, chance.randint(0, 10**7) / 1000) for key in dict.fromkeys(changed)))
        energy.upsert(TABLE, rows)
        done += starts
        refresh(databases, "meter", rows, ZONE, 60)
        refresh_medians(databases, "meter", window, ZONE, 60)
        check(energy)
        due = set(energy.read(MEDIAN_DUE)["period"])
        month_ended = window.start < datetime(2026, 1, 31, 15, tzinfo=UTC) <= window.end
        assert due == (set() if month_ended or number == 0 else due | {"year"})
        if number < 8:
            assert ("month" in due) == (number > 0)


def test_a_median_waits_for_the_end_of_the_day_or_month(energy: MySQLStore, databases: Databases) -> None:
    rows = slots(*((1, START + HOUR * n, value) for n, value in enumerate((1, 2, 30, 40, 50))))
    for some in (rows[:2], rows[2:3], rows[3:]):
        energy.upsert(TABLE, some)
        refresh(databases, "meter", some, ZONE, 60)
        longer = energy.read(STATISTICS).filter(pl.col("period") != "day")
        assert longer["median"].to_list() == [1.5, 1.5]
    before_midnight, day_ends, after_midnight, month_ends = (
        Window(START + HOUR * a, START + HOUR * b) for a, b in ((0, 1), (1, 2), (2, 3), (25, 26))
    )
    assert refresh_medians(databases, "meter", before_midnight, ZONE, 60) == 0
    assert refresh_medians(databases, "meter", after_midnight, ZONE, 60) == 0
    assert refresh_medians(databases, "meter", day_ends, ZONE, 60) == 1
    assert energy.read(STATISTICS).filter(period="month")["median"].to_list() == [30.0]
    assert energy.read(STATISTICS).filter(period="year")["median"].to_list() == [1.5]
    assert refresh_medians(databases, "meter", month_ends, ZONE, 60) == 1
    assert_frame_equal(energy.read(STATISTICS), everything(energy), check_exact=True)
    assert energy.read(MEDIAN_DUE).is_empty()


def test_hours_that_were_there_before_count_with_the_first_change(energy: MySQLStore, databases: Databases) -> None:
    before = slots(*((meter, START + timedelta(days=9) * n, n) for n in range(12) for meter in (1, 2)))
    energy.upsert(TABLE, before)
    refresh(databases, "meter", slots((1, START, 0)), ZONE, 60)
    whole = everything(energy).filter(pl.col("meter_id") == 1)
    assert_frame_equal(energy.read(STATISTICS), whole, check_exact=True)
    assert energy.read(MEDIAN_DUE).is_empty()


def test_slots_that_are_gone_leave_nothing_behind(energy: MySQLStore, databases: Databases) -> None:
    rows = slots(*((1, START + HOUR * n, n) for n in (0, 1, 5, 30)))
    energy.upsert(TABLE, rows)
    refresh(databases, "meter", rows, ZONE, 60)
    for gone in ((START + HOUR * 5,), (START + HOUR * 30,), (START, START + HOUR)):
        with energy.transaction() as cursor:
            for at in gone:
                cursor.execute("DELETE FROM tbl_meter_hourly WHERE start_datetime_utc = %s", (at.replace(tzinfo=None),))
        refresh(databases, "meter", slots(*((1, at, 0) for at in gone)), ZONE, 60)
        check(energy)
    assert energy.read(STATISTICS).is_empty()
    assert energy.read(MEDIAN_DUE).is_empty()


def test_another_zone_needs_a_rebuild_and_other_kinds_stay(
    energy: MySQLStore, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics_store, "_NAMED", 2)
    rows = slots(*((meter, START + HOUR * 11 * n, n + meter) for n in range(40) for meter in range(1, 6)))
    energy.upsert(TABLE, rows)
    energy.upsert(HOURLY["offline_meter"], rows.head(3).rename({"meter_id": "offline_meter_id"}))
    refresh(databases, "meter", rows, ZONE, 60)
    check(energy)
    refresh(databases, "offline_meter", rows.head(3), ZONE, 60)
    monkeypatch.setattr(statistics_store, "_ROWS", 50)
    assert rebuild(databases, "meter", "America/New_York", 60) > 0
    other = everything(energy, kind="offline_meter")
    expected = pl.concat([everything(energy, "America/New_York"), other]).sort(KEY)
    assert_frame_equal(energy.read(STATISTICS), expected, check_exact=True)


def test_two_runs_of_a_kind_take_turns(energy: MySQLStore, fresh_mysql: str, databases: Databases) -> None:
    energy.upsert(TABLE, slots((1, START, 1)))
    first = statistics_store._Work(energy, "meter", ZONE, 60)
    with closing(MySQLStore.from_url(fresh_mysql)) as other, ThreadPoolExecutor(1) as pool:
        with first.alone():
            second = pool.submit(refresh, Databases(other, other, other), "meter", slots((1, START, 0)), ZONE, 60)
            with pytest.raises(TimeoutError):
                second.result(0.3)
            assert energy.read(STATISTICS).is_empty()
            energy.upsert(TABLE, slots((1, START + HOUR, 5)))
        assert second.result(10) == 3
    assert energy.read(STATISTICS)["total"].to_list() == [Decimal(6)] * 3


def test_a_run_that_lost_its_turn_writes_nothing(
    energy: MySQLStore, databases: Databases, fresh_mysql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy.upsert(TABLE, slots((1, START, 1)))

    def slow(*arguments: object) -> pl.DataFrame:
        energy.close()
        return statistics(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(statistics_store, "statistics", slow)
    with pytest.raises(TransientError, match="turn"):
        refresh(databases, "meter", slots((1, START, 0)), ZONE, 60)
    assert energy.read(STATISTICS).is_empty()
    monkeypatch.setattr(statistics_store, "statistics", statistics)
    monkeypatch.setattr(statistics_store, "_PATIENCE", 0)
    with (
        closing(MySQLStore.from_url(fresh_mysql)) as other,
        statistics_store._Work(other, "meter", ZONE, 60).alone(),
        pytest.raises(TransientError, match="another run"),
    ):
        refresh(databases, "meter", slots((1, START, 0)), ZONE, 60)


def test_a_write_that_fails_leaves_all_as_it_was(energy: MySQLStore, databases: Databases) -> None:
    rows = slots(*((1, START + HOUR * n, n) for n in range(4)))
    energy.upsert(TABLE, rows[:2])
    refresh(databases, "meter", rows[:2], ZONE, 60)
    before = energy.read(STATISTICS)
    with energy.transaction() as cursor:
        cursor.execute("ALTER TABLE meter_statistics ADD CONSTRAINT no_more CHECK (period <> 'year' OR slots < 3)")
    energy.upsert(TABLE, rows[2:])
    with pytest.raises(TerminalError, match="no_more"):
        refresh(databases, "meter", rows[2:], ZONE, 60)
    assert_frame_equal(energy.read(STATISTICS), before)
    assert energy.read(MEDIAN_DUE).is_empty()
    with energy.transaction() as cursor:
        cursor.execute("ALTER TABLE meter_statistics DROP CONSTRAINT no_more")
    refresh(databases, "meter", rows[2:], ZONE, 60)
    assert energy.read(MEDIAN_DUE).height == 2
    check(energy)


def test_only_the_rows_of_the_meters_that_changed_are_written(energy: MySQLStore, databases: Databases) -> None:
    rows = slots(*((meter, START + HOUR * n, n) for n in range(3) for meter in (1, 2)))
    energy.upsert(TABLE, rows)
    assert refresh(databases, "meter", rows, ZONE, 60) == 2 * (2 + 1 + 1)
    assert refresh(databases, "meter", slots((2, START, 0)), ZONE, 60) == 3
    assert refresh(databases, "meter", slots(), ZONE, 60) == 0
    where = (Condition("kind", "=", "meter"), Condition("meter_id", "=", 1))
    assert energy.count(STATISTICS, where) == 4
