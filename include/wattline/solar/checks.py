"""What the gates of the solar pipelines demand of a batch.

The gate of `inverterlog` judges values. The gates of the migrations judge only what a faithful copy needs
(`wattline.migrate.suite`).
"""

from __future__ import annotations

import polars as pl

from wattline.quality.suite import Check, Suite, range_checks, required
from wattline.solar.statistics_tables import LOG
from wattline.solar.tables import MAX_CLOCK_AHEAD, READING, TICK, TICK_ENERGY
from wattline.storage.contract import POWER

MAX_AC_LOAD = 1.5
"""AC power and energy a kW of rated AC power: inverters clip at their rating, some ratings are entered too low."""
MAX_DC_LOAD = 2.0
"""DC power a kW of rated AC power: panels are oversized by up to two thirds, and clouds' edges add to it."""
MAX_DAY_HOURS = 24 * MAX_AC_LOAD
"""Energy a day and kW of rated AC power, in hours."""

_MEASURED = ("ackw", "dckw", "daykw", "totkw")
_LOOK_AT_GATEWAY = "Look at the gateway's readings of this inverter: a register map or scale is wrong"
_LOOK_AT_RATING = "Compare capacity_kw in the register with the nameplate, then the gateway's scale"


def _add_loads(frame: pl.DataFrame) -> pl.DataFrame:
    """Helper columns: power and energy per rated kW (null without rating) and minutes the gateway's clock is ahead."""
    # A rating of 0 is a field of the register that nobody filled in, so it says as little as null.
    rated = pl.when(pl.col("capacity_kw") > 0).then("capacity_kw")
    return frame.with_columns(
        pl.col("registered").fill_null(value=False),
        ac_load=pl.col("ackw") / rated,
        dc_load=pl.col("dckw") / rated,
        day_hours=pl.col("daykw") / rated,
        minutes_ahead=(pl.col("at") - pl.col("received_at")).dt.total_seconds() / 60,
    )


def _at_most(field: str, column: str, limit: float, reason: str, remedy: str) -> Check:
    return Check("ExpectColumnValuesToBeBetween", field, reason, remedy, {"max_value": limit}, column)


READINGS = Suite(
    name="readings",
    table=READING,
    context={"capacity_kw": POWER, "registered": pl.Boolean(), "in_window": pl.Boolean()},
    counted="in_window",
    prepare=_add_loads,
    checks=(
        Check(
            "ExpectColumnValuesToBeInSet",
            "invno",
            "the inverter is not in the register, or its plant has no time zone",
            "Register the inverter, correct the number that its gateway sends, or give its plant an IANA time zone in "
            "customer; then run the window again",
            {"value_set": [True]},
            "registered",
        ),
        *required(READING, _MEASURED, "Look at the gateway: it could not read this value from the inverter"),
        *range_checks(READING, _MEASURED, _LOOK_AT_GATEWAY),
        _at_most("ackw", "ac_load", MAX_AC_LOAD, f"ackw is above {MAX_AC_LOAD:g} x rated AC power", _LOOK_AT_RATING),
        _at_most("dckw", "dc_load", MAX_DC_LOAD, f"dckw is above {MAX_DC_LOAD:g} x rated AC power", _LOOK_AT_RATING),
        _at_most(
            "daykw",
            "day_hours",
            MAX_DAY_HOURS,
            f"daykw is above 24 h at {MAX_AC_LOAD:g} x rated AC power",
            _LOOK_AT_RATING,
        ),
        _at_most(
            "at",
            "minutes_ahead",
            MAX_CLOCK_AHEAD.total_seconds() / 60,
            f"the gateway's clock is more than {MAX_CLOCK_AHEAD.total_seconds() / 60:g} min ahead of the server's",
            "Set the gateway's clock (NTP); its later readings are good again",
        ),
    ),
)
"""Gate of `inverterlog`. A batch: readings, each with the register's rating and whether the register knows it.

An unknown status word is no fault: manufacturers add some, and the power says whether the inverter runs.
"""

_ENERGY = ("day_peak", "totkw")
_COMPUTE_AGAIN = "Run inverterlog over this time again: its rows are not what it writes"


def _add_reading_age(frame: pl.DataFrame) -> pl.DataFrame:
    """Helper column: minutes by which the reading behind a tick row is younger than the tick."""
    return frame.with_columns(minutes_after=(pl.col("reading_at") - pl.col("at")).dt.total_seconds() / 60)


LOG_ROWS = Suite(
    name="log_rows",
    table=TICK_ENERGY,
    prepare=_add_reading_age,
    checks=(
        *required(TICK_ENERGY, (*_ENERGY, "stale", "counter_reset"), _COMPUTE_AGAIN),
        *range_checks(READING, ("totkw",), _COMPUTE_AGAIN),
        *range_checks(TICK_ENERGY, ("day_peak",), _COMPUTE_AGAIN),
        _at_most("reading_at", "minutes_after", 0.0, "the reading is younger than the tick", _COMPUTE_AGAIN),
    ),
)
"""Gate of the pipelines that sum up energy. A batch: tick rows, as `inverterlog` stored them.

Its rows have passed a gate as readings; this one finds what another hand has changed since.
"""

_POWER = ("ackw", "dckw")


def _add_distance_to_tick(frame: pl.DataFrame) -> pl.DataFrame:
    """Helper column: minutes since the last tick."""
    return frame.with_columns(minutes_off=(pl.col("at") - pl.col("at").dt.truncate(TICK)).dt.total_seconds() / 60)


POWER_LOGS = Suite(
    name="power_logs",
    table=LOG,
    prepare=_add_distance_to_tick,
    checks=(
        *required(LOG, _POWER, _COMPUTE_AGAIN),
        *range_checks(LOG, _POWER, _COMPUTE_AGAIN),
        _at_most("at", "minutes_off", 0.0, "the row is between two ticks", _COMPUTE_AGAIN),
    ),
)
"""Gate of the statistics of power, for the same reason. A batch: tick rows, stale ones aside."""
