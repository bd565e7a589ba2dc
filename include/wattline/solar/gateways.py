"""How fresh the word of every field gateway is, and whether all of them fell silent at once.

One gateway that is silent is an event of its plant (202), which `reliability_inverter` raises. When all of them are, it
is not the plants' fault but the collector's: then that pipeline raises nothing, and the administrators are told here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from wattline.platform.checks import CHECK
from wattline.solar.legacy_tables import CLIENT_STATUS, POWER_STATION
from wattline.solar.tables import INVERTER, TICK
from wattline.solar.targets import NOT_WATCHED
from wattline.storage.contract import UTC_TIME
from wattline.storage.store import Condition, Store
from wattline.window import Window

GATEWAY = pl.Schema({"mcno": pl.Int32(), "said_at": UTC_TIME, "reading_at": UTC_TIME, "silent": pl.Boolean()})
"""One row a plant with targets: when its gateway last spoke of itself, and its inverters' newest reading."""
SILENT_AFTER = timedelta(minutes=60)
"""As long as an inverter may be silent (event 202)."""
ALL_SILENT_AFTER = 2 * TICK
"""All plants together may not be silent for longer."""
_LEAST_PLANTS = 2


def freshness(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The collector: `gateways` by the schema GATEWAY, and `checks_gateways` with the subject "all gateways".

    MongoDB's copy of the register is asked, so that this goes on while MySQL is down.

    Args:
        store: MongoDB, which holds INVERTER, POWER_STATION and CLIENT_STATUS.
        window: of the run; its end is what "now" is.
        inputs: none.
    """
    names = ("mcno", "invno", "at", "installed_at", "removed_at")
    used = (pl.col("installed_at") <= window.end) & (
        pl.col("removed_at").is_null() | (pl.col("removed_at") > window.end)
    )
    unwatched = store.read(POWER_STATION, (Condition("status", "in", NOT_WATCHED),), ("mcno",))
    inverters = store.read(INVERTER, (), names).filter(used).join(unwatched, on="mcno", how="anti")
    newest = inverters.group_by("mcno").agg(reading_at=pl.col("at").max())
    said = store.read(CLIENT_STATUS, (), ("mcno", "said_at"))
    found = gateways(newest.select("mcno"), said, newest, window.end)
    return {"gateways": found, "checks_gateways": check(found, window.end)}


def gateways(plants: pl.DataFrame, said: pl.DataFrame, readings: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Rows of GATEWAY, in order of the plants. A gateway is silent when neither it nor an inverter was heard of.

    Args:
        plants: `mcno`.
        said: `mcno, said_at`.
        readings: `mcno, reading_at`.
        now: UTC.
    """
    rows = plants.join(said, on="mcno", how="left").join(readings, on="mcno", how="left")
    heard = pl.max_horizontal("said_at", "reading_at")
    silent = heard.is_null() | (heard < now - SILENT_AFTER)
    return (
        rows.with_columns(silent=silent).select(pl.col(name).cast(kind) for name, kind in GATEWAY.items()).sort("mcno")
    )


def check(found: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """One row of CHECK: minutes since the newest reading of all plants, of which there must be two or more."""
    limit = ALL_SILENT_AFTER / timedelta(minutes=1)
    newest = found["reading_at"].max()
    row: tuple[object, ...]
    if found.height < _LEAST_PLANTS or not isinstance(newest, datetime):
        row = ("all gateways", None, None, limit, f"{found.height} plants, none of which was ever heard")
        return pl.DataFrame([row], CHECK, orient="row")
    age = now - newest
    detail = (
        f"the newest reading of {found.height} plants is of {newest:%Y-%m-%d %H:%M} UTC; "
        f"{found['silent'].sum()} gateways are silent"
    )
    row = ("all gateways", age <= ALL_SILENT_AFTER, age / timedelta(minutes=1), limit, detail)
    return pl.DataFrame([row], CHECK, orient="row")
