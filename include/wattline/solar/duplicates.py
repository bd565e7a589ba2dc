"""Inverters that are in the register twice: what one of them makes is counted twice.

Two are the same when they have the same serial number, or when the gateways of their plants call from the same address
and port and they have the same number there. An address without a port is a whole network, and says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl
from pymongo import UpdateMany, UpdateOne
from pymongo.database import Database

from wattline.alerts.notice import Notice
from wattline.platform.events import PlatformEvent
from wattline.solar.event_types import REGISTERED_TWICE
from wattline.solar.legacy_tables import REMOTE_IP
from wattline.solar.tables import INVERTER
from wattline.storage.coverage import reached
from wattline.storage.documents import Document, documents, translated
from wattline.storage.store import Store
from wattline.window import Window

PAIR = pl.Schema(
    {
        "mcno": pl.Int32(),
        "invno": pl.Int32(),
        "other_mcno": pl.Int32(),
        "other_invno": pl.Int32(),
        "serial_no": pl.String(),
        "address": pl.String(),
    }
)
"""One row a pair, the lower (`mcno`, `invno`) first; what they share (`serial_no`, `address`, or both) is not null."""
_KEY = ("mcno", "invno", "other_mcno", "other_invno")
_COLLECTION = "duplicate_inverter"
_NO_SERIAL = ("", "0", "-", "n/a", "none", "unknown", "없음")
"""What people write where a nameplate cannot be read, in lower case."""
_OF_EVENT = {"mcno": "mcno", "invno": "invno", "found_at": "raised_at"}
"""What names the event of a pair, and the same in the event's key."""
PIPELINE = "reliability_dup_inverter"


