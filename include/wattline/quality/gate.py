"""The gate: one Great Expectations validation a batch, and its verdict on every row.

Great Expectations takes seconds to import, so nothing here imports it before a batch is checked.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import polars.selectors as cs

from wattline.errors import TerminalError
from wattline.quality.result import CheckStatistic, GateResult, import_great_expectations
from wattline.quality.suite import Suite, as_it_is

__all__ = ["CheckStatistic", "GateResult", "check"]

_RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
_ROW = "__row"
_CHECK = "__check"
_REASONS = "reasons"


def check(suite: Suite, frame: pl.DataFrame, max_bad_share: float) -> GateResult:
    """Judge every row of `frame` by `suite`, in one validation.

    Args:
        suite: the demands.
        frame: the batch; columns and types of `suite.schema`, further columns pass through.
        max_bad_share: the batch is blocked when more than this share (0 to 1) of its rows is bad.

    Raises:
        TerminalError: the batch has not the shape that the suite judges, or a check itself cannot run.
    """
    suite.require(frame)
    validation = _validate(suite, frame)
    faults = _faults(suite, validation)
    if faults.is_empty():
        # The usual case needs no copy of the batch.
        good, bad = frame, frame.clear().with_columns(pl.lit(None, faults.schema[_REASONS]).alias(_REASONS))
    else:
        good, bad = _parted(frame, faults)
    counted = frame if suite.counted is None else frame.filter(suite.counted)
    bad = bad if suite.counted is None else bad.filter(suite.counted)
    return GateResult(
        suite=suite,
        rows=counted.height,
        good=good,
        bad=bad,
        statistics=_statistics(suite, validation),
        max_bad_share=max_bad_share,
        validation=_plain(validation),
        _rendered_from=validation,
    )


def _parted(frame: pl.DataFrame, faults: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The good rows, and the bad ones with their reasons."""
    rows = frame.with_row_index(_ROW)
    bad = rows.join(faults, on=_ROW, how="inner", maintain_order="left").drop(_ROW)
    return rows.join(faults, on=_ROW, how="anti", maintain_order="left").drop(_ROW), bad


def _plain(validation: Any) -> dict[str, Any]:
    """The result as JSON types, the same for the same batch; cuts the lists of all failing values off the result."""
    for outcome in validation.results:
        outcome.result.pop("unexpected_list")
        outcome.result.pop("unexpected_index_list")
    validation.meta.pop("batch_markers")
    # NaN and infinity are no JSON: they become their names.
    plain: dict[str, Any] = json.loads(json.dumps(validation.to_json_dict()), parse_constant=str)
    return plain


def _validate(suite: Suite, frame: pl.DataFrame) -> Any:
    """Run the suite's expectations over the columns they look at; the result of Great Expectations, failures inside.

    Raises:
        TerminalError: an expectation raised instead of judging.
    """
    gx = import_great_expectations()
    from great_expectations.data_context.types import base

    wanted = sorted({item.tested for item in suite.checks})
    # A suite that prepares nothing needs only the columns that it looks at.
    seen = frame if suite.prepare is not as_it_is else frame.select(wanted)
    tested = suite.prepare(seen.with_columns(cs.decimal().cast(pl.Float64))).select(wanted).to_pandas()
    quiet = base.DataContextConfig(
        store_backend_defaults=base.InMemoryStoreBackendDefaults(),
        progress_bars=base.ProgressBarsConfig(globally=False),
    )
    batch = (
        gx.get_context(mode="ephemeral", project_config=quiet)
        .data_sources.add_pandas(suite.name)
        .add_dataframe_asset(suite.table.name)
        .add_batch_definition_whole_dataframe("batch")
        .get_batch({"dataframe": tested})
    )
    expectations = [
        getattr(gx.expectations, item.expectation)(column=item.tested, meta={"check": number}, **item.arguments)
        for number, item in enumerate(suite.checks)
    ]
    declared = gx.ExpectationSuite(suite.name, expectations=expectations)
    validation = batch.validate(declared, result_format=_RESULT_FORMAT)
    for outcome in validation.results:
        if "unexpected_index_list" not in outcome.result:
            item = suite.checks[_number(outcome)]
            raise TerminalError(
                f"suite {suite.name}: {item.expectation} on {item.tested} judges no rows: {_problem(outcome)}"
            )
    return validation


def _problem(outcome: Any) -> str:
    """Why an expectation came to no verdict; Great Expectations nests the messages by metric, or does not."""
    info = outcome.exception_info
    parts = [info, *(part for part in info.values() if isinstance(part, dict))]
    return "; ".join(part["exception_message"] for part in parts if part.get("exception_message")) or "no column map"


def _number(outcome: Any) -> int:
    """Place in the suite of the check behind one result: Great Expectations returns them in an order of its own."""
    number: int = outcome.expectation_config.meta["check"]
    return number


def _faults(suite: Suite, validation: Any) -> pl.DataFrame:
    """One row a bad row: its place in the batch and `reasons`, ordered as the suite's checks are."""
    schema = {_ROW: pl.UInt32, _CHECK: pl.UInt32}
    found = [
        pl.DataFrame({_ROW: outcome.result["unexpected_index_list"], _CHECK: _number(outcome)}, schema=schema)
        for outcome in sorted(validation.results, key=_number)
    ]
    declared = pl.DataFrame(
        {
            _CHECK: pl.Series(range(len(suite.checks)), dtype=pl.UInt32),
            "field": [item.field for item in suite.checks],
            "reason": [item.reason for item in suite.checks],
            "remedy": [item.remedy for item in suite.checks],
        }
    )
    return (
        pl.concat([pl.DataFrame(schema=schema), *found])
        .join(declared, on=_CHECK, how="left", maintain_order="left")
        .group_by(_ROW, maintain_order=True)
        .agg(pl.struct("field", "reason", "remedy").alias(_REASONS))
    )


def _statistics(suite: Suite, validation: Any) -> tuple[CheckStatistic, ...]:
    outcomes = sorted(validation.results, key=_number)
    return tuple(
        CheckStatistic(
            check=item,
            checked=int(outcome.result["element_count"] - outcome.result.get("missing_count", 0)),
            bad=int(outcome.result["unexpected_count"]),
        )
        for item, outcome in zip(suite.checks, outcomes, strict=True)
    )
