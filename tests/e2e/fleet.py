"""Small fleets for end-to-end tests, written to MySQL as gateways write."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl

from tests.e2e.conftest import Platform
from wattline.solar.tables import CUSTOMER, INVERTER, READING
from wattline.storage.contract import ENERGY, UTC_TIME
from wattline.storage.mysql import MySQLStore
from wattline.window import Window

DAYS = Window(datetime.fromisoformat("2026-09-29T15:00+00:00"), datetime.fromisoformat("2026-10-01T15:00+00:00"))
"""Two days of the one simulated world that all end-to-end tests share: its plants have the numbers of any other."""
INSTALLED = datetime.fromisoformat("2025-01-01T00:00+00:00")


def simulate(platform: Platform) -> None:
    """Fill MySQL with the simulated world; again and again the same."""
    bounds = ("--from", DAYS.start.isoformat(), "--to", DAYS.end.isoformat())
    platform.wattline("simulate", "--plants", "3", "--seed", "5", *bounds)


def register(
    mysql: MySQLStore,
    mcno: int,
    inverters: int,
    removed_at: datetime | None = None,
    *,
    zone: str = "Asia/Seoul",
    longitude: float = 127.0,
) -> pl.DataFrame:
    """A plant with inverters of 50 kW; the register's rows."""
    plant = (mcno, f"Plant {mcno}", None, None, 36.0, longitude, zone, "in_use", 50.0 * inverters, INSTALLED)
    mysql.upsert(CUSTOMER, pl.DataFrame([plant], schema=CUSTOMER.schema, orient="row"))
    nothing = {column.name: None for column in INVERTER.columns if column.nullable}
    rows = pl.DataFrame({"mcno": mcno, "invno": range(1, inverters + 1)}).with_columns(
        **nothing | {"capacity_kw": 50.0, "installed_at": INSTALLED, "updated_at": INSTALLED}
    )
    rows = rows.with_columns(removed_at=pl.lit(removed_at).cast(UTC_TIME))
    mysql.upsert(INVERTER, rows)
    return rows


def readings(mcno: int, inverters: int, times: list[datetime], bad: int = 0) -> pl.DataFrame:
    """One good reading per inverter and time, energy growing; the first `bad` inverters say -9999 kW."""
    units = pl.DataFrame({"invno": range(1, inverters + 1)})
    rows = units.join(pl.DataFrame({"at": times, "n": range(len(times))}), how="cross")
    power = pl.when(pl.col("invno") <= bad).then(-9999.0).otherwise(40.0)
    return rows.select(
        mcno=pl.lit(mcno),
        invno=pl.col("invno"),
        at=pl.col("at").cast(UTC_TIME),
        ackw=power,
        dckw=pl.lit(41.0),
        daykw=(pl.col("n") + 1).cast(ENERGY) * Decimal("2.5"),
        totkw=(pl.col("n") + 1).cast(ENERGY) * Decimal("2.5") + 1000,
        status=pl.lit(1),
        received_at=pl.col("at").cast(UTC_TIME) + timedelta(seconds=3),
    )


def send(mysql: MySQLStore, rows: pl.DataFrame) -> None:
    """Append to `inverterlog`."""
    mysql.upsert(READING, rows)
