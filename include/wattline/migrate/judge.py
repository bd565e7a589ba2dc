"""Judge: the gate of a slice, over everything that its extract staged."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from wattline.migrate.checks import Plan
from wattline.migrate.extract import extracted, stem
from wattline.migrate.load import good_name
from wattline.migrate.lookup import source_rows
from wattline.migrate.slices import Slice
from wattline.migrate.source import Source
from wattline.migrate.suite import COPIES, batch, suite_of
from wattline.quality.gate import GateResult, check
from wattline.storage.staging import Staging

FEW_BAD_ROWS = 20
"""As many bad rows stop no slice: a quiet log of an old system has them one by one, and its tail must go on."""


def judge(plan: Plan, source: Source, part: Slice, staging: Staging, max_bad_share: float) -> GateResult:
    """The gate's verdict on the slice's rows; those with a zero date for a watermark are all bad, and stop nothing."""
    share = max_bad_share if plan.entry.max_bad_share is None else plan.entry.max_bad_share
    rows = _counted(plan, source, batch(plan, extracted(plan, part, staging)))
    result = check(suite_of(plan), rows, share)
    return replace(result, max_bad_share=1.0) if part.undated or result.bad.height <= FEW_BAD_ROWS else result


def _counted(plan: Plan, source: Source, rows: pl.DataFrame) -> pl.DataFrame:
    """The batch with the copies of a key in other slices too, where its time has more digits than MongoDB keeps."""
    key = list(plan.entry.target.key)
    times = [name for name in key if plan.entry.target.column(name).dtype == pl.Datetime("us", "UTC")]
    finer = (
        rows.filter(pl.any_horizontal(pl.col(name).dt.microsecond() % 1000 != 0 for name in times))
        if times
        else rows[:0]
    )
    finer = finer.drop_nulls(key)
    if finer.is_empty():
        return rows
    cut = [pl.col(name).dt.truncate("1ms") for name in times]
    found = source_rows(plan, source, finer).unique().with_columns(cut).group_by(key).agg(there=pl.len().cast(pl.Int64))
    counts = rows.select(key).with_columns(cut).join(found, on=key, how="left", maintain_order="left")["there"]
    return rows.with_columns(pl.max_horizontal(COPIES, counts))


def pass_on(plan: Plan, part: Slice, staging: Staging, result: GateResult) -> str:
    """Stage the good rows for the load, which begins anew; where they are."""
    staging.write_note(f"{stem(plan, part)}-load", {})
    good = result.good.select(plan.entry.documents.schema.names())
    return staging.write(good_name(plan, part), good)
