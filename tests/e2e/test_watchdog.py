"""The scheduler stands still: the watchdog says so within its period, and once more when it is back."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from local.processes import stop
from tests.e2e.conftest import Platform, until

PERIOD = timedelta(minutes=3)
"""`WATTLINE_WATCHDOG_MINUTES` of the test's platform; heartbeat comes every minute there."""
DOWN, BACK = "[Wattline] the platform is silent", "[Wattline] the platform is back"


def _told(platform: Platform) -> list[str]:
    return [mail["subject"] for mail in platform.received("mail") if mail["subject"] in (DOWN, BACK)]


def _beats(platform: Platform) -> int:
    return platform.mongo["server_status"].count_documents({})


@pytest.mark.skipif(os.environ.get("LONG_TESTS") != "1", reason="waits for periods to pass: LONG_TESTS=1")
@pytest.mark.timeout(900)
def test_a_scheduler_that_stands_is_told_within_the_period_and_its_return_once(platform: Platform) -> None:
    platform.api.unpause("heartbeat")
    until(lambda: _beats(platform) >= 2, "two heartbeats")
    assert _told(platform) == []
    before = len(platform.received("sms"))

    scheduler = next(each for each in platform.stack.airflow_processes() if each.name == "scheduler")
    stop([scheduler], patience=20)
    (newest,) = platform.mongo["server_status"].find().sort("measured_at", -1).limit(1)
    until(lambda: _told(platform) == [DOWN], "the message")
    # The watchdog of the stack looks every 15 seconds.
    assert PERIOD < datetime.now(UTC) - newest["measured_at"] < PERIOD + timedelta(seconds=45)

    beats = _beats(platform)
    scheduler.start()
    until(lambda: _beats(platform) > beats, "a heartbeat after the scheduler came back")
    until(lambda: BACK in _told(platform), "the recovery")
    until(lambda: _beats(platform) > beats + 1, "another heartbeat")
    assert _told(platform) == [DOWN, BACK]
    sms = [each["text"] for each in platform.received("sms")[before:] if "platform" in each["text"]]
    assert len(sms) == 2
    scheduler.wait()
