"""How fresh the result of each pipeline is, by what its last step has recorded.

Recorded coverage is asked, and not Airflow: what counts is whether the data are there. A run that is green and computed
an old window, a paused DAG, a scheduler that stands and an API that is down all look alike to whoever waits for data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
from pymongo import DESCENDING
from pymongo.database import Database

from wattline.platform.checks import CHECK
from wattline.storage.documents import Document, documents, translated
from wattline.storage.mongo import MongoStore
from wattline.window import Window

PREFIX = "pipeline "
"""What the subject of a pipeline begins with."""


@dataclass(frozen=True)
class Pipeline:
    """What is expected of a pipeline.

    Attributes:
        covers: a table that its last step records as complete.
        every: the distance of two runs.
        late_after: how long a run may take; the DAG's own `late_after`.
    """

    covers: str
    every: timedelta
    late_after: timedelta

    @property
    def limit(self) -> timedelta:
        """How old the end of the newest complete window may be: one run apart, then one run's time."""
        return self.every + self.late_after


def _pipeline(covers: str, every: int, late_after: int) -> Pipeline:
    return Pipeline(covers, timedelta(minutes=every), timedelta(minutes=late_after))


_HOUR, _DAY = 60, 24 * 60
PIPELINES: Mapping[str, Pipeline] = {
    "migration_inverter_m10": _pipeline("reading", 10, 20),
    "migration_minute_10": _pipeline("event", 10, 20),
    "migration_day_1": _pipeline("temperature", _DAY, 60),
    "migration_daygeneration_d01": _pipeline("mysql_day_generation", _DAY, 60),
    "inverterlog": _pipeline("inverterlog", 10, 40),
    "time_generation": _pipeline("time_generation", _HOUR, 50),
    "mysql_total_generation": _pipeline("mysql_total_generation", _HOUR, 50),
    "generation_summary": _pipeline("generation_summary", _HOUR, 55),
    "statistics_inverter_avg": _pipeline("statistics_inverter_avg", _DAY, 60),
    "statistics_inverter_median": _pipeline("statistics_inverter_median", _DAY, 60),
    "reliability_inverter": _pipeline("reliability_inverter", 10, 50),
    "reliability_dup_inverter": _pipeline("reliability_dup_inverter", _DAY, 60),
    "reliability_digest": _pipeline("reliability_digest", _DAY, 60),
    "command_complete": _pipeline("command_complete", 1, 10),
    "authority_expiry": _pipeline("authority_expiry", 10, 20),
    "alert_outbox": _pipeline("alert_outbox", 1, 10),
    "meter_cleaning": _pipeline("meter_cleaning", 10, 20),
    "meter_hourly_normalization": _pipeline("meter_hourly", _HOUR, 50),
    "meter_offline_forms": _pipeline("offline_meter_hourly", 10, 30),
}
"""Every DAG whose runs cover time, by its name."""


def freshness(store: MongoStore, window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The collector: `checks_pipelines`, one row a pipeline.

    Args:
        store: holds `migration_state` and `server_status`.
        window: of the run; its end is what "now" is.
        inputs: none.
    """
    return {"checks_pipelines": check(newest(store.database), window.end)}


def newest(database: Database[Document]) -> dict[str, datetime]:
    """The end of the newest window that each pipeline has completed; those that never have one are left out.

    Raises:
        TransientError: the server cannot be reached.
    """
    found = {}
    with translated():
        states = documents(database, "migration_state")
        for name, pipeline in PIPELINES.items():
            last = states.find_one({"table": pipeline.covers, "start": {"$ne": None}}, sort=[("start", DESCENDING)])
            if last is not None:
                found[name] = last["end"]
    return found


def check(ends: Mapping[str, datetime], now: datetime) -> pl.DataFrame:
    """One row of CHECK a pipeline: minutes since the end of its newest window, against its limit.

    A pipeline that never completed a window is not in use as far as this can tell: `ok` is null.

    Args:
        ends: what `newest` found.
        now: UTC.
    """
    rows: list[tuple[object, ...]] = []
    for name, pipeline in PIPELINES.items():
        limit = pipeline.limit / timedelta(minutes=1)
        if name not in ends:
            rows.append((PREFIX + name, None, None, limit, "has not completed any window yet"))
            continue
        age = now - ends[name]
        detail = f"complete up to {ends[name]:%Y-%m-%d %H:%M} UTC; {_minutes(pipeline.limit)} are allowed"
        rows.append((PREFIX + name, age <= pipeline.limit, age / timedelta(minutes=1), limit, detail))
    return pl.DataFrame(rows, CHECK, orient="row")


def _minutes(span: timedelta) -> str:
    minutes = round(span / timedelta(minutes=1))
    return f"{minutes} minutes" if minutes < 2 * _HOUR else f"{minutes // _HOUR} hours"
