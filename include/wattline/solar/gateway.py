"""How field gateways write to MySQL `solar`: the register, every reading, and the newest reading per inverter."""

from __future__ import annotations

import polars as pl

from wattline.solar.tables import CUSTOMER, INVERTER, READING
from wattline.storage.store import Condition, Store, WriteResult

_KEY = list(INVERTER.key)
_SNAPSHOT = ["at", "ackw", "dckw", "daykw", "totkw", "status"]


def snapshot(register: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """INVERTER rows of `register` that show the newest of `readings`.

    A reading that was measured after it arrived comes from a clock that is ahead: it does not become the newest.
    """
    sane = readings.filter(pl.col("at") <= pl.col("received_at"))
    newest = sane.sort("at").group_by(_KEY).last().rename({"received_at": "updated_at"})
    return INVERTER.conform(_newer(register, newest))


def _newer(register: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """`register` with the readings of `snapshots` where these are newer than its own."""
    joined = register.join(snapshots.select(*_KEY, *_SNAPSHOT, "updated_at"), on=_KEY, how="left", suffix="_new")
    wins = pl.col("at_new").is_not_null() & (pl.col("at").is_null() | (pl.col("at_new") > pl.col("at")))
    return joined.with_columns(
        pl.when(wins).then(f"{name}_new").otherwise(name).alias(name) for name in (*_SNAPSHOT, "updated_at")
    ).select(register.columns)


def write(store: Store, customers: pl.DataFrame, inverters: pl.DataFrame, readings: pl.DataFrame) -> WriteResult:
    """Write to MySQL what gateways sent; writing it again changes nothing.

    Args:
        store: MySQL `solar`, as the gateways' user.
        customers: CUSTOMER rows; plants that are not registered yet are added, the others stay as they are.
        inverters: INVERTER rows; likewise, but of registered ones the newest reading is updated, if it is newer.
        readings: READING rows in order of arrival; a row sent twice is written twice, and is there once.

    Returns:
        The counts of the readings.
    """
    plants = Condition("mcno", "in", customers["mcno"].to_list())
    registered = store.read(CUSTOMER, [plants], ["mcno"])
    store.upsert(CUSTOMER, customers.join(registered, on="mcno", how="anti"))
    known = store.read(INVERTER, [plants])
    register = pl.concat([known, inverters.join(known, on=_KEY, how="anti")])
    store.upsert(INVERTER, INVERTER.conform(_newer(register, inverters)))
    # One upsert per time a row is sent: an upsert takes a key once.
    sent = readings.with_columns(time=pl.int_range(pl.len()).over(*READING.key))
    written = WriteResult(0, 0, 0)
    for part in sent.partition_by("time", maintain_order=True):
        written += store.upsert(READING, READING.conform(part))
    return written
