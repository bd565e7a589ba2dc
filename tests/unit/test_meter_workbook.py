"""MyEMS's Excel form: exact values, and a finding for every cell that cannot be loaded."""

from __future__ import annotations

import zipfile
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.chart import BarChart

from tests.meter_forms import form
from wattline.errors import BadInputError
from wattline.meters import workbook
from wattline.meters.workbook import Form, read


def found(read_form: Form) -> list[tuple[str, str]]:
    return [(each.cell, each.subject) for each in read_form.findings]


def test_a_form_is_read_by_row_and_day() -> None:
    read_form = read(form({3: [7, "Boiler", "x", 24, None, 12.5], 5: [8, None, None, 0, *[None] * 28, "  ", "1.25"]}))
    assert [(each.cell, each.row, each.meter_id, each.day, each.value) for each in read_form.days] == [
        ("D3", 3, 7, date(2026, 10, 1), Decimal(24)),
        ("F3", 3, 7, date(2026, 10, 3), Decimal("12.5")),
        ("D5", 5, 8, date(2026, 10, 1), Decimal(0)),
        ("AH5", 5, 8, date(2026, 10, 31), Decimal("1.25")),
    ]
    assert read_form.findings == []


def test_the_cells_of_a_form_are_the_days_of_its_month_filled_or_empty() -> None:
    read_form = read(form({3: [7, "Boiler", None, 1, 1], 4: [8], 5: [7, None, None, "?"], 6: [], 7: ["x"]}, month=2))
    assert read_form.cells == {(meter, date(2026, 2, day)) for meter in (7, 8) for day in range(1, 29)}


@hypothesis_settings(max_examples=100, deadline=None)
@example(Decimal("0.1"))
@example(Decimal("56842157.3"))
@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_a_value_is_what_the_cell_shows_and_no_float(value: Decimal) -> None:
    (day,) = read(form({3: [7, "Boiler", None, float(value)]})).days
    assert day.value == value


@pytest.mark.parametrize(
    ("given_value", "subject"),
    [
        (-1, "negative"),
        (-0.001, "negative"),
        ("n/a", "not_a_number"),
        ("1,234.5", "not_a_number"),
        ("1e3", "not_a_number"),
        (True, "not_a_number"),
        (datetime(2026, 10, 2), "not_a_number"),  # noqa: DTZ001 - as Excel has it
        ("=A1+1", "not_a_number"),
        ("#DIV/0!", "not_a_number"),
    ],
)
def test_a_cell_that_is_no_energy_is_a_finding_and_those_beside_it_are_read(given_value: Any, subject: str) -> None:
    read_form = read(form({4: [7, "Boiler", None, 1, given_value, 3]}))
    assert [each.cell for each in read_form.days] == ["D4", "F4"]
    (finding,) = read_form.findings
    assert (finding.cell, finding.subject, finding.meter_id) == ("E4", subject, 7)
    assert finding.day == date(2026, 10, 2)
    assert str(finding).startswith("E4: ")


def test_a_day_that_the_month_does_not_have_is_a_finding() -> None:
    read_form = read(form({3: [7, "Boiler", None, *[1] * 31]}, month=2))
    assert [each.day.day for each in read_form.days] == list(range(1, 29))
    assert found(read_form) == [("AF3", "no_such_day"), ("AG3", "no_such_day"), ("AH3", "no_such_day")]


def test_columns_behind_the_days_are_no_days() -> None:
    assert found(read(form({3: [7, "Boiler", None, *[None] * 31, "sum", 99]}))) == []


@pytest.mark.parametrize("meter", [None, "Boiler", 7.5, 0, -7, True, 10**19])
def test_a_row_without_a_meter_is_one_finding(meter: Any) -> None:
    read_form = read(form({3: [meter, "Boiler", None, 1, 2], 4: [8, "Pump", None, 1]}))
    assert found(read_form) == [("A3", "no_meter")]
    assert [each.meter_id for each in read_form.days] == [8]


def test_a_row_without_values_is_passed_over() -> None:
    read_form = read(form({3: [None, "Total", "see below"], 4: ["Remarks"], 9: [7, "Boiler"]}))
    assert (read_form.days, read_form.findings) == ([], [])


def test_of_two_values_of_a_day_the_first_counts() -> None:
    read_form = read(form({3: [7, "Boiler", None, 1, 2], 4: [7, "Boiler", None, 1, 3]}))
    assert [(each.cell, each.value) for each in read_form.days] == [("D3", 1), ("E3", 2)]
    assert found(read_form) == [("E4", "contradiction")]


@pytest.mark.parametrize(
    ("year", "month", "problem"),
    [
        (None, 10, "A2 holds no year"),
        ("next", 10, "A2 holds no year"),
        (1066, 10, "A2 holds no year"),
        (2026, None, "B2 holds no month"),
        (2026, 13, "B2 holds no month"),
        (2026, 10.5, "B2 holds no month"),
    ],
)
def test_a_form_without_a_month_is_refused(year: Any, month: Any, problem: str) -> None:
    with pytest.raises(BadInputError, match=problem):
        read(form({3: [7, "Boiler", None, 1]}, year=year, month=month))


def damaged(content: bytes) -> bytes:
    return content[: len(content) // 2]


def repacked(content: bytes, change: Any) -> bytes:
    """The workbook with `change` done to the text of its sheet."""
    target = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            text = old.read(name)
            new.writestr(name, change(text.decode()) if name.startswith("xl/worksheets/sheet") else text)
    return target.getvalue()


def test_a_wrong_size_of_the_sheet_loses_no_row() -> None:
    def shrink(text: str) -> str:
        assert '<dimension ref="A1:D9"' in text
        return text.replace('<dimension ref="A1:D9"', '<dimension ref="A1:A1"')

    rows = {number: [number, "Boiler", None, number] for number in range(3, 10)}
    assert len(read(repacked(form(rows), shrink)).days) == 7


def chart_alone() -> bytes:
    book, target = Workbook(), BytesIO()
    sheet = book.create_chartsheet()
    sheet.add_chart(BarChart())
    book.active = 1
    book.save(target)
    return target.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 no zip",
        b"year,month\n2026,10\n",
        damaged(form({3: [7, "Boiler", None, 1]})),
        repacked(form({}), lambda _: "<no xml"),
        chart_alone(),
    ],
)
def test_what_is_no_workbook_is_refused(content: bytes) -> None:
    with pytest.raises(BadInputError, match=r"no \.xlsx workbook"):
        read(content)


def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_BYTES", 10_000)
    bomb = repacked(form({}), lambda text: text + " " * 10_000)
    assert len(bomb) < 10_000
    with pytest.raises(BadInputError, match="too large"):
        read(bomb)
