"""Collect: read from a database, stage frames."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, frames_xcom, open_store

if TYPE_CHECKING:
    from airflow.sdk import Context


class CollectOperator(PipelineOperator):
    """Call a collector for the run's window and stage the frames it returns.

    Args:
        collector: `module:function`, called as `(store, window, inputs) -> {name: frame}`.
        conn_id: Airflow connection id (conn_type `mysql` or `mongo`).
        inputs: names of frames staged by earlier steps of the run.
    """

    template_fields: Sequence[str] = ("collector", "conn_id", "inputs")

    def __init__(self, *, collector: str, conn_id: str, inputs: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collector = collector
        self.conn_id = conn_id
        self.inputs = inputs

    def run_step(self, context: Context) -> dict[str, Any]:
        """Read, stage, and return references with row counts."""
        staging = self.staging(context)
        inputs = {name: staging.read(name) for name in self.inputs}
        with open_store(self.conn_id) as store:
            frames = resolve_name(self.collector)(store, self.window(context), inputs)
        return frames_xcom({name: staging.write(name, frame) for name, frame in frames.items()}, frames)
