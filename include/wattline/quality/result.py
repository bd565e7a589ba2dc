"""The verdict of a gate on one batch, and the forms in which it is stored and shown."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from wattline.quality.suite import Check, Suite
from wattline.window import Window


@dataclass(frozen=True)
class CheckStatistic:
    """How one check went: values looked at (null ones are not, except by a not-null check) and rows that failed."""

    check: Check
    checked: int
    bad: int


@dataclass(frozen=True)
class GateResult:
    """The verdict on one batch. `good` and `bad` together are the batch, each in the batch's order.

    Bad rows that do not count (`Suite.counted`) are in neither.

    Attributes:
        suite: what was demanded.
        rows: rows of the batch that count.
        good: rows without a fault; columns, types and values of the batch.
        bad: rows that count, with at least one fault; the batch's columns plus `reasons`, a list of
            {field, reason, remedy} in the order of the suite's checks.
        statistics: one entry a check, in the suite's order.
        max_bad_share: the share of bad rows that the batch may have.
        validation: the result of Great Expectations as plain JSON types, with the first 20 failing values a check.
    """

    suite: Suite
    rows: int
    good: pl.DataFrame
    bad: pl.DataFrame
    statistics: tuple[CheckStatistic, ...]
    max_bad_share: float
    validation: dict[str, Any]
    _rendered_from: Any = field(repr=False, compare=False)

    @property
    def bad_share(self) -> float:
        """Bad rows per row; 0 for an empty batch."""
        return self.bad.height / self.rows if self.rows else 0.0

    @property
    def blocked(self) -> bool:
        """Whether the whole batch must stop."""
        return self.bad_share > self.max_bad_share

    def html(self) -> str:
        """The result as one HTML page that loads nothing from anywhere and runs no script."""
        import_great_expectations()
        from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
        from great_expectations.render.view.view import DefaultJinjaPageView

        document = ValidationResultsPageRenderer(run_info_at_end=False).render(self._rendered_from)
        # The view's own page loads a dozen scripts and styles from other hosts; ours takes its sections only.
        view: Any = DefaultJinjaPageView(custom_views_directory=str(Path(__file__).parent))
        page: str = view.render(document, template="page.html.j2", gate=self)
        return page


def result_document(
    result: GateResult, *, dag_id: str, run_id: str, task_id: str, window: Window, html: str
) -> dict[str, Any]:
    """The document of the collection `quality_result` that says how one gate of one run went.

    Args:
        result: the verdict.
        dag_id: with `run_id` and `task_id` the document's `_id`: a gate that runs again replaces its document.
        run_id: see `dag_id`.
        task_id: see `dag_id`.
        window: what the run computes.
        html: where the page of `result.html()` is kept.
    """
    return {
        "_id": {"dag_id": dag_id, "run_id": run_id, "task_id": task_id},
        "suite": result.suite.name,
        "table": result.suite.table.name,
        "window": {"start": window.start, "end": window.end},
        "rows": result.rows,
        "bad": result.bad.height,
        "max_bad_share": result.max_bad_share,
        "blocked": result.blocked,
        "checks": [
            {"field": line.check.field, "reason": line.check.reason, "checked": line.checked, "bad": line.bad}
            for line in result.statistics
        ],
        "validation": result.validation,
        "html": html,
    }


def import_great_expectations() -> ModuleType:
    """Great Expectations with its expectations, imported without the warning of its import; seconds the first time."""
    # It tells of every function that it leaves undocumented.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # It imports two modules that the standard library deprecates.
        warnings.filterwarnings("ignore", r"module 'sre_(constants|parse)' is deprecated", DeprecationWarning)
        import great_expectations
        import great_expectations.expectations
    return great_expectations
