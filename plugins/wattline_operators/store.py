"""Store: write a staged frame to a database, idempotently."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, open_store

if TYPE_CHECKING:
    from airflow.sdk import Context


class StoreOperator(PipelineOperator):
    """Upsert a staged frame by the natural key of its table.

    Args:
        table: `module:NAME` of the table's contract.
        frame: name of the frame staged by an earlier step.
        conn_id: Airflow connection id (conn_type `mysql` or `mongo`).
    """

    template_fields: Sequence[str] = ("table", "frame", "conn_id")

    def __init__(self, *, table: str, frame: str, conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.frame = frame
        self.conn_id = conn_id

    def run_step(self, context: Context) -> dict[str, int]:
        """Write, and return how many rows were inserted, updated, unchanged."""
        frame = self.staging(context).read(self.frame)
        with open_store(self.conn_id) as store:
            result = store.upsert(resolve_name(self.table), frame)
        self.log.info("%s: %d inserted, %d updated, %d unchanged", self.table, *_counts(result).values())
        return _counts(result)


class SharedStoreOperator(StoreOperator):
    """A storer of a table that the old system fills too.

    Rows that are not made of readings are staged by themselves, as `…_silent` (`wattline.solar.process.apart`). They do
    not take the place of rows of the old system.
    """

    def run_step(self, context: Context) -> dict[str, int]:
        """Write, and return how many rows were inserted, updated, unchanged, and kept as the old system's."""
        staging, table = self.staging(context), resolve_name(self.table)
        frame, silent = staging.read(self.frame), staging.read(f"{self.frame}_silent")
        with open_store(self.conn_id) as store:
            result = store.upsert(table, frame) + store.upsert(table, silent, keep_legacy=True)
        counts = {**_counts(result), "kept": result.kept}
        self.log.info("%s: %d inserted, %d updated, %d unchanged, %d kept", self.table, *counts.values())
        return counts


def _counts(result: Any) -> dict[str, int]:
    return {"inserted": result.inserted, "updated": result.updated, "unchanged": result.unchanged}
