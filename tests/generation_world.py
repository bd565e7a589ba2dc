"""Readings, tick rows and runs of the generation pipelines in memory, for the tests of hours and days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from tests.memory_store import MemoryStore
from wattline.solar import collect, collect_generation, generation, process, scope
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, DAY_TOTAL_GENERATION, INVERTER, READING, TICK_ROW
from wattline.storage.recompute import DUE
from wattline.storage.store import Store
from wattline.window import Window

NEVER = datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TABLES = {table.name: table for table in (TICK_ROW, DAY_GENERATION, DAY_TOTAL_GENERATION, TIME_GENERATION)}
"""What the pipelines store."""


class World:
    """Plants with inverters of 100 kW, their readings, and the stores of all three pipelines.

    Attributes:
        mysql: register, and what `mysql_total_generation` writes.
        mongo: readings, tick rows, hours, and the days of `inverterlog`.
        marks: what is marked, by pipeline: schema DUE, `revision` empty.
    """

    def __init__(self, plants: dict[int, str], inverters: int = 1) -> None:
        self.mysql, self.mongo = MemoryStore(), MemoryStore(knows_origin=True)
        self._sent: list[dict[str, Any]] = []
        self.marks = dict.fromkeys(scope.TICK_READERS, pl.DataFrame(schema=DUE))
        rows = [(m, f"Plant {m}", None, None, 50.0, 8.0, zone, "in_use", 100.0, NEVER) for m, zone in plants.items()]
        self.mysql.upsert(CUSTOMER, pl.DataFrame(rows, CUSTOMER.schema, orient="row"))
        self.register([(m, i) for m in plants for i in range(1, inverters + 1)])

    def register(self, keys: Sequence[tuple[int, int]], **more: Any) -> None:
        """Put inverters into the register."""
        nulls: dict[str, Any] = dict.fromkeys(INVERTER.schema)
        known = {"capacity_kw": 100.0, "installed_at": NEVER, "updated_at": NEVER}
        rows = [nulls | known | {"mcno": mcno, "invno": invno} | more for mcno, invno in keys]
        self.mysql.upsert(INVERTER, pl.DataFrame(rows, INVERTER.schema))

    def send(self, at: datetime, totkw: str | Decimal, daykw: str | Decimal = "0", **more: Any) -> None:
        """A reading of plant 1, inverter 1, received at once, unless `more` says otherwise."""
        row = {"mcno": 1, "invno": 1, "at": at, "ackw": 5.0, "dckw": 5.5, "status": 1, "received_at": at}
        row |= {"daykw": Decimal(daykw), "totkw": Decimal(totkw)} | more
        self._sent.append(row)

    def readings(self) -> pl.DataFrame:
        """Everything that was sent."""
        return pl.DataFrame(self._sent, READING.schema)

    def inverterlog(self, window: Window, *, before: datetime | None = None) -> None:
        """One run: readings received `before` are there, the window's end by default; it marks as its DAG does."""
        self.mongo.upsert(READING, self.readings().filter(pl.col("received_at") < (before or window.end)))
        frames = collect.inverters(self.mysql, window, {})
        frames |= collect.readings(self.mongo, window, frames)
        frames["good_readings"] = frames["readings"].filter("registered")
        store(self.mongo, process.inverter_log(window, frames))
        marks = scope.marks(frames["scope"], frames["inverters"], scope.TICK_READERS)
        for pipeline, due in self.marks.items():
            new = marks.filter(pipeline=pipeline).select("mcno", "start", "end", revision=pl.lit(""))
            self.marks[pipeline] = pl.concat([due, new]).unique(("mcno", "start"))

    def due(self, pipeline: str, window: Window) -> pl.DataFrame:
        """What `wattline.storage.recompute.due` says to a live run, which then removes it."""
        ended = pl.col("end") <= window.end
        due = self.marks[pipeline].filter(ended).sort("start", "end", "mcno")
        self.marks[pipeline] = self.marks[pipeline].filter(~ended)
        return due

    def time_generation(self, window: Window, due: pl.DataFrame | None = None) -> pl.DataFrame:
        """One run, planned with `due`, or else with its window only; the rows that it stores."""
        inputs = {"scope": scope.own(window) if due is None else scope.planned(window, due)}
        inputs |= collect_generation.inverters(self.mysql, window, inputs)
        inputs |= collect_generation.hour_logs(self.mongo, window, inputs)
        inputs |= collect_generation.stored_hours(self.mongo, window, inputs)
        rows = generation.time_generation(window, {**inputs, "good_logs": inputs["logs"]})
        store(self.mongo, rows)
        return pl.concat(rows.values()).sort(TIME_GENERATION.key)

    def total_generation(self, window: Window, due: pl.DataFrame | None = None) -> dict[str, pl.DataFrame]:
        """One run of `mysql_total_generation`, likewise."""
        inputs = {"scope": scope.own(window) if due is None else scope.planned(window, due)}
        inputs |= collect_generation.inverters(self.mysql, window, inputs)
        inputs |= collect_generation.day_logs(self.mongo, window, inputs)
        days = generation.total_generation(window, {**inputs, "good_logs": inputs["logs"]})
        store(self.mysql, days)
        return days

    def hours(self, invno: int = 1, mcno: int = 1) -> dict[datetime, dict[str, Any]]:
        """The stored hours of an inverter, by their start."""
        rows = self.mongo.read(TIME_GENERATION).filter(mcno=mcno, invno=invno)
        return {row["start"]: row for row in rows.to_dicts()}


def store(target: Store, frames: Mapping[str, pl.DataFrame]) -> None:
    """Store what a processor gave, as its DAG does."""
    for name, frame in frames.items():
        table = TABLES[name.removesuffix("_silent")]
        if name.endswith("_silent"):
            target.upsert(table, frame, keep_legacy=True)
        else:
            target.upsert(table, frame)


def local(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> datetime:
    """A wall clock's time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)
