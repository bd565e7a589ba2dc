"""Reliability as a number: expected against received ticks, availability, mean time to repair, and the digest."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from wattline.alerts.notice import Person
from wattline.alerts.recipients import Recipients, Site
from wattline.solar import digest
from wattline.solar.availability import DOWN, FRESH_TICK, RELIABILITY_DAY, merged, reliability_days
from wattline.solar.legacy_tables import EVENT
from wattline.solar.scope import days, own
from wattline.solar.targets import TARGET
from wattline.window import Window

START = datetime(2026, 6, 19, 15, tzinfo=UTC)
"""Midnight in Korea, where the sun of 20 June is up from 05:14 to 19:50."""
DAY = Window(START, START + timedelta(days=1))
NOON = START + timedelta(hours=12)
MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def targets(*invnos: int, **more: Any) -> pl.DataFrame:
    place = {"latitude": 36.0, "longitude": 127.5, "timezone": "Asia/Seoul"}
    unit = {"mcno": 1, "installed_at": LONG_AGO, "removed_at": None, **place, **more}
    return pl.DataFrame([unit | {"invno": invno} for invno in invnos], TARGET)


def events(*rows: tuple[int, int, int, int | None]) -> pl.DataFrame:
    """`invno`, `type`, begin and end in minutes after noon."""
    schema = {name: EVENT.schema[name] for name in ("mcno", "invno", "type", "raised_at", "cleared_at")}
    found = [
        (1, invno, kind, NOON + begin * MINUTE, None if end is None else NOON + end * MINUTE)
        for invno, kind, begin, end in rows
    ]
    return pl.DataFrame(found, schema, orient="row")


def ticks(*invnos: int, without: tuple[int, ...] = ()) -> pl.DataFrame:
    """Fresh ticks all day long, but for some, in minutes after noon."""
    gone = {NOON + minutes * MINUTE for minutes in without}
    at = [START + n * 10 * MINUTE for n in range(1, 145)]
    return pl.DataFrame([(1, i, t) for i in invnos for t in at if t not in gone], FRESH_TICK.schema, orient="row")


def computed(units: pl.DataFrame, fresh: pl.DataFrame, faults: pl.DataFrame) -> dict[int, dict[str, Any]]:
    rows = reliability_days(days(own(DAY), units, DAY.end), units, fresh, faults)
    assert rows.schema == RELIABILITY_DAY.schema
    assert set(rows["day"]) <= {date(2026, 6, 20)}
    return {row["invno"]: row for row in rows.iter_rows(named=True)}


def test_only_the_ticks_of_the_daylight_are_expected() -> None:
    rows = computed(targets(1), ticks(1), events())
    assert 86 <= rows[1]["expected"] <= 90, "14 h 36 min"
    assert rows[1]["received"] == rows[1]["expected"]
    assert (rows[1]["received_share"], rows[1]["availability"]) == (1, 1)
    night = computed(targets(1), ticks(1, without=tuple(range(-720, -480, 10))), events())
    assert night[1]["received_share"] == 1


def test_what_was_not_received_is_missing_and_the_plant_is_the_sum() -> None:
    rows = computed(targets(1, 2), pl.concat([ticks(1, without=(0, 10, 20)), ticks(2)]), events())
    expected = rows[1]["expected"]
    assert (rows[1]["received"], rows[2]["received"], rows[0]["received"]) == (expected - 3, expected, 2 * expected - 3)
    assert rows[0]["expected"] == 2 * expected
    silent = computed(targets(1), ticks(), events())[1]
    assert (silent["received"], silent["received_share"]) == (0, 0)


def test_an_inverter_is_expected_from_its_installation_to_its_removal() -> None:
    whole = computed(targets(1), ticks(1), events())[1]["expected"]
    late = computed(targets(1, installed_at=NOON), ticks(1), events())[1]["expected"]
    early = computed(targets(1, removed_at=NOON), ticks(1), events())[1]["expected"]
    assert late + early == whole
    assert computed(targets(1, removed_at=START), ticks(1), events()) == {}
    tomorrow = computed(targets(1, installed_at=DAY.end), ticks(1), events())
    assert tomorrow == {}


def test_polar_night_expects_nothing() -> None:
    units = targets(1, latitude=-80.0)
    row = computed(units, ticks(1), events())[1]
    assert (row["expected"], row["received_share"], row["availability"]) == (0, None, None)


def test_availability_counts_faults_of_the_inverter_and_of_its_plant() -> None:
    rows = computed(targets(1, 2), ticks(1, 2), events((1, 203, 0, 60), (0, 201, 30, 90), (2, 102, 0, 300)))
    assert (rows[1]["down"], rows[2]["down"], rows[0]["down"]) == (9, 6, 15)
    assert rows[1]["availability"] == 1 - 9 / rows[1]["expected"]
    assert (rows[1]["faults"], rows[1]["repairs"], rows[1]["repair_minutes"]) == (1, 1, 90)
    assert (rows[2]["faults"], rows[2]["repairs"], rows[2]["repair_minutes"]) == (1, 1, 60)
    assert (rows[0]["faults"], rows[0]["repairs"], rows[0]["repair_minutes"]) == (2, 2, 75)


def test_a_fault_that_lasts_is_no_repair_and_one_of_yesterday_ends_today() -> None:
    open_one = computed(targets(1), ticks(1), events((1, 202, 60, None)))[1]
    assert (open_one["faults"], open_one["repairs"], open_one["repair_minutes"]) == (1, 0, None)
    assert open_one["availability"] < 0.7
    of_yesterday = computed(targets(1), ticks(1), events((1, 202, -1440, 0)))[1]
    assert (of_yesterday["faults"], of_yesterday["repairs"], of_yesterday["repair_minutes"]) == (0, 1, 1440)


def test_faults_that_overlap_or_touch_are_one() -> None:
    rows = computed(targets(1), ticks(1), events((1, 203, 0, 30), (1, 202, 30, 50), (1, 201, 40, 45), (1, 203, 60, 70)))
    assert (rows[1]["faults"], rows[1]["repairs"], rows[1]["repair_minutes"], rows[1]["down"]) == (2, 2, 30, 6)


def test_a_withdrawn_event_never_was() -> None:
    rows = computed(targets(1), ticks(1), events((1, 203, 20, 20)))
    assert (rows[1]["faults"], rows[1]["repairs"], rows[1]["down"]) == (0, 0, 0)


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from([*DOWN, 101]), st.integers(-2000, 900), st.integers(0, 900) | st.none()
    ),
    max_size=12,
)


@given(_EVENTS)
def test_merged_faults_cover_the_same_minutes_and_never_touch(rows: list[tuple[int, int, int, int | None]]) -> None:
    given_ = events(*((i, kind, begin, None if long is None else begin + long) for i, kind, begin, long in rows))
    found = merged(given_, targets(1, 2))
    instants = pl.DataFrame({"at": [NOON + minutes * MINUTE for minutes in range(-2000, 1900, 37)]}).cast(
        pl.Datetime("us", "UTC")
    )
    for invno in (1, 2):
        down = given_.filter(pl.col("invno").is_in((0, invno)) & pl.col("type").is_in(DOWN)).join(instants, how="cross")
        over = pl.col("cleared_at").fill_null(datetime(9999, 1, 1, tzinfo=UTC))
        expected = down.filter((pl.col("raised_at") <= pl.col("at")) & (over > pl.col("at")))["at"].unique().sort()
        whole = found.filter(invno=invno)
        covered = whole.join(instants, how="cross").filter(
            (pl.col("begin") <= pl.col("at")) & (pl.col("end") > pl.col("at"))
        )
        assert covered["at"].sort().to_list() == expected.to_list()
        assert (whole["begin"][1:] > whole["end"][:-1]).all()


def _day(mcno: int, invno: int, availability: float | None, **more: Any) -> dict[str, Any]:
    figures = {"expected": 100, "received": 90, "received_share": 0.9, "down": round(100 * (1 - (availability or 0)))}
    faults = {"faults": 1, "repairs": 1, "repair_minutes": 30.0}
    return (
        {"mcno": mcno, "invno": invno, "day": date(2026, 6, 20), "availability": availability} | figures | faults | more
    )


def _rows(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, RELIABILITY_DAY.schema)


def test_a_digest_has_the_managers_own_plants_the_worst_first() -> None:
    kim, lee = Person("kim", "ko", mail="kim@example.org"), Person("lee", "en", mail="lee@example.org")
    sites = {
        1: Site(1, "나주", manager=kim),
        2: Site(2, "Sangju", manager=kim),
        3: Site(3, "Berlin", manager=lee),
        4: Site(4, "-"),
    }
    rows = _rows(*[_day(m, i, 0.9 if (m, i) == (2, 1) else 0.99 if m != 2 else 0.95) for m in sites for i in (0, 1)])
    notices = digest.notices(DAY, rows, Recipients(sites, ()))
    assert [(n.key["user"], n.to[0].name, n.type) for n in notices] == [("kim", "kim", 0), ("lee", "lee", 0)]
    korean = str(notices[0].values["lines_ko"]).splitlines()
    assert korean[0] == "발전소 2개: 가동률 97.0%, 수신율 90.0%, 고장 2건, 평균 복구 30분"
    assert korean[1] == "Sangju (2): 가동률 95.0%, 수신율 90.0%, 고장 1건, 평균 복구 30분; 1번 인버터 90.0%"
    assert korean[2].startswith("나주 (1)")
    assert "Sangju" not in str(notices[1].values)


def test_a_digest_is_of_the_local_day_that_ended_with_the_run_west_of_greenwich_too() -> None:
    kim, lee = Person("kim", "ko", mail="kim@example.org"), Person("lee", "en", mail="lee@example.org")
    sites = {
        1: Site(1, "Naju", manager=kim),
        2: Site(2, "Boston", "America/New_York", manager=kim),
        3: Site(3, "Denver", "America/Denver", manager=lee),
        4: Site(4, "Jeju", manager=lee),
    }
    start = datetime(2026, 6, 20, tzinfo=UTC)
    run = Window(start, start + timedelta(days=1))
    dates = {1: 20, 2: 19, 3: 19, 4: 14}
    rows = [_day(mcno, i, 1.0, day=date(2026, 6, day)) for mcno, day in dates.items() for i in (0, 1)]
    # What an earlier day has become is told to nobody.
    rows += [_day(mcno, i, 0.5, day=date(2026, 6, 12)) for mcno in (1, 2) for i in (0, 1)]
    korean, english = digest.notices(run, _rows(*rows), Recipients(sites, ()))
    assert [notice.values["day"] for notice in (korean, english)] == ["2026-06-20", "2026-06-19"]
    assert [notice.key["day"] for notice in (korean, english)] == ["2026-06-20", "2026-06-19"]
    assert [line.partition(":")[0] for line in str(korean.values["lines_en"]).splitlines()] == [
        "2 plants",
        "Naju (1)",
        "Boston (2, 2026-06-19)",
    ]
    assert [line.partition(":")[0] for line in str(english.values["lines_en"]).splitlines()] == [
        "1 plants",
        "Denver (3)",
    ]
    assert digest.notices(run, _rows(*rows[-4:]), Recipients(sites, ())) == []


def test_a_digest_says_nothing_where_nothing_was_expected_and_is_no_longer_than_it_may() -> None:
    dark = _day(
        1, 0, None, expected=0, received=0, received_share=None, down=0, faults=0, repairs=0, repair_minutes=None
    )
    assert digest.lines(_rows(dark), {}, "en") == [
        "1 plants: available -, readings -, 0 faults",
        "1 (1): available -, readings -, 0 faults",
    ]
    many = digest.lines(_rows(*[_day(m, 0, 0.99) for m in range(1, 50)]), {}, "en")
    assert len(many) == 32
    assert many[-1] == "and 19 more plants, none known to be worse"
