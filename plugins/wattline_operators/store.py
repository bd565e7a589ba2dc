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


def _counts(result: Any) -> dict[str, int]:
    return {"inserted": result.inserted, "updated": result.updated, "unchanged": result.unchanged}
