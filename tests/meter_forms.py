"""Workbooks as MyEMS's form for offline meters, filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from openpyxl import Workbook


def form(rows: Mapping[int, Sequence[Any]], *, year: Any = 2026, month: Any = 10) -> bytes:
    """A form whose rows, by number, hold the given cells from A on."""
    book, target = Workbook(), BytesIO()
    sheet = book.active
    for column, (title, given) in enumerate((("year", year), ("month", month)), 1):
        sheet.cell(1, column, title)
        sheet.cell(2, column, given)
    for number, cells in rows.items():
        for column, each in enumerate(cells, 1):
            sheet.cell(number, column, each)
    book.save(target)
    return target.getvalue()
