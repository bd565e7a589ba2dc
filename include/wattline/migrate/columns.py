"""How the columns of a table travel from MySQL to documents, and what a row's checksum says of each.

The server renders every row as one line of CSV: numbers plain, times as microseconds since 1970, text in quotes, NULL
as nothing. The same expressions, hashed by the server, are the source's side of the checksum; the target's side renders
the documents to the same text.

A value that cannot be what its column says is null in the frame, and the column `fault` says why; the gate brings such
rows to quarantine. Zero dates travel as the smallest integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import polars as pl
import pyarrow as pa

from wattline.errors import BadInputError
from wattline.migrate.entry import Entry
from wattline.migrate.kinds import FAULT_LONG, SourceColumn, Travel, way
from wattline.storage.contract import Column

FAULT = "fault"
"""The frame's column that says what is wrong with a row's values: `column: reason`, the first of them."""


def travel(entry: Entry, column: Column, source: SourceColumn) -> Travel:
    """How `source` becomes `column`.

    Raises:
        BadInputError: its values cannot become the contract's type exactly.
    """
    made = way(column, source, entry.time_zone, entry.encodings.get(source.name))
    if made is None:
        raise BadInputError(
            f"{source.declared} does not become {column.dtype} exactly",
            field=f"entry {entry.name}, {source.name}",
            remedy=f"Give {column.name} a type that holds it, or name the column in `ignored` with the reason",
        )
    return made


def received(frame: pl.DataFrame, travels: Sequence[Travel]) -> pl.DataFrame:
    """A page as it was read, in the documents' types, with `fault`."""
    checks = []
    for one in travels:
        name = one.column.name
        checks += [pl.when(test(pl.col(name))).then(pl.lit(f"{name}: {reason}")) for reason, test in one.faults]
        if one.long:
            checks.append(pl.when(pl.col(_long(name)) == 1).then(pl.lit(f"{name}: {FAULT_LONG}")))
    fault = pl.coalesce(*checks) if checks else pl.lit(None, pl.String)
    values = [one.value(pl.col(one.column.name)).cast(one.column.dtype).alias(one.column.name) for one in travels]
    return frame.select(*values, fault.cast(pl.String).alias(FAULT))


def line_parts(travels: Sequence[Travel]) -> dict[str, tuple[str, pa.DataType]]:
    """Name → SQL and type of every part of a line."""
    parts: dict[str, tuple[str, pa.DataType]] = {}
    for one in travels:
        parts[one.column.name] = (one.sql, one.arrow)
        if one.long:
            parts[_long(one.column.name)] = (one.long, pa.int64())
    return parts


def checksum_sql(travels: Sequence[Travel]) -> str:
    """What the server computes as a row's checksum."""
    return f"CRC32({line_sql([one.check for one in travels])})"


def line_sql(parts: Sequence[str]) -> str:
    """Parts joined to one line; NULL leaves its place empty."""
    return "CONCAT_WS(',', " + ", ".join(f"IFNULL({part}, '')" for part in parts) + ")"


def checksums(documents: pl.DataFrame, travels: Sequence[Travel]) -> pl.Series:
    """The rows' checksums of documents, as the server computes them for their source rows; UInt32."""
    texts = [one.text(pl.col(one.column.name)).fill_null("") for one in travels]
    lines = documents.select(pl.concat_str(texts, separator=",")).to_series().to_arrow()
    return pl.Series("checksum", [crc32(line) for line in lines.cast(pa.large_binary()).to_pylist()], pl.UInt32)


def _long(name: str) -> str:
    return f"{name} is long"
