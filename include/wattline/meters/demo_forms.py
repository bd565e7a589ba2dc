"""MyEMS's Excel form for the simulated offline meters, as people fill it in."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from openpyxl import Workbook

from wattline.meters.demo_register import OFFLINE_METERS

_COLUMNS_BEFORE_DAYS = 3


def write_forms(folder: Path, seed: int, since: datetime, until: datetime, zone: ZoneInfo) -> list[Path]:
    """Write one form a local month, with every local day from `since` that is over at `until`.

    Args:
        folder: the watched folder; made where it is missing.
        seed: the world's.
        since: when the world began.
        until: where it ends for now.
        zone: the site's time zone.

    Returns:
        The files, by month.
    """
    first, end = since.astimezone(zone).date(), until.astimezone(zone).date()
    days = [first + timedelta(days=number) for number in range((end - first).days)]
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder, seed, list(some)) for _, some in groupby(days, key=lambda day: (day.year, day.month))]


def _write(folder: Path, seed: int, days: list[date]) -> Path:
    """Write the form of one month, whole or not at all."""
    form = Workbook()
    sheet: Any = form.active
    sheet.append(["Year", "Month"])
    sheet.append([days[0].year, days[0].month])
    for row, meter in enumerate(OFFLINE_METERS, 3):
        sheet.append([meter.number, meter.name])
        for day in days:
            sheet.cell(row, _COLUMNS_BEFORE_DAYS + day.day, meter.value(seed, day))
    path = folder / f"wattline-demo-{days[0]:%Y-%m}.xlsx"
    part = path.with_name(f".{path.name}.part")
    form.save(part)
    return part.replace(path)
