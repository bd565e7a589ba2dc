"""Gate: let good rows pass, quarantine bad ones, stop a batch with too many of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath

from wattline.errors import BatchRejectedError
from wattline.settings import settings
from wattline_operators.base import PipelineOperator, frames_xcom, open_documents

if TYPE_CHECKING:
    from airflow.sdk import Context

    from wattline.quality.result import GateResult
    from wattline.window import Window

log = logging.getLogger(__name__)


class GateOperator(PipelineOperator):
    """Judge a staged frame by a suite of Great Expectations; stage its good rows as `good_<frame>`.

    The result, its page and the bad rows are stored before the batch is stopped.

    Args:
        suite: `module:NAME` of the suite.
        frame: name of the frame staged by an earlier step.
        max_bad_share: the share of bad rows (0 to 1) above which nothing passes; the setting of that name by default.
        mongo_conn_id: Airflow connection id of the MongoDB that keeps results and quarantine.
    """

    template_fields: Sequence[str] = ("suite", "frame", "mongo_conn_id")

    def __init__(
        self,
        *,
        suite: str,
        frame: str,
        max_bad_share: float | None = None,
        mongo_conn_id: str = "solar_mongo",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.suite = suite
        self.frame = frame
        self.max_bad_share = max_bad_share
        self.mongo_conn_id = mongo_conn_id

    def run_step(self, context: Context) -> dict[str, Any]:
        """Check, store the verdict, then stage the good rows or stop.

        Raises:
            BatchRejectedError: the share of bad rows is above the limit.
        """
        result, outcome = self.judge(context, self.frame)
        return outcome | {"quarantined": result.bad.height}

    def judge(self, context: Context, frame: str, part: int | None = None) -> tuple[GateResult, dict[str, Any]]:
        """Check a staged frame, which may be a part of the batch, and store the verdict; stage its good rows, or stop.

        Returns:
            The verdict; where its page and the good rows are.

        Raises:
            BatchRejectedError: the share of bad rows is above the limit.
        """
        from wattline.quality.gate import check

        staging = self.staging(context)
        share = settings().max_bad_share if self.max_bad_share is None else self.max_bad_share
        result = check(resolve_name(self.suite), staging.read(frame), share)
        page = keep_verdict(context, self.mongo_conn_id, result, self.window(context), part=part)
        name = f"good_{frame}"
        return result, frames_xcom({name: staging.write(name, result.good)}, {name: result.good}) | {"page": page}


def keep_verdict(
    context: Context, mongo_conn_id: str, result: GateResult, window: Window, *, part: int | None = None
) -> str:
    """Store the result, its page and the bad rows; where the page is.

    Args:
        context: of the task.
        mongo_conn_id: Airflow connection id of the MongoDB that keeps results and quarantine.
        result: the verdict.
        window: what the batch holds; rows that the same window rejected before and now does not are resolved.
        part: the place of the batch, where the task judges several.

    Raises:
        BatchRejectedError: the share of bad rows is above the limit; everything is stored before.
    """
    from wattline.quality.quarantine import write_quarantine
    from wattline.quality.result import result_document
    from wattline.storage.documents import documents, put

    ti = context["ti"]
    mapped = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else part
    task_id = ti.task_id if mapped is None else f"{ti.task_id}_{mapped}"
    folder = ObjectStoragePath(settings().quality_url) / ti.dag_id / ti.run_id.replace(":", "")
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{task_id}.html"
    page.write_text(result.html())
    run = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": task_id}
    with open_documents(mongo_conn_id) as database:
        counts = write_quarantine(database, result, ti.dag_id, window, further=bool(part))
        put(documents(database, "quality_result"), result_document(result, window=window, html=str(page), **run))
    log.info("%d of %d rows bad, %d resolved", result.bad.height, result.rows, counts.resolved)
    if result.blocked:
        raise BatchRejectedError(
            f"{result.bad.height} of {result.rows} rows are bad ({result.bad_share:.1%}, limit "
            f"{result.max_bad_share:.1%}): {_commonest_reason(result)}. Nothing was loaded. See {page}"
        )
    return str(page)


def _commonest_reason(result: GateResult) -> str:
    worst = max(result.statistics, key=lambda line: line.bad)
    return f"mostly {worst.check.reason} ({worst.bad}). {worst.check.remedy}"
