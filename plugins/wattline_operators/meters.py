"""Meters: the steps of the hourly normalization, each over the staged chunks of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wattline.errors import TransientError
from wattline.settings import settings
from wattline.window import Window
from wattline_operators.base import PipelineOperator, is_live, open_store
from wattline_operators.gate import keep_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from wattline.meters.databases import Databases
    from wattline.meters.plan import Job


class MeterOperator(PipelineOperator):
    """Base of the steps: the three databases, the settings, and which slots the run is for.

    Args:
        system_conn_id: Airflow connection id of MyEMS's system database.
        historical_conn_id: of its historical database.
        energy_conn_id: of its energy database.
        mongo_conn_id: of the MongoDB that keeps gates' results and quarantine.
    """

    template_fields: Sequence[str] = ("system_conn_id", "historical_conn_id", "energy_conn_id", "mongo_conn_id")

    def __init__(
        self,
        *,
        system_conn_id: str = "myems_system",
        historical_conn_id: str = "myems_historical",
        energy_conn_id: str = "myems_energy",
        mongo_conn_id: str = "solar_mongo",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.system_conn_id = system_conn_id
        self.historical_conn_id = historical_conn_id
        self.energy_conn_id = energy_conn_id
        self.mongo_conn_id = mongo_conn_id

    @contextmanager
    def databases(self) -> Iterator[Databases]:
        """The installation, closed at the end."""
        from wattline.meters.databases import Databases

        names = (self.system_conn_id, self.historical_conn_id, self.energy_conn_id)
        with ExitStack() as stack:
            yield Databases(*(stack.enter_context(open_store(name)) for name in names))  # type: ignore[arg-type] # MySQL

    def cleaned(self, context: Context) -> Window:
        """The run's window, so much earlier as readings are left to be cleaned; `from` and `to` are taken as given."""
        window = self.window(context)
        params = context.get("params") or {}
        if params.get("from") and params.get("to"):
            return window
        wait = timedelta(minutes=settings().meters_minutes_to_clean)
        return Window(window.start - wait, window.end - wait)

    def job(self, context: Context) -> Job:
        """The run's slots, the same in every step: planned from the staged register."""
        from wattline.meters.plan import configured, job

        staging = self.staging(context)
        places = staging.read_note("places")["hourly"]
        meters = staging.read("good_meters").join(staging.read("holes"), on="meter_id", how="left")
        return job(meters, self.cleaned(context), configured(), live=is_live(context), places=places)

    def parts(self, context: Context) -> range:
        """Numbers of the run's chunks."""
        return range(self.staging(context).read_note("chunks")["count"])


class MeterRegisterOperator(MeterOperator):
    """Stage the register of meters as `meters`."""

    def run_step(self, context: Context) -> int:
        """Return how many there are.

        Raises:
            TerminalError: an hourly table may hold an hour twice: it lacks its unique key.
        """
        from wattline.meters.plan import configured, looks_for_holes
        from wattline.meters.registry import first_holes, hourly_places, read_meters
        from wattline.meters.upgrade import require_unique

        staging = self.staging(context)
        with self.databases() as databases:
            require_unique(databases.energy)
            meters = read_meters(databases)
            holes = meters.clear().select("meter_id", hole="newest")
            if looks_for_holes(self.cleaned(context), live=is_live(context)):
                holes = first_holes(databases.energy, configured().start, configured().minutes_to_count)
                self.log.info("%d meters have holes", holes.height)
            staging.write("holes", holes)
            staging.write_note("places", {"hourly": hourly_places(databases.energy)})
        staging.write("meters", meters)
        return meters.height


class MeterReadingsOperator(MeterOperator):
    """Stage the good readings of the run's slots, chunk by chunk, and the counters before them."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Return how many meters, slots and readings there are; none where nothing is to do."""
        from wattline.meters.readings import bases, chunks

        staging, job = self.staging(context), self.job(context)
        counts = Counter(meters=job.meters.height, slots=int(job.meters["slots"].sum()), readings=0, chunks=0)
        with self.databases() as databases:
            for chunk in chunks(databases.historical, job):
                if chunk.number == 0:
                    staging.write("bases", bases(databases.historical, job, chunk))
                staging.write(f"slots_{chunk.number}", chunk.slots)
                staging.write(f"readings_{chunk.number}", chunk.readings)
                staging.write_note(f"readings_{chunk.number}", {"read_at": chunk.read_at.isoformat()})
                counts.update(readings=chunk.readings.height, chunks=1)
        staging.write_note("chunks", {"count": counts["chunks"]})
        self.log.info("%s", dict(counts) if counts["slots"] else "nothing to compute")
        return dict(counts)


