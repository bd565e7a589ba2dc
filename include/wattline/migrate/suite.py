"""What the gate of a migration demands: a usable key, and values that are what their columns say.

A nonsense *value* travels, so that the platform holds what the source says; a row without a usable key, or with a value
that no document can hold, has no place to go.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import polars.selectors as cs

from wattline.migrate.checks import Plan
from wattline.migrate.columns import FAULT
from wattline.migrate.entry import ORIGIN
from wattline.quality.suite import Check, Suite, range_checks, required
from wattline.storage.contract import MYSQL

FIRST_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)
"""No log of the platform is older; earlier times are clocks that lost their battery."""
COPIES = "copies"
"""The batch's column that counts the rows which share a row's key."""
_REMEDY = "Correct the row in MySQL; the next run copies it"


def suite_of(plan: Plan) -> Suite:
    """The suite of one entry; a batch has the documents' columns, `fault` and `copies`."""
    entry, documents = plan.entry, plan.entry.documents
    # A column that is NOT NULL in the source is null in a row only with a fault, and that has a check of its own.
    nullable = {name for name, source in entry.sources.items() if plan.table.columns[source].nullable}
    mandatory = [column.name for column in documents.columns if column.name in nullable and not column.nullable]
    faults = tuple(
        Check(
            "ExpectColumnValuesToNotBeInSet",
            one.column.name,
            f"{one.column.name} {reason}",
            _REMEDY,
            {"value_set": [f"{one.column.name}: {reason}"]},
            FAULT,
        )
        for one in plan.travels
        for reason in one.reasons
    )
    ranged = [c.name for c in documents.columns if c.name in documents.key and (c.minimum, c.maximum) != (None, None)]
    early = tuple(
        Check(
            "ExpectColumnValuesToBeBetween",
            name,
            f"{name} is before {FIRST_INSTANT:%Y-%m-%d}",
            _REMEDY,
            {"min_value": FIRST_INSTANT},
        )
        for name in filter(None, (documents.month_column,))
    )
    doubled = Check(
        "ExpectColumnValuesToBeBetween",
        documents.key[0],
        f"several rows have the key {', '.join(documents.key)}",
        "Remove or correct all of them but one in MySQL; the next run copies that one",
        {"max_value": 1},
        COPIES,
    )
    return Suite(
        name=f"migration_{entry.name}",
        table=replace(documents, name=entry.rejected),
        context={FAULT: pl.String(), COPIES: pl.Int64()},
        checks=(
            *required(documents, mandatory, _REMEDY),
            *range_checks(documents, ranged, _REMEDY),
            *early,
            *faults,
            doubled,
        ),
    )


def batch(plan: Plan, page: pl.DataFrame) -> pl.DataFrame:
    """Received rows as the gate takes them: every column of the documents, `fault`, and how many rows share a key."""
    entry, documents = plan.entry, plan.entry.documents
    # Keys that differ by less than MongoDB keeps are one key there.
    keys = page.select(documents.key).with_columns(cs.datetime().dt.truncate("1ms"))
    copies = keys.select(pl.len().over(documents.key).cast(pl.Int64).alias(COPIES))
    origin = [pl.lit(MYSQL).alias(ORIGIN.name)] if entry.shared else []
    return pl.concat([page.with_columns(*origin), copies], how="horizontal").select(
        *documents.schema.names(), FAULT, COPIES
    )
