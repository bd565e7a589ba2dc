"""Judge: the gate of a slice, over everything that its extract staged."""

from __future__ import annotations

from wattline.migrate.checks import Plan
from wattline.migrate.extract import extracted, stem
from wattline.migrate.load import good_name
from wattline.migrate.slices import Slice
from wattline.migrate.suite import batch, suite_of
from wattline.quality.gate import GateResult, check
from wattline.storage.staging import Staging


def judge(plan: Plan, part: Slice, staging: Staging, max_bad_share: float) -> GateResult:
    """The gate's verdict on the slice's rows."""
    share = max_bad_share if plan.entry.max_bad_share is None else plan.entry.max_bad_share
    return check(suite_of(plan), batch(plan, extracted(plan, part, staging)), share)


def pass_on(plan: Plan, part: Slice, staging: Staging, result: GateResult) -> str:
    """Stage the good rows for the load, which begins anew; where they are."""
    staging.write_note(f"{stem(plan, part)}-load", {})
    good = result.good.select(plan.entry.documents.schema.names())
    return staging.write(good_name(plan, part), good)
