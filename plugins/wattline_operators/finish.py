"""Finish: the last step of a run; only a run that reaches it counts as complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, open_documents

if TYPE_CHECKING:
    from airflow.sdk import Context


class FinishOperator(PipelineOperator):
    """Write down that the run's window is complete, then clear its staged frames.

    It runs after every other step has succeeded, so it is also what makes a run with any failed step fail.

    Args:
        covers: names of tables whose rows of this window are now complete; later pipelines wait for them.
        mongo_conn_id: Airflow connection id of the MongoDB that keeps the manifests.
    """

    template_fields: Sequence[str] = ("covers", "mongo_conn_id")

    def __init__(self, *, covers: Sequence[str], mongo_conn_id: str = "solar_mongo", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.covers = covers
        self.mongo_conn_id = mongo_conn_id

    def run_step(self, context: Context) -> None:
        """Record what is covered, then clear staging."""
        from wattline.storage.coverage import record

        window = self.window(context)
        with open_documents(self.mongo_conn_id) as database:
            for table in self.covers:
                record(database, table, window)
        self.staging(context).clear()
