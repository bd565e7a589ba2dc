"""Runs of `generation_summary` in memory, behind those of the other generation pipelines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from tests.generation_world import World
from wattline.solar import collect_summary, scope
from wattline.solar.summary import summarise
from wattline.solar.summary_tables import DAY_PERFORMANCE, GENERATION_CHECK, PERIOD_GENERATION, SUMMARY_TABLES
from wattline.storage.recompute import DUE
from wattline.window import Window


class SummaryWorld(World):
    """A world whose summaries are in `mongo` too."""

    def summary(self, window: Window, due: pl.DataFrame | None = None) -> dict[str, pl.DataFrame]:
        """One run, planned with `due`, or else with its window only; what it stores."""
        inputs = {"scope": scope.own(window) if due is None else scope.planned(window, due)}
        inputs |= collect_summary.plants(self.mysql, window, inputs)
        for collector in (collect_summary.irradiance, collect_summary.days, collect_summary.periods):
            inputs |= collector(self.mongo, window, inputs)
        results = summarise(window, {**inputs, "good_irradiance": inputs["irradiance"]})
        for table in SUMMARY_TABLES:
            self.mongo.upsert(table, results[table.name])
        return results

    def run(self, window: Window) -> None:
        """All three pipelines over a window, with what is marked for them."""
        self.inverterlog(window)
        due = self.due("time_generation", window)
        self.time_generation(window, due)
        plants = collect_summary.plants(self.mysql, window, {})["plants"]
        marks = scope.marks(scope.planned(window, due), plants, scope.HOUR_READERS).select(
            *DUE.names()[:3], revision=pl.lit("")
        )
        self.summary(window, marks.filter(pl.col("end") <= window.end))

    def produce(
        self,
        start: datetime,
        days: int,
        kwh: int = 10,
        received: Callable[[datetime], datetime] = lambda at: at,
        **more: Any,
    ) -> None:
        """A reading every half hour, from `start` on; between 08:00 and 16:00 after it `kwh` more each time.

        Args:
            start: a local midnight.
            days: of 24 hours.
            kwh: a half hour's energy.
            received: when a reading of a time arrives.
            more: other columns of the readings.
        """
        made = Decimal(0)
        for n in range(days):
            midnight, today = start + timedelta(days=n), Decimal(0)
            for half_hours in range(48):
                if 16 < half_hours <= 32:
                    today, made = today + kwh, made + kwh
                at = midnight + timedelta(minutes=30 * half_hours + 1)
                self.send(at, 1000 + made, today, received_at=received(at), **more)

    def stored(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that summaries say."""
        return {table.name: self.mongo.read(table).to_dicts() for table in SUMMARY_TABLES}

    def periods(self, invno: int = 1, mcno: int = 1) -> dict[tuple[str, str], dict[str, Any]]:
        """Months and years of an inverter, by kind and first day."""
        rows = self.mongo.read(PERIOD_GENERATION).filter(mcno=mcno, invno=invno)
        return {(row["period"], str(row["start"])): row for row in rows.to_dicts()}

    def performances(self, invno: int = 1, mcno: int = 1) -> dict[str, dict[str, Any]]:
        """Days of an inverter."""
        rows = self.mongo.read(DAY_PERFORMANCE).filter(mcno=mcno, invno=invno)
        return {str(row["day"]): row for row in rows.to_dicts()}

    def checks(self, invno: int = 1, mcno: int = 1) -> dict[str, dict[str, Any]]:
        """Verdicts on the days of an inverter."""
        rows = self.mongo.read(GENERATION_CHECK).filter(mcno=mcno, invno=invno)
        return {str(row["day"]): row for row in rows.to_dicts()}
