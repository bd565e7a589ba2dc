"""The platform's own pipelines: heartbeat, commands, sessions, duplicates. What they say is about now, not a window."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, frames_xcom, is_live, open_documents, open_store, run_name
from wattline_operators.finish import FinishOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

DATABASES = {"mysql": "solar_mysql", "mongodb": "solar_mongo"}
MONGO_CONN_ID = "solar_mongo"


class ServerStatusOperator(PipelineOperator):
    """Measure the machine and ask both databases; stage `checks_server`. A database that is down fails no task."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Measure, stage, and return the reference with the row count."""
        from wattline.platform.checks import server

        with ExitStack() as stack:
            stores = {subject: stack.enter_context(open_store(conn_id)) for subject, conn_id in DATABASES.items()}
            frames = {"checks_server": server(stores)}
        staging = self.staging(context)
        return frames_xcom({name: staging.write(name, frame) for name, frame in frames.items()}, frames)


class StoreStatusOperator(PipelineOperator):
    """Judge what was measured by the status before, and store the document of this run in `server_status`.

    A run by hand, and one that is done again after a later one, measures and stores nothing: it would be no memory.
    """

    def run_step(self, context: Context) -> dict[str, Any]:
        """Judge and store; return whether the platform is in order, and what is down."""
        import polars as pl

        from wattline.alerts import recipients
        from wattline.platform import events, heartbeat, status

        at, staging = self.window(context).end, self.staging(context)
        now, period = datetime.now(UTC), timedelta(minutes=self.step)
        checks = pl.concat(staging.read(f"checks_{name}") for name in ("server", "pipelines", "gateways", "messages"))
        with open_documents(MONGO_CONN_ID) as database:
            live = is_live(context)
            if live and (ahead := status.remove_future(database, max(at, now) + period)):
                self.log.warning("Removed %d documents of the future: a clock was ahead", ahead)
            if not live or status.newer(database, at):
                self.log.info("Only measured: %s", checks.to_dicts())
                return {"stored": False}
            before = status.before(database, at)
            document = heartbeat.status(before, checks, at=at, measured_at=now, period=period)
            people = [person.name for person in recipients.load(database, ()).administrators]
            document = heartbeat.with_gateways(document, staging.read("gateways"), people)
            status.store(database, document)
            events.record(database, heartbeat.events(document))
        if not people:
            self.log.warning("No user is an administrator: nobody is told")
        return {"stored": True, "ok": document["ok"], "down": heartbeat.down(document)}


class QueueStatusOperator(PipelineOperator):
    """Queue messages on what went down and what came back, to the administrators; whoever was told is told no more."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Queue; return how many messages are new."""
        from wattline.platform import heartbeat, status

        at = self.window(context).end
        with open_documents(MONGO_CONN_ID) as database:
            document = status.at(database, at) if is_live(context) else None
            notices = heartbeat.notices(document) if document else []
            return {"queued": _queue(database, notices, context)}


class CompleteCommandsOperator(PipelineOperator):
    """Move finished resets to `command_history` and queue an SMS to the number that each names, once.

    A command that cannot be told is logged, and stops no other.
    """

    def run_step(self, context: Context) -> dict[str, int]:
        """Keep, queue, then remove; return how many commands and messages."""
        from wattline.solar import commands

        with open_documents(MONGO_CONN_ID) as database:
            done = commands.finished(database)
            if not done:
                return {"commands": 0, "queued": 0}
            commands.keep(database, done)
            queued = commands.tell(database, done, run_name(context))
            return {"commands": commands.remove(database, done), "queued": queued}


class ExpireSessionsOperator(PipelineOperator):
    """Let sessions expire that were idle for 40 minutes at the end of the run's window."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Expire; return how many sessions."""
        from wattline.platform.sessions import expire

        with open_documents(MONGO_CONN_ID) as database:
            return {"expired": expire(database, self.window(context).end)}


class StoreDuplicatesOperator(PipelineOperator):
    """Bring the report of inverters that are registered twice up to date by the staged `pairs`, and its events.

    A run that is older than what is stored changes nothing.
    """

    def run_step(self, context: Context) -> dict[str, int]:
        """Store; return how many pairs there are, and how many are new."""
        from wattline.platform import events
        from wattline.solar import duplicates

        at, pairs = self.window(context).end, self.staging(context).read("pairs")
        with open_documents(MONGO_CONN_ID) as database:
            if duplicates.newer(database, at):
                self.log.info("The report is newer than %s, and stays as it is", at)
                return {"pairs": pairs.height, "new": 0}
            # First what a run that was killed has stored and not recorded.
            events.record(database, duplicates.events(duplicates.report(database)))
            new = duplicates.store(database, pairs, at)
            events.record(database, duplicates.events(duplicates.report(database)))
        return {"pairs": pairs.height, "new": new}


class QueueDuplicatesOperator(PipelineOperator):
    """Queue one message to the administrators an inverter that is registered twice; only in the newest, live run."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Queue what was not queued by a run before; return how many messages are new."""
        from wattline.solar import duplicates

        at = self.window(context).end
        with open_documents(MONGO_CONN_ID) as database:
            if not is_live(context) or duplicates.newer(database, at):
                return {"queued": 0}
            notices = duplicates.notices(duplicates.report(database), at)
            new = _queue(database, notices, context)
            duplicates.queued(database, notices, at)
            return {"queued": new}


class QueueDigestsOperator(PipelineOperator):
    """Queue the daily digest of the staged `reliability_day` to every manager; live runs only, once a day."""

    def run_step(self, context: Context) -> dict[str, int]:
        """Queue; return how many messages are new."""
        from wattline.alerts import recipients
        from wattline.solar import digest

        rows = self.staging(context).read("reliability_day")
        if not is_live(context) or rows.is_empty():
            return {"queued": 0}
        with open_documents(MONGO_CONN_ID) as database:
            people = recipients.load(database, rows["mcno"].unique().to_list())
            return {"queued": _queue(database, digest.notices(self.window(context), rows, people), context)}


class NewestFinishOperator(FinishOperator):
    """The last step of a pipeline that runs all the time: only its newest window is kept, and staging is cleared."""

    def run_step(self, context: Context) -> None:
        """Record, then clear staging."""
        from wattline.storage.coverage import record_newest

        window = self.window(context)
        with open_documents(self.mongo_conn_id) as database:
            for table in self.covers:
                record_newest(database, table, window)
        self.staging(context).clear()


def _queue(database: Any, notices: Any, context: Context) -> int:
    """How many messages of `notices` are new in the outbox; they lead to the run behind `context`."""
    from wattline.alerts import outbox, recipients
    from wattline.solar import event_types

    if not notices:
        return 0
    plants = {notice.mcno for notice in notices if notice.mcno}
    return outbox.queue(
        database, notices, recipients.load(database, plants), event_types.load(database), run_name(context)
    )
