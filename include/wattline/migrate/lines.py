"""Rows on the wire: one line of CSV each, written by the server, read by Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import cast

import polars as pl
import pyarrow as pa
from pyarrow import csv

from wattline.errors import TerminalError
from wattline.migrate.columns import line_sql

Parts = Mapping[str, tuple[str, pa.DataType]]
"""Name → SQL and type of the parts of a line."""


def sent_sql(parts: Parts) -> str:
    """A row as one line, in bytes, which the driver does not decode."""
    return f"CAST({line_sql([sql for sql, _ in parts.values()])} AS BINARY)"


def types_of(parts: Parts) -> dict[str, pa.DataType]:
    """Name → type of the parts of a line."""
    return {name: arrow for name, (_, arrow) in parts.items()}


def line_of(line: bytes | None, table: str) -> bytes:
    """A line that arrived.

    Raises:
        TerminalError: the server could not send the row.
    """
    if line is None:
        raise TerminalError(f"MySQL: a row of {table} is larger than the server's max_allowed_packet")
    return line


def parse(lines: Sequence[bytes], types: Mapping[str, pa.DataType]) -> pl.DataFrame:
    """Lines as a frame of these columns."""
    if not lines:
        return cast("pl.DataFrame", pl.from_arrow(pa.table({name: pa.array([], kind) for name, kind in types.items()})))
    content = BytesIO(b"\n".join(lines) + b"\n")
    table = csv.read_csv(
        content,
        read_options=csv.ReadOptions(column_names=list(types), use_threads=False, block_size=1 << 26),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=dict(types), null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    return cast("pl.DataFrame", pl.from_arrow(table))
