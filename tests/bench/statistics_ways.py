"""Other ways to the statistics of power: pandas, and an aggregation in the database.

Both are given the time zone and the day's daylight slots, which they need not look up or compute.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from pymongo import MongoClient, ReplaceOne
from pymongo.collection import Collection

from tests.bench.statistics_fill import ZONE, register
from wattline.solar.statistics_tables import STATISTICS_AVG, STATISTICS_MEDIAN
from wattline.solar.sun import elevation
from wattline.solar.tables import TICK
from wattline.storage.months import collection_names
from wattline.window import Window

Document = dict[str, Any]
_DAY = timedelta(days=1)
_SLOTS = _DAY // TICK
_NAMES = ("ackw", "dckw", "ackw_per_kw", "dckw_per_kw")
_TABLES = {"avg": STATISTICS_AVG, "median": STATISTICS_MEDIAN}
_MIDDLES = {"avg": "mean", "median": "median"}


def by_pandas(url: str, statistic: str, plants: int, window: Window) -> int:
    """Day by day: `find` into a DataFrame, `groupby`, and replacements by key; the same documents come out."""
    units, rows = register(plants).to_pandas(), 0
    client: MongoClient[Document] = MongoClient(url, tz_aware=True)
    with client:
        database = client.get_default_database()
        target = database[str(_TABLES[statistic].mongo)]
        start = window.start
        while start < window.end:
            match = {"at": {"$gt": start, "$lte": start + _DAY}, "stale": False}
            fields = dict.fromkeys(("mcno", "invno", "at", "ackw", "dckw"), 1) | {"_id": 0}
            sources = _sources(database, start, start + _DAY)
            found = [document for source in sources for document in source.find(match, fields)]
            logs = pd.DataFrame(found)
            del found
            documents = _documents(logs, units, start, statistic)
            target.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents], ordered=False)
            rows += len(logs)
            start += _DAY
    return rows


def _sources(database: Any, start: datetime, end: datetime) -> list[Collection[Document]]:
    """The collections that may hold a tick in `(start, end]`."""
    return [database[name] for name in collection_names("inverterlog", start, end + TICK)]


def _documents(logs: pd.DataFrame, units: pd.DataFrame, start: datetime, statistic: str) -> Iterator[Document]:
    middle = _MIDDLES[statistic]
    logs["slot"] = (logs["at"] - start - pd.Timedelta(1, "us")) // TICK
    logs = logs.merge(units[["mcno", "invno", "capacity_kw"]], on=["mcno", "invno"])
    for name in ("ackw", "dckw"):
        logs[f"{name}_per_kw"] = logs[name] / logs["capacity_kw"]
    light = _light(units, start)
    logs["lit"] = light[logs["mcno"] - 1, logs["slot"]]
    inverters = logs.assign(unit=logs["invno"])
    for rows in (inverters, logs.assign(unit=0)):
        yield from _of_units(rows, light, start, statistic, middle)


def _of_units(logs: pd.DataFrame, light: Any, start: datetime, statistic: str, middle: str) -> Iterator[Document]:
    unit = ["mcno", "unit"]
    slots = logs.groupby([*unit, "slot"])
    found = {"count": slots.size(), **{name: slots[name].agg(middle) for name in _NAMES}}
    if statistic == "avg":
        found |= {f"{name}_sum": slots[name].sum() for name in ("ackw", "dckw")}
    arrays = {name: one.unstack("slot").reindex(columns=range(_SLOTS)) for name, one in found.items()}
    for name, one in arrays.items():
        if name == "count" or name.endswith("_sum"):
            arrays[name] = one.fillna(0).astype(int if name == "count" else float)
    lists = {name: one.astype(object).where(one.notna(), None).to_numpy().tolist() for name, one in arrays.items()}
    days = logs[logs["lit"]].groupby(unit)
    of_day = pd.DataFrame({"day_count": days.size(), **{name: days[name].agg(middle) for name in _NAMES}})
    of_day = of_day.reindex(arrays["count"].index)
    installed = logs.drop_duplicates([*unit, "invno"]).groupby(unit)["capacity_kw"].sum(min_count=1)
    day = str((start + timedelta(hours=9)).date())
    for place, ((mcno, invno), figures, kw) in enumerate(
        zip(of_day.index, of_day.itertuples(index=False), installed, strict=True)
    ):
        key = {"mcno": int(mcno), "invno": int(invno), "day": day}
        yield (
            {"_id": key, **key, "start": start, "slots": _SLOTS, "installed_kw": _plain(kw)}
            | {name: values[place] for name, values in lists.items()}
            | {"daylight_slots": int(light[mcno - 1].sum()), "day_count": int(figures.day_count or 0)}
            | {name.replace("kw", "kw_day", 1): _plain(getattr(figures, name)) for name in _NAMES}
        )


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _light(units: pd.DataFrame, start: datetime) -> Any:
    places = units.drop_duplicates("mcno")
    middles = np.datetime64(start.replace(tzinfo=None)) + np.timedelta64(TICK) * (np.arange(_SLOTS) + 0.5)
    return elevation(middles, places[["latitude"]].to_numpy(), places[["longitude"]].to_numpy()) > 0


def by_aggregation(url: str, statistic: str, plants: int, window: Window) -> int:
    """Two pipelines, for inverters and plants, that leave less: arrays of the slots that have logs, no daylight.

    How many logs there were, they do not say: 0.

    Raises:
        SystemExit: the statistic is the median, which MongoDB has from version 7 on.
    """
    if statistic != "avg":
        raise SystemExit("MongoDB 6 has no median")
    client: MongoClient[Document] = MongoClient(url, tz_aware=True)
    with client:
        database = client.get_default_database()
        database["bench_register"].drop()
        ratings = register(plants).select("mcno", "invno", pl.col("capacity_kw"))
        database["bench_register"].insert_many(
            [{"_id": {"mcno": one["mcno"], "invno": one["invno"]}, **one} for one in ratings.to_dicts()]
        )
        match = {"at": {"$gt": window.start, "$lte": window.end}, "stale": False}
        names = [one.name for one in _sources(database, window.start, window.end)]
        others = [{"$unionWith": {"coll": name, "pipeline": [{"$match": match}]}} for name in names[1:]]
        target = str(_TABLES[statistic].mongo) + "_aggregated"
        for stages in (_of_inverters(), _of_plants()):
            merge = {"$merge": {"into": target, "whenMatched": "replace"}}
            pipeline = [{"$match": match}, *others, *_slots(), *stages, merge]
            list(database[names[0]].aggregate(pipeline, allowDiskUse=True))
    return 0


def _slots() -> list[Document]:
    before = {"$subtract": ["$at", 1]}
    day = {"$dateTrunc": {"date": before, "unit": "day", "timezone": ZONE}}
    slot = {"$floor": {"$divide": [{"$subtract": [before, "$day"]}, TICK // timedelta(milliseconds=1)]}}
    fields = dict.fromkeys(("mcno", "invno", "ackw", "dckw"), 1)
    return [{"$project": {"_id": 0, **fields, "at": 1, "day": day}}, {"$project": {**fields, "day": 1, "slot": slot}}]


def _figures(count: Any = 1, ackw: str = "$ackw", dckw: str = "$dckw") -> Document:
    return {"count": {"$sum": count}, "ackw_sum": {"$sum": ackw}, "dckw_sum": {"$sum": dckw}}


def _of_inverters() -> list[Document]:
    unit = {"mcno": "$mcno", "invno": "$invno", "day": "$day"}
    lookup = {"from": "bench_register", "localField": "key", "foreignField": "_id", "as": "known"}
    key = {"mcno": "$_id.mcno", "invno": "$_id.invno"}
    return [
        {"$group": {"_id": unit | {"slot": "$slot"}, **_figures()}},
        *_arrays({name: f"$_id.{name}" for name in unit}),
        {"$set": {"key": key}},
        {"$lookup": lookup},
        {"$set": {"installed_kw": {"$first": "$known.capacity_kw"}}},
        *_per_kw(),
    ]


def _of_plants() -> list[Document]:
    # Powers per kW would need each log's rating; the mean per kW of all stands in for theirs.
    return [
        {"$group": {"_id": {"mcno": "$mcno", "day": "$day", "slot": "$slot"}, **_figures()}},
        *_arrays({"mcno": "$_id.mcno", "invno": {"$literal": 0}, "day": "$_id.day"}),
        {"$set": {"installed_kw": {"$literal": 400.0}}},
        *_per_kw(),
    ]


def _arrays(key: Document) -> list[Document]:
    mean = {f"{name}": {"$divide": [f"${name}_sum", "$count"]} for name in ("ackw", "dckw")}
    each = {name: f"${name}" for name in ("count", "ackw_sum", "dckw_sum")}
    return [
        {"$group": {"_id": key, "slots": {"$push": {"slot": "$_id.slot", **each, **mean}}}},
        {"$set": {"slots": {"$sortArray": {"input": "$slots", "sortBy": {"slot": 1}}}}},
    ]


def _per_kw() -> list[Document]:
    def mapped(value: Any) -> Document:
        return {"$map": {"input": "$slots", "as": "one", "in": value}}

    arrays = {name: mapped(f"$$one.{name}") for name in ("slot", "count", "ackw_sum", "dckw_sum", "ackw", "dckw")}
    per_kw = {f"{name}_per_kw": mapped({"$divide": [f"$$one.{name}", "$installed_kw"]}) for name in ("ackw", "dckw")}
    return [{"$project": {"installed_kw": 1, **arrays, **per_kw}}]
