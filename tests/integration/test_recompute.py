"""Late data on real servers: what must be computed again is marked, taken by a live run, and cleared in the end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import polars as pl
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from tests.generation_world import World
from tests.integration.pipeline_runs import Killed, Platform
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, DAY_TOTAL_GENERATION, INVERTER, READING
from wattline.storage import recompute
from wattline.window import Window

pytestmark = pytest.mark.integration

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 7, 20, 12, tzinfo=UTC)
NOW = Window(NOON, NOON + HOUR)


@pytest.fixture
def database(fresh_mongo: str) -> Iterator[Database[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(fresh_mongo, tz_aware=True)
    with client:
        yield client.get_default_database()


def mark(database: Database[dict[str, Any]], *rows: tuple[int, int], pipeline: str = "hours") -> None:
    """Mark hours, each `mcno` and how many hours it begins after NOON."""
    marks = [(pipeline, mcno, NOON + n * HOUR, NOON + (n + 1) * HOUR) for mcno, n in rows]
    recompute.mark(database, pl.DataFrame(marks, recompute.MARKS, orient="row"))


def due(database: Database[dict[str, Any]], *, live: bool = True, most_days: int = 7) -> pl.DataFrame:
    return recompute.due(database, "hours", NOW, live=live, most_days=most_days)


def marked(frame: pl.DataFrame) -> list[tuple[int, float]]:
    return [(mcno, (start - NOON) / HOUR) for mcno, start in frame.select("mcno", "start").iter_rows()]


def test_a_mark_is_there_once_for_all_its_plants(database: Database[dict[str, Any]]) -> None:
    mark(database, (1, -5), (2, -5), (1, -4))
    mark(database, (3, -5), (1, -5))
    assert marked(due(database)) == [(1, -5), (2, -5), (3, -5), (1, -4)]
    assert database["recompute"].count_documents({}) == 2
    mark(database)
    assert recompute.due(database, "days", NOW, live=True, most_days=7).schema == recompute.DUE


def test_a_run_takes_the_marks_of_its_window_and_a_live_one_those_before(database: Database[dict[str, Any]]) -> None:
    mark(database, (1, -2), (1, -1), (1, 0), (1, 1))
    half = [("hours", 2, NOON - HOUR / 2, NOON + HOUR / 2), ("hours", 2, NOON + HOUR / 2, NOON + HOUR * 1.5)]
    recompute.mark(database, pl.DataFrame(half, recompute.MARKS, orient="row"))
    assert marked(due(database, live=False)) == [(2, -0.5), (1, 0)]
    assert marked(due(database)) == [(1, -2), (1, -1), (2, -0.5), (1, 0)]


def test_the_oldest_days_come_first_and_the_others_next_time(database: Database[dict[str, Any]]) -> None:
    days = (-1, -30, -24 * 3, -24 * 400)
    mark(database, *((1, n) for n in days), *((2, n - 1) for n in days))
    assert marked(due(database, most_days=2)) == [(2, -9601), (1, -9600), (2, -73), (1, -72)]
    recompute.clear(database, "hours", due(database, most_days=2))
    assert marked(due(database, most_days=2)) == [(2, -31), (1, -30), (2, -2), (1, -1)]


def test_a_mark_that_is_set_again_meanwhile_stays(database: Database[dict[str, Any]]) -> None:
    mark(database, (1, -5), (1, -4))
    mark(database, (1, -5), pipeline="days")
    taken = due(database)
    mark(database, (1, -5))
    assert marked(recompute.clear(database, "hours", taken)) == [(1, -5)]
    assert marked(recompute.clear(database, "hours", taken)) == [(1, -5), (1, -4)]
    assert marked(due(database)) == [(1, -5)]
    assert database["recompute"].count_documents({"pipeline": "days"}) == 1
    recompute.clear(database, "hours", due(database))
    assert due(database).is_empty()


def test_a_mark_that_was_cleared_and_set_again_is_another(database: Database[dict[str, Any]]) -> None:
    mark(database, (1, -5))
    slow = due(database)
    recompute.clear(database, "hours", due(database))
    mark(database, (1, -5))
    recompute.clear(database, "hours", slow)
    assert marked(due(database)) == [(1, -5)]


def finish(database: Database[dict[str, Any]], taken: pl.DataFrame) -> None:
    """What the last task of a run does with its marks."""
    recompute.mark(database, recompute.clear(database, "hours", taken))


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_runs_that_overlap_mark_each_other_no_longer_than_they_overlap(
    database: Database[dict[str, Any]], order: tuple[int, ...]
) -> None:
    mark(database, (1, -5), (2, -4))
    overlapping = [due(database)]
    mark(database, (1, -5))
    overlapping += [due(database), due(database)]
    for n in order:
        finish(database, overlapping[n])
    assert (1, -5) in marked(due(database)), "nobody knows which of them stored last"
    for left in ([], []):
        finish(database, due(database))
        assert marked(due(database)) == left


def test_of_a_long_backlog_a_run_reads_no_more_than_it_takes(fresh_mongo: str) -> None:
    read = Answers()
    client: MongoClient[dict[str, Any]] = MongoClient(fresh_mongo, tz_aware=True, event_listeners=[read])
    with client:
        database = client.get_default_database()
        mark(database, *((mcno, -n) for mcno in (1, 2) for n in range(1, 24 * 60)))
        read.documents = 0
        taken = due(database, most_days=2)
    assert taken["start"].dt.date().n_unique() == 2
    assert read.documents < 24 * 2 + 200


class Answers(CommandListener):
    """Counts the documents that a server hands over."""

    documents = 0

    def started(self, event: CommandStartedEvent) -> None:
        """Of no interest."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Of no interest."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor", {})
        self.documents += len(cursor.get("firstBatch", cursor.get("nextBatch", [])))


