"""The tables: MyEMS's own, by the names and columns of version 6, and what Wattline keeps beside them.

Energy is exact, in the unit of the meter's energy category (kWh for electricity). Instants are UTC and whole seconds.
MyEMS before version 6 has DECIMAL(18,3) where this says six places: writers round to what the column has.
"""

from __future__ import annotations

import polars as pl

from wattline.storage.contract import UTC_TIME, Column, Table

VALUE = pl.Decimal(21, 6)
"""A counter's state or an energy: exact, up to 15 digits before the point."""
BIG = pl.Int64()

METER_KINDS = ("meter", "offline_meter", "virtual_meter")
"""As `tbl_variables.meter_type` says it; the hourly table of each is `tbl_<kind>_hourly`, its key `<kind>_id`."""


def _hourly(kind: str) -> Table:
    return Table(
        name=f"{kind}_hourly",
        key=(f"{kind}_id", "start_datetime_utc"),
        columns=(
            Column(f"{kind}_id", BIG, "the meter"),
            Column("start_datetime_utc", UTC_TIME, "start of the slot, an hour or half an hour"),
            Column("actual_value", VALUE, "energy of the slot"),
        ),
        mysql=f"tbl_{kind}_hourly",
    )


HOURLY = {kind: _hourly(kind) for kind in METER_KINDS}
"""Kind of meter → its hourly energy, MyEMS's tables; one row a slot once `wattline meters upgrade` was there."""

REASONS = (
    "measured",
    "no_readings",
    "base_too_small",
    "below_low_limit",
    "above_high_limit",
    "spans_gap",
    "counter_reset",
    "late_revision",
)
"""Why an hour has its value; all but the last are outcomes of the rule."""

QUALITY = Table(
    name="meter_hourly_quality",
    key=("meter_id", "start_datetime_utc"),
    columns=(
        Column("meter_id", BIG, "the meter"),
        Column("start_datetime_utc", UTC_TIME, "start of the slot"),
        Column("minutes", pl.Int32(), "length of the slot"),
        Column("reason", pl.String(), "one of REASONS; late_revision where the slot was computed before, otherwise"),
        Column("outcome", pl.String(), "what the rule says of the readings as they are now: REASONS without the last"),
        Column("raw_increment", VALUE, "sum of the counter's rises in the slot"),
        Column("rolled_over", VALUE, "recover mode: what roll-overs of a known modulus add to it"),
        Column("fall", VALUE, "sum of the counter's falls in the slot"),
        Column("readings", pl.Int32(), "good readings in the slot"),
        Column("initial_value", VALUE, "the counter before the slot's first reading; 0 where nothing good is before"),
        Column("last_value", VALUE, "the counter at the slot's end; 0 where it is not positive"),
        Column("actual_value", VALUE, "energy of the slot, as the hourly table has it"),
        Column("read_at", UTC_TIME, "when the readings behind it were read; older ones never take their place"),
        Column("revised_from", VALUE, "what the hourly table had before the last revision", nullable=True),
        Column("revised_at", UTC_TIME, "when that was", nullable=True),
    ),
    mysql="meter_hourly_quality",
)
"""Per slot of a meter the reason of its value. raw_increment + rolled_over - actual_value is what was dropped."""

CLOSURE = Table(
    name="meter_daily_closure",
    key=("meter_id", "day"),
    columns=(
        Column("meter_id", BIG, "the meter"),
        Column("day", pl.Date(), "the UTC day by which slots are summed"),
        Column("slots", pl.Int32(), "slots of the day that are computed"),
        Column("energy", VALUE, "sum of the hourly table's rows"),
        Column("dropped", VALUE, "energy that the rule counts for nothing, whatever the reason"),
        Column("growth", VALUE, "growth of the counter, from its readings: last - first + falls + roll-overs"),
        Column("difference", VALUE, "growth - energy - dropped; 0 where everything adds up"),
        Column("finding", pl.String(), "what does not add up, or which hours were dropped and why", nullable=True),
    ),
    mysql="meter_daily_closure",
)
"""Per meter and day: energy + dropped = growth of the counter, or which hour breaks it."""

STATISTICS = Table(
    name="meter_statistics",
    key=("kind", "meter_id", "period", "start_local"),
    columns=(
        Column("kind", pl.String(), "meter, offline_meter or virtual_meter"),
        Column("meter_id", BIG, "the meter"),
        Column("period", pl.String(), "day, month or year"),
        Column("start_local", pl.Date(), "first local day of the period, in the site's time zone"),
        Column("slots", pl.Int32(), "slots with a row"),
        Column("expected_slots", pl.Int32(), "slots that the period has; 23 or 25 hours on days when clocks change"),
        Column("total", VALUE, "sum of the slots"),
        Column("mean", pl.Float64(), "mean of the slots"),
        Column("median", pl.Float64(), "median of the slots"),
        Column("minimum", VALUE, "smallest slot"),
        Column("maximum", VALUE, "largest slot"),
        Column("deviation", pl.Float64(), "standard deviation of the slots (n - 1); null for one slot", nullable=True),
    ),
    mysql="meter_statistics",
)
"""Days, months and years of every meter's hourly energy."""

MEDIAN_DUE = Table(
    name="meter_median_due",
    key=STATISTICS.key,
    columns=(
        Column("kind", pl.String(), "meter, offline_meter or virtual_meter"),
        Column("meter_id", BIG, "the meter"),
        Column("period", pl.String(), "month or year"),
        Column("start_local", pl.Date(), "first local day of the period"),
    ),
    mysql="meter_median_due",
)
"""Rows of STATISTICS whose slots changed after their median was computed."""

SETTING = Table(
    name="meter_setting",
    key=("meter_id",),
    columns=(
        Column("meter_id", BIG, "the meter"),
        Column("modulus", VALUE, "the counter's states are below it: 1000000 for six digits", nullable=True),
        Column("max_rate", VALUE, "most that the counter can rise in an hour; cleaning's limit", nullable=True),
    ),
    mysql="meter_setting",
)
"""What is known of a meter and MyEMS has no column for; filled by hand, both may be null."""

FINDING = Table(
    name="meter_finding",
    key=("kind", "meter_id", "start_datetime_utc", "subject"),
    columns=(
        Column("kind", pl.String(), "meter, offline_meter or virtual_meter"),
        Column("meter_id", BIG, "the meter"),
        Column("start_datetime_utc", UTC_TIME, "start of the slot"),
        Column("subject", pl.String(), "what is wrong, a fixed word: division_by_zero, missing_operand, …"),
        Column("detail", pl.String(), "the same in a sentence, with the remedy"),
    ),
    mysql="meter_finding",
)
"""What stopped one slot of a virtual meter, or one day of an offline one, from having a row, and no other."""

OWN = (QUALITY, CLOSURE, STATISTICS, MEDIAN_DUE, SETTING, FINDING)
"""Wattline's tables in MyEMS's energy database."""
