"""Targets: the inverters that checks look at."""

from __future__ import annotations

import polars as pl

from wattline.solar.collect import with_timezone
from wattline.solar.tables import CUSTOMER, INVERTER
from wattline.storage.contract import UTC_TIME
from wattline.storage.store import Store

NOT_WATCHED = ("not_in_use", "in_progress")
"""States of plants whose inverters nobody expects anything of."""
TARGET = pl.Schema(
    {
        "mcno": pl.Int32(),
        "invno": pl.Int32(),
        "installed_at": UTC_TIME,
        "removed_at": UTC_TIME,
        "latitude": pl.Float64(),
        "longitude": pl.Float64(),
        "timezone": pl.String(),
    }
)
"""One row an inverter; it is a target from `installed_at` until before `removed_at`."""


def targets(store: Store) -> pl.DataFrame:
    """The inverters of plants that are in use, by the schema TARGET, in order of their numbers.

    A plant without a time zone has no local day, and no tick rows: its inverters are no targets either.

    Args:
        store: MySQL `solar`, or whatever holds INVERTER and CUSTOMER.
    """
    register = store.read(INVERTER, (), ("mcno", "invno", "installed_at", "removed_at"))
    plants = store.read(CUSTOMER, (), ("mcno", "latitude", "longitude", "status"))
    watched = plants.filter(~pl.col("status").is_in(NOT_WATCHED)).drop("status")
    rows = with_timezone(store, register).join(watched, on="mcno", how="inner")
    return rows.select(TARGET.names()).sort("mcno", "invno")
