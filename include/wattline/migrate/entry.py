"""The declaration of one migration; adding a table to the platform is adding an `Entry`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from wattline.errors import TerminalError
from wattline.storage.contract import ORIGIN_FIELD, Column, Table

Deletions = Literal["keep", "soft", "hard"]

ORIGIN = Column(ORIGIN_FIELD, pl.String(), "`mysql` where the migration wrote the document", nullable=True)
DELETED_AT = "deleted_at"
"""Field of a document whose source row is gone: when the migration noticed. Documents in use do not have it."""
OVERLAP = timedelta(minutes=2)
"""How long after its change stamp, which is set when its statement starts, a row may be committed."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One table that goes from MySQL to MongoDB.

    Attributes:
        name: its name in commands, tasks and states.
        source: the MySQL table.
        target: contract of the documents: collection, natural key, columns with types.
        changed: the source column that says when a row was last written (the watermark); None: the whole table is
            reconciled in every run.
        stamp: the same of a table that is reconciled as a whole; only verification looks at it.
        measured: the source column of the time that a row speaks of; windows of the past select by it as well.
        renamed: target column → source column, where the names differ.
        time_zone: IANA zone of the source's DATETIME columns; TIMESTAMP columns are instants by themselves.
        encodings: source column → what its bytes really are (`cp949`), where the column's declared charset is wrong.
        ignored: source column → why it is not copied. Any other column that the entry does not map is reported.
        extra: columns of the documents beyond the target's contract.
        deletions: what becomes of a document whose row is gone: kept as it is, marked with `deleted_at`, or removed.
            Only a full reconciliation notices.
        shared: other pipelines write the collection too; the migration then touches only documents of its own.
        unique: whether the source enforces the natural key. Where it does not, rows that share one are quarantined.
        overlap: how long after its change stamp a row may be committed and still be found.
        max_bad_share: the share of bad rows (0 to 1) above which nothing of a slice passes; None: the setting.

    Raises:
        TerminalError: the entry contradicts itself.
    """

    name: str
    source: str
    target: Table
    changed: str | None = None
    stamp: str | None = None
    measured: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    time_zone: str = "UTC"
    encodings: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[Column, ...] = ()
    deletions: Deletions = "keep"
    shared: bool = False
    unique: bool = True
    overlap: timedelta = OVERLAP
    max_bad_share: float | None = None

    def __post_init__(self) -> None:
        if self.target.mongo is None:
            raise TerminalError(f"entry {self.name}: {self.target.name} is not kept in MongoDB")
        for target in self.renamed:
            self.documents.column(target)
        if self.changed is not None:
            self._require_watermark(self.changed)
        for name in filter(None, (self.stamp, self.measured)):
            if name not in self.sources.values():
                raise TerminalError(f"entry {self.name}: map {name}, documents are compared by it")
        overlapping = set(self.ignored) & set(self.sources.values())
        if overlapping:
            raise TerminalError(f"entry {self.name}: {', '.join(sorted(overlapping))} is both mapped and ignored")

    def _require_watermark(self, changed: str) -> None:
        if not self.unique:
            raise TerminalError(f"entry {self.name}: doubled keys show only in the whole table: no `changed`")
        if changed not in self.sources.values():
            raise TerminalError(f"entry {self.name}: map the watermark {changed}, documents need it")
        if self.deletions != "keep":
            raise TerminalError(f"entry {self.name}: only a full reconciliation (no `changed`) notices deletions")
        if _moves_back(self.time_zone):
            raise TerminalError(
                f"entry {self.name}: clocks in {self.time_zone} go back once a year, and so does the watermark "
                f"{changed}. Use a TIMESTAMP column, or reconcile the whole table"
            )

    @cached_property
    def documents(self) -> Table:
        """The contract of the documents as the migration writes them: the target's, with what it adds."""
        added = (*self.extra, *((ORIGIN,) if self.shared else ()))
        return replace(self.target, columns=(*self.target.columns, *added))

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """Target column → source column, for every column that comes from the source, in the documents' order."""
        names = (column.name for column in self.documents.columns if column.name != ORIGIN.name)
        return {name: self.renamed.get(name, name) for name in names}

    @property
    def rejected(self) -> str:
        """The table's name in quarantine: rows of the source, not documents, which another gate may reject as well."""
        return f"mysql.{self.name}"

    @property
    def written(self) -> str | None:
        """The document's column that says when the source row was last written, where there is one."""
        name = self.changed or self.stamp
        return self.target_of(name) if name else None

    def target_of(self, source: str) -> str:
        """The document's column that a source column goes to (the first, where there are several)."""
        return next(target for target, name in self.sources.items() if name == source)


def _moves_back(zone: str) -> bool:
    """Whether a wall clock in `zone` repeats an hour in our times."""
    offsets = {datetime(year, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() for year in (2000, 2026) for month in (1, 7)}
    return len(offsets) > 1
