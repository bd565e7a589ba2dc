"""Every contract of the solar system, in either database; `wattline schema` creates them."""

from __future__ import annotations

from wattline.solar.availability import RELIABILITY_DAY
from wattline.solar.irradiance import IRRADIANCE
from wattline.solar.legacy_tables import LEGACY_TABLES
from wattline.solar.reliability_state import RELIABILITY_TABLES
from wattline.solar.statistics_tables import STATISTICS_TABLES
from wattline.solar.summary_tables import SUMMARY_TABLES
from wattline.solar.tables import TABLES

ALL_TABLES = (
    *TABLES,
    *LEGACY_TABLES,
    IRRADIANCE,
    *STATISTICS_TABLES,
    *SUMMARY_TABLES,
    *RELIABILITY_TABLES,
    RELIABILITY_DAY,
)