class MeterReadingsGateOperator(MeterOperator):
    """Judge every chunk; impossible counters go to quarantine."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Return how many readings passed and how many are in quarantine.

        Raises:
            BatchRejectedError: too many readings of a chunk are impossible.
        """
        from wattline.meters.checks import READINGS, ROW, batch
        from wattline.quality.gate import check

        staging, job, counts = self.staging(context), self.job(context), Counter(good=0, quarantined=0)
        for part in self.parts(context):
            readings = staging.read(f"readings_{part}")
            result = check(READINGS, batch(job, readings), settings().max_bad_share)
            keep_verdict(context, self.mongo_conn_id, result, self.cleaned(context), part=part)
            staging.write(f"good_readings_{part}", readings[result.good[ROW]])
            counts.update(good=result.good.height, quarantined=result.bad.height)
        return dict(counts)


class NormalizeOperator(MeterOperator):
    """Compute the hours of every chunk; nothing is read from a database or written to one."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Return how many hours have each outcome."""
        from wattline.meters.normalize import Normalizer
        from wattline.meters.readings import Chunk

        staging, counts = self.staging(context), Counter[str]()
        job, normalizer = self.job(context), None
        for part in self.parts(context):
            normalizer = normalizer or Normalizer.start(job, staging.read("bases"))
            read_at = datetime.fromisoformat(staging.read_note(f"readings_{part}")["read_at"])
            chunk = Chunk(part, staging.read(f"slots_{part}"), staging.read(f"good_readings_{part}"), read_at)
            hours = normalizer.hours(chunk)
            staging.write(f"hours_{part}", hours)
            counts.update(dict(hours["outcome"].value_counts().rows()))
        self.log.info("%s", dict(counts))
        return dict(counts)


class StoreHoursOperator(MeterOperator):
    """Write the hours that are new or differ, with their reasons; stage their slots as `changed`."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Return how many hours were new, revised, unchanged."""
        import polars as pl

        from wattline.meters.store import KEY, KINDS, changed, compare, write

        staging, counts, moment = self.staging(context), Counter[str](), datetime.now(UTC)
        slots = [staging.read("meters").clear().select(meter_id="meter_id", start_datetime_utc="newest")]
        with self.databases() as databases:
            for part in self.parts(context):
                compared = compare(databases.energy, staging.read(f"hours_{part}"), moment)
                # A killed try has written hours that compare as unchanged now: what it meant to write stays known.
                name = f"changed_{part}"
                known = [staging.read(name)] if staging.read_note(name) else []
                slots.append(pl.concat([*known, changed(compared).select(KEY)]).unique(maintain_order=True))
                staging.write(name, slots[-1])
                staging.write_note(name, {"slots": slots[-1].height})
                counts.update(write(databases.energy, compared))
        staging.write("changed", pl.concat(slots))
        self.log.info("%s", dict(counts))
        return {kind: counts[kind] for kind in KINDS}


class ClosureOperator(MeterOperator):
    """Add up every day that changed: energy and what was dropped must be the counter's growth."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Return how many days add up, and how many hold hours from before a change that is older than the look back.

        Raises:
            TransientError: the hourly table does not hold what was computed, perhaps as another run is writing it.
        """
        import polars as pl

        from wattline.meters.closure import close

        with self.databases() as databases:
            closed = close(databases.energy, self.staging(context).read("changed"))
        open_days = closed.filter(pl.col("difference") != 0)
        for row in open_days.head(20).iter_rows(named=True):
            self.log.warning("meter %d, %s: %s; backfill the day", row["meter_id"], row["day"], row["finding"])
        broken = closed.filter(~pl.col("sound"))
        if not broken.is_empty():
            first = broken.row(0, named=True)
            raise TransientError(
                f"{broken.height} days do not add up, the first: meter {first['meter_id']}, {first['day']}: "
                f"{first['finding']}. Does MyEMS's normalization still write the table? Stop it and backfill the day"
            )
        return {"days": closed.height - open_days.height, "open": open_days.height}
