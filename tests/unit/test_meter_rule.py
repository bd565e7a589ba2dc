"""The vectorised rule against the rule row by row, and against itself in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.meter_reference import Reading, base_of, outcomes
from wattline.meters.exact import to_decimals
from wattline.meters.normalize import Normalizer
from wattline.meters.plan import Job
from wattline.meters.readings import ROWS, Chunk, within
from wattline.meters.registry import METER
from wattline.meters.rule import Mode
from wattline.meters.tables import REASONS
from wattline.storage.contract import UTC_TIME

START = datetime(2026, 3, 1, tzinfo=UTC)
SLOTS = 6
_MOST = 10**17
"""Units of the largest counter that a gate lets pass."""

values = (
    st.integers(0, 3_000_000)
    | st.integers(-_MOST, _MOST)
    | st.sampled_from([0, 1, 99_999, 100_000, 100_001, 10**12, 10**12 + 1])
).map(lambda units: Decimal(units).scaleb(-6))
limits = st.sampled_from([Decimal(each) for each in ("0", "0.5", "1", "2.999999", "1000", "100000000")])
moments = st.integers(-7_200, SLOTS * 3_600 + 3_600) | st.sampled_from([-1, 0, 3_599, 3_600, 7_199, 21_599, 21_600])
readings_of_a_meter = st.lists(st.tuples(moments, values), max_size=12)


class Meter:
    """Readings, and the limits by which they are counted."""

    def __init__(
        self, rows: Sequence[tuple[int, Decimal]], low: Decimal, high: Decimal, modulus: Decimal | None = None
    ) -> None:
        self.readings = [Reading(n, START + timedelta(seconds=at), value) for n, (at, value) in enumerate(rows)]
        self.low, self.high, self.modulus = low, high, modulus


meters = st.lists(st.builds(Meter, readings_of_a_meter, limits, limits, st.none()), min_size=1, max_size=4)


def job_of(meters: Sequence[Meter], *, minutes: int = 60, mode: Mode = "strict", places: int = 6) -> Job:
    """All meters over SLOTS hours from START on; their ids are 10, 20, …"""
    count = len(meters)
    register = pl.DataFrame(
        {
            "meter_id": [10 * (n + 1) for n in range(count)],
            "name": None,
            "point_id": [10 * (n + 1) for n in range(count)],
            "points": 1,
            "low_limit": pl.Series([meter.low for meter in meters], dtype=METER.schema["low_limit"]),
            "high_limit": pl.Series([meter.high for meter in meters], dtype=METER.schema["high_limit"]),
            "modulus": pl.Series([meter.modulus for meter in meters], dtype=METER.schema["modulus"]),
            "newest": None,
        }
    )
    planned = METER.conform(register).with_columns(
        pl.lit(START, UTC_TIME).alias("first_slot"), pl.lit(SLOTS * 60 // minutes, pl.Int64()).alias("slots")
    )
    return Job(planned, minutes * 60, mode, places)


def _rows(meters: Sequence[Meter]) -> pl.DataFrame:
    """All readings, in the order in which a server might send them: by second and id."""
    rows = [
        {"point": n, "at": int(each.at.timestamp()), "value": int(each.value.scaleb(6)), "id": each.id}
        for n, meter in enumerate(meters)
        for each in meter.readings
    ]
    return pl.DataFrame(rows, schema={**ROWS, "id": pl.Int64()}).sort("at", "id").drop("id")


def normalized(meters: Sequence[Meter], cuts: Sequence[int] = (), **options: object) -> pl.DataFrame:
    """All slots, computed in pieces that begin at the slots of `cuts`."""
    job = job_of(meters, **options)  # type: ignore[arg-type] # the options of job_of
    rows = _rows(meters)
    first = int(START.timestamp())
    before = rows.filter(pl.col("at") < first).unique("point", keep="last", maintain_order=True)
    known = before.select(
        (pl.col("point").cast(pl.Int64) * 10 + 10).alias("meter_id"),
        pl.from_epoch(pl.col("at").cast(pl.Int64), "s").cast(UTC_TIME).alias("at"),
        to_decimals("value", before["value"].to_numpy()),
    )
    normalizer = Normalizer.start(job, known)
    count = SLOTS * 3600 // job.seconds
    bounds = [first + job.seconds * cut for cut in sorted({0, *cuts, count})]
    pieces = []
    for number, (start, end) in enumerate(pairwise(bounds)):
        chunk = Chunk(
            number, within(job, start, end), rows.filter(pl.col("at") >= start - 10, pl.col("at") < end + 10), START
        )
        pieces.append(normalizer.hours(chunk))
    return pl.concat(pieces).sort("meter_id", "start_datetime_utc")


def _at_limits(*steps: str) -> list[Meter]:
    """A meter that counts these states, one an hour, with the limits 0.5 and 4."""
    rows = [(3_600 * (n - 1) + 10, Decimal(value)) for n, value in enumerate(steps)]
    return [Meter(rows, Decimal("0.5"), Decimal(4))]


@given(meters, st.sampled_from([60, 30]), st.sampled_from([6, 3]))
@example(_at_limits("0.1", "2", "6", "10.000001", "10.5", "10.999999"), 60, 6)
@example(_at_limits("0.100001", "2", "6", "-5", "3", "-1", "9"), 60, 3)
@example([Meter([(n, Decimal(_MOST * (n % 2)).scaleb(-6)) for n in range(300)], Decimal(0), Decimal(9))], 60, 6)
def test_every_slot_has_the_energy_that_the_rule_row_by_row_gives(
    meters: list[Meter], minutes: int, places: int
) -> None:
    found = normalized(meters, minutes=minutes, places=places)
    for number, meter in enumerate(meters):
        expected = outcomes(
            meter.readings,
            base_of(meter.readings, START),
            START,
            SLOTS * 60 // minutes,
            minutes=minutes,
            low=meter.low,
            high=meter.high,
            scale=places,
        )
        rows = found.filter(pl.col("meter_id") == 10 * (number + 1))
        assert rows["actual_value"].to_list() == [each.energy for each in expected]


@given(meters, st.lists(st.integers(1, SLOTS - 1), max_size=4), st.sampled_from(["strict", "recover"]))
@example(_at_limits("5", "-5", "3", "-1", "2"), [1, 2, 3], "strict")
def test_cutting_the_range_anywhere_gives_the_same_rows(meters: list[Meter], cuts: list[int], mode: Mode) -> None:
    assert normalized(meters, cuts, mode=mode).equals(normalized(meters, mode=mode))


@given(meters, st.sampled_from(["strict", "recover"]))
def test_energy_and_what_was_dropped_are_the_growth_of_the_counter(meters: list[Meter], mode: Mode) -> None:
    rows = normalized(meters, mode=mode)
    for (_,), own in rows.group_by("meter_id"):
        for row in own.iter_rows(named=True):
            assert row["raw_increment"] == row["last_value"] - row["initial_value"] + row["fall"]
            assert row["fall"] >= 0
            assert row["actual_value"] in (0, row["raw_increment"] + row["rolled_over"])
        assert own["initial_value"].to_list()[1:] == own["last_value"].to_list()[:-1]


HIGH = Decimal(1000)


@pytest.mark.parametrize(
    ("rows", "low", "reasons", "energy"),
    [
        pytest.param(
            [(-60, 100), (60, 101), (3_700, 103)], 0, ["measured", "measured", "no_readings"], [1, 2, 0], id="plain"
        ),
        pytest.param([(60, 101), (3_700, 103)], 0, ["base_too_small", "measured"], [0, 2], id="a new meter"),
        pytest.param([(-60, 100), (60, "100.4")], "0.5", ["below_low_limit", "no_readings"], [0, 0], id="below"),
        pytest.param([(-60, 100), (60, 1_101)], 0, ["above_high_limit", "no_readings"], [0, 0], id="above"),
        pytest.param([(-60, 100), (7_300, 900)], 0, ["no_readings", "no_readings", "spans_gap"], [0, 0, 800], id="gap"),
        pytest.param([(-60, 100), (60, 110), (90, 0), (99, 5)], 0, ["counter_reset"], [15], id="reset"),
        pytest.param([(-60, 100), (60, 110), (90, 109), (99, 112)], 0, ["measured"], [13], id="jitter is no reset"),
        pytest.param([(-3_600, 100), (60, 110)], 0, ["measured"], [10], id="a slot apart is no gap"),
        pytest.param([(-3_601, 100), (60, 110)], 0, ["spans_gap"], [10], id="more than a slot apart is one"),
    ],
)
def test_each_slot_says_why_it_has_its_value(
    rows: list[tuple[int, int | str]], low: int | str, reasons: list[str], energy: list[int]
) -> None:
    meter = Meter([(at, Decimal(value)) for at, value in rows], Decimal(low), HIGH)
    found = normalized([meter])
    assert found["outcome"].to_list()[: len(reasons)] == reasons
    assert found["actual_value"].to_list()[: len(energy)] == energy
    assert set(found["outcome"]) <= set(REASONS) - {"late_revision"}


@pytest.mark.parametrize(
    ("rows", "energy", "reason"),
    [
        pytest.param([(-60, 100), (4 * 3_600, 2_500)], 2_400, "spans_gap", id="limit times the hours of the gap"),
        pytest.param([(-60, 100), (4 * 3_600, 5_000)], 0, "above_high_limit", id="more than that"),
    ],
)
def test_recover_keeps_the_energy_of_a_gap_that_the_limit_allows(
    rows: list[tuple[int, int]], energy: int, reason: str
) -> None:
    meter = Meter([(at, Decimal(value)) for at, value in rows], Decimal(0), HIGH)
    row = normalized([meter], mode="recover").row(4, named=True)
    assert (row["actual_value"], row["outcome"]) == (energy, reason)
    assert normalized([meter]).row(4, named=True)["outcome"] == "above_high_limit"


def test_recover_counts_a_roll_over_of_a_known_modulus_and_no_reset() -> None:
    rows = [(-60, Decimal("999984.0625")), (60, Decimal(20)), (3_700, Decimal(120)), (7_300, Decimal(5))]
    found = normalized([Meter(rows, Decimal(0), HIGH, Decimal(1_000_000))], mode="recover")
    assert found["rolled_over"].to_list()[:3] == [Decimal("35.9375"), 0, 0]
    assert found["actual_value"].to_list()[:3] == [Decimal("35.9375"), 100, 0]
    assert normalized([Meter(rows, Decimal(0), HIGH)], mode="recover")["actual_value"].sum() == 100


def test_recover_scales_the_limits_of_half_hours() -> None:
    meter = Meter([(-60, Decimal(100)), (60, Decimal(700)), (1_860, Decimal(1_300))], Decimal(0), HIGH)
    assert normalized([meter], minutes=30)["actual_value"].to_list()[:2] == [600, 600]
    recovered = normalized([meter], minutes=30, mode="recover")
    # The second reading is half an hour after the first: 600 are more than half of 1,000.
    assert recovered["outcome"].to_list()[:2] == ["above_high_limit", "above_high_limit"]


@given(meters, st.randoms(use_true_random=False))
def test_the_order_of_the_meters_does_not_matter(meters: list[Meter], luck: object) -> None:
    whole = normalized(meters)
    alone = [
        normalized([meter]).with_columns(pl.lit(10 * (n + 1), pl.Int64()).alias("meter_id"))
        for n, meter in enumerate(meters)
    ]
    assert whole.equals(reduce(lambda a, b: a.vstack(b), alone))
