"""What a batch with bad rows becomes, and whom it tells."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from tests.e2e.conftest import Platform, until, utc
from tests.e2e.fleet import readings, register, send
from wattline.solar.tables import TICK_ROW
from wattline.storage.store import Condition
from wattline.window import Window

PLANT = 8001
GOOD = Window(utc("2026-08-03T02:00"), utc("2026-08-03T02:10"))
BAD = Window(utc("2026-08-03T02:10"), utc("2026-08-03T02:20"))


@pytest.fixture(scope="module", autouse=True)
def plant(platform: Platform) -> None:
    register(platform.mysql, PLANT, 1000, removed_at=utc("2026-08-04T00:00"))
    send(platform.mysql, readings(PLANT, 1000, [GOOD.start + timedelta(minutes=4)], bad=1))
    send(platform.mysql, readings(PLANT, 1000, [BAD.start + timedelta(minutes=4)], bad=200))


def _ticks(platform: Platform, window: Window) -> pl.DataFrame:
    here = (Condition("mcno", "=", PLANT), Condition("at", "=", window.end))
    return platform.mysql.read(TICK_ROW, here)


def test_one_bad_row_in_a_thousand_is_quarantined_with_its_reason_and_the_others_are_stored(
    platform: Platform,
) -> None:
    assert platform.run("migration_inverter_m10", GOOD) == "success"
    assert platform.run("inverterlog", GOOD) == "success"

    ticks = _ticks(platform, GOOD)
    assert ticks.height == 1000
    assert ticks.filter("stale")["invno"].to_list() == [1]
    assert platform.mongo["inverterlog_202608"].count_documents({"mcno": PLANT, "at": GOOD.end, "stale": False}) == 999
    (rejected,) = platform.mongo["quarantine"].find({"row.mcno": PLANT, "window.start": GOOD.start})
    assert rejected["row"]["ackw"] == -9999
    assert [(reason["field"], reason["value"]) for reason in rejected["reasons"]] == [("ackw", -9999)]
    assert rejected["reasons"][0]["remedy"]
    assert not [mail for mail in platform.received("mail") if "inverterlog" in mail["subject"]]


def test_a_batch_with_a_fifth_of_bad_rows_stores_nothing_and_tells_the_on_call_once(platform: Platform) -> None:
    assert platform.run("migration_inverter_m10", BAD) == "success"
    run_id = platform.trigger("inverterlog", BAD)
    assert platform.finished("inverterlog", run_id) == "failed"

    states = {name: task["state"] for name, task in platform.tasks("inverterlog", run_id).items()}
    assert states["gate"] == "failed"
    assert platform.tasks("inverterlog", run_id)["gate"]["try_number"] == 1
    assert states["process"] == states["store_inverter_log"] == states["finish"] == "upstream_failed"
    assert _ticks(platform, BAD).height == 0
    assert platform.mongo["inverterlog_202608"].count_documents({"mcno": PLANT, "at": BAD.end}) == 0
    assert platform.mongo["quarantine"].count_documents({"row.mcno": PLANT, "window.start": BAD.start}) == 200
    (verdict,) = platform.mongo["quality_result"].find({"_id.run_id": run_id})
    assert (verdict["rows"], verdict["bad"], verdict["blocked"]) == (1000, 200, True)

    def mails() -> list[dict[str, Any]]:
        return [mail for mail in platform.received("mail") if run_id in mail["text"]]

    def texts() -> list[dict[str, Any]]:
        return [message for message in platform.received("sms") if "inverterlog" in message["text"]]

    until(lambda: bool(mails() and texts()), "mail and SMS")
    (mail,) = mails()
    for said in ("inverterlog", "gate", "2026-08-03", "200 of 1000 rows are bad", f"/runs/{run_id}"):
        assert said in mail["text"]
    assert len(texts()) == 1
    until(lambda: platform.mongo["inverterlog_fail"].count_documents({"run": run_id}) > 0, "the failed step")
    (step,) = platform.mongo["inverterlog_fail"].find({"run": run_id})
    assert step["step"] == "gate"
    (staged,) = (platform.stack.settings.data / "staging").glob(f"inverterlog_*{run_id[-8:]}*")
    assert list(staged.iterdir()), "what a failed run staged is kept for whoever looks into it"
