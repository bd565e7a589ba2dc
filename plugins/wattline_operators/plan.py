"""Plan and mark: what a run computes beside its own window, and what other pipelines must compute after it."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, frames_xcom, is_live, open_documents

if TYPE_CHECKING:
    from airflow.sdk import Context

DUE, MARKS = "recompute_due", "recompute_marks"
"""Names of the frames that wait for `FinishOperator`."""


class ScopeOperator(PipelineOperator):
    """Stage as `scope` what the run computes: its window, and earlier periods that are marked for its DAG.

    Only a live run takes earlier periods along. The marks are staged too; `FinishOperator` removes them.

    Args:
        most_days: so many days of marks (UTC), oldest first, one run takes along; the others wait for the next.
        mongo_conn_id: Airflow connection id of the MongoDB that keeps the marks.
    """

    template_fields: Sequence[str] = ("mongo_conn_id",)

    def __init__(self, *, most_days: int = 7, mongo_conn_id: str = "solar_mongo", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.most_days = most_days
        self.mongo_conn_id = mongo_conn_id

    def run_step(self, context: Context) -> dict[str, dict[str, Any]]:
        """Read the marks, stage, and return references with row counts."""
        from wattline.solar import scope
        from wattline.storage import recompute

        window, staging = self.window(context), self.staging(context)
        with open_documents(self.mongo_conn_id) as database:
            due = recompute.due(
                database, context["dag"].dag_id, window, live=is_live(context), most_days=self.most_days
            )
        frames = {DUE: due, "scope": scope.planned(window, due)}
        return frames_xcom({name: staging.write(name, frame) for name, frame in frames.items()}, frames)


class MarkOperator(PipelineOperator):
    """Mark for other pipelines what this run is about to change: the staged `scope`, its window included.

    A reader's own run of that window clears the mark again; one that is paused, or failed, finds it later. It comes
    before the storers, so that a run that is killed between them leaves its marks; `FinishOperator` marks the same
    again, for readers that were quicker than the storers.

    Args:
        readers: `module:NAME` of a mapping: pipeline → what it computes of a scope (`wattline.solar.scope`).
        mongo_conn_id: Airflow connection id of the MongoDB that keeps the marks.
    """

    template_fields: Sequence[str] = ("readers", "mongo_conn_id")

    def __init__(self, *, readers: str, mongo_conn_id: str = "solar_mongo", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.readers = readers
        self.mongo_conn_id = mongo_conn_id

    def run_step(self, context: Context) -> dict[str, dict[str, Any]]:
        """Mark, and stage the marks; return their number."""
        from wattline.solar import scope
        from wattline.storage import recompute

        staging = self.staging(context)
        marks = scope.marks(staging.read("scope"), staging.read("inverters"), resolve_name(self.readers))
        with open_documents(self.mongo_conn_id) as database:
            recompute.mark(database, marks)
        return frames_xcom({MARKS: staging.write(MARKS, marks)}, {MARKS: marks})
