"""An answer of MongoDB with very many small documents, read as columns.

A driver makes an object of each document, which takes longer than the server took to find it. But where all documents
of an answer have one layout (the same fields, each of a type of fixed size), a field is at the same place in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wattline.storage.bson_lists import ARRAY, BOOL, DATE, DOUBLE, INT, LONG, NULL

Bytes = npt.NDArray[np.uint8]

_DOCUMENT = 3
_NUMBERS = {DOUBLE: "<f8", BOOL: "?", DATE: "<i8", INT: "<i4", LONG: "<i8"}
_SIZES = {DOUBLE: 8, 7: 12, BOOL: 1, DATE: 8, NULL: 0, INT: 4, 17: 8, LONG: 8, 19: 16}
"""Size of the values of each type; those of the others begin with their length."""
_BEYOND_LENGTH = {2: 4, _DOCUMENT: 0, ARRAY: 0, 5: 5}
_LENGTH = 4


def first_batch(answer: bytes) -> tuple[Bytes, int]:
    """The array of documents in an answer to `find`, and the cursor that has more of them, or 0."""
    (cursor,) = (answer[start:end] for name, _, start, end in _fields(answer) if name == "cursor")
    found = {name: cursor[start:end] for name, _, start, end in _fields(cursor)}
    return np.frombuffer(found["firstBatch"], "u1"), int.from_bytes(found["id"], "little", signed=True)


def read_columns(array: Bytes, kinds: Mapping[str, int]) -> list[Any] | None:
    """The fields of an array's documents, each as an array of its values.

    Args:
        array: of documents, as BSON.
        kinds: names of the fields and their types.

    Returns:
        The values by the order of `kinds`; None where a document has other fields, types or another order than the
        first one.
    """
    documents = _documents(array)
    if documents is None:
        return None
    if not len(documents):
        return [np.empty(0, _NUMBERS[kind]) for kind in kinds.values()]
    fields = {name: (kind, start, end) for name, kind, start, end in _fields(documents[0].tobytes())}
    if {name: kind for name, (kind, _, _) in fields.items()} != dict(kinds):
        return None
    # Between the values stand the document's size, types and names. What has others there is not what it is taken for.
    ends = [0, *(end for _, _, end in fields.values())]
    starts = [*(start for _, start, _ in fields.values()), documents.shape[1]]
    for between in map(slice, ends, starts):
        if (documents[:, between] != documents[0, between]).any():
            return None
    places = [fields[name] for name in kinds]
    return [np.ascontiguousarray(documents[:, start:end]).view(_NUMBERS[kind])[:, 0] for kind, start, end in places]


def _documents(array: Bytes) -> Bytes | None:
    """The documents of an array, one a row, if all have the size of the first; None where that cannot be.

    Before each stand its type and its place, which is digits and a NUL.
    """
    at, stop = _LENGTH, len(array) - 1
    if at == stop:
        return np.empty((0, 0), "u1")
    size, digits, known, found = int(array[7:11].view("<i4")[0]), 1, 0, []
    while at < stop:
        width = 2 + digits + size
        count = min(10**digits - known, (stop - at) // width)
        if not count:
            return None
        found.append(array[at : at + count * width].reshape(count, width)[:, 2 + digits :])
        at, known, digits = at + count * width, 10**digits, digits + 1
    return np.concatenate(found)


def _fields(document: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Name, type, and first and last place of the value of each field."""
    at = _LENGTH
    while kind := document[at]:
        start = document.index(0, at + 1) + 1
        size = _SIZES.get(kind)
        if size is None:
            size = int.from_bytes(document[start : start + _LENGTH], "little") + _BEYOND_LENGTH[kind]
        yield document[at + 1 : start - 1].decode(), kind, start, start + size
        at = start + size
