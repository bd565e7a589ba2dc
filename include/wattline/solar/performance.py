"""How inverters and plants did on a day: specific yield, running hours, performance ratio, deviation from the peers."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from wattline.solar.irradiation import irradiation
from wattline.solar.summary_tables import DAY_PERFORMANCE
from wattline.solar.tables import PLANT, TICK
from wattline.storage.contract import UTC_TIME
from wattline.window import Window

TICKS_PER_HOUR = 60 / (TICK.total_seconds() / 60)
LEAST_PEERS = 3
"""Fewer inverters than this have no median that says which of them lags."""
RUNNING = pl.Schema({"mcno": pl.Int32(), "invno": pl.Int32(), "day": pl.Date(), "ticks": pl.Int64()})
"""In how many ticks of a local day an inverter ran, or any of a plant's (`invno` 0)."""
_KEY = ("mcno", "invno", "day")


def running_ticks(with_power: pl.DataFrame) -> pl.DataFrame:
    """`mcno, invno, ticks` of one day.

    Args:
        with_power: `mcno, invno, at` of the tick rows whose power is above 0; stale ones have none.
    """
    inverters = with_power.group_by("mcno", "invno").agg(ticks=pl.len().cast(pl.Int64))
    plants = with_power.group_by("mcno").agg(ticks=pl.col("at").n_unique().cast(pl.Int64))
    return pl.concat([inverters, plants.select("mcno", pl.lit(PLANT, pl.Int32).alias("invno"), "ticks")])


def day_performance(window: Window, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """DAY_PERFORMANCE rows, in key order, of every day that has an energy.

    Args:
        window: of the run.
        inputs: the frames of `collect_summary`: `plants, inverters, days, energy, hours, running, good_irradiance`.
    """
    known, days = _known_ticks(inputs["hours"]), inputs["energy"].select("mcno", "day").unique()
    rows = inputs["energy"].rename({"daykw": "energy"}).join(capacities(inputs, days), on=_KEY, how="left")
    rows = rows.join(known, on=_KEY, how="left").join(inputs["running"], on=_KEY, how="left")
    rated = pl.when(pl.col("capacity_kw") > 0).then("capacity_kw")
    hours = pl.col("ticks").fill_null(0) / TICKS_PER_HOUR
    rows = rows.with_columns(
        specific_yield=pl.col("energy").cast(pl.Float64) / rated,
        running_hours=pl.when(pl.col("fresh_ticks").is_not_null()).then(hours),
    )
    rows = rows.join(light(window, inputs), on=["mcno", "day"], how="left")
    full_sun_hours = pl.when(pl.col("irradiation") > 0, "installed_dc").then("irradiation")
    rows = rows.with_columns(performance_ratio=pl.col("specific_yield") / full_sun_hours)
    return DAY_PERFORMANCE.conform(_with_peers(rows)).sort(DAY_PERFORMANCE.key)


def capacities(inputs: Mapping[str, pl.DataFrame], days: pl.DataFrame) -> pl.DataFrame:
    """`mcno, invno, day, capacity_kw` and `installed_dc`, whether it is installed DC power, which only plants have.

    A plant whose installed power nobody has entered has the sum of the ratings of the inverters that were in use on
    the day, or a part of it, if all of these are known.

    Args:
        inputs: the frames `plants` and `inverters` of `collect_summary`.
        days: `mcno, day`, each once.
    """
    rating = pl.when(pl.col("capacity_kw") > 0).then("capacity_kw")
    inverters = days.join(inputs["inverters"], on="mcno").with_columns(capacity_kw=rating)
    in_use = (pl.col("first_day") <= pl.col("day")) & (pl.col("day") <= pl.col("last_day")).fill_null(value=True)
    whole = pl.when(pl.col("capacity_kw").is_not_null().all()).then(pl.col("capacity_kw").sum())
    rated = inverters.filter(in_use).group_by("mcno", "day").agg(rated=whole)
    plants = days.join(inputs["plants"], on="mcno").join(rated, on=["mcno", "day"], how="left")
    plants = plants.with_columns(
        invno=pl.lit(PLANT, pl.Int32), capacity_kw=pl.coalesce(rating, "rated"), installed_dc=rating.is_not_null()
    )
    columns = (*_KEY, "capacity_kw", "installed_dc")
    return pl.concat([inverters.with_columns(installed_dc=pl.lit(value=False)).select(columns), plants.select(columns)])


def _known_ticks(hours: pl.DataFrame) -> pl.DataFrame:
    """`mcno, invno, day, fresh_ticks`: ticks with data; null where the old system made the hours, or there are none."""
    known = pl.col("fresh_ticks").filter(pl.col("fresh_ticks").is_not_null())
    return hours.group_by(_KEY).agg(fresh_ticks=pl.when(known.len() > 0).then(known.sum().cast(pl.Int64)))


def light(window: Window, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What `irradiation` says of the days, each as far as its hours are stored.

    Args:
        window: of the run.
        inputs: `plants, days, good_irradiance` of `collect_summary`; `hours`: `mcno, day, start` of the newest hour of
            each day at least.
    """
    ends = inputs["hours"].group_by("mcno", "day").agg(until=pl.col("start").max().dt.offset_by("1h"))
    until = pl.min_horizontal("end", pl.coalesce("until", pl.lit(window.end).cast(UTC_TIME)))
    sites = inputs["plants"].select("mcno", "latitude", "longitude")
    days = inputs["days"].join(ends, on=["mcno", "day"], how="left").join(sites, on="mcno").with_columns(until=until)
    return irradiation(days, inputs["good_irradiance"])


def _with_peers(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `peers` and `peer_deviation`; an inverter that sent nothing all day is no peer: nothing is known of it."""
    silent = (pl.col("fresh_ticks") == 0).fill_null(value=False)
    compared = pl.when((pl.col("invno") != PLANT) & ~silent).then("specific_yield")
    rows = rows.with_columns(compared=compared)
    rows = rows.with_columns(
        peers=pl.col("compared").count().over("mcno", "day"), median=pl.col("compared").median().over("mcno", "day")
    )
    judged = (pl.col("peers") >= LEAST_PEERS) & (pl.col("median") > 0)
    return rows.with_columns(peer_deviation=pl.when(judged).then(pl.col("compared") / pl.col("median") - 1))
