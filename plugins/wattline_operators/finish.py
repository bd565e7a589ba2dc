"""Finish: the last step of a run; only a run that reaches it counts as complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, open_documents
from wattline_operators.plan import DUE, MARKS

if TYPE_CHECKING:
    from airflow.sdk import Context


class FinishOperator(PipelineOperator):
    """Write down that the run's window is complete, then clear its staged frames.

    It runs after every other step has succeeded, so it is also what makes a run with any failed step fail. Where a
    `MarkOperator` or a `ScopeOperator` was before, it sets the marks of the one again and removes those of the other.
    Of the latter it sets anew what is not the same any more.

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
        """Mark, record what is covered, remove marks, then clear staging."""
        from wattline.storage import recompute
        from wattline.storage.coverage import record

        window, staging = self.window(context), self.staging(context)
        with open_documents(self.mongo_conn_id) as database:
            # Frames that are gone were dealt with by a try that was killed while it cleared staging.
            if staging.holds(MARKS):
                recompute.mark(database, staging.read(MARKS))
            for table in self.covers:
                record(database, table, window)
            if staging.holds(DUE):
                # What another run has computed in between, this one has perhaps stored older: it is computed once more.
                recompute.mark(database, recompute.clear(database, context["dag"].dag_id, staging.read(DUE)))
        staging.clear()
