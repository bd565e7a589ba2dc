"""`wattline generation`: what it shows of a plant, and what it says where there is nothing to show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from tests.generation_world import HOUR, local
from tests.memory_store import MemoryStore
from tests.summary_world import SummaryWorld
from wattline.cli import app
from wattline.cli import generation as command
from wattline.errors import BadInputError
from wattline.migrate.entry import ORIGIN
from wattline.solar.generation_show import Site, find_site, generation
from wattline.solar.irradiance import IRRADIANCE
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.summary_tables import GENERATION_CHECK
from wattline.solar.tables import CUSTOMER, DAY_GENERATION
from wattline.window import Window

DAY = timedelta(days=1)
WITH_ORIGIN = replace(DAY_GENERATION, columns=(*DAY_GENERATION.columns, ORIGIN))
START = local("2026-10-30T00:00")


@pytest.fixture(scope="module")
def world() -> SummaryWorld:
    made = SummaryWorld({1: "Europe/Berlin"}, inverters=4)
    for invno in range(1, 5):
        made.produce(START, 3, kwh=8 + invno, invno=invno)
    made.run(Window(START, START + 3 * DAY))
    return made


@pytest.fixture
def wattline(world: SummaryWorld, monkeypatch: pytest.MonkeyPatch) -> Wattline:
    return Wattline(world, monkeypatch)


class Wattline:
    """The command line on the stores of a world."""

    def __init__(self, world: SummaryWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        for name in ("reader_mysql", "gateway_mysql", "pipeline_mongo"):
            store = world.mongo if name == "pipeline_mongo" else world.mysql
            monkeypatch.setattr(command, name, self._opened(store))

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["generation", *arguments])

    @staticmethod
    def _opened(store: MemoryStore) -> object:
        @contextmanager
        def opened() -> Iterator[MemoryStore]:
            yield store

        return opened


def site(world: SummaryWorld) -> Site:
    return find_site(world.mysql, 1)


def test_a_day_is_shown_by_the_hours_of_its_own_clock(world: SummaryWorld) -> None:
    shown = generation(world.mongo, site(world), "day", datetime(2026, 10, 30).date())  # noqa: DTZ001
    energy = dict(shown.parts.select("label", "energy").iter_rows())
    assert list(energy) == [f"{hour:02}:00" for hour in range(24)]
    assert {hour: made for hour, made in energy.items() if made} == {
        f"{hour:02}:00": 42 if hour in (8, 16) else 84 for hour in range(8, 17)
    } | {"08:00": 42, "16:00": 42}
    assert shown.total["energy"] == sum(energy.values()) == 672
    assert shown.inverters["invno"].to_list() == [1, 2, 3, 4]
    assert shown.inverters["peer_deviation"].round(4).to_list() == [-0.1429, -0.0476, 0.0476, 0.1429]
    assert shown.findings == []


def test_hours_say_what_is_special_about_them(world: SummaryWorld) -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    noon = START + 12 * HOUR
    rows = [
        (1, 0, noon, 0, False, False, False, 0),
        (1, 0, noon + HOUR, 5, True, False, True, 6),
        (1, 0, noon + 2 * HOUR, 5, False, False, False, 3),
        (1, 0, noon + 3 * HOUR, 5, None, None, None, None),
    ]
    made.mongo.upsert(TIME_GENERATION, pl.DataFrame(rows, TIME_GENERATION.schema, orient="row"))
    shown = generation(made.mongo, site(made), "day", noon.date())
    assert shown.parts["note"].to_list() == ["no data", "holds energy of a gap, counter reset", "", ""]


def test_a_month_is_shown_by_days_and_a_year_by_months(world: SummaryWorld) -> None:
    month = generation(world.mongo, site(world), "month", datetime(2026, 10, 1).date())  # noqa: DTZ001
    assert dict(month.parts.select("label", "energy").iter_rows()) == {"30 Fri": 672, "31 Sat": 672}
    assert month.total["energy"] == 1344
    assert month.inverters["peer_deviation"].round(4).to_list() == [-0.1429, -0.0476, 0.0476, 0.1429]
    year = generation(world.mongo, site(world), "year", datetime(2026, 1, 1).date())  # noqa: DTZ001
    assert year.parts.select("label", "energy", "note").rows() == [("Oct", 1344, "2 days"), ("Nov", 672, "1 days")]


def test_the_command_prints_figures_bars_and_inverters(wattline: Wattline) -> None:
    day = wattline("show", "1", "--day", "2026-10-30")
    assert day.exit_code == 0, day.output
    bars = dict(re.findall(r"│ (\d\d:\d\d) │ +[\d.]+ │ (█*)", day.output))
    assert (len(bars["09:00"]), len(bars["08:00"]), bars["07:00"]) == (40, 20, "")
    assert "Plant 1, Plant 1: 2026-10-30 (Europe/Berlin)" in day.output
    assert re.search(r"│ +4 │ +192.00 │ +100.00 │ +1.92 │ +\+14.3 % │ +8.0 │", day.output)
    assert "The plant: 672.00 kWh, of 100.0 kW, 6.72 kWh/kW, 8.0 h running\n" in day.output
    assert "31 Sat" in wattline("show", "1", "--month", "2026-10").output
    assert "2 days" in wattline("show", "1", "--year", "2026").output


def test_today_is_the_day_without_any_option(wattline: Wattline, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return (START + 23 * HOUR + timedelta(minutes=30)).astimezone(tz)

    monkeypatch.setattr(command, "datetime", Clock)
    assert "2026-10-30" in wattline("show", "1").output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "2"], "there is no plant 2. Take one of 1\n"),
        (
            ["show", "1", "--day", "2025-12-30"],
            "nothing is stored of plant 1 on 2025-12-30. Run `wattline history inverterlog time_generation "
            "generation_summary --from 2025-12-29T23:00Z --to 2025-12-30T23:00Z`\n",
        ),
        (
            ["show", "1", "--month", "2025-06"],
            "nothing is stored of plant 1 in that month. Run `wattline history inverterlog time_generation "
            "generation_summary --from 2025-05-31T22:00Z --to 2025-06-30T22:00Z`\n",
        ),
        (["show", "1", "--year", "2999"], "nothing is stored of plant 1 in that year. It lies ahead\n"),
        (["show", "1", "--day", "30.10."], "--day: '30.10.' is none. Write 20"),
        (["show", "1", "--month", "2026-13"], "--month: '2026-13' is none. Write 20"),
        (["show", "1", "--day", "2026-10-30", "--year", "2026"], "only one of them, please"),
    ],
)
def test_mistakes_are_told_with_their_remedy(wattline: Wattline, arguments: list[str], told: str) -> None:
    result = wattline(*arguments)
    assert result.exit_code == 1
    assert told in result.stderr


def test_days_that_are_there_are_only_to_be_summed_up() -> None:
    made = SummaryWorld({1: "Asia/Kolkata"})
    old = [(1, invno, date(2025, 6, day), Decimal(500)) for day in (1, 2, 3) for invno in (0, 1)]
    made.mongo.upsert(DAY_GENERATION, pl.DataFrame(old, DAY_GENERATION.schema, orient="row"))
    of_a_day = "generation_summary --from 2025-05-31T18:00Z --to 2025-06-01T19:00Z`"
    for length, first in (("year", date(2025, 1, 1)), ("day", date(2025, 6, 1))):
        with pytest.raises(BadInputError, match=f"Run `wattline history {of_a_day}"):
            generation(made.mongo, site(made), length, first)
    made.summary(Window(local("2025-05-31T18:00", "UTC"), local("2025-06-01T19:00", "UTC")))
    year = generation(made.mongo, site(made), "year", date(2025, 1, 1))
    assert year.parts.rows() == [("Jun", 1500, "3 days")]
    assert generation(made.mongo, site(made), "day", date(2025, 6, 1)).total["energy"] == 500


def test_hours_are_computed_where_ticks_are_there_and_days() -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    made.produce(local("2025-06-01T00:00"), 1)
    made.inverterlog(Window(local("2025-06-01T00:00"), local("2025-06-02T00:00")))
    with pytest.raises(BadInputError, match="Run `wattline history time_generation generation_summary --from "):
        generation(made.mongo, site(made), "day", date(2025, 6, 1))


def test_a_wrong_time_zone_is_told(wattline: Wattline, world: SummaryWorld) -> None:
    rows = world.mysql.read(CUSTOMER)
    world.mysql.upsert(CUSTOMER, rows.with_columns(mcno=pl.lit(9, pl.Int32), timezone=pl.lit("Nowhere/Land")))
    result = wattline("show", "9")
    assert "plant 9 has the time zone 'Nowhere/Land'. Correct it in MySQL `customer`" in result.stderr


def test_the_check_lists_days_that_do_not_agree_and_fails_where_nothing_explains_one(
    world: SummaryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    made.mongo.upsert(GENERATION_CHECK, world.mongo.read(GENERATION_CHECK))
    wattline = Wattline(made, monkeypatch)
    fine = wattline("check", "--days", "3660")
    assert fine.exit_code == 0
    assert "15 days of inverters and plants" in fine.output
    assert "15 agree, 0 are explained, 0 are not" in fine.output
    rows = made.mongo.read(GENERATION_CHECK).filter(pl.col("invno") == 2)
    apart = rows.head(2).with_columns(
        agrees=False, finding=pl.Series(["first", "second"]), explained_by=pl.Series(["spans_gap", None])
    )
    made.mongo.upsert(GENERATION_CHECK, apart[:1])
    explained = wattline("check", "--days", "3660")
    assert explained.exit_code == 0
    assert "first\n" in explained.output
    made.mongo.upsert(GENERATION_CHECK, apart)
    failed = wattline("check", "--days", "3660")
    assert failed.exit_code == 1
    assert "first\nsecond\n" in failed.output
    assert "13 agree, 1 are explained, 1 are not" in failed.output


def test_the_check_fails_where_nothing_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    result = Wattline(SummaryWorld({1: "UTC"}), monkeypatch)("check")
    assert result.exit_code == 1
    assert "0 agree, 0 are explained, 0 are not" in result.output
    assert "Nothing was checked: has `generation_summary` run" in result.output


def test_the_check_names_plants_with_energy_that_nobody_has_checked(
    world: SummaryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SummaryWorld({})
    made.mongo.upsert(GENERATION_CHECK, world.mongo.read(GENERATION_CHECK))
    days = [(7, 0, date(2025, 6, day), Decimal(5), None) for day in (1, 3)]
    made.mongo.upsert(WITH_ORIGIN, pl.DataFrame(days, WITH_ORIGIN.schema, orient="row"))
    result = Wattline(made, monkeypatch)("check", "--days", "3660")
    assert result.exit_code == 1
    assert (
        "plant 7: energy and no verdict on 2 days from 2025-06-01 to 2025-06-03. Run `wattline history time_generation "
        "generation_summary --from 2025-05-31T10:00Z --to 2025-06-04T12:00Z`\n"
    ) in result.output


WEATHER = """DATE_TIME,PLANT_ID,SOURCE_KEY,AMBIENT_TEMPERATURE,IRRADIATION
2026-10-25 01:00:00,7,s,20,0.5
2026-10-25 02:30:00,7,s,20,0.6
2026-10-25 03:00:00,7,s,20,dark
25-10-2026 04:00,7,s,20,0.75
2026-10-25 05:00:00,7,s,20,0.8
2026-10-25 05:00:00,7,s,20,0.9
"""


def test_irradiance_of_a_file_is_loaded_in_the_plants_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SummaryWorld({1: "Europe/Berlin"})
    wattline = Wattline(made, monkeypatch)
    file = tmp_path / "weather.csv"
    file.write_text(WEATHER)
    result = wattline("import-irradiance", str(file), "--mcno", "1")
    assert result.exit_code == 0, result.output
    rows = made.mysql.read(IRRADIANCE)
    assert rows.select("mcno", "at", "poa_kw_m2").rows() == [
        (1, local("2026-10-25T01:00"), 0.5),
        (1, local("2026-10-25T04:00"), 0.75),
    ]
    assert "2 values are new" in result.output
    command = "Next: wattline history migration_minute_10 generation_summary"
    assert f"{command} --from 2026-10-24T23:00Z --to 2026-10-25T04:00Z\n" in result.output
    for line in ("line 3: '2026-10-25 02:30:00' is no time", "line 4: 'dark' is no number", "line 6: ", "line 7: "):
        assert line in result.output
    assert "4 rows cannot be used" in result.output
    again = wattline("import-irradiance", str(file), "--mcno", "1")
    assert "0 values are new, 0 changed, 2 were there" in again.output
    file.write_text(WEATHER.replace("0.75", "0.7"))
    assert "0 values are new, 1 changed, 1 were there" in wattline("import-irradiance", str(file), "--mcno", "1").output


@pytest.mark.parametrize(
    ("text", "more", "told"),
    [
        ("DATE_TIME,LIGHT\n", [], "has no column IRRADIATION"),
        ("DATE_TIME,IRRADIATION\n", [], "has no usable row"),
        (WEATHER.replace(",7,s,20,0.5", ",8,s,20,0.5"), [], "holds the plants 7, 8"),
        (WEATHER, ["--plant-id", "9"], "does not hold plant 9"),
    ],
)
def test_a_file_that_is_no_use_is_told(
    wattline: Wattline, tmp_path: Path, text: str, more: list[str], told: str
) -> None:
    file = tmp_path / "weather.csv"
    file.write_text(text)
    result = wattline("import-irradiance", str(file), "--mcno", "1", *more)
    assert result.exit_code == 1
    assert told in result.stderr
