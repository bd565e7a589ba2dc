"""Migrate: one table from MySQL to MongoDB, as a group of tasks that are visible one by one.

`plan` looks at the entry and the source and cuts what is to move into slices; each slice goes through `extract`,
`gate`, `load` and `verify` by itself; `advance` moves the watermark when all of them agree.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection, TaskGroup, task_group
from airflow.sdk.exceptions import AirflowTaskTimeout

from wattline.settings import settings
from wattline_operators.base import PipelineOperator, is_live, open_documents, open_store
from wattline_operators.gate import keep_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from wattline.migrate.checks import Plan
    from wattline.migrate.entry import Entry
    from wattline.migrate.slices import Slice
    from wattline.migrate.source import Source
    from wattline.storage.mongo import MongoStore

SOURCE, TARGET = "solar_mysql_source", "solar_mongo"
"""Airflow connection ids."""
MYSQL_POOL, MONGO_POOL = "mysql_solar", "mongo_solar"


class MigrationOperator(PipelineOperator):
    """Base of a migration's steps; an error is kept as the table's last one.

    Args:
        table: name of the entry.
        entries: `module:function` that finds an entry by name.
        source_conn_id: Airflow connection id of the MySQL source.
        mongo_conn_id: Airflow connection id of the MongoDB target, which keeps the states too.
        part: the slice, as `plan` returned it.
    """

    template_fields: Sequence[str] = ("table", "entries", "source_conn_id", "mongo_conn_id", "part")

    def __init__(
        self,
        *,
        table: str,
        entries: str,
        source_conn_id: str = SOURCE,
        mongo_conn_id: str = TARGET,
        part: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.entries = entries
        self.source_conn_id = source_conn_id
        self.mongo_conn_id = mongo_conn_id
        self.part = part

    def execute(self, context: Context) -> Any:
        """Run the step; an error is written down for `wattline migrate status` before it goes on."""
        from wattline.errors import WattlineError
        from wattline.migrate.state import fail

        try:
            return super().execute(context)
        except (Exception, AirflowTaskTimeout) as error:
            text = f"{self.task_id}: {' '.join(str(error).split())}"
            with suppress(WattlineError), open_documents(self.mongo_conn_id) as database:
                fail(database, self.entry, context["run_id"], text)
            raise

    @abstractmethod
    def run_step(self, context: Context) -> Any:
        """What the step does."""

    @property
    def entry(self) -> Entry:
        """The declaration of the table's migration."""
        found: Entry = resolve_name(self.entries)(self.table)
        return found

    @property
    def slice(self) -> Slice:
        """The slice of a mapped step."""
        from wattline.migrate.slices import Slice

        return Slice.from_json(dict(self.part or {}))

    @contextmanager
    def source(self) -> Iterator[Source]:
        """A session with MySQL, closed at the end."""
        from airflow.providers.mysql.hooks.mysql import MySqlHook

        from wattline.migrate.source import Source

        hook = MySqlHook(mysql_conn_id=self.source_conn_id)
        password = Connection.get(self.source_conn_id).password
        source = Source(hook.get_conn, settings().migrate_query_seconds, [password] if password else [])
        try:
            yield source
        finally:
            source.close()

    @contextmanager
    def target(self) -> Iterator[MongoStore]:
        """The MongoDB store, closed at the end."""
        with open_store(self.mongo_conn_id) as store:
            yield store  # type: ignore[misc] # the connection's type is mongo

    def examined(self, source: Source) -> Plan:
        """The entry, checked against its table."""
        from wattline.migrate.checks import examine

        return examine(self.entry, source)


class PlanOperator(MigrationOperator):
    """Refuse an entry that does not fit its table, tell of drift, and cut what is to move into slices."""

    def run_step(self, context: Context) -> list[dict[str, Any]]:
        """Return the slices, as JSON; none where there is nothing to move."""
        from wattline.migrate.slices import cut
        from wattline.migrate.state import note_drift, unknown_drift, watermark

        window = self.window(context)
        with self.source() as source, open_documents(self.mongo_conn_id) as database:
            plan = self.examined(source)
            news = unknown_drift(database, plan.entry, plan.drift)
            if news:
                self.log.warning("%s: %s", self.table, "; ".join(news))
                from wattline_operators.oncall import tell_drift

                tell_drift(context, self.table, news)
            note_drift(database, plan.entry, plan.drift)
            parts = cut(plan, source, window, watermark(database, plan.entry), live=is_live(context))
        self.log.info("%s: %s", self.table, f"{len(parts)} slices" if parts else "nothing to move")
        return [part.to_json() for part in parts]


