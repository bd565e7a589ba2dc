"""The migrations through Airflow: every table arrives, killed tasks go on, differences are told and mended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import Platform, until, utc
from tests.e2e.fleet import DAYS, readings, register, send, simulate
from wattline.solar.migrations import ENTRIES
from wattline.window import Window

PLANT = 8401
DAG = "migration_inverter_m10"


def _documents(platform: Platform, collection: str) -> int:
    """Documents of a collection, or of all its months, that are not marked as deleted."""
    names = [name for name in platform.mongo.list_collection_names() if name.rstrip("0123456789_") == collection]
    return sum(platform.mongo[name].count_documents({"deleted_at": None}) for name in names)


def _state(platform: Platform, table: str) -> dict[str, Any]:
    return platform.mongo["migration_state"].find_one({"_id": {"table": table}}) or {}


@pytest.fixture(scope="module")
def world(platform: Platform) -> Platform:
    """A simulated day, brought by the first live runs; where other tests started those before, by its window."""
    simulate(platform)
    for dag_id in ENTRIES:
        platform.api.unpause(dag_id)
    assert platform.run(DAG, DAYS) == "success"
    names = [entry.name for entries in ENTRIES.values() for entry in entries]
    until(lambda: all(_state(platform, name).get("watermark") for name in names), "every table's first run", pause=1)
    return platform


def test_every_table_of_the_old_system_arrives_and_both_sides_say_the_same(world: Platform) -> None:
    lines = world.wattline("migrate", "status")
    for dag_id, entries in ENTRIES.items():
        for entry in entries:
            assert entry.name in lines
            state = _state(world, entry.name)
            assert state["error"] is None
            assert state["check"]["differences"] == []
            assert _documents(world, str(entry.target.mongo)) > 0, f"nothing arrived by {entry.name} of {dag_id}"
    days = ("--from", DAYS.start.isoformat(), "--to", DAYS.end.isoformat())
    for name, bounds in {"inverterlog": days, "zipaddress": (), "daygeneration": ()}.items():
        assert "both sides agree" in world.wattline("migrate", "verify", name, *bounds)


def test_a_window_of_the_past_leaves_the_watermark(world: Platform) -> None:
    before = _state(world, "inverterlog")
    assert before["watermark"].replace(tzinfo=UTC) > datetime.now(UTC) - timedelta(hours=1)
    assert world.run(DAG, Window(DAYS.start, DAYS.start + timedelta(hours=1))) == "success"
    after = _state(world, "inverterlog")
    assert after["run_at"] > before["run_at"]
    assert after["watermark"] - before["watermark"] in (timedelta(0), timedelta(minutes=10))


def test_a_killed_extract_goes_on_and_a_difference_is_told_and_mended(platform: Platform) -> None:
    window = Window(utc("2026-06-05T02:00"), utc("2026-06-05T02:10"))
    register(platform.mysql, PLANT, 20, removed_at=utc("2026-06-06T00:00"))
    send(platform.mysql, readings(PLANT, 20, [window.start + timedelta(minutes=n) for n in (2, 7)]))
    run_id = platform.trigger(DAG, window)
    until(lambda: platform.tasks(DAG, run_id)["inverterlog.plan"]["state"] == "success", "a plan")
    with platform.locked("inverterlog"):
        platform.kill(DAG, run_id, "inverterlog.slices.extract")
    assert platform.finished(DAG, run_id) == "success"
    assert platform.tasks(DAG, run_id)["inverterlog.slices.extract"]["try_number"] > 1
    log = platform.mongo["inverter_reading_202606"]
    assert log.count_documents({"mcno": PLANT}) == 40

    log.delete_one({"mcno": PLANT, "invno": 3})
    log.update_one({"mcno": PLANT, "invno": 4}, {"$set": {"ackw": 1.5}})
    with pytest.raises(AssertionError, match="2 keys differ: 1 missing, 1 different"):
        platform.wattline("migrate", "verify", "inverterlog", "--from", str(window.start), "--to", str(window.end))
    platform.wattline("migrate", "repair", "inverterlog", "--from", str(window.start), "--to", str(window.end))
    platform.wattline("migrate", "verify", "inverterlog", "--from", str(window.start), "--to", str(window.end))
    assert log.count_documents({"mcno": PLANT, "ackw": 40.0}) == 40
