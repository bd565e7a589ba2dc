"""The rules of the state machine, one by one, and what must hold whatever inverters do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.memory_store import MemoryStore
from tests.reliability_world import NEVER, TICK, World, cut, targets
from wattline.alerts.notice import Notice
from wattline.errors import BadInputError
from wattline.solar import events
from wattline.solar.legacy_tables import EVENT, EVENT_LOG
from wattline.solar.reliability import ACTIONS
from wattline.solar.reliability_check import LONGEST, check
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG
from wattline.solar.reliability_ticks import TICK_STATE
from wattline.solar.tables import CUSTOMER, INVERTER
from wattline.solar.targets import targets as read_targets
from wattline.window import Window

NOON = datetime(2026, 6, 21, 3, tzinfo=UTC)
"""By the sun in Seoul; it stands above 5 degrees from 20:45 to 10:20 UTC."""
MIDNIGHT = datetime(2026, 6, 21, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLACE = (37.5, 127.0, "Asia/Seoul")
Seen = dict[tuple[int, int], str]
"""Inverter → what each tick shows: `r`unning, `s`topped, `b`lackout, `-` no reading, `x` no row."""


def rows_of(start: datetime, seen: Seen) -> pl.DataFrame:
    """Tick rows from `start` on; readings are a minute old. Before `start` there was one, a minute before it."""
    rows = []
    for (mcno, invno), letters in seen.items():
        reading_at = start - timedelta(minutes=1)
        for n, letter in enumerate(letters):
            at = start + n * TICK
            stale = letter == "-"
            reading_at = reading_at if stale else at - timedelta(minutes=1)
            row = (mcno, invno, at, 9.0 if letter == "r" else 0.0, 2 if letter == "b" else 1, stale, reading_at)
            rows += [] if letter == "x" else [row]
    return pl.DataFrame(rows, TICK_STATE.schema, orient="row")


def world(seen: Seen, start: datetime = NOON, **more: Any) -> World:
    places = [(mcno, max(i for m, i in seen if m == mcno), *PLACE) for mcno in sorted({m for m, _ in seen})]
    return World(targets(places, **more), rows_of(start, seen))


def window_of(seen: Seen, start: datetime = NOON) -> Window:
    return Window(start - TICK, start + (max(map(len, seen.values())) - 1) * TICK)


def run(seen: Seen, start: datetime = NOON, **more: Any) -> World:
    """One run over everything."""
    ran = world(seen, start, **more)
    ran.run(window_of(seen, start))
    return ran


def minutes(ran: World, start: datetime = NOON, low: int = 200) -> list[tuple[Any, ...]]:
    """`mcno, invno, type`, and the minutes after `start` at which events of types from `low` on begin and end."""
    return sorted(
        (*key[:3], (key[3] - start) // timedelta(minutes=1), end and (end - start) // timedelta(minutes=1))
        for key, event in ran.events.items()
        if key[2] >= low
        for end in [event["cleared_at"]]
    )


def alone(letters: str, start: datetime = NOON) -> list[tuple[Any, ...]]:
    """The faults of the first of two inverters of a plant, whose other one runs: type, begin, end."""
    ran = run({(1, 1): letters, (1, 2): "r" * len(letters)}, start)
    return [row[2:] for row in minutes(ran, start) if row[1] == 1]


@pytest.mark.parametrize(
    ("letters", "faults"),
    [
        ("rrbbrr", [(201, 20, 40)]),
        ("rr-----rr", []),  # 51 minutes
        ("rr------rr", [(202, 70, 80)]),
        ("rssrr", []),  # 10 minutes
        ("rsssrr", [(203, 30, 40)]),
        ("rs-srr", [(203, 30, 40)]),  # standing still at both ends
        ("rs--rr", []),  # nobody saw it stand still for 20 minutes
        ("rb--------rr", [(201, 10, 100)]),  # a blackout outranks silence
        ("r------bbr", [(202, 60, 70), (201, 70, 90)]),
        ("rsss------r", [(203, 30, 90), (202, 90, 100)]),  # silence outranks standing still
        ("r------ssssr", [(202, 60, 70), (203, 90, 110)]),
        ("rrxxrr", []),
        ("rbxxbr", [(201, 10, 50)]),  # without a row it keeps its state
        ("b", [(201, 0, None)]),
    ],
)
def test_faults_begin_and_end(letters: str, faults: list[tuple[int, int, int | None]]) -> None:
    assert alone(letters) == sorted(faults)


def test_standing_still_is_no_fault_while_the_sun_is_low() -> None:
    assert alone("s" * 30, MIDNIGHT) == []
    # The sun is at 5 degrees 345 minutes after midnight: it takes 20 more.
    assert alone("s" * 40, MIDNIGHT) == [(203, 370, None)]


def test_who_did_not_generate_in_the_evening_does_not_in_the_morning_either() -> None:
    evening = MIDNIGHT - 6 * HOUR
    assert alone("r" + "s" * 110 + "r", evening) == [(203, 30, 1110)]


def test_generation_begins_and_stops_with_notices_that_are_over_at_once() -> None:
    ran = run({(1, 1): "srssr--r", (1, 2): "r" * 8})
    assert minutes(ran, low=100) == [(1, 1, 101, 10, 10), (1, 1, 101, 40, 40), (1, 1, 102, 20, 20)]
    assert {key[-1] for key in ran.messages} == {"raised"}


def test_a_stop_in_the_night_is_told_once_a_day() -> None:
    ran = run({(1, 1): "rsrsxxrsr", (1, 2): "s" * 9}, MIDNIGHT)
    stops = [key[3] for key in ran.events if key[2] == 102]
    assert len(stops) == 3
    assert [key[3] for key in ran.messages if key[2] == 102] == [MIDNIGHT + TICK]


def test_a_tick_at_midnight_belongs_to_the_day_that_it_ends() -> None:
    ran = run({(1, 1): "rsrsrs", (1, 2): "s" * 6}, MIDNIGHT - 3 * TICK)
    assert [key[3] for key in ran.messages if key[2] == 102] == [MIDNIGHT - 2 * TICK, MIDNIGHT + 2 * TICK]


def test_a_plant_whose_inverters_share_a_fault_has_one_event() -> None:
    ran = run({(1, 1): "rbbbrr", (1, 2): "rrbbbr", (1, 3): "rrbbbr"})
    assert minutes(ran) == [(1, 0, 201, 20, 40), (1, 1, 201, 10, 20), (1, 2, 201, 40, 50), (1, 3, 201, 40, 50)]
    assert {key[:3] for key in ran.messages if key[-1] == "cleared"} == {(1, 0, 201), (1, 2, 201), (1, 3, 201)}
    assert [key[:3] for key in ran.dropped] == [(1, 1, 201)]


def test_one_inverter_is_no_group_and_other_faults_are_not_shared() -> None:
    assert minutes(run({(1, 1): "rbr"})) == [(1, 1, 201, 10, 20)]
    mixed = run({(1, 1): "rbbbb", (1, 2): "rssss"})
    assert minutes(mixed) == [(1, 1, 201, 10, None), (1, 2, 203, 30, None)]


def test_flapping_is_one_event_that_is_held_for_an_hour() -> None:
    ran = run({(1, 1): "rsrsrs" + "r" * 8, (1, 2): "r" * 14})
    assert minutes(ran) == [(1, 1, 204, 50, 120)]
    # The notices of before are there, those while it flaps are not.
    assert len([key for key in ran.events if key[2] < 200]) == 4


def test_four_transitions_an_hour_are_not_flapping_nor_are_five_in_more() -> None:
    assert alone("rsrsrrrrrr") == []
    assert alone("rsrrsrrsrrs") == []
    assert alone("rsrrsrrsrr") == []
    assert alone("rsrsrrsr") == [(204, 60, None)]


def test_a_fault_behind_flapping_shows_when_it_is_over() -> None:
    assert alone("rbrbrb" + "b" * 7) == [(201, 10, 20), (201, 30, 40), (201, 110, None), (204, 50, 110)]


def test_flapping_ends_a_fault_that_is_open_for_who_heard_of_it() -> None:
    ran = run({(1, 1): "brbrbr" + "r" * 7, (1, 2): "r" * 13})
    assert minutes(ran)[-1] == (1, 1, 204, 50, 110)
    assert ran.dropped == set()
    assert (1, 1, 201, NOON + 4 * TICK, "cleared") in ran.messages


def test_rising_and_setting_do_not_flap() -> None:
    assert alone("srsrsrsrsr", MIDNIGHT) == []


def test_the_collectors_silence_is_nobodys_event() -> None:
    seen = {(1, 1): "r" + "-" * 12 + "rrr", (2, 1): "r" + "-" * 12 + "-rr", (3, 1): "r" + "-" * 12 + "---"}
    # The second is a tick behind the collector, the third is away.
    assert minutes(run(seen)) == [(3, 1, 202, 140, None)]
    assert minutes(run({(1, 1): "r" + "-" * 7})) == [(1, 1, 202, 60, None)]


def test_nobody_is_silent_for_sleeping_in_the_dark() -> None:
    # The sun is at 5 degrees 345 minutes after midnight. Gateways sleep from 22 to 5, and do not wake all in one.
    evening, asleep = "r" * 12, "-" * 42
    seen = {(1, 1): evening + asleep + "r" * 24, (2, 1): evening + asleep + "---" + "r" * 21}
    seen |= {(3, 1): evening + asleep + "-" * 9 + "r" * 15, (3, 2): evening + asleep + "-" * 24}
    assert minutes(run(seen, MIDNIGHT - 4 * HOUR), MIDNIGHT) == [(3, 2, 202, 410, None)]
    # Who fell silent before is not forgotten over the night, nor raised twice.
    assert alone("r" + "-" * 120 + "r", MIDNIGHT - 8 * HOUR) == [(202, 60, 1210)]


def test_who_never_reported_is_silent_since_it_was_installed() -> None:
    ran = world({(1, 1): "-" * 9, (1, 2): "r" * 9}, installed_at=NOON - TICK)
    for at, rows in ran.at.items():
        first = pl.col("invno") == 1
        ran.at[at] = rows.with_columns(reading_at=pl.when(~first).then("reading_at"))
    ran.run(window_of({(1, 1): "-" * 9}))
    assert minutes(ran) == [(1, 1, 202, 50, None)]


def test_who_is_taken_out_of_use_has_no_event_any_more() -> None:
    seen = {(1, 1): "rbbbb", (1, 2): "rrrrr"}
    ran = world(seen)
    ran.run(Window(NOON - TICK, NOON + 2 * TICK))
    ran.targets = ran.targets.filter(pl.col("invno") == 2)
    ran.run(Window(NOON + 2 * TICK, NOON + 4 * TICK))
    assert minutes(ran) == [(1, 1, 201, 10, 30)]
    assert ran.store.read(RUN_ALERT)["state"].to_list() == ["removed", "running"]


def test_who_is_taken_out_of_use_does_not_flap_any_more() -> None:
    seen = {(1, 1): "rsrsrsr", (1, 2): "r" * 7}
    ran = world(seen)
    ran.run(Window(NOON - TICK, NOON + 5 * TICK))
    ran.targets = ran.targets.filter(pl.col("invno") == 2)
    ran.run(Window(NOON + 5 * TICK, NOON + 6 * TICK))
    assert minutes(ran) == [(1, 1, 204, 50, 60)]


def test_before_it_is_installed_it_is_no_target() -> None:
    ran = world({(1, 1): "bbbb"}, installed_at=NOON + 2 * TICK)
    ran.run(window_of({(1, 1): "bbbb"}))
    assert minutes(ran) == [(1, 1, 201, 20, None)]


def test_only_an_inverters_fault_waits_for_its_plant() -> None:
    ran = run({(1, 1): "srbbrr", (1, 2): "rrrbrr"})
    actions = check(window_of({(1, 1): "srbbrr"}), {**frames(ran)})["actions"]
    waits = {(n.type, n.invno, n.transition): n.not_before for n in events.notices(actions)}
    assert waits.pop((201, 1, "raised")) == NOON + 2 * TICK + events.PATIENCE
    assert set(waits.values()) == {None}
    assert {key[:2] for key in waits} >= {(201, 0), (101, 1)}


def frames(ran: World) -> dict[str, pl.DataFrame]:
    """Inputs of a first run."""
    return {
        "targets": ran.targets,
        "good_ticks": pl.concat(ran.at.values()),
        "states": pl.DataFrame(schema=RUN_ALERT.schema),
        "earlier": pl.DataFrame(schema=RUN_ALERT_LOG.schema),
        "later": pl.DataFrame(schema={"mcno": pl.Int32(), "invno": pl.Int32()}),
        "raised": pl.DataFrame(schema={name: EVENT.schema[name] for name in events.KEY}),
    }


def test_notices_say_whom_and_for_how_long() -> None:
    ran = run({(1, 1): "rbbr", (1, 2): "rbbr"})
    found = list(events.notices(check(window_of({(1, 1): "rbbr"}), frames(ran))["actions"]))
    key = {"mcno": 1, "invno": 0, "type": 201, "raised_at": NOON + TICK}
    faults = [notice for notice in found if notice.type == 201]
    assert faults == [
        Notice(key, "raised", 1, 0, 201, NOON + TICK, {"inverters": 2, "minutes": 0}),
        Notice(key, "cleared", 1, 0, 201, NOON + 3 * TICK, {"inverters": 2, "minutes": 20}),
    ]


def test_a_time_computed_again_from_other_rows_takes_back_what_it_does_not_show() -> None:
    seen = {(1, 1): "rbbbbrr", (1, 2): "r" * 7}
    ran = run(seen)
    ran.at = world({(1, 1): "rrrbbbr", (1, 2): "r" * 7}).at
    ran.run(window_of(seen), live=False)
    assert minutes(ran) == [(1, 1, 201, 10, 10), (1, 1, 201, 30, 60)]
    assert [key[3] for key in ran.dropped if key[2] == 201] == [NOON + TICK]
    log = ran.store.read(RUN_ALERT_LOG)
    valid = world({(1, 1): "rrrbbbr", (1, 2): "r" * 7})
    valid.run(window_of(seen))
    assert log.filter(~pl.col("void")).equals(valid.store.read(RUN_ALERT_LOG))
    assert "withdrawn" in ran.store.read(EVENT_LOG)["action"]


def test_an_event_that_lasts_longer_after_all_is_open_again() -> None:
    seen = {(1, 1): "rbbbrr", (1, 2): "r" * 6}
    ran = run(seen)
    ran.at = world({(1, 1): "rbbbbb", (1, 2): "r" * 6}).at
    ran.run(window_of(seen), live=False)
    assert minutes(ran) == [(1, 1, 201, 10, None)]
    # So it is where it was raised by a run before.
    ran = world(seen)
    windows = cut(window_of(seen), 3 * TICK)
    for window in windows:
        ran.run(window)
    ran.at = world({(1, 1): "rbbbbb", (1, 2): "r" * 6}).at
    ran.run(windows[1], live=False)
    assert minutes(ran) == [(1, 1, 201, 10, None)]
    # But what a later run has said of it stays.
    again = run(seen)
    again.run(Window(NOON - TICK, NOON + 2 * TICK), live=False)
    assert minutes(again) == [(1, 1, 201, 10, 40)]


def test_targets_are_those_of_plants_in_use() -> None:
    store, nothing = MemoryStore(), dict.fromkeys(INVERTER.schema)
    states = ("in_use", "in_progress", "not_in_use", "paused")
    plants = [(n, f"Plant {n}", None, None, 37.0, 127.0, "Asia/Seoul", s, 9.0, NEVER) for n, s in enumerate(states, 1)]
    store.upsert(CUSTOMER, pl.DataFrame(plants, CUSTOMER.schema, orient="row"))
    more = {"installed_at": NEVER, "updated_at": NEVER, "invno": 1}
    store.upsert(INVERTER, pl.DataFrame([nothing | more | {"mcno": n} for n in range(1, 6)], INVERTER.schema))
    assert read_targets(store)["mcno"].to_list() == [1, 4]


def test_a_window_is_a_month_at_the_most() -> None:
    with pytest.raises(BadInputError, match="wattline history reliability_inverter"):
        check(Window(NOON, NOON + LONGEST + TICK), {})


def test_without_any_target_nothing_happens() -> None:
    ran = World(targets([]), pl.DataFrame(schema=TICK_STATE.schema))
    ran.run(Window(NOON, NOON + TICK))
    assert (ran.events, ran.messages) == ({}, {})
    assert events.event_rows(ACTIONS.to_frame(), ACTIONS.to_frame()).is_empty()


LETTERS = st.text("rrrssb-----x", min_size=30, max_size=30)
UNITS = ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3))
STARTS = st.sampled_from([NOON, MIDNIGHT - HOUR, MIDNIGHT + 5 * HOUR])


@settings(max_examples=25, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    seen=st.tuples(*[LETTERS] * len(UNITS)),
    start=STARTS,
    lengths=st.lists(st.integers(1, 9), min_size=1),
    data=st.data(),
)
def test_any_cut_any_order_and_any_rerun_give_the_same(
    seen: Sequence[str], start: datetime, lengths: list[int], data: st.DataObject
) -> None:
    of_units = dict(zip(UNITS, seen, strict=True))
    whole, parts = run(of_units, start), world(of_units, start)
    parts.at = {at: rows.sample(fraction=1, shuffle=True, seed=1) for at, rows in parts.at.items()}
    done, everything = [], window_of(of_units, start)
    low = everything.start
    for n in range(30):
        if low == everything.end:
            break
        high = min(low + lengths[n % len(lengths)] * TICK, everything.end)
        done.append(Window(low, high))
        parts.run(done[-1])
        parts.run(data.draw(st.sampled_from(done)))
        low = high
    assert parts.events == whole.events
    assert parts.messages.keys() == whole.messages.keys()
    for table in (RUN_ALERT, RUN_ALERT_LOG, EVENT_LOG):
        assert parts.store.read(table).equals(whole.store.read(table))


@settings(max_examples=25, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(seen=st.tuples(*[LETTERS] * len(UNITS)), start=STARTS)
def test_incidents_have_one_raise_one_end_and_do_not_overlap(seen: Sequence[str], start: datetime) -> None:
    ran = run(dict(zip(UNITS, seen, strict=True)), start)
    log = ran.store.read(EVENT_LOG).filter(pl.col("type") >= 200)
    for (mcno, invno), rows in log.sort("at", pl.col("action") == "raised").group_by("mcno", "invno"):
        actions = rows["action"].to_list()
        assert all(action == "raised" for action in actions[::2]), (mcno, invno)
        assert all(action in ("cleared", "merged") for action in actions[1::2]), (mcno, invno)
        assert rows["type"].to_list()[: len(actions) // 2 * 2 : 2] == rows["type"].to_list()[1::2]
        open_now = [key[2] for key, event in ran.events.items() if key[:2] == (mcno, invno) and not event["cleared_at"]]
        assert open_now == ([rows["type"][-1]] if len(actions) % 2 else [])
    raised = ran.store.read(EVENT_LOG).filter(pl.col("action") == "raised").height
    assert raised == len(ran.events)
    # No inverter has an event beside that of its plant.
    rows = ran.store.read(RUN_ALERT)
    of_plants = rows.filter((pl.col("invno") == 0) & pl.col("event_type").is_not_null())
    own = rows.filter((pl.col("invno") > 0) & pl.col("event_type").is_not_null())
    assert own.join(of_plants, on="mcno").is_empty()


def test_backfills_over_the_same_time_tell_nobody() -> None:
    seen = {(1, 1): "rbbr", (1, 2): "rrrr"}
    ran = world(seen)
    for window in cut(window_of(seen), TICK):
        ran.run(window, live=False)
    assert len(ran.events) == 2
    assert ran.messages == {}
