"""`wattline meters explain` on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wattline.meters.explain import Explanation, sentence

_MARKS = {True: "bad", None: "not checked", False: ""}
_QUARANTINED = "quarantined"


def show(found: Explanation, console: Console) -> None:
    """The meter, the counter before the slot, every reading with what it adds, and why the slot has its value."""
    meter, row = found.meter, found.computed
    limits = f"low {meter['low_limit']:f}, high {meter['high_limit']:f}"
    modulus = f", modulus {meter['modulus']:f}" if meter["modulus"] is not None else ""
    numbers = f" (meter {meter['meter_id']}, point {meter['point_id']}; {limits}{modulus})"
    # A name may hold brackets, which are no markup.
    console.print(Text.assemble((str(meter["name"]), "bold"), numbers))
    console.print(f"{found.start:%Y-%m-%d %H:%M} to {found.end:%H:%M} UTC")
    console.print(_base(found.base))
    console.print(_steps(found))
    console.print(f"[bold]{row['actual_value']:f}[/]  {row['outcome']}. {sentence(found)}")
    console.print(_stored(found))


def _base(base: dict[str, Any] | None) -> str:
    if base is None:
        return "No good reading before: the counter begins at 0"
    return f"The counter before: {base['value']:f}, read at {base['at']:%Y-%m-%d %H:%M:%S}"


def _steps(found: Explanation) -> Table:
    table = Table("read at (UTC)", "counter", "", "rise", "fall", title=f"{found.steps.height} readings")
    for step in found.steps.iter_rows(named=True):
        counts = [f"{step[name]:f}" if step[name] else "" for name in ("rise", "fall")]
        mark = _QUARANTINED if step["quarantined"] else _MARKS[step["is_bad"]]
        table.add_row(f"{step['at']:%H:%M:%S}", f"{step['value']:f}", mark, *counts)
    return table


def _stored(found: Explanation) -> str:
    if found.hourly is None:
        return "The hourly table has no row: the hour is not computed yet"
    stored, computed = found.stored, found.computed
    said = f"The hourly table has {found.hourly:f}"
    if stored is None:
        return f"{said}, written by MyEMS: no reason is stored"
    said += f", reason {stored['reason']}"
    if stored["revised_at"]:
        said += f", revised from {stored['revised_from']:f} at {stored['revised_at']:%Y-%m-%d %H:%M} UTC"
    if found.hourly != computed["actual_value"]:
        said += ". The readings changed since: the next run that looks back so far revises it"
    return said
