"""What only MongoDB can do wrong: types of documents, bytes, validators, collections of months, raw documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import OperationFailure, WriteError

from tests.servers import RunningServer
from tests.storage_sample import SAMPLE, sample
from wattline.errors import TerminalError, TransientError
from wattline.solar.tables import DAY_GENERATION, READING
from wattline.storage import mongo
from wattline.storage.contract import Column, Table
from wattline.storage.documents import documents, put
from wattline.storage.mongo import MongoStore
from wattline.storage.months import find_range
from wattline.storage.store import Condition, WriteResult

pytestmark = pytest.mark.integration
Document = dict[str, Any]
START = datetime(2026, 12, 31, 23, tzinfo=UTC)


@pytest.fixture
def client(module_mongo: str) -> Iterator[MongoClient[Document]]:
    opened: MongoClient[Document] = MongoClient(module_mongo, tz_aware=True)
    with opened:
        opened.drop_database(opened.get_default_database().name)
        yield opened


@pytest.fixture
def database(client: MongoClient[Document]) -> Any:
    return client.get_default_database()


@pytest.fixture
def store(client: MongoClient[Document], module_mongo: str) -> Iterator[MongoStore]:
    with closing(MongoStore.from_url(module_mongo)) as opened:
        yield opened


def stored_bytes(database: Any, name: str) -> list[bytes]:
    raw = database.get_collection(name, codec_options=CodecOptions(document_class=RawBSONDocument))
    return [bytes(document.raw) for document in raw.find().sort("_id")]


def test_a_document_holds_its_key_and_every_column(store: MongoStore, database: Any) -> None:
    row = {"mcno": 7, "invno": 0, "day": "2026-11-30", "daykw": Decimal("12.500000")}
    store.upsert(DAY_GENERATION, pl.DataFrame([row]).with_columns(pl.col("day").str.to_date()))
    stored = database.day_generation.find_one()
    assert list(stored) == ["_id", "mcno", "invno", "day", "daykw"]
    assert stored["_id"] == {"mcno": 7, "invno": 0, "day": "2026-11-30"}
    assert stored["daykw"] == Decimal128("12.500000")
    assert store.read(DAY_GENERATION, [Condition("daykw", "=", Decimal("12.5"))]).height == 1


def test_the_same_rows_are_the_same_bytes_whichever_way_they_came(store: MongoStore, database: Any) -> None:
    frame = sample(5)
    store.upsert(SAMPLE, frame)
    inserted = stored_bytes(database, "sample_202612")
    store.upsert(SAMPLE, sample(5, note="other", kwh=None))
    assert stored_bytes(database, "sample_202612") != inserted
    assert store.upsert(SAMPLE, frame) == WriteResult(0, 5, 0)
    assert stored_bytes(database, "sample_202612") == inserted


def test_rows_go_to_the_collection_of_their_month(store: MongoStore, database: Any) -> None:
    store.upsert(SAMPLE, sample(90))
    counts = {name: database[name].count_documents({}) for name in database.list_collection_names()}
    assert counts == {"sample_202612": 60, "sample_202701": 30}
    assert "at_1" in database.sample_202701.index_information()


def test_keys_that_differ_by_less_than_a_millisecond_are_refused(store: MongoStore) -> None:
    twins = pl.concat([sample(1, at=START), sample(1, at=START + timedelta(microseconds=999))])
    with pytest.raises(TerminalError, match="share a key"):
        store.upsert(SAMPLE, twins)
    assert store.count(SAMPLE) == 0


def test_only_the_months_of_a_condition_are_asked(store: MongoStore, database: Any) -> None:
    months = [datetime(2026, month, 1, tzinfo=UTC) for month in (9, 10, 11, 12)]
    store.upsert(SAMPLE, sample(4, at=pl.Series(months)))
    early, late = Condition("at", "<", months[2]), Condition("at", ">=", months[1])
    assert store._query(SAMPLE, [early, late])[0].name == "sample_202610"
    assert [stage["$unionWith"]["coll"] for stage in store._query(SAMPLE, [early, late])[1][1:]] == ["sample_202611"]
    assert len(store._query(SAMPLE, [Condition("at", "in", [months[0], months[3]])])[1]) == 2
    assert len(store._query(SAMPLE, [])[1]) == 4


NUMBERS = ("n", "at", "kw", "flag")


@pytest.mark.parametrize("columns", [NUMBERS, ("kw",), ("note", "n")])
def test_a_scan_gives_the_rows_of_a_read(store: MongoStore, columns: tuple[str, ...]) -> None:
    assert store.scan(SAMPLE, (), columns).equals(store.read(SAMPLE, (), columns))
    store.upsert(SAMPLE, sample(2_000, n=pl.Series(range(2_000, 0, -1))))
    for where in ([], [Condition("at", ">", START + timedelta(minutes=31))], [Condition("flag", "=", True)]):
        found = store.scan(SAMPLE, where, columns)
        assert found.sort(columns).equals(store.read(SAMPLE, where, columns).sort(columns))
    assert store.scan(SAMPLE).sort(SAMPLE.key).equals(store.read(SAMPLE))


def test_what_does_not_fit_into_one_answer_is_read_all_the_same(
    store: MongoStore, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert(SAMPLE, sample(100))
    monkeypatch.setattr("wattline.storage.mongo._ROWS", 59)
    assert store.scan(SAMPLE, (), NUMBERS).equals(store.read(SAMPLE, (), NUMBERS))
    assert database.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"] == 0


@pytest.mark.parametrize("change", [{"$set": {"kw": None}}, {"$set": {"kw": 3}}, {"$unset": {"flag": 1}}])
def test_a_scan_over_documents_of_another_layout_is_a_read(store: MongoStore, database: Any, change: Document) -> None:
    store.upsert(SAMPLE, sample(50))
    database.sample_202612.update_one({"big": 20}, change, bypass_document_validation=True)
    assert store.scan(SAMPLE, (), NUMBERS).equals(store.read(SAMPLE, (), NUMBERS))
    assert store.scan(SAMPLE, (), NUMBERS).null_count().sum_horizontal().item() == (change != {"$set": {"kw": 3}})


CURVES = Table(
    "curves",
    ("n",),
    (
        Column("n", pl.Int32(), "key"),
        Column("counts", pl.List(pl.Int32()), "whole numbers"),
        Column("curve", pl.List(pl.Float64()), "numbers or null", nullable=True),
    ),
    mongo="curves",
)


def curves(count: int, first: float = 0.5) -> pl.DataFrame:
    rows = [(n, list(range(n % 5)), [first, None, n / 7]) for n in range(count)]
    return pl.DataFrame(rows, CURVES.schema, orient="row")


def test_lists_are_kept_with_their_nulls_and_compared_by_every_value(store: MongoStore, database: Any) -> None:
    assert store.upsert(CURVES, curves(20)) == WriteResult(20, 0, 0)
    assert store.read(CURVES).equals(curves(20))
    assert database.curves.find_one({"n": 3}) == {
        "_id": {"n": 3},
        "n": 3,
        "counts": [0, 1, 2],
        "curve": [0.5, None, 3 / 7],
    }
    changed = pl.concat([curves(20)[:15], curves(25, first=0.25)[15:]])
    assert store.upsert(CURVES, changed) == WriteResult(inserted=5, updated=5, unchanged=15)
    assert store.read(CURVES).equals(changed)
    with pytest.raises(WriteError, match="validation"):
        database.curves.update_one({}, {"$set": {"curve": 1.5}})


def test_rows_of_lists_are_written_some_at_a_time(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[int] = []
    write = mongo.write

    def noted(collection: Any, documents: list[bytes], conditions: Any) -> WriteResult:
        chunks.append(len(documents))
        return write(collection, documents, conditions)

    monkeypatch.setattr(mongo, "write", noted)
    monkeypatch.setattr(mongo, "_CHUNK_BYTES", 1_000)
    assert store.upsert(CURVES, curves(200)) == WriteResult(200, 0, 0)
    assert sum(chunks) == 200
    assert max(chunks) < 50
    assert store.upsert(CURVES, curves(210, first=0.25)) == WriteResult(10, 200, 0)
    assert store.read(CURVES).equals(curves(210, first=0.25))


def test_a_range_is_one_query_in_time_order(store: MongoStore, database: Any) -> None:
    hours = pl.Series([START + timedelta(hours=hour) for hour in range(24 * 40)])
    store.upsert(SAMPLE, sample(24 * 40, at=hours, n=pl.Series(range(24 * 40, 0, -1))))
    end = START + timedelta(hours=900)
    found = list(find_range(database, "sample", "at", START, end, where={"flag": True}))
    assert [document["at"] for document in found] == hours[:900:2].to_list()
    assert list(find_range(database, "sample", "at", end, START)) == []


@pytest.mark.parametrize(
    ("stored", "read"),
    [("12.5", "12.500000"), ("1E+3", "1000.000000"), ("-0", "0.000000"), ("0.1234560000", "0.123456")],
)
def test_energy_that_others_wrote_is_read_exactly(store: MongoStore, database: Any, stored: str, read: str) -> None:
    store.upsert(SAMPLE, sample(3, kwh=None))
    database.sample_202612.update_one({"big": -4}, {"$set": {"kwh": Decimal128(stored)}})
    assert store.read(SAMPLE)["kwh"].to_list() == [None, Decimal(read), None]


@pytest.mark.parametrize("stored", ["0.0000001", "NaN", "Infinity", "1000000000000.000000", "1E+30", "1E-30"])
def test_energy_that_does_not_fit_is_never_rounded(store: MongoStore, database: Any, stored: str) -> None:
    store.upsert(SAMPLE, sample(3))
    database.sample_202612.update_one({"big": -4}, {"$set": {"kwh": Decimal128(stored)}})
    with pytest.raises(TerminalError, match="kwh"):
        store.read(SAMPLE)


def test_the_validator_asks_for_types_and_names_not_for_ranges(store: MongoStore, database: Any) -> None:
    night = {"mcno": -1, "invno": 1, "at": START, "ackw": -99_999.0, "dckw": None, "daykw": None, "totkw": Decimal(-1)}
    frame = pl.DataFrame([night | {"status": -3, "received_at": START}], schema=READING.schema)
    assert store.upsert(READING, frame).inserted == 1
    collection = database.inverter_reading_202612
    for change in ({"$set": {"ackw": "1"}}, {"$unset": {"totkw": 1}}, {"$set": {"at": None}}, {"$set": {"mcno": 1.5}}):
        with pytest.raises(WriteError, match="validation"):
            collection.update_one({}, change)


def test_a_day_is_a_date_or_refused(store: MongoStore, database: Any) -> None:
    store.upsert(SAMPLE, sample(1))
    with pytest.raises(WriteError, match="validation"):
        database.sample_202612.update_one({}, {"$set": {"day": "today"}})
    database.sample_202612.update_one({}, {"$set": {"day": "2026-11-31"}})
    with pytest.raises(TerminalError, match="2026-11-31"):
        store.read(SAMPLE)


def test_a_document_of_other_types_is_not_read_as_null(store: MongoStore, database: Any) -> None:
    database.sample_202612.insert_one({**sample(1).drop("kwh", "day").to_dicts()[0], "kw": "much"})
    with pytest.raises(TerminalError, match="other types"):
        store.read(SAMPLE)


def test_another_writer_between_look_and_insert_is_overwritten(
    store: MongoStore, database: Any, module_mongo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wattline.storage import mongo_write

    insert = mongo_write._insert

    def insert_late(collection: Any, missing: list[bytes]) -> list[bytes]:
        monkeypatch.setattr(mongo_write, "_insert", insert)
        with closing(MongoStore.from_url(module_mongo)) as other:
            other.upsert(SAMPLE, pl.concat([sample(2), sample(5, note="theirs")[2:]]))
        return insert(collection, missing)

    monkeypatch.setattr(mongo_write, "_insert", insert_late)
    assert store.upsert(SAMPLE, sample(10)) == WriteResult(inserted=5, updated=3, unchanged=2)
    assert store.read(SAMPLE).equals(sample(10))


def test_counts_are_right_where_all_of_the_sample_differs_and_the_rest_does_not(store: MongoStore) -> None:
    rows = sample(190).with_row_index("place")
    # Every second row is in the sample; of the others every second is stored as it is, and the rest not at all.
    stored = rows.filter(pl.col("place") % 4 != 3)
    old = pl.when(pl.col("place") % 2 == 0).then(pl.lit("old")).otherwise("note")
    store.upsert(SAMPLE, stored.with_columns(note=old).drop("place"))
    assert store.upsert(SAMPLE, rows.drop("place")) == WriteResult(inserted=47, updated=95, unchanged=48)
    assert store.read(SAMPLE).equals(rows.drop("place"))


def test_documents_larger_than_one_command_are_all_replaced(store: MongoStore) -> None:
    store.upsert(SAMPLE, sample(30, note="x" * 900_000))
    assert store.upsert(SAMPLE, sample(30, note="y" * 900_000)) == WriteResult(0, 30, 0)
    assert store.count(SAMPLE, [Condition("note", "=", "y" * 900_000)]) == 30


def test_putting_a_document_twice_changes_nothing(database: Any) -> None:
    notes = documents(database, "migration_state")
    entry = {"_id": {"table": "reading", "start": START}, "table": "reading", "start": START}
    put(notes, entry)
    before = stored_bytes(database, "migration_state")
    put(documents(database, "migration_state"), entry)
    assert stored_bytes(database, "migration_state") == before
    assert notes.find_one() == entry
    assert "table_1_start_1" in notes.index_information()


def test_a_document_that_lacks_a_field_is_refused(database: Any) -> None:
    with pytest.raises(TerminalError, match="validation"):
        put(documents(database, "migration_state"), {"_id": 1})
    with pytest.raises(TerminalError, match="no collection 'nope'"):
        documents(database, "nope")


def test_a_document_for_a_stopped_server_waits(module_mongo: str, mongo_server: RunningServer) -> None:
    client: MongoClient[Document] = MongoClient(module_mongo, serverSelectionTimeoutMS=500)
    with client:
        notes = documents(client.get_default_database(), "migration_state")
        mongo_server.stop()
        with pytest.raises(TransientError):
            put(notes, {"_id": 1, "table": "reading"})


def test_a_user_without_rights_gets_a_terminal_error(database: Any, module_mongo: str) -> None:
    name = database.name
    database.command("createUser", "reader", pwd="r", roles=[{"role": "read", "db": name}])
    host = module_mongo.partition("@")[2].partition("/")[0]
    with closing(MongoStore.from_url(f"mongodb://reader:r@{host}/{name}")) as store:
        assert store.count(SAMPLE) == 0
        with pytest.raises(TerminalError, match="not authorized"):
            store.upsert(SAMPLE, sample(1))
    with pytest.raises(OperationFailure):
        database.command("createUser", "reader", pwd="r", roles=[])
