"""The suites of the solar system: for every check a row that no other check catches, and the rows at the limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.migration_plans import plan_of
from tests.quality_batches import START, batch
from wattline.migrate.suite import suite_of
from wattline.quality.gate import check
from wattline.quality.suite import Suite
from wattline.solar.checks import LOG_ROWS, POWER_LOGS, READINGS
from wattline.solar.irradiance import CHECKED as IRRADIATED
from wattline.solar.migrations import entry

Row = dict[str, Any]

UNRATED: Row = {"capacity_kw": None}
MICRO = timedelta(microseconds=1)
FIRST = datetime(2000, 1, 1, tzinfo=UTC)

NONSENSE: list[tuple[Row, str]] = [
    ({"registered": False}, "the inverter is not in the register, or its plant has no time zone"),
    ({"registered": None, **UNRATED}, "the inverter is not in the register, or its plant has no time zone"),
    ({"ackw": None}, "ackw is missing or not a number"),
    ({"ackw": float("nan")}, "ackw is missing or not a number"),
    ({"dckw": None}, "dckw is missing or not a number"),
    ({"dckw": float("nan")}, "dckw is missing or not a number"),
    ({"daykw": None}, "daykw is missing"),
    ({"totkw": None}, "totkw is missing"),
    ({"ackw": -9999.0}, "ackw is below -200 or above 20,000 kW"),
    ({"ackw": 1e9, **UNRATED}, "ackw is below -200 or above 20,000 kW"),
    ({"ackw": float("-inf")}, "ackw is below -200 or above 20,000 kW"),
    ({"ackw": float("inf"), **UNRATED}, "ackw is below -200 or above 20,000 kW"),
    ({"dckw": -9999.0}, "dckw is below -200 or above 20,000 kW"),
    ({"dckw": 1e9, **UNRATED}, "dckw is below -200 or above 20,000 kW"),
    ({"daykw": Decimal(-1)}, "daykw is below 0 or above 480,000 kWh"),
    ({"daykw": Decimal(10**9), **UNRATED}, "daykw is below 0 or above 480,000 kWh"),
    ({"totkw": Decimal(-1)}, "totkw is below 0 or above 999,999,999,999 kWh"),
    ({"totkw": Decimal("999999999999.9")}, "totkw is below 0 or above 999,999,999,999 kWh"),
    ({"ackw": -200.1}, "ackw is below -200 or above 20,000 kW"),
    ({"ackw": 20_000.1, **UNRATED}, "ackw is below -200 or above 20,000 kW"),
    ({"dckw": -200.1}, "dckw is below -200 or above 20,000 kW"),
    ({"dckw": 20_000.1, **UNRATED}, "dckw is below -200 or above 20,000 kW"),
    ({"daykw": Decimal("-0.000001")}, "daykw is below 0 or above 480,000 kWh"),
    ({"daykw": Decimal("480000.000001"), **UNRATED}, "daykw is below 0 or above 480,000 kWh"),
    ({"totkw": Decimal("-0.000001")}, "totkw is below 0 or above 999,999,999,999 kWh"),
    ({"ackw": 150.1}, "ackw is above 1.5 x rated AC power"),
    ({"dckw": 200.1}, "dckw is above 2 x rated AC power"),
    ({"daykw": Decimal("3600.1")}, "daykw is above 24 h at 1.5 x rated AC power"),
    (
        {"at": START + timedelta(minutes=10) + MICRO * 1_000_000, "received_at": START},
        "the gateway's clock is more than 10 min ahead of the server's",
    ),
]
SENSE: list[Row] = [
    {"status": 999},
    {"status": None},
    {"status": -1},
    {"ackw": 150.0, "dckw": 200.0, "daykw": Decimal(3600)},
    {"ackw": -200.0, "dckw": -200.0, "daykw": Decimal(0), "totkw": Decimal(0)},
    {"ackw": 20_000.0, "dckw": 20_000.0, "daykw": Decimal(480_000), "totkw": Decimal(999_999_999_999), **UNRATED},
    {"ackw": 20_000.0, "dckw": 20_000.0, "daykw": Decimal(480_000), "capacity_kw": 0.0},
    {"at": START + timedelta(minutes=10), "received_at": START},
    {"at": START - timedelta(days=400)},
]
BROKEN_KEYS: list[tuple[Row, str]] = [
    ({"mcno": 0}, "mcno is below 1"),
    ({"mcno": -3}, "mcno is below 1"),
    ({"invno": 0}, "invno is below 1"),
]
NONSENSE_THAT_TRAVELS: list[Row] = [
    {"ackw": -9999.0, "dckw": 1e9, "daykw": Decimal(-1), "totkw": Decimal(-1), "status": -7},
    {"ackw": None, "dckw": float("nan"), "daykw": None, "totkw": None, "status": None},
    {"mcno": 1, "invno": 1, "at": FIRST},
    {"at": START + timedelta(days=2)},
]

LOG = suite_of(plan_of(entry("inverterlog")))
REGISTER = suite_of(plan_of(entry("inverter"), nullable=["installed_at", "capacity_kw"]))


def zero(name: str) -> tuple[Row, str]:
    return {"fault": f"{name}: is a zero date"}, f"{name} is a zero date"


NOT_A_NUMBER = [(name, value) for name in ("ackw", "dckw") for value in (None, float("nan"))]
IMPOSSIBLE_POWER = [(name, value) for name in ("ackw", "dckw") for value in (-200.1, 20_000.1, float("inf"))]
SUITES = [
    (READINGS, NONSENSE, SENSE),
    (
        LOG_ROWS,
        [
            ({"day_peak": None}, "day_peak is missing"),
            ({"totkw": None}, "totkw is missing"),
            ({"stale": None}, "stale is missing"),
            ({"counter_reset": None}, "counter_reset is missing"),
            ({"totkw": Decimal("-0.000001")}, "totkw is below 0 or above 999,999,999,999 kWh"),
            ({"totkw": Decimal("999999999999.9")}, "totkw is below 0 or above 999,999,999,999 kWh"),
            ({"day_peak": Decimal("-0.000001")}, "day_peak is below 0 kWh"),
            ({"reading_at": START + timedelta(seconds=1)}, "the reading is younger than the tick"),
        ],
        [
            {"day_peak": Decimal(0), "totkw": Decimal(0), "stale": True, "counter_reset": True, "reading_at": None},
            {"totkw": Decimal(999_999_999_999), "reading_at": START},
            {"reading_at": START - timedelta(days=3)},
        ],
    ),
    (
        POWER_LOGS,
        [
            *(({name: value}, f"{name} is missing or not a number") for name, value in NOT_A_NUMBER),
            *(({name: value}, f"{name} is below -200 or above 20,000 kW") for name, value in IMPOSSIBLE_POWER),
            ({"at": START + timedelta(seconds=1)}, "the row is between two ticks"),
            ({"at": START - MICRO}, "the row is between two ticks"),
        ],
        [{"ackw": -200.0, "dckw": 20_000.0}, {"ackw": 20_000.0, "dckw": -200.0}, {"at": START + timedelta(minutes=10)}],
    ),
    (
        IRRADIATED,
        [
            ({"poa_kw_m2": None}, "poa_kw_m2 is missing or not a number"),
            ({"poa_kw_m2": float("nan")}, "poa_kw_m2 is missing or not a number"),
            ({"poa_kw_m2": 2.001}, "poa_kw_m2 is below -0.1 or above 2 kW/m²"),
            ({"poa_kw_m2": 850.0}, "poa_kw_m2 is below -0.1 or above 2 kW/m²"),
            ({"poa_kw_m2": -0.101}, "poa_kw_m2 is below -0.1 or above 2 kW/m²"),
        ],
        [{"poa_kw_m2": 2.0}, {"poa_kw_m2": -0.1}, {"poa_kw_m2": 0.0}],
    ),
    (
        LOG,
        [
            *BROKEN_KEYS,
            ({"at": FIRST - MICRO}, "at is before 2000-01-01"),
            zero("at"),
            zero("received_at"),
            ({"copies": 2}, "several rows have the key mcno, invno, at"),
        ],
        NONSENSE_THAT_TRAVELS,
    ),
    (
        REGISTER,
        [
            *BROKEN_KEYS,
            ({"installed_at": None}, "installed_at is missing"),
            *map(zero, ("installed_at", "removed_at", "at", "updated_at")),
            ({"copies": 2}, "several rows have the key mcno, invno"),
        ],
        [*NONSENSE_THAT_TRAVELS, {"at": None, "capacity_kw": None, "serial_no": None}],
    ),
]


@pytest.mark.parametrize(("suite", "wrong", "right"), SUITES, ids=lambda value: getattr(value, "name", ""))
def test_each_check_catches_what_no_other_does_and_nothing_at_its_limit(
    suite: Suite, wrong: list[tuple[Row, str]], right: list[Row]
) -> None:
    result = check(suite, batch(suite, [*(row for row, _ in wrong), *right]), max_bad_share=1.0)
    found = {bad["row"]: [reason["reason"] for reason in bad["reasons"]] for bad in result.bad.to_dicts()}
    assert found == {place: [reason] for place, (_, reason) in enumerate(wrong)}
    assert {reason for _, reason in wrong} == {declared.reason for declared in suite.checks}
