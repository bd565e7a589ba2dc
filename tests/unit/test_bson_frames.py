"""Frames as BSON and back: the bytes are those of `bson.encode`, for any value of any type, and nothing is rounded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import bson
import polars as pl
import pyarrow as pa
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongoarrow.context import PyMongoArrowContext

from tests.storage_sample import longs, moments, texts, to_millisecond
from wattline.errors import TerminalError
from wattline.storage.bson_decimal import buffered
from wattline.storage.bson_frames import arrow_schema, decode, encode, id_of, operand, validator
from wattline.storage.conditions import checked
from wattline.storage.contract import UTC_TIME, Column, Table
from wattline.storage.store import Condition

PLACES = {"energy": (18, 6), "whole": (34, 0), "middle": (34, 17), "share": (34, 34), "small": (5, 2)}
TYPES: dict[str, pl.DataType] = {
    "site": pl.String(),
    "n": pl.Int32(),
    "at": UTC_TIME,
    "kw": pl.Float64(),
    "big": pl.Int64(),
    "count": pl.UInt64(),
    "flag": pl.Boolean(),
    "day": pl.Date(),
    "note": pl.String(),
    "blob": pl.Binary(),
    **{name: pl.Decimal(*digits) for name, digits in PLACES.items()},
}
KEY = ("site", "n", "at")
EVERY = Table("every", KEY, tuple(Column(name, dtype, name, None, name not in KEY) for name, dtype in TYPES.items()))
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    units = st.integers(-most, most) | st.sampled_from([most, -most, 2**64, -(2**64), 2**64 - 1, 1, -1, 0])
    return units.filter(lambda number: abs(number) <= most).map(lambda number: Decimal(f"{number}E-{places}"))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "site": texts,
    "n": st.integers(-(2**31), 2**31 - 1),
    "at": moments | st.sampled_from([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]),
    "kw": st.floats(),
    "big": longs | st.sampled_from([2**31 - 1, 2**31, -(2**31), -(2**31) - 1]),
    "count": st.integers(0, 2**64 - 1) | st.sampled_from([2**64 - 1, 2**63, 0]),
    "flag": st.booleans(),
    "day": st.dates(),
    "note": texts,
    "blob": st.binary(max_size=20),
    **{name: decimals(*digits) for name, digits in PLACES.items()},
}


def frames(nulls: bool = True) -> st.SearchStrategy[pl.DataFrame]:
    row = {name: value | st.none() if nulls and name not in KEY else value for name, value in VALUES.items()}
    return st.lists(st.fixed_dictionaries(row), max_size=8).map(made)


def made(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=EVERY.schema, orient="row")


def one(**values: Any) -> pl.DataFrame:
    return made([dict.fromkeys(TYPES) | {"site": "서울", "n": 1, "at": NOON} | values])


def plain(table: Table, rows: pl.DataFrame) -> list[bytes]:
    """The documents as the driver writes them, one by one."""

    def value(found: Any, dtype: pl.DataType) -> Any:
        if isinstance(found, date) and not isinstance(found, datetime):
            return found.isoformat()
        unsigned = isinstance(dtype, pl.UInt64) and found is not None
        return Decimal128(str(found)) if unsigned or isinstance(found, Decimal) else found

    documents = [{name: value(row[name], dtype) for name, dtype in rows.schema.items()} for row in rows.to_dicts()]
    return [bson.encode({"_id": {name: one[name] for name in table.key}, **one}) for one in documents]


def read(table: Table, documents: list[bytes]) -> pl.DataFrame:
    """What pymongoarrow makes of the documents, and `decode` of that."""
    context = PyMongoArrowContext(arrow_schema(table, table.schema.names()), codec_options=bson.CodecOptions())
    context.process_bson_stream(b"".join(documents))
    return decode(table, context.finish())


def with_(**values: Any) -> list[bytes]:
    """One document of EVERY in which others wrote `values`."""
    return [bson.encode(bson.decode(encode(EVERY, one())[0], bson.CodecOptions(tz_aware=True)) | values)]


@settings(deadline=None)
@given(frames() | frames(nulls=False))
def test_the_bytes_are_those_of_the_driver(rows: pl.DataFrame) -> None:
    assert encode(EVERY, rows) == plain(EVERY, rows)


@settings(deadline=None)
@given(frames(), st.integers(0, 4))
def test_parts_of_frames_are_encoded_as_the_whole(rows: pl.DataFrame, start: int) -> None:
    chunked = pl.concat([rows[:start], rows[start:], rows[:1]], rechunk=False)
    whole = plain(EVERY, chunked)
    assert encode(EVERY, chunked) == whole
    assert encode(EVERY, chunked[start:]) == whole[start:]


@settings(deadline=None)
@given(frames())
def test_what_was_encoded_is_decoded(rows: pl.DataFrame) -> None:
    finite = rows.with_columns(pl.col("kw").fill_nan(None))  # NaN keeps the contract out of a store
    kept = finite.with_columns(pl.col(pl.Datetime).dt.truncate("1ms"))
    assert read(EVERY, encode(EVERY, finite)).equals(kept)


@pytest.mark.parametrize("name", TYPES)
def test_a_field_may_stand_alone_or_be_null_in_every_row(name: str) -> None:
    table = Table("t", (name,), (Column(name, TYPES[name], "value"),))
    rows = pl.DataFrame({name: [None, None]}, schema={name: TYPES[name]})
    assert encode(table, rows) == plain(table, rows)


def test_a_slice_of_numbers_begins_where_it_begins() -> None:
    numbers = pa.array([1, 2, 3, 4], pa.int64())
    assert buffered(numbers.slice(1, 2), "<i8").tolist() == [2, 3]
    assert buffered(numbers.slice(4), "<i8").tolist() == []


def test_no_rows_are_no_documents() -> None:
    assert encode(EVERY, made([])) == []
    assert read(EVERY, []).equals(made([]))


def test_a_document_begins_with_its_key_and_goes_on_in_the_frames_order() -> None:
    rows = one(kw=1.5).select("kw", "at", "n", "site")
    (document,) = encode(EVERY, rows)
    assert list(bson.decode(document)) == ["_id", "kw", "at", "n", "site"]
    assert list(bson.decode(id_of(document))) == ["site", "n", "at"]
    assert [document] == plain(EVERY, rows)


@pytest.mark.parametrize("text", ["", "\0", "a\0b\0", "한글 발전소 ⚡🙂", "가" * 350_000, "x" * 1_000_000])
def test_text_of_any_kind_and_length_is_kept(text: str) -> None:
    rows = pl.concat([one(site=text, note=text, blob=text.encode()), one(), one(note="a")])
    assert encode(EVERY, rows) == plain(EVERY, rows)
    assert read(EVERY, encode(EVERY, rows)).equals(rows)


@pytest.mark.parametrize("microseconds", [-1, -999, -1000, -1001, 0, 1, 999, 1999])
def test_instants_are_cut_towards_the_past(microseconds: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    documents = encode(EVERY, one(at=at))
    assert documents == plain(EVERY, one(at=at))
    assert read(EVERY, documents)["at"].to_list() == [to_millisecond(at)]


@pytest.mark.parametrize("microseconds", [-62_135_596_800_000_001, 253_402_300_800_000_000])
def test_an_instant_that_no_driver_reads_is_refused(microseconds: int) -> None:
    rows = one().with_columns(pl.Series("at", [microseconds]).cast(UTC_TIME))
    with pytest.raises(TerminalError, match=r"every\.at: 1 times .* years 1 to 9999"):
        encode(EVERY, rows)


@pytest.mark.parametrize("dtype", [pl.Decimal(35, 0), pl.Decimal(38, 34), pl.Float32(), pl.UInt32(), pl.Time()])
@pytest.mark.parametrize(
    "use",
    [
        lambda table: encode(table, pl.DataFrame({"n": [1], "value": [None]}, schema=table.schema)),
        validator,
        lambda table: arrow_schema(table, ["value"]),
    ],
)
def test_a_type_that_is_not_kept_exactly_is_refused_by_name(dtype: pl.DataType, use: Callable[[Table], object]) -> None:
    table = Table("t", ("n",), (Column("n", pl.Int32(), "key"), Column("value", dtype, "number", nullable=True)))
    with pytest.raises(TerminalError, match=r"t\.value: MongoDB has no exact type for .*34 digits"):
        use(table)


def test_the_validator_asks_for_the_types_that_are_written() -> None:
    schema = validator(EVERY)["$jsonSchema"]["properties"]
    assert (schema["count"]["bsonType"], schema["whole"]["bsonType"]) == (["decimal", "null"], ["decimal", "null"])
    assert (schema["blob"]["bsonType"], schema["n"]["bsonType"]) == (["binData", "null"], ["int"])


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        ("whole", "9999999999999999999999999999999999", "9999999999999999999999999999999999"),
        ("whole", "-1.234567890123456789012345678901234E+33", "-1234567890123456789012345678901234"),
        ("whole", "1E+33", "1000000000000000000000000000000000"),
        ("middle", "-12345678901234567.1234567890123456", "-12345678901234567.12345678901234560"),
        ("middle", "99999999999999999.9999999999999999", "99999999999999999.99999999999999990"),
        ("share", "-0.123456789012345678901234567890123", "-0.1234567890123456789012345678901230"),
        ("share", "0E-6176", "0"),
        ("energy", "-0", "0"),
        ("count", "18446744073709551615.0", "18446744073709551615"),
        ("count", "1E+19", "10000000000000000000"),
    ],
)
def test_numbers_that_others_wrote_are_read_exactly(name: str, stored: str, expected: str) -> None:
    found = read(EVERY, encode(EVERY, one()) + with_(**{name: Decimal128(stored)}))[name]
    assert found.dtype == TYPES[name]
    assert found.to_list() == [None, Decimal(expected)]


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("whole", "0.5"),
        ("whole", "1E+34"),
        ("middle", "100000000000000000"),
        ("middle", "0.123456789012345678"),
        ("share", "1"),
        ("small", "1000.00"),
        ("energy", "NaN"),
        ("energy", "-Infinity"),
        ("count", "-1"),
        ("count", "-1.0"),
        ("count", "0.5"),
        ("count", "18446744073709551616"),
        ("count", "18446744073709551616.0"),
        ("count", "1E+20"),
    ],
)
def test_a_number_that_does_not_fit_is_never_rounded(name: str, stored: str) -> None:
    with pytest.raises(TerminalError, match=name):
        read(EVERY, with_(**{name: Decimal128(stored)}))


@given(st.integers(-(2**64), 2**64))
def test_a_whole_number_is_compared_by_its_value(number: int) -> None:
    for name in ("count", "big"):
        for condition in checked(EVERY, [Condition(name, "<", number), Condition(name, "in", [number])]):
            compared = operand(condition)
            stored = bson.decode(bson.encode({"v": compared[0] if isinstance(compared, list) else compared}))["v"]
            assert (stored.to_decimal() if isinstance(stored, Decimal128) else stored) == number


@pytest.mark.parametrize("value", [1.0, Decimal(1), "1", True, NOON])
def test_an_unsigned_number_is_compared_with_whole_numbers_only(value: Any) -> None:
    with pytest.raises(TerminalError, match=r"every\.count is UInt64"):
        checked(EVERY, [Condition("count", "=", value)])


def test_bytes_are_compared_with_nothing() -> None:
    with pytest.raises(TerminalError, match=r"every\.blob is Binary"):
        checked(EVERY, [Condition("blob", "=", "1")])


@pytest.mark.parametrize(("name", "value"), [("count", 10**34 + 1), ("whole", Decimal("1." + "1" * 34))])
def test_a_comparison_with_more_digits_than_are_kept_is_refused(name: str, value: Any) -> None:
    (condition,) = checked(EVERY, [Condition(name, "<", value)])
    with pytest.raises(TerminalError, match=f"{name}: .* more than 34 digits"):
        operand(condition)