class ExtractOperator(MigrationOperator):
    """Stage the rows of a slice, page by page."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Return rows, pages, bytes and the longest statement's seconds."""
        from wattline.migrate.extract import extract

        with self.source() as source:
            return extract(self.examined(source), source, self.slice, self.staging(context))


class SliceGateOperator(MigrationOperator):
    """Judge the rows of a slice: bad ones go to quarantine, too many of them stop it."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Return how many rows passed and how many are in quarantine.

        Raises:
            BatchRejectedError: the share of bad rows is above the limit; nothing is loaded.
        """
        from wattline.migrate.judge import judge, pass_on

        part, staging = self.slice, self.staging(context)
        with self.source() as source:
            plan = self.examined(source)
            result = judge(plan, source, part, staging, settings().max_bad_share)
        page = keep_verdict(context, self.mongo_conn_id, result, part.window)
        pass_on(plan, part, staging, result)
        return {"good": result.good.height, "quarantined": result.bad.height, "page": page}


class LoadOperator(MigrationOperator):
    """Write the good rows of a slice, chunk by chunk; after a whole table, mark what is gone."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Return how many documents were inserted, updated, unchanged, kept, deleted."""
        from wattline.migrate.load import load, remove_gone

        part, staging = self.slice, self.staging(context)
        with self.source() as source, self.target() as store:
            plan = self.examined(source)
            counts = load(plan, store, part, staging)
            counts["deleted"] = remove_gone(plan, source, store, part, staging)
        self.log.info("%s: %s", self.table, counts)
        return counts


class VerifyOperator(MigrationOperator):
    """Compare a slice on both sides; keys that differ fail the run."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Return the verdict without its keys, which `migration_check` has."""
        from wattline.migrate.extract import extracted
        from wattline.migrate.run import check_slice

        part, staging = self.slice, self.staging(context)
        with self.source() as source, self.target() as store:
            plan = self.examined(source)
            read = extracted(plan, part, staging) if part.by == "all" else None
            verdict = check_slice(plan, source, store, part, read)
        document = verdict.document()
        self.log.info("%s: %s", self.table, {name: document[name] for name in ("rows", "checksums", "explained")})
        verdict.require(self.table)
        return {name: document[name] for name in ("rows", "checksums", "explained")}


class AdvanceOperator(MigrationOperator):
    """Write down that every slice is loaded and verified; a live run moves the watermark.

    Args:
        group: prefix of the mapped steps' task ids.
    """

    def __init__(self, *, group: str, **kwargs: Any) -> None:
        super().__init__(trigger_rule="none_failed", **kwargs)
        self.group = group

    def run_step(self, context: Context) -> dict[str, int]:
        """Return the sums over the slices."""
        from wattline.migrate.state import advance

        counts: Counter[str] = Counter()
        for step, names in _COUNTED.items():
            # A list of ids gives a list of results, where one mapped step alone would give its result.
            found = context["ti"].xcom_pull(task_ids=[f"{self.group}.{step}"])
            for one in filter(None, found):
                counts.update({name: one[name] for name in names})
        moved_to = self.window(context).end if is_live(context) else None
        with open_documents(self.mongo_conn_id) as database:
            advance(database, self.entry, context["run_id"], counts, moved_to)
        self.log.info("%s: %s", self.table, dict(counts) or "nothing moved")
        return dict(counts)


_COUNTED: Mapping[str, Sequence[str]] = {
    "extract": ("rows",),
    "gate": ("quarantined",),
    "load": ("inserted", "updated", "unchanged", "kept", "deleted"),
}
"""What the steps of a slice count."""


def migrate_table(table: str, entries: str) -> TaskGroup:
    """The tasks of one table, in a group of its name.

    Args:
        table: name of the entry.
        entries: `module:function` that finds it.
    """
    entry: dict[str, Any] = {"table": table, "entries": entries}
    with TaskGroup(table) as group:
        plan = PlanOperator(task_id="plan", pool=MYSQL_POOL, **entry)

        @task_group(group_id="slices")
        def slices(part: Mapping[str, Any]) -> None:
            extract = ExtractOperator(task_id="extract", pool=MYSQL_POOL, part=part, **entry)
            gate = SliceGateOperator(task_id="gate", part=part, **entry)
            load = LoadOperator(task_id="load", pool=MONGO_POOL, part=part, **entry)
            verify = VerifyOperator(task_id="verify", pool=MYSQL_POOL, part=part, **entry)
            extract >> gate >> load >> verify

        mapped = slices.expand(part=plan.output)
        mapped >> AdvanceOperator(task_id="advance", group=f"{table}.slices", **entry)
    return group
