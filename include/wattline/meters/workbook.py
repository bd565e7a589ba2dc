"""Reads MyEMS's Excel form for offline meters: a row a meter, a column a day of one month.

A2 holds the year and B2 the month. From row 3 on, A holds the number of an offline meter, B its name, C is not read,
and D to AH hold the energy of the days 1 to 31. An empty cell is a day without a value.

Excel keeps numbers as floats of 15 digits. A value here is the shortest decimal that stands for that float: what the
cell shows. A number that is kept as text is taken as it is written.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils import get_column_letter

from wattline.errors import BadInputError

MAX_BYTES = 64 * 1024 * 1024
"""Size of a workbook, unpacked: a form of 10,000 meters has some 30 MB."""
_FIRST_ROW, _FIRST_DAY, _DAYS = 3, 4, 31
_PLAIN = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_LARGEST_NUMBER = 2**63 - 1
_HEAD = (("year", range(1970, 9_999), 2026), ("month", range(1, 13), 11))
"""What A2 and B2 hold, the numbers that are allowed, and an example."""
_SHOWN = 40

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Finding:
    """Why a cell is not loaded.

    Attributes:
        cell: such as `D7`; empty where the file as a whole cannot be read.
        subject: what is wrong, a fixed word.
        problem: the same in words.
        remedy: what to do.
        meter_id: the offline meter, where the cell belongs to one.
        day: the local day, where the cell belongs to one.
    """

    cell: str
    subject: str
    problem: str
    remedy: str
    meter_id: int | None = None
    day: date | None = None

    def __str__(self) -> str:
        return f"{f'{self.cell}: ' if self.cell else ''}{self.problem}. {self.remedy}"


@dataclass(frozen=True)
class DayValue:
    """The energy of an offline meter on a local day, not negative; `row` is the row of its `cell`."""

    cell: str
    row: int
    meter_id: int
    day: date
    value: Decimal


@dataclass
class Form:
    """What a workbook says.

    Attributes:
        days: the usable cells, row by row.
        findings: the others.
        cells: meter and day of every cell of its rows, filled or empty.
    """

    days: list[DayValue] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    cells: set[tuple[int, date]] = field(default_factory=set)


def read(content: bytes) -> Form:
    """Read the active sheet of a workbook.

    Raises:
        BadInputError: it is no .xlsx workbook, is too large, or names no year and month.
    """
    rows, formulas = _rows(content, results=True), _rows(content, results=False)
    head = rows[1] if len(rows) > 1 else ()
    year, month = _head(head, 0), _head(head, 1)
    form = Form()
    for number, (row, formula) in enumerate(zip(rows, formulas, strict=True), 1):
        if number >= _FIRST_ROW:
            _read_row(form, number, _with_formulas(row, formula), (year, month))
    return _without_repeats(form)


@dataclass(frozen=True)
class _Formula:
    """A formula without a stored result."""


def _rows(content: bytes, *, results: bool) -> Rows:
    """The values of the active sheet, with formulas or with their results."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as packed:
            if sum(each.file_size for each in packed.infolist()) > MAX_BYTES:
                raise BadInputError("the workbook is too large", remedy="Send the form alone, without other sheets")
        with warnings.catch_warnings(action="ignore"):  # of styles and extensions that have no values
            sheet: Any = load_workbook(BytesIO(content), read_only=True, data_only=results).active
            sheet.reset_dimensions()  # some programs write a wrong size, which would end the reading early
            return list(sheet.iter_rows(max_col=_FIRST_DAY + _DAYS - 1, values_only=True))
    except BadInputError:
        raise
    except Exception as error:  # a broken file can break openpyxl anywhere
        raise BadInputError(
            f"the file is no .xlsx workbook with a sheet of cells ({type(error).__name__})",
            remedy="Fill in MyEMS's form, save it as .xlsx and send it again",
        ) from error


def _head(row: tuple[Any, ...], place: int) -> int:
    name, allowed, example = _HEAD[place]
    value = _whole(row[place]) if row else None
    if value is None or value not in allowed:
        raise BadInputError(f"{'AB'[place]}2 holds no {name}", remedy=f"Write the {name} as a number, e.g. {example}")
    return value


def _with_formulas(row: tuple[Any, ...], formulas: tuple[Any, ...]) -> Iterator[Any]:
    for value, formula in zip(row, formulas, strict=True):
        yield _Formula() if value is None and formula is not None else value


def _read_row(form: Form, number: int, row: Iterator[Any], month: tuple[int, int]) -> None:
    first, _, _, *values = row
    given = [(place, value) for place, value in enumerate(values) if not _is_empty(value)]
    meter = _whole(first)
    if meter is None or not 0 < meter <= _LARGEST_NUMBER:
        problem = f"{_shown(first)} is no number of an offline meter"
        if given:
            form.findings.append(Finding(f"A{number}", "no_meter", problem, "Write its ID as MyEMS shows it"))
        return
    days = (_day(*month, day) for day in range(1, _DAYS + 1))
    form.cells |= {(meter, day) for day in days if day is not None}
    for place, value in given:
        found = _day_value((get_column_letter(_FIRST_DAY + place), number), meter, value, _day(*month, place + 1))
        (form.days if isinstance(found, DayValue) else form.findings).append(found)  # type: ignore[arg-type]


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _day_value(place: tuple[str, int], meter: int, given: Any, day: date | None) -> DayValue | Finding:
    cell = f"{place[0]}{place[1]}"
    if day is None:
        return Finding(cell, "no_such_day", "the month has no such day", "Leave the cell empty", meter)
    if isinstance(given, _Formula):
        problem, remedy = "the formula has no stored result", "Open the file in Excel and save it"
        return Finding(cell, "not_a_number", problem, remedy, meter, day)
    value = _number(given)
    if value is None:
        problem = f"{_shown(given)} is no plain number"
        return Finding(cell, "not_a_number", problem, "Write the day's energy as 12.5", meter, day)
    if value < 0:
        return Finding(cell, "negative", f"{value:f} is negative", "Write the energy that was used", meter, day)
    return DayValue(cell, place[1], meter, day, value)


def _without_repeats(form: Form) -> Form:
    """The form with one value a meter and day: the first."""
    first: dict[tuple[int, date], DayValue] = {}
    for each in form.days:
        kept = first.setdefault((each.meter_id, each.day), each)
        if kept.value != each.value:
            problem = f"it contradicts {kept.cell}, the same meter and day"
            form.findings.append(
                Finding(each.cell, "contradiction", problem, "Keep one of them; the first was taken", each.meter_id)
            )
    return replace(form, days=list(first.values()))


def _number(value: Any) -> Decimal | None:
    """The exact number that a cell shows, or None where it shows none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        number = Decimal(repr(value))  # of a float, the shortest text that reads as the same float
        return number if number.is_finite() else None
    if isinstance(value, str) and _PLAIN.fullmatch(value.strip()):
        return Decimal(value.strip())
    return None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == number.to_integral_value() else None


def _shown(value: Any) -> str:
    if value is None:
        return "an empty cell"
    text = str(value)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
