"""Virtual meters: what the equation of other meters' energy gives, slot by slot.

A slot that is computed has a row or a finding, never both. The row is the equation's exact value, rounded once. Where
something is divided by zero, or a meter has no row, just that slot is left without one, until a later run finds it
otherwise. A meter whose equation cannot be used, or that depends on itself, is refused as a whole, and so are those
that depend on it; their rows stay as they are.

Slots are where the equation's meters have rows, whatever their length is or was. Where none of them has any, there is
a finding for each slot of the grid of whole hours or half hours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from wattline.meters.databases import Databases
from wattline.meters.registry import hourly_places
from wattline.meters.settle import Change, known_findings, known_rows, settle
from wattline.meters.tables import FINDING, HOURLY
from wattline.meters.upgrade import require_unique
from wattline.meters.virtual_meters import KIND, Refusal, Register, read_register
from wattline.meters.virtual_slots import evaluate, starts_of
from wattline.storage.mysql import MySQLStore
from wattline.storage.store import Condition
from wattline.window import Window

WHOLE_METER = datetime(1970, 1, 1, tzinfo=UTC)
"""The slot of findings that concern a meter and none of its slots."""
_VALUES_AT_ONCE = 300_000
"""Values in memory at a time, some 100 bytes each."""
_HOURLY = HOURLY[KIND]
_Slots = tuple[pl.DataFrame, pl.DataFrame]
"""Hourly rows and findings."""


@dataclass(frozen=True)
class Computed:
    """What a computation did.

    Attributes:
        rows: slots that have a value.
        findings: slots that have none.
        changed: virtual_meter_id and start_datetime_utc of every row that was written or removed.
        refused: virtual meter → why none of its slots is computed.
    """

    rows: int
    findings: int
    changed: pl.DataFrame
    refused: Mapping[int, str]


def compute(databases: Databases, window: Window, minutes: int, meters: Collection[int] | None = None) -> Computed:
    """Compute and store the slots of virtual meters that end within a window; doing it again changes nothing.

    Args:
        databases: the installation.
        window: any; cut at whatever instants, its parts give the same rows.
        minutes: length of a slot, 60 or 30.
        meters: numbers of the virtual meters whose rows and findings are stored; all of them if None.

    Raises:
        TerminalError: a table is not what it must be, or an hourly one has no unique key.
        TransientError: a server cannot be reached, or another run is in the way; whole parts of the window are stored.
    """
    energy = databases.energy
    require_unique(energy)
    places = hourly_places(energy, KIND)
    register = read_register(databases.system)
    _settle_refusals(energy, register.refused)
    needed = register if meters is None else register.needed_by(meters)
    rows, findings, changed = 0, 0, [_HOURLY.schema.to_frame().select(_HOURLY.key)]
    for part in _parts(window, minutes, needed):
        found = _of(meters, evaluate(needed.meters, _read(energy, needed, part, minutes), part, minutes, places))
        stored = _stored(energy, needed, starts_of(part, minutes), meters)
        changed.append(_settle(energy, found, stored))
        rows, findings = rows + found[0].height, findings + found[1].height
    refused = {number: refusal.detail for number, refusal in register.refused.items()}
    return Computed(rows, findings, pl.concat(changed).sort(_HOURLY.key), refused)


def _operands(register: Register) -> dict[str, list[int]]:
    """Kind → the meters of that kind that stand in an equation, but for virtual ones."""
    wanted = sorted({operand for meter in register.meters for operand in meter.operands.values()})
    return {kind: [number for its, number in wanted if its == kind] for kind in HOURLY if kind != KIND}


def _parts(window: Window, minutes: int, register: Register) -> Iterator[Window]:
    """The window in parts that fit into memory; none where there is nothing to compute."""
    if not register.meters:
        return
    meters = len(register.meters) + sum(map(len, _operands(register).values()))
    step = timedelta(minutes=minutes) * max(1, _VALUES_AT_ONCE // meters)
    start = window.start
    while start < window.end:
        yield Window(start, min(start + step, window.end))
        start += step


def _read(energy: MySQLStore, register: Register, window: Window, minutes: int) -> dict[str, pl.DataFrame]:
    """The rows of the equations' meters that `evaluate` needs."""
    wide = Window(starts_of(window, minutes).start, window.end)
    return {kind: known_rows(energy, kind, numbers, wide) for kind, numbers in _operands(register).items()}


def _of(meters: Collection[int] | None, found: _Slots) -> _Slots:
    """The rows and findings of these meters."""
    if meters is None:
        return found
    (rows, findings), wanted = found, list(meters)
    return rows.filter(pl.col(_HOURLY.key[0]).is_in(wanted)), findings.filter(pl.col("meter_id").is_in(wanted))


def _stored(energy: MySQLStore, register: Register, starts: Window, meters: Collection[int] | None) -> _Slots:
    """The rows and findings that are there; of all meters, also findings of those that MyEMS does not have any more."""
    rows = known_rows(energy, KIND, sorted(meter.id for meter in register.meters), starts)
    findings = known_findings(energy, KIND, starts).filter(~pl.col("meter_id").is_in(list(register.refused)))
    return _of(meters, (rows, findings))


def _settle(energy: MySQLStore, found: _Slots, there: _Slots) -> pl.DataFrame:
    """Write what differs from what is stored; the keys of those rows."""
    (rows, findings), (stored, known) = found, there
    without = findings.select(pl.col("meter_id").alias(_HOURLY.key[0]), _HOURLY.key[1])
    gone = stored.join(without, on=_HOURLY.key, how="semi")
    differing = rows.join(stored, on=_HOURLY.schema.names(), how="anti")
    settle(energy, Change(KIND, differing, gone, findings, known))
    return pl.concat([differing, gone]).select(_HOURLY.key)


def _settle_refusals(energy: MySQLStore, refused: Mapping[int, Refusal]) -> None:
    """Write the findings of meters that are refused, and remove those of meters that are not any more."""
    rows = [(KIND, number, WHOLE_METER, each.subject, each.detail) for number, each in sorted(refused.items())]
    findings = pl.DataFrame(rows, schema=FINDING.schema, orient="row")
    known = energy.read(FINDING, [Condition("kind", "=", KIND), Condition("start_datetime_utc", "=", WHOLE_METER)])
    nothing = _HOURLY.schema.to_frame()
    settle(energy, Change(KIND, nothing, nothing, findings, known))
