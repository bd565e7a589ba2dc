"""Collect: read from a database, stage frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, frames_xcom, load, open_stores

if TYPE_CHECKING:
    from airflow.sdk import Context


class CollectOperator(PipelineOperator):
    """Call a collector for the run's window and stage the frames it returns.

    Args:
        collector: `module:function`, called as `(stores, window, inputs) -> {name: frame}`.
        conn_ids: role → Airflow connection id (conn_type `mysql` or `mongo`).
        inputs: names of frames staged by earlier steps of the run.
    """

    template_fields: Sequence[str] = ("collector", "conn_ids", "inputs")

    def __init__(
        self, *, collector: str, conn_ids: Mapping[str, str], inputs: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.collector = collector
        self.conn_ids = conn_ids
        self.inputs = inputs

    def run_step(self, context: Context) -> dict[str, dict[str, Any]]:
        """Read, stage, and return references with row counts."""
        staging = self.staging(context)
        inputs = {name: staging.read(name) for name in self.inputs}
        with open_stores(self.conn_ids) as stores:
            frames = load(self.collector)(stores, self.window(context), inputs)
        return frames_xcom({name: staging.write(name, frame) for name, frame in frames.items()}, frames)