def register(store: Store, window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The collector: `inverters` in use at the window's end (`mcno, invno, serial_no`), `gateways` (`mcno, ip, port`).

    Args:
        store: MongoDB, which holds INVERTER and REMOTE_IP.
        window: of the run.
        inputs: none.
    """
    rows = store.read(INVERTER, (), ("mcno", "invno", "serial_no", "installed_at", "removed_at"))
    in_use = pl.col("removed_at").is_null() | (pl.col("removed_at") > window.end)
    return {
        "inverters": rows.filter(in_use & (pl.col("installed_at") <= window.end)).select("mcno", "invno", "serial_no"),
        "gateways": store.read(REMOTE_IP, (), ("mcno", "ip", "port")),
    }


def duplicates(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The processor: `pairs`, on what the collector has staged."""
    return {"pairs": pairs(inputs["inverters"], inputs["gateways"])}


def pairs(inverters: pl.DataFrame, gateways: pl.DataFrame) -> pl.DataFrame:
    """Every pair of inverters that are the same, by the schema PAIR, in key order.

    Args:
        inverters: `mcno, invno, serial_no`.
        gateways: `mcno, ip, port`.
    """
    plain = pl.col("serial_no").str.strip_chars().str.to_lowercase()
    serials = inverters.with_columns(serial_no=pl.when(~plain.is_in(_NO_SERIAL)).then(plain)).drop_nulls("serial_no")
    # The number inside the plant is the unit on the gateway's line.
    address = pl.format("{}:{}", pl.col("ip").str.strip_chars(), "port")
    called = gateways.filter(pl.col("port").is_not_null() & (pl.col("port") > 0)).select("mcno", address=address)
    units = inverters.join(called, on="mcno").with_columns(unit=pl.col("invno"))
    same_serial = _joined(serials.select("mcno", "invno", "serial_no"), ["serial_no"])
    same_unit = _joined(units.select("mcno", "invno", "address", "unit"), ["address", "unit"]).drop("unit")
    found = same_serial.join(same_unit, on=_KEY, how="full", coalesce=True, nulls_equal=True)
    return found.select(pl.col(name).cast(kind) for name, kind in PAIR.items()).sort(_KEY)


def _joined(rows: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """Every two rows that agree in `on`, once."""
    others = rows.rename({"mcno": "other_mcno", "invno": "other_invno"})
    first, second = pl.struct("mcno", "invno"), pl.struct(mcno="other_mcno", invno="other_invno")
    both = rows.join(others, on=on).with_columns(_first=first, _second=second)
    lower = (pl.col("mcno") < pl.col("other_mcno")) | (
        (pl.col("mcno") == pl.col("other_mcno")) & (pl.col("invno") < pl.col("other_invno"))
    )
    return both.filter(lower).select(*_KEY, *on)


def newer(database: Database[Document], at: datetime) -> bool:
    """Whether a run of a window that ends after `at` has written the report: one of `at` has nothing to say any more.

    Raises:
        TransientError: the server cannot be reached.
    """
    later = {"$or": [{"seen_at": {"$gt": at}}, {"gone_at": {"$gt": at}}]}
    with translated():
        written = documents(database, _COLLECTION).find_one(later) is not None
    return written or reached(database, PIPELINE, at)


def store(database: Database[Document], found: pl.DataFrame, at: datetime) -> int:
    """Bring the report up to date: new pairs, those seen again, those that are gone; how many are new.

    A pair that comes back is found anew. Not for a run of which another is `newer`.

    Raises:
        TransientError: the server cannot be reached; storing again changes nothing.
    """
    keys = [{name: row[name] for name in _KEY} for row in found.iter_rows(named=True)]
    anew = {"found_at": at, "gone_at": None, "queued_at": None}
    orders: list[UpdateOne | UpdateMany] = []
    for key, row in zip(keys, found.iter_rows(named=True), strict=True):
        change = {"serial_no": row["serial_no"], "address": row["address"], "seen_at": at}
        # The time of the first sight names the event; only a pair that was gone gets a new one.
        orders.append(UpdateOne({"_id": key, "gone_at": {"$ne": None}}, {"$set": anew}))
        orders.append(UpdateOne({"_id": key}, {"$setOnInsert": key | anew, "$set": change}, upsert=True))
    orders.append(UpdateMany({"_id": {"$nin": keys}, "gone_at": None}, {"$set": {"gone_at": at}}))
    with translated():
        return int(documents(database, _COLLECTION).bulk_write(orders).upserted_count)


def report(database: Database[Document]) -> list[Document]:
    """All pairs that were ever found, in key order.

    Raises:
        TransientError: the server cannot be reached.
    """
    with translated():
        return list(documents(database, _COLLECTION).find().sort("_id"))


def events(found_pairs: Sequence[Document]) -> list[PlatformEvent]:
    """Events 302 of the report, one an inverter and time of the first sight, with all that it is the same as."""
    found = []
    of_event = itemgetter(*_OF_EVENT)
    for key, pairs_ in groupby(sorted(found_pairs, key=of_event), of_event):
        same = list(pairs_)
        gone = [pair["gone_at"] for pair in same]
        named = dict(zip(_OF_EVENT.values(), key, strict=True)) | {"type": REGISTERED_TWICE}
        found.append(PlatformEvent(named, "; ".join(map(_line, same)), None if None in gone else max(gone)))
    return found


def notices(found_pairs: Sequence[Document], at: datetime) -> list[Notice]:
    """One notice an event that lasts and whose messages were not queued yet, to be sent from `at` on."""
    return [
        Notice(
            event.key,
            "raised",
            event.key["mcno"],
            event.key["invno"],
            REGISTERED_TWICE,
            # Its key has the time of the first sight; it is due only now.
            at,
            {"detail": event.message},
        )
        for event in events([pair for pair in found_pairs if pair.get("queued_at") is None])
        if event.cleared_at is None
    ]


def queued(database: Database[Document], told: Sequence[Notice], at: datetime) -> None:
    """Write down that the messages of `told` are in the outbox: they are queued no more, whoever becomes administrator.

    Raises:
        TransientError: the server cannot be reached; writing again changes nothing.
    """
    events_ = [{name: notice.key[of_event] for name, of_event in _OF_EVENT.items()} for notice in told]
    if events_:
        with translated():
            documents(database, _COLLECTION).update_many({"$or": events_}, {"$set": {"queued_at": at}})


def _line(pair: Mapping[str, Any]) -> str:
    names = (("serial number", "serial_no"), ("gateway address", "address"))
    shared = " and ".join(f"{name} {pair[field]}" for name, field in names if pair[field])
    return f"inverter {pair['other_invno']} of plant {pair['other_mcno']} has the same {shared}"
