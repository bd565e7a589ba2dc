"""Verify: source and documents of a slice, by count, by an order-independent checksum, and key by key.

The source's server computes the checksums of its rows, the client those of the documents; what the extract read is not
asked. Both sides are read at the same time; for what does not agree the source is asked once more.

Not every unlike pair is a difference. A row may have moved on since the slice was read, or wait in quarantine; the
collection's other writers may own the document; a log may keep what the source has thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
import polars.selectors as cs
import pyarrow as pa

from wattline.errors import TerminalError
from wattline.migrate.checks import Plan
from wattline.migrate.columns import checksum_sql, checksums, line_parts, received
from wattline.migrate.entry import DELETED_AT, ORIGIN
from wattline.migrate.load import own
from wattline.migrate.lookup import CHECKSUM, gone, identities, quarantined, source_rows, stored
from wattline.migrate.slices import FIRST, Slice
from wattline.migrate.source import Source
from wattline.storage.contract import MYSQL
from wattline.storage.documents import bson_value
from wattline.storage.mongo import MongoStore
from wattline.storage.store import Condition, between

MISSING, DIFFERENT, LEFT, DOUBLED = "missing", "different", "left over", "doubled"
"""Kinds of difference: no document, another document, a document without row, two rows of one key."""
_KEYS_TOLD = 5
_SIDES = {"source": "source_checksum", "target": "target_checksum"}


@dataclass(frozen=True)
class Verdict:
    """What a verification found.

    Attributes:
        rows: rows of the source that are settled, and documents.
        checksum: the sums of the rows' checksums on both sides, modulo 2**64.
        differences: the keys that differ: the key's columns and `kind`.
        explained: why other pairs need not agree: reason → how many.
    """

    rows: tuple[int, int]
    checksum: tuple[int, int]
    differences: pl.DataFrame
    explained: Mapping[str, int] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs that should not."""
        return self.differences.is_empty()

    def document(self) -> dict[str, Any]:
        """The verdict for MongoDB."""
        return {
            "rows": dict(zip(_SIDES, self.rows, strict=True)),
            "checksums": {side: f"{value:016x}" for side, value in zip(_SIDES, self.checksum, strict=True)},
            "explained": dict(self.explained),
            "differences": [_plain(row) for row in self.differences.iter_rows(named=True)],
        }

    def require(self, name: str) -> None:
        """Refuse a slice that differs.

        Raises:
            TerminalError: it names how many keys differ, the first of them, and the remedy.
        """
        if self.agrees:
            return
        rows = self.differences.head(_KEYS_TOLD).iter_rows(named=True)
        told = "; ".join(f"{row.pop('kind')} {_said(row)}" for row in rows)
        raise TerminalError(
            f"{name}: {self.differences.height} keys differ between MySQL and MongoDB: {told}. "
            f"`wattline migrate repair {name}` mends them"
        )


def verify(plan: Plan, source: Source, store: MongoStore, part: Slice, read: pl.DataFrame | None = None) -> Verdict:
    """Compare a slice on both sides.

    Args:
        plan: the entry and its table.
        source: the source.
        store: the documents.
        part: the slice.
        read: of a whole table, the rows as the run's extract read them: what has changed since is no difference.

    Raises:
        TerminalError, TransientError: a side cannot be read.
    """
    with ThreadPoolExecutor(1) as other_side:
        reading = other_side.submit(_documents, plan, store, part)
        rows = _rows(plan, source, part)
        documents = reading.result()
    key = list(plan.entry.target.key)
    sums = int(rows[CHECKSUM].sum()) % 2**64, int(documents[CHECKSUM].sum()) % 2**64
    found = _Comparison(plan, rows, documents).unlike()
    explained: dict[str, int] = {}
    explanations: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
        "quarantined": lambda unlike: quarantined(store.database, plan.entry, unlike),
        "changed since": lambda unlike: _moved(plan, source, unlike, part, read),
        "of another pipeline": lambda unlike: _foreign(plan, store, unlike),
        "gone from the source, kept": lambda unlike: _kept(plan, source, unlike),
    }
    for reason, explain in explanations.items():
        if found.height:
            left = found.join(explain(found).unique(), on=key, how="anti", nulls_equal=True)
            if left.height < found.height:
                explained[reason] = found.height - left.height
            found = left
    return Verdict((rows.height, documents.height), sums, found.select(*key, "kind"), explained)


@dataclass(frozen=True)
class _Comparison:
    plan: Plan
    rows: pl.DataFrame
    documents: pl.DataFrame

    def unlike(self) -> pl.DataFrame:
        """Key columns, `kind`, and the source's `checksum`, of what does not agree."""
        key = list(self.plan.entry.target.key)
        single = self.rows.filter(pl.struct(key).is_unique())
        doubled = self.rows.filter(pl.struct(key).is_duplicated()).unique(key, maintain_order=True)
        missing = single.join(self.documents, on=key, how="anti", nulls_equal=True)
        left = self.documents.join(self.rows, on=key, how="anti", nulls_equal=True)
        both = single.join(self.documents.rename({CHECKSUM: "other"}), on=key, nulls_equal=True)
        different = both.filter(pl.col(CHECKSUM) != pl.col("other"))
        parts = {DOUBLED: doubled, MISSING: missing, DIFFERENT: different, LEFT: left}
        columns = [*key, CHECKSUM]
        return pl.concat(each.select(columns).with_columns(kind=pl.lit(kind)) for kind, each in parts.items())