START = datetime(2026, 7, 20, 6, tzinfo=UTC)
"""Eight o'clock in Berlin."""


def run(first: float, last: float) -> Window:
    return Window(START + first * HOUR, START + last * HOUR)


@pytest.fixture
def platform(fresh_mysql: str, fresh_mongo: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A plant with two inverters that make 6 kWh an hour; inverter 1 is silent from 7:00 to 8:00 UTC."""
    made = Platform(fresh_mysql, fresh_mongo, monkeypatch)
    world = World({1: "Europe/Berlin"}, inverters=2)
    for table in (CUSTOMER, INVERTER):
        made.mysql.upsert(table, world.mysql.read(table))
    for n in range(-12, 60):
        for invno in (1, 2):
            if invno == 2 or not 6 <= n < 12:
                at = START + n * timedelta(minutes=10) + timedelta(minutes=5)
                world.send(at, Decimal(1000 * invno + n), Decimal(12 + n), invno=invno)
    made.mongo.upsert(READING, world.readings())
    made.read_until(START + 10 * HOUR)
    yield made
    made.close()


def send_late(platform: Platform, received_at: datetime) -> None:
    """The readings of inverter 1 from 7:00 to 8:00 arrive."""
    late = World({1: "Europe/Berlin"})
    for n in range(6, 12):
        at = START + n * timedelta(minutes=10) + timedelta(minutes=5)
        late.send(at, Decimal(1000 + n), Decimal(12 + n), received_at=received_at)
    platform.mongo.upsert(READING, late.readings())


def hours(platform: Platform, invno: int = 1) -> list[Decimal]:
    rows = platform.mongo.read(TIME_GENERATION)
    assert platform.mysql.read(TIME_GENERATION).equals(rows)
    return rows.filter(invno=invno)["timekw"].to_list()


def marks(platform: Platform, pipeline: str) -> list[float]:
    found = platform.database["recompute"].find({"pipeline": pipeline}).sort("start")
    return [(each["start"] - START) / HOUR for each in found]


def live_hours(platform: Platform, first: int, last: int) -> None:
    for hour in range(first, last):
        platform.start("inverterlog", run(hour, hour + 1))
        platform.start("time_generation", run(hour, hour + 1))
        platform.start("mysql_total_generation", run(hour, hour + 1))


GAP, WHOLE = [6, 6, 0, 12, 6], [6, 6, 6, 6, 6]


def test_late_rows_put_hours_and_days_right_in_both_databases(platform: Platform) -> None:
    live_hours(platform, -2, 4)
    assert hours(platform)[1:] == GAP
    assert marks(platform, "time_generation") == [4], "the hour that begins with the last tick is under way"
    send_late(platform, START + 4.1 * HOUR)
    platform.start("inverterlog", run(4, 5))
    assert marks(platform, "time_generation") == [1, 2, 3, 4, 5], "from the late row on"
    assert marks(platform, "mysql_total_generation") == [-8], "the day in Berlin"
    returned = platform.start("time_generation", run(4, 5))
    assert hours(platform)[1:] == [*WHOLE, 6]
    assert returned["store_time_generation"] == {"inserted": 3, "updated": 4, "unchanged": 5, "kept": 0}
    platform.start("mysql_total_generation", run(4, 5))
    assert marks(platform, "time_generation") == [5]
    assert marks(platform, "generation_summary") == [-8]
    for table in (DAY_GENERATION, DAY_TOTAL_GENERATION):
        assert platform.mysql.read(table).equals(platform.mongo.read(table))
    rows = platform.mongo.read(TIME_GENERATION).filter(pl.col("start") >= START)
    assert rows.select("fresh_ticks").to_series().unique().to_list() == [6, 12]
    assert not rows["spans_gap"].any()


def test_every_run_marks_its_whole_window(platform: Platform) -> None:
    live_hours(platform, -2, 4)
    send_late(platform, START + 1.9 * HOUR)
    platform.start("inverterlog", run(1, 2), live=False)
    assert marks(platform, "time_generation") == [1, 2, 4], "the hour after it counts from its last tick"
    platform.start("time_generation", run(1, 2), live=False)
    assert marks(platform, "time_generation") == [2, 4]
    assert marks(platform, "generation_summary") == [-8]
    platform.start("inverterlog", run(2, 4))
    assert marks(platform, "time_generation") == [2, 3, 4]
    live_hours(platform, 4, 5)
    assert hours(platform)[1:] == [*WHOLE, 6]
    assert marks(platform, "time_generation") == [5]


def test_a_reader_that_was_away_catches_up(platform: Platform) -> None:
    """Its runs of two hours never were: it was paused, or gave up waiting."""
    live_hours(platform, -2, 1)
    for hour in (1, 2):
        platform.start("inverterlog", run(hour, hour + 1))
    live_hours(platform, 3, 4)
    assert hours(platform)[1:] == GAP[:4] + GAP[4:]
    assert hours(platform, 2)[1:] == WHOLE
    assert marks(platform, "time_generation") == [4]


def test_a_run_over_the_marked_time_clears_its_marks_without_computing_more(platform: Platform) -> None:
    live_hours(platform, -2, 4)
    platform.start("inverterlog", run(-2, 4), live=False)
    planned = platform.start("time_generation", run(0, 4), live=False)["plan"]
    assert planned["scope"]["rows"] == 1
    assert marks(platform, "time_generation") == [-2, -1, 4], "those of other hours stay"


@pytest.mark.parametrize("killed_before", ["store_inverter_log", "finish"])
def test_a_run_that_is_killed_leaves_marks_and_is_done_again(platform: Platform, killed_before: str) -> None:
    live_hours(platform, -2, 4)
    send_late(platform, START + 4.1 * HOUR)
    with pytest.raises(Killed):
        platform.start("inverterlog", run(4, 5), before=killed_before, run="killed")
    assert marks(platform, "time_generation") == [1, 2, 3, 4, 5]
    platform.start("inverterlog", run(4, 5), run="killed")
    platform.start("time_generation", run(4, 5))
    assert hours(platform)[1:] == [*WHOLE, 6]
    assert marks(platform, "time_generation") == [5]


def test_a_reader_that_is_quicker_than_the_storers_reads_again(platform: Platform) -> None:
    live_hours(platform, -2, 4)
    send_late(platform, START + 4.1 * HOUR)
    with pytest.raises(Killed):
        platform.start("inverterlog", run(4, 5), before="store_inverter_log", run="slow")
    platform.start("time_generation", run(3, 4))
    assert hours(platform)[1:] == GAP, "it took the marks, and the old rows"
    assert marks(platform, "time_generation") == [4, 5]
    platform.start("inverterlog", run(4, 5), run="slow", since="store_inverter_log")
    platform.start("time_generation", run(4, 5))
    assert hours(platform)[1:] == [*WHOLE, 6]


def test_a_finish_that_is_killed_while_it_clears_is_done_again(platform: Platform) -> None:
    live_hours(platform, -2, -1)
    for dag_id in ("inverterlog", "time_generation"):
        platform.start(dag_id, run(-1, 0), run="killed")
        platform.start(dag_id, run(-1, 0), run="killed", since="finish")
    assert hours(platform) == [5, 6]


def test_a_reader_that_is_killed_before_its_end_leaves_its_marks(platform: Platform) -> None:
    live_hours(platform, -2, 4)
    send_late(platform, START + 4.1 * HOUR)
    platform.start("inverterlog", run(4, 5))
    for before in ("process", "store_mysql_time_generation", "finish"):
        with pytest.raises(Killed):
            platform.start("time_generation", run(4, 5), before=before, run="killed")
        assert marks(platform, "time_generation") == [1, 2, 3, 4, 5]
    platform.start("time_generation", run(4, 5), run="killed")
    assert hours(platform)[1:] == [*WHOLE, 6]
    assert marks(platform, "time_generation") == [5]


def test_what_a_run_that_goes_on_late_has_stored_is_computed_again(platform: Platform) -> None:
    live_hours(platform, -2, 4)
    with pytest.raises(Killed):
        platform.start("time_generation", run(3, 4), run="slow", before="store_time_generation")
    send_late(platform, START + 4.1 * HOUR)
    platform.start("inverterlog", run(4, 5))
    with pytest.raises(Killed):
        platform.start("time_generation", run(4, 5), run="slower", before="store_time_generation")
    correction = World({1: "Europe/Berlin"})
    at, received_at = START + timedelta(minutes=65), START + 5.1 * HOUR
    correction.send(at, Decimal("1006.5"), Decimal("18.5"), received_at=received_at)
    platform.mongo.upsert(READING, correction.readings())
    live_hours(platform, 5, 6)
    right = hours(platform)
    platform.start("time_generation", run(4, 5), run="slower", since="store_time_generation")
    assert marks(platform, "time_generation") == [1, 2, 3, 4, 6], "what it has stored may be older"
    live_hours(platform, 6, 7)
    assert hours(platform)[: len(right)] == right
    assert marks(platform, "time_generation") == [7], "a run that nobody interferes with marks nothing again"
