"""`wattline meters explain`: the readings, the base, the steps and the reason of one hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.integration.metering import START, Site
from wattline.errors import BadInputError
from wattline.meters.explain import explain, sentence

pytestmark = pytest.mark.integration


@pytest.fixture
def site(fresh_mysql: str) -> Iterator[Site]:
    made = Site(fresh_mysql).create()
    made.meter(1)
    made.read(1, {-60: 100, 60: 101, 120: 104, 180: 50, 240: "52.5"})
    made.read(1, {90: 999}, is_bad=1)
    made.read(1, {100: 102}, is_bad=None)
    yield made
    made.databases.close()


def test_every_reading_of_the_hour_is_there_with_what_it_adds(site: Site) -> None:
    found = explain(site.databases, "Meter 1", START + timedelta(minutes=40), site.options)
    assert found.start == START
    assert found.base is not None
    assert (found.base["at"], found.base["value"]) == (START - timedelta(seconds=60), 100)
    steps = found.steps.select("value", "is_bad", "before", "rise", "fall").rows()
    assert steps == [
        (101, False, 100, 1, 0),
        (999, True, None, None, None),
        (102, None, None, None, None),
        (104, False, 101, 3, 0),
        (50, False, 104, 0, 54),
        (Decimal("52.5"), False, 50, Decimal("2.5"), 0),
    ]
    assert found.computed["actual_value"] == Decimal("6.5")
    assert sentence(found).startswith("The counter falls by 54.000000 in the slot")
    assert (found.stored, found.hourly) == (None, None)


def test_what_is_stored_stands_beside_what_the_readings_give(site: Site) -> None:
    site.run(0, 1)
    site.sql("UPDATE tbl_energy_value SET is_bad = 0 WHERE is_bad IS NULL")
    site.sql("UPDATE tbl_energy_value SET actual_value = 200 WHERE actual_value = 104")
    found = explain(site.databases, "1", START, site.options)
    assert found.stored is not None
    assert (found.stored["actual_value"], found.hourly) == (Decimal("6.5"), Decimal("6.5"))
    assert found.computed["actual_value"] == Decimal("102.5")


def test_an_hour_without_readings_and_an_unknown_meter(site: Site) -> None:
    found = explain(site.databases, "1", START + timedelta(hours=3), site.options)
    assert found.steps.is_empty()
    assert "no good reading" in sentence(found)
    with pytest.raises(BadInputError, match="Give the meter's id"):
        explain(site.databases, "9", START, site.options)
    site.meter(2)
    site.sql("UPDATE tbl_meters SET name = 'Twin'")
    with pytest.raises(BadInputError, match="2 meters"):
        explain(site.databases, "Twin", START, site.options)
