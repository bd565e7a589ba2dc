"""Columns of lists as BSON and back: the bytes are the driver's, for lists of any length with any value null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongoarrow.context import PyMongoArrowContext

from wattline.errors import TerminalError
from wattline.storage.bson_frames import arrow_schema, decode, encode, validator
from wattline.storage.conditions import checked
from wattline.storage.contract import Column, Table
from wattline.storage.sql import sql_table
from wattline.storage.store import Condition

CURVES = Table(
    "curves",
    ("n",),
    (
        Column("n", pl.Int32(), "key"),
        Column("counts", pl.List(pl.Int32()), "whole numbers"),
        Column("note", pl.String(), "a field between lists", nullable=True),
        Column("curve", pl.List(pl.Float64()), "numbers or null", nullable=True),
    ),
    mysql="curves",
    mongo="curves",
)
INTEGERS = st.integers(-(2**31), 2**31 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "counts": st.lists(INTEGERS, max_size=12) | st.lists(INTEGERS, min_size=3, max_size=3),
            "note": st.none() | st.text(max_size=3),
            "curve": st.lists(FLOATS | st.none(), max_size=12) | st.lists(FLOATS, min_size=3, max_size=3),
        }
    ),
    max_size=6,
)


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([{"n": n, **row} for n, row in enumerate(rows)], CURVES.schema)


def plain(rows: pl.DataFrame) -> list[bytes]:
    """The documents as the driver writes them."""
    return [bson.encode({"_id": {"n": one["n"]}, **one}) for one in rows.to_dicts()]


def read(documents: list[bytes]) -> pl.DataFrame:
    context = PyMongoArrowContext(arrow_schema(CURVES, CURVES.schema.names()), codec_options=bson.CodecOptions())
    context.process_bson_stream(b"".join(documents))
    return decode(CURVES, context.finish())


@given(ROWS, st.integers(0, 4))
def test_the_bytes_are_those_of_the_driver_and_are_read_again(rows: list[dict[str, Any]], start: int) -> None:
    whole = frame(rows)
    chunked = pl.concat([whole[:start], whole[start:], whole[:1]], rechunk=False)
    for lists in (whole, whole[start:], chunked):
        assert encode(CURVES, lists) == plain(lists)
        assert read(encode(CURVES, lists)).equals(lists)


@pytest.mark.parametrize("length", [1, 9, 10, 11, 99, 100, 101, 144, 150, 1000, 1234])
def test_places_of_any_number_of_digits_are_named(length: int) -> None:
    curve = [None if place % 7 == 3 else place / 3 for place in range(length)]
    for rows in ([(length, curve)], [(length, curve), (length - 1, curve[1:])], [(length, [0.5] * length)]):
        lists = frame([{"counts": range(count), "note": "x", "curve": values} for count, values in rows])
        assert encode(CURVES, lists) == plain(lists)
        assert read(encode(CURVES, lists)).equals(lists)


@pytest.mark.parametrize("dtype", [pl.List(pl.Int64()), pl.List(pl.String()), pl.List(pl.List(pl.Int32()))])
@pytest.mark.parametrize(
    "use", [lambda table: encode(table, pl.DataFrame({"n": [1], "value": [[]]}, table.schema)), validator]
)
def test_lists_of_anything_else_are_refused(dtype: pl.DataType, use: Callable[[Table], object]) -> None:
    table = Table("t", ("n",), (Column("n", pl.Int32(), "key"), Column("value", dtype, "numbers")))
    with pytest.raises(TerminalError, match=r"t\.value: MongoDB has no exact type for List"):
        use(table)


def test_mysql_keeps_no_lists_and_nothing_compares_with_one() -> None:
    with pytest.raises(TerminalError, match="no exact column type for List"):
        sql_table(CURVES)
    with pytest.raises(TerminalError, match=r"curves\.curve is List"):
        checked(CURVES, [Condition("curve", "=", 1.0)])


def test_the_server_is_asked_to_refuse_what_is_no_array() -> None:
    properties = validator(CURVES)["$jsonSchema"]["properties"]
    assert [properties[name]["bsonType"] for name in ("counts", "curve")] == [["array"], ["array"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"counts": [1, None], "curve": []}, r"null in a list in counts \(1 values\)"),
        ({"counts": None, "curve": []}, r"null in counts \(1 rows\)"),
        ({"counts": [], "curve": None}, r"null in curve \(1 rows\)"),
        ({"counts": [], "curve": [1.0, float("nan")]}, r"NaN or infinity in curve \(1 values\)"),
        ({"counts": [], "curve": [float("-inf"), None]}, r"NaN or infinity in curve \(1 values\)"),
    ],
)
def test_a_list_is_always_there_and_holds_finite_numbers(row: dict[str, Any], message: str) -> None:
    good = {"counts": [1, 2], "curve": [None, 1.5], "note": None}
    with pytest.raises(TerminalError, match=message):
        CURVES.conform(frame([good, {"note": None, **row}]))
    assert CURVES.conform(frame([good, {**good, "counts": [], "curve": [None]}])).height == 2
