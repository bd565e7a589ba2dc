"""The demo's alert: ten minutes that the gate stops, out of days that it lets pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from local.demo import PLANTS, SEED, nonsense_tick
from wattline.quality.gate import check
from wattline.settings import settings
from wattline.solar.checks import READINGS
from wattline.solar.faults import default_faults
from wattline.solar.fleet import plants
from wattline.solar.simulate import simulate
from wattline.solar.tables import TICK
from wattline.window import Window

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 19, 15, tzinfo=UTC)


@pytest.mark.parametrize("day", range(2))
def test_the_gate_stops_the_ten_minutes_of_the_demo_and_lets_the_days_around_them_pass(day: int) -> None:
    days = Window(MIDNIGHT + day * DAY, MIDNIGHT + (day + 2) * DAY)
    fleet = plants(PLANTS, SEED, days.start)
    world = simulate(fleet, days, SEED, default_faults(SEED, days, fleet))
    ratings = world.inverters.select(
        "mcno", "invno", "capacity_kw", registered=pl.lit(value=True), in_window=pl.lit(value=True)
    )
    readings = world.readings.unique(["mcno", "invno", "at"], keep="first").join(ratings, on=["mcno", "invno"])
    share = settings().max_bad_share

    mcno, tick = nonsense_tick(days)
    batch = check(READINGS, readings.filter(pl.col("at").is_between(tick.start, tick.end)), share)
    assert batch.blocked
    assert set(batch.bad["mcno"]) == {mcno}
    for start in (days.start, days.start + DAY):
        whole = check(READINGS, readings.filter(pl.col("at").is_between(start, start + DAY)), share)
        assert not whole.blocked
        assert whole.bad_share < share / 4


def test_any_two_days_have_such_ten_minutes() -> None:
    for day in range(0, 3 * 365, 5):
        start = MIDNIGHT + day * DAY
        tick = nonsense_tick(Window(start, start + 2 * DAY))[1]
        assert tick.end - tick.start == TICK
        assert start <= tick.start < tick.end <= start + 2 * DAY
