"""Meters: the steps beside the hours themselves: cleaning before them; virtual meters, statistics and forms after."""

from __future__ import annotations

from datetime import timedelta
from logging import INFO, WARNING
from typing import TYPE_CHECKING, Any

from wattline.settings import settings
from wattline.window import Window
from wattline_operators.meters import MeterOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class CleanOperator(MeterOperator):
    """Mark readings as good or bad."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Return how many readings were read, marked bad for each reason, marked good, and left unchecked."""
        from wattline.meters.cleaner import clean

        window = self.window(context)
        with self.databases() as databases:
            cleaned = clean(databases, window)
        for finding in cleaned.findings:
            self.log.warning("%s", finding)
        counts = {"read": cleaned.read, "good": cleaned.good, "unchecked": cleaned.unchecked, "bad": dict(cleaned.bad)}
        self.log.info("%s", counts)
        return counts


class VirtualMetersOperator(MeterOperator):
    """Compute the virtual meters of the slots that the run computed."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Return how many slots have a value, how many a finding, and how many meters are refused."""
        from wattline.meters.follow import compute_virtual

        with self.databases() as databases:
            done, slots = compute_virtual(databases, self.computed(context), settings().meters_minutes_to_count)
        self.staging(context).write("changed_virtual", slots)
        for meter, why in done.refused.items():
            self.log.warning("virtual meter %d is not computed: %s", meter, why)
        return {"slots": done.rows, "findings": done.findings, "refused": len(done.refused)}

    def computed(self, context: Context) -> Window:
        """The time from the run's first slot to its last."""
        job, window = self.job(context), self.cleaned(context)
        if job.meters.is_empty():
            return window
        first = job.meters["first_slot"].sort()[0]
        return Window(min(first, window.start), window.end)


class StatisticsOperator(MeterOperator):
    """Bring days, months and years of the changed hours up to date."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Return how many rows of statistics were written for each kind of meter."""
        from wattline.meters.follow import refresh_statistics

        staging, given = self.staging(context), settings()
        slots = {"meter": staging.read("changed"), "virtual_meter": staging.read("changed_virtual")}
        with self.databases() as databases:
            return refresh_statistics(
                databases, slots, self.cleaned(context), given.meters_zone, given.meters_minutes_to_count
            )


class ImportFormsOperator(MeterOperator):
    """Load the forms of offline meters, from the watched folder and from MyEMS's uploads, with all that follows."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Return how many forms were loaded, days stored, and cells refused."""
        from wattline.meters.follow import follow_offline
        from wattline.meters.offline import Importer, import_folder, import_uploads

        zone, minutes = settings().meters_zone, settings().meters_minutes_to_count
        folder = settings().offline_folder
        folder.mkdir(parents=True, exist_ok=True)
        with self.databases() as databases:
            importer = Importer(databases, zone, minutes, lambda slots: follow_offline(databases, slots, zone, minutes))
            forms = [*import_folder(importer, folder, settled=timedelta(seconds=10)), *import_uploads(importer)]
        for form in forms:
            self.log.log(WARNING if form.findings else INFO, "%s", form)
        return {
            "forms": len(forms),
            "days": sum(form.days for form in forms),
            "refused": sum(len(form.findings) for form in forms),
        }