def _rows(plan: Plan, source: Source, part: Slice) -> pl.DataFrame:
    """Key columns and checksum of the slice's settled source rows."""
    entry = plan.entry
    names = [*entry.target.key, *([entry.written] if entry.written else [])]
    travels = plan.pick(names)
    parts = {**line_parts(travels), CHECKSUM: (checksum_sql(plan.travels), pa.int64())}
    found = []
    for page in source.pages(plan.table, part.range(entry), parts):
        rows = received(page.frame, travels).with_columns(page.frame[CHECKSUM].cast(pl.UInt32))
        if entry.written and part.by != "all":
            rows = rows.filter(pl.col(entry.written).is_null() | (pl.col(entry.written) < part.settled))
        found.append(rows.select(*entry.target.key, CHECKSUM))
    return pl.concat(found).with_columns(cs.datetime().dt.truncate("1ms"))


def _documents(plan: Plan, store: MongoStore, part: Slice) -> pl.DataFrame:
    """Key columns and checksum of the slice's settled documents."""
    entry = plan.entry
    where: list[Condition] = []
    only = own(entry)
    if part.by != "all":
        column = str(entry.written if part.by == "changed" else entry.target_of(str(entry.measured)))
        where += between(column, part.start, part.end) if part.start > FIRST else (Condition(column, "<", part.end),)
        where.append(Condition(str(entry.written), "<", part.settled))
    if part.without and entry.measured:
        measured = entry.target_of(entry.measured)
        low, high = part.without
        only = only | {"$or": [{measured: None}, {measured: {"$lt": low}}, {measured: {"$gte": high}}]}
    rows = store.read(entry.documents, where, list(entry.sources), only)
    return rows.select(*entry.target.key, checksums(rows, plan.travels).alias(CHECKSUM))


def _moved(plan: Plan, source: Source, unlike: pl.DataFrame, part: Slice, read: pl.DataFrame | None) -> pl.DataFrame:
    """The keys whose rows were written or removed after the slice was read."""
    entry, key = plan.entry, list(plan.entry.target.key)
    rows = source_rows(plan, source, unlike).with_columns(cs.datetime().dt.truncate("1ms"))
    # Of rows that are one key in MongoDB, the one that moved says nothing of the other.
    now = rows.filter(pl.struct(key).is_unique()) if entry.unique else rows
    stamp = pl.col(entry.written) if entry.written else pl.lit(None)
    # A row that was there a moment ago, and is gone, has moved on too.
    lost = unlike.filter(pl.col("kind") != LEFT).join(rows, on=key, how="anti", nulls_equal=True).drop_nulls(key)
    # Written behind the slice's end, it belongs to another slice of the run, or to the next run.
    behind = min(part.end, part.settled) if part.by == "changed" else part.settled
    later = pl.concat([now.filter(stamp >= behind).select(key), lost.select(key)])
    if read is None:
        return later
    before = read.select(*key, checksums(read, plan.travels).alias("before")).with_columns(
        cs.datetime().dt.truncate("1ms")
    )
    both = before.join(now.select(*key, CHECKSUM), on=key, how="full", coalesce=True)
    return pl.concat([later, both.filter(pl.col("before").ne_missing(pl.col(CHECKSUM))).select(key)])


def _foreign(plan: Plan, store: MongoStore, unlike: pl.DataFrame) -> pl.DataFrame:
    """The keys whose documents another pipeline owns."""
    key = list(plan.entry.target.key)
    missing = unlike.filter(pl.col("kind") == MISSING)
    if not plan.entry.shared or missing.is_empty():
        return unlike.select(key).clear()
    return _keys_of(plan, stored(plan.entry, store, missing), missing)


def _keys_of(plan: Plan, found: Mapping[bytes, Any], keys: pl.DataFrame) -> pl.DataFrame:
    """Those of `keys` whose document is not deleted, and not the migration's."""
    documents = [found.get(bytes(each.raw)) for each in identities(plan.entry, keys)]
    there = [each is not None and DELETED_AT not in each and each.get(ORIGIN.name) != MYSQL for each in documents]
    return keys.filter(pl.Series(there, dtype=pl.Boolean)).select(plan.entry.target.key)


def _kept(plan: Plan, source: Source, unlike: pl.DataFrame) -> pl.DataFrame:
    """The keys of documents that outlive their source rows, as the entry wants."""
    left = unlike.filter(pl.col("kind") == LEFT)
    if plan.entry.deletions != "keep" or left.is_empty():
        return unlike.select(plan.entry.target.key).clear()
    return gone(plan, source, left)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: bson_value(value) for name, value in row.items()}


def _said(key: Mapping[str, Any]) -> str:
    parts = (f"{name}={value.isoformat() if isinstance(value, datetime) else value}" for name, value in key.items())
    return "{" + ", ".join(parts) + "}"
