"""`wattline meters explain`: the readings, the base, the steps and the reason of one hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from local import meters as local_meters
from local.environment import Environment
from tests.integration.metering import START, Site
from wattline.cli.explained_hour import show
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


def test_an_id_is_no_name_of_another_meter(site: Site) -> None:
    site.meter(2)
    site.sql("UPDATE tbl_meters SET name = '1' WHERE id = 2")
    assert explain(site.databases, "1", START, site.options).meter["meter_id"] == 1
    site.sql("UPDATE tbl_meters SET name = '7' WHERE id = 2")
    assert explain(site.databases, "7", START, site.options).meter["meter_id"] == 2


@pytest.mark.parametrize("nonsense", ["100000000000.000001", "-100000000000.000001", "999999999999999"])
def test_a_counter_that_the_gate_keeps_out_is_shown_and_does_not_count(site: Site, nonsense: str) -> None:
    site.read(1, {150: nonsense, 200: "100000000000"})
    site.read(1, {160: nonsense}, is_bad=1)
    found = explain(site.databases, "1", START, site.options)
    steps = found.steps.select("value", "quarantined", "before", "rise", "fall").rows()
    assert steps[4:8] == [
        (Decimal(nonsense), True, None, None, None),
        (Decimal(nonsense), False, None, None, None),
        (50, False, 104, 0, 54),
        (100_000_000_000, False, 50, 99_999_999_950, 0),
    ]
    assert found.computed["raw_increment"] == found.steps["rise"].sum()
    assert found.computed["fall"] == found.steps["fall"].sum()
    console = Console(width=100, file=StringIO())
    show(found, console)
    told = _printed(console).splitlines()
    assert ["quarantined" in line for line in told if nonsense in line] == [True, False]


def _printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", ["[bold]X[/x]", "Hall [/]", "Pump \\", "[red]"])
def test_a_name_with_brackets_is_a_name(site: Site, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.sql("UPDATE tbl_meters SET name = %s", [(name,)])
    console = Console(width=200, file=StringIO())
    show(explain(site.databases, name, START, site.options), console)
    assert f"{name} (meter 1, point 1; " in _printed(console)
    answers = iter([[(1, name)], [(1, 2, 0, "3 measured")]])
    monkeypatch.setattr(local_meters, "_rows", lambda *_: next(answers))
    console.print(local_meters.meters(Environment.__new__(Environment)))
    assert f" {name} " in _printed(console)
