"""A week of 300 plants with scripted faults: exactly these events and messages, whatever the cut into runs."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import polars as pl

from tests.reliability_week import EXPECTED, LATITUDE, LONGITUDE, SEOUL, WEEK, fleet, script
from tests.reliability_world import TICK, Key, Killed, World, cut
from wattline.solar.reliability_state import RUN_ALERT, RUN_ALERT_LOG
from wattline.solar.sun import elevation
from wattline.window import Window


@cache
def is_night(instant: datetime) -> bool:
    return bool(elevation(np.array([instant.replace(tzinfo=None)], "datetime64[us]"), LATITUDE, LONGITUDE)[0] < 5)


def faults(world: World) -> dict[Key, datetime | None]:
    return {key: event["cleared_at"] for key, event in world.events.items() if key[2] >= 200}


def clean_notices() -> set[tuple[int, int, int, datetime]]:
    """The notices of plants that the script leaves alone: generation begins and stops with the sun, nothing else."""
    times = pl.datetime_range(WEEK.start, WEEK.end, TICK, time_zone="UTC", eager=True)
    runs = elevation(times.dt.replace_time_zone(None).to_numpy(), LATITUDE, LONGITUDE) > 2
    return {
        (mcno, invno, 101 if runs[n] else 102, times[n])
        for mcno, invno in fleet().select("mcno", "invno").iter_rows()
        if mcno not in {key[0] for key in EXPECTED}
        for n in (np.flatnonzero(runs[2:] != runs[1:-1]) + 2).tolist()
    }


def check_events(world: World) -> None:
    assert faults(world) == {key: end for key, (end, _) in EXPECTED.items()}
    touched = {key[0] for key in EXPECTED}
    assert {key for key in world.events if key[2] < 200 and key[0] not in touched} == clean_notices()


def check_messages(world: World) -> None:
    said = {(*key, word) for key, (_, words) in EXPECTED.items() for word in words.split() if word != "merged"}
    assert {message for message in world.messages if message[2] >= 200} == said
    assert world.dropped == {key for key, (_, words) in EXPECTED.items() if "merged" in words}
    of_night = [key for key in world.messages if key[2] in (102, 203) and key[4] == "raised" and is_night(key[3])]
    assert {key[2] for key in of_night} == {102}
    assert len(of_night) == len({(*key[:2], key[3].astimezone(SEOUL).date()) for key in of_night}), "twice a night"


def states(world: World) -> tuple[pl.DataFrame, pl.DataFrame]:
    return world.store.read(RUN_ALERT), world.store.read(RUN_ALERT_LOG)


@cache
def reference() -> World:
    """The week as one backfill."""
    world = World(fleet(), script())
    world.run(WEEK, live=False)
    return world


def test_one_backfill_gives_the_events_and_no_message() -> None:
    check_events(reference())
    assert reference().messages == {}


def test_ten_minute_runs_give_the_same_and_each_message_once() -> None:
    world = World(fleet(), script())
    for window in cut(WEEK, TICK):
        world.run(window)
    check_events(world)
    check_messages(world)
    assert set(world.messages.values()) == {1}
    assert all(one.equals(other) for one, other in zip(states(world), states(reference()), strict=True))
    assert world.events == reference().events


def test_any_cut_kills_and_reruns_change_nothing() -> None:
    world, chance, start = World(fleet(), script()), random.Random(6), WEEK.start
    while start < WEEK.end:
        window = Window(start, min(start + chance.choice([1, 1, 2, 6]) * TICK, WEEK.end))
        complete(world, window, chance)
        if chance.random() < 0.1:
            ago = chance.randrange(1, 2 + (window.end - WEEK.start) // TICK) * TICK
            complete(world, Window(window.end - ago, window.end - ago + TICK), chance)
            complete(world, Window(max(window.end - timedelta(hours=9), WEEK.start), window.end), chance)
        start = window.end
    check_events(world)
    check_messages(world)
    assert all(one.equals(other) for one, other in zip(states(world), states(reference()), strict=True))
    assert world.events == reference().events


def complete(world: World, window: Window, chance: random.Random) -> None:
    """Try a run until it gets to its end."""
    while True:
        try:
            return world.run(window, kill=chance)
        except Killed:
            continue
