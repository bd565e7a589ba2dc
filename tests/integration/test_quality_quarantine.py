"""The collection `quarantine` on a real mongod: idempotent, and resolved when a later run says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from tests.quality_batches import LATER, START, WINDOW, batch
from tests.servers import RunningServer
from wattline.errors import TransientError
from wattline.quality.gate import GateResult, check
from wattline.quality.quarantine import QuarantineCount, write_quarantine
from wattline.quality.suite import Suite, required
from wattline.solar.checks import READINGS
from wattline.solar.tables import INVERTER
from wattline.window import Window

pytestmark = pytest.mark.integration

BAD = {"ackw": -9999.0}
DAY = Window(START.replace(hour=0), START.replace(hour=0) + timedelta(days=1))


@pytest.fixture
def database(fresh_mongo: str) -> Iterator[Database[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(fresh_mongo, serverSelectionTimeoutMS=500)
    with client:
        yield client.get_default_database()


def verdict(rows: Sequence[Mapping[str, Any]]) -> GateResult:
    return check(READINGS, batch(READINGS, rows), max_bad_share=0.05)


def state(database: Database[dict[str, Any]]) -> dict[int, str]:
    """Inverter number → status."""
    return {each["_id"]["key"]["invno"]: each["status"] for each in database["quarantine"].find()}


def stored_bytes(database: Database[dict[str, Any]]) -> list[bytes]:
    raw = database.client.get_database(database.name).get_collection("quarantine")
    documents = raw.with_options(raw.codec_options.with_options(document_class=RawBSONDocument)).find().sort("_id")
    return [document.raw for document in documents]


def test_the_same_result_again_changes_nothing(database: Database[dict[str, Any]]) -> None:
    late = {**BAD, "at": START + timedelta(microseconds=123_456)}
    result = verdict([BAD, {}, late, {"dckw": float("nan")}])
    assert write_quarantine(database, result, "inverterlog", WINDOW) == QuarantineCount(open=3, resolved=0)
    before = stored_bytes(database)
    assert write_quarantine(database, result, "inverterlog", WINDOW) == QuarantineCount(open=3, resolved=0)
    assert stored_bytes(database) == before
    assert len(before) == 3


def test_a_rerun_resolves_rows_that_are_good_or_gone_and_opens_them_again(database: Database[dict[str, Any]]) -> None:
    write_quarantine(database, verdict([BAD, BAD, BAD, {}]), "inverterlog", WINDOW)
    rerun = verdict([{}, BAD])
    assert write_quarantine(database, rerun, "inverterlog", WINDOW) == QuarantineCount(open=1, resolved=2)
    assert state(database) == {1: "resolved", 2: "open", 3: "resolved"}
    assert write_quarantine(database, rerun, "inverterlog", WINDOW) == QuarantineCount(open=1, resolved=0)
    write_quarantine(database, verdict([BAD]), "inverterlog", WINDOW)
    assert state(database) == {1: "open", 2: "resolved", 3: "resolved"}


def test_an_empty_rerun_resolves_what_is_gone(database: Database[dict[str, Any]]) -> None:
    write_quarantine(database, verdict([BAD]), "inverterlog", WINDOW)
    assert write_quarantine(database, verdict([]), "inverterlog", WINDOW) == QuarantineCount(open=0, resolved=1)


def test_another_window_resolves_only_the_rows_that_it_holds_as_good(database: Database[dict[str, Any]]) -> None:
    write_quarantine(database, verdict([BAD, {**BAD, "at": START + timedelta(microseconds=1)}]), "inverterlog", WINDOW)
    write_quarantine(database, verdict([{"at": LATER.start}]), "inverterlog", LATER)
    assert state(database) == {1: "open", 2: "open"}
    history = verdict([{"invno": 2, "at": START + timedelta(microseconds=1)}, {}, {"invno": 3}])
    assert write_quarantine(database, history, "inverterlog", DAY) == QuarantineCount(open=0, resolved=1)
    assert state(database) == {1: "open", 2: "resolved"}


def test_a_further_batch_of_a_window_leaves_open_what_the_first_one_rejected(
    database: Database[dict[str, Any]],
) -> None:
    first, further = verdict([BAD]), verdict([{"invno": 2}, {**BAD, "invno": 3}])
    for _ in range(2):
        write_quarantine(database, first, "inverterlog", WINDOW)
        write_quarantine(database, further, "inverterlog", WINDOW, further=True)
        assert state(database) == {1: "open", 3: "open"}
    write_quarantine(database, verdict([]), "inverterlog", WINDOW)
    write_quarantine(database, verdict([{"invno": 2}, {"invno": 3}]), "inverterlog", WINDOW, further=True)
    assert state(database) == {1: "resolved", 3: "resolved"}


def test_other_pipelines_and_tables_are_left_alone(database: Database[dict[str, Any]]) -> None:
    write_quarantine(database, verdict([BAD]), "inverterlog", WINDOW)
    write_quarantine(database, verdict([{}]), "another", WINDOW)
    keys = Suite("keys", INVERTER, required(INVERTER, INVERTER.key, "correct it"))
    inverters = check(keys, batch(keys, [{}]), 1.0)
    write_quarantine(database, inverters, "inverterlog", WINDOW)
    assert state(database) == {1: "open"}


def test_many_bad_rows_are_written_and_resolved_in_chunks(
    database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattline.quality.quarantine._CHUNK", 7)
    write_quarantine(database, verdict([BAD] * 50), "inverterlog", WINDOW)
    assert state(database) == dict.fromkeys(range(1, 51), "open")
    assert write_quarantine(database, verdict([{}] * 50), "inverterlog", WINDOW).resolved == 50
    assert state(database) == dict.fromkeys(range(1, 51), "resolved")


def test_a_server_that_is_away_is_a_transient_error(
    database: Database[dict[str, Any]], mongo_server: RunningServer
) -> None:
    mongo_server.stop()
    with pytest.raises(TransientError):
        write_quarantine(database, verdict([BAD]), "inverterlog", WINDOW)
