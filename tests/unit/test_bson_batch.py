"""Answers of many small documents, read as columns: the same values as the driver's, or nothing at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import numpy as np
import pytest
from bson.int64 import Int64
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from wattline.storage.bson_batch import first_batch, read_columns
from wattline.storage.bson_lists import BOOL, DATE, DOUBLE, INT, LONG

KINDS = {"n": INT, "at": DATE, "kw": DOUBLE, "big": LONG, "flag": BOOL}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Document = dict[str, Any]
VALUES = st.tuples(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(10**12), 10**12).map(lambda since: EPOCH + timedelta(milliseconds=since)),
    st.floats(allow_nan=False),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.booleans(),
)
DOCUMENTS = st.lists(VALUES.map(lambda values: dict(zip(KINDS, values, strict=True))), max_size=30)


def answer(documents: list[Document], more: int = 0) -> bytes:
    """What a server of a replica set says to `find`."""
    clock = {"clusterTime": Timestamp(1, 1), "signature": {"hash": b"12345678901234567890", "keyId": Int64(7)}}
    cursor = {"firstBatch": documents, "partialResultsReturned": True, "id": Int64(more), "ns": "solar.inverterlog"}
    return bson.encode({"cursor": cursor, "ok": 1.0, "$clusterTime": clock, "operationTime": Timestamp(1, 1)})


def columns(documents: list[Document]) -> list[list[Any]] | None:
    found = read_columns(first_batch(answer(documents))[0], KINDS)
    return None if found is None else [values.tolist() for values in found]


def document(**values: Any) -> Document:
    return {"n": 1, "at": EPOCH, "kw": 1.5, "big": Int64(5), "flag": True} | values


@given(DOCUMENTS)
def test_every_field_is_a_column(documents: list[Document]) -> None:
    found = columns(documents)
    milliseconds = [round((one["at"] - EPOCH) / timedelta(milliseconds=1)) for one in documents]
    expected = {name: [one[name] for one in documents] for name in KINDS} | {"at": milliseconds}
    assert found == list(expected.values())


@pytest.mark.parametrize("count", [9, 10, 11, 99, 100, 101, 999, 1000, 1001, 12_345])
def test_places_of_any_number_of_digits_are_passed_over(count: int) -> None:
    found = columns([document(n=n, kw=n / 7) for n in range(count)])
    assert found is not None
    assert (found[0], found[2]) == (list(range(count)), [n / 7 for n in range(count)])


@pytest.mark.parametrize(
    "other",
    [
        document(kw=None),
        document(kw=1),
        document(big=5),
        document(flag=None),
        {name: value for name, value in document().items() if name != "flag"},
        {"at": EPOCH, **{name: value for name, value in document().items() if name != "at"}},
        {"N" if name == "n" else name: value for name, value in document().items()},
        document(kw=datetime(2026, 11, 1, tzinfo=UTC)),
        document(more=1),
    ],
)
def test_a_document_of_another_layout_is_noticed_wherever_it_is(other: Document) -> None:
    for place in (0, 1, 10, 12):
        documents = [document()] * 12
        documents.insert(place, other)
        assert columns(documents) is None


def test_the_order_of_fields_is_that_of_the_question() -> None:
    turned = [dict(reversed(document(n=n).items())) for n in range(3)]
    found = columns(turned)
    assert found is not None
    assert found[0] == [0, 1, 2]


def test_an_answer_says_whether_there_is_more() -> None:
    array, more = first_batch(answer([document()], more=2**62 + 1))
    assert more == 2**62 + 1
    assert isinstance(array, np.ndarray)
    assert first_batch(answer([]))[1] == 0
