"""Irradiance on a plant's panels: its contract, and what the gate demands of it."""

from __future__ import annotations

import polars as pl

from wattline.quality.suite import Suite, range_checks, required
from wattline.solar.legacy_tables import UPDATED_AT
from wattline.solar.tables import MCNO
from wattline.storage.contract import UTC_TIME, Column, Table

_MAX_KW_M2 = 2.0
"""Above what any sky gives: the sun outside the atmosphere is 1.41 kW/m² at most, and edges of clouds add to it."""
_REMEDY = "Look at the sensor of this plant, then at the scale that its gateway sends (kW/m², not W/m²)"

IRRADIANCE = Table(
    name="irradiance",
    key=("mcno", "at"),
    columns=(
        MCNO,
        Column("at", UTC_TIME, "time of the value"),
        Column("poa_kw_m2", pl.Float64(), "light in the plane of the panels", "kW/m²", True, -0.1, _MAX_KW_M2),
        UPDATED_AT,
    ),
    mysql="irradiance",
    mongo="irradiance",
    indexes=(("at",), ("updated_at",)),
)
"""Plane-of-array irradiance, as often as a plant's sensor says it; many plants have no sensor."""


def usable(rows: pl.DataFrame) -> pl.DataFrame:
    """The IRRADIANCE rows, of any columns with `poa_kw_m2`, that the gate lets through."""
    value = IRRADIANCE.column("poa_kw_m2")
    return rows.filter(pl.col(value.name).is_between(value.minimum, value.maximum))


CHECKED = Suite(
    name="irradiance",
    table=IRRADIANCE,
    checks=(
        *required(IRRADIANCE, ("poa_kw_m2",), "Look at the gateway: it could not read the sensor"),
        *range_checks(IRRADIANCE, ("poa_kw_m2",), _REMEDY),
    ),
)
"""Gate of `generation_summary`. A batch: values of the computed days; a little below 0 is usual at night."""
