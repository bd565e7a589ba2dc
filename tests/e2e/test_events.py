"""A fault in the field becomes one event, one mail and one SMS, through the pipelines as Airflow schedules them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tests.e2e.conftest import Platform, until
from tests.e2e.fleet import INSTALLED, readings, register, send
from wattline.alerts.notice import event_id
from wattline.solar.event_types import NOT_GENERATING
from wattline.solar.legacy_tables import POWER_STATION, USERS
from wattline.solar.tables import CUSTOMER, TICK
from wattline.storage.store import Condition
from wattline.window import Window

PLANT, INVERTERS, STANDING = 8501, 3, 3
MANAGER, MAIL, PHONE = "mina8501", "mina8501@example.org", "010-0000-8501"
RAISING = ("migration_inverter_m10", "inverterlog", "reliability_inverter")


@pytest.fixture(scope="module")
def past(platform: Platform) -> Window:
    """The last two hours of a plant where it is about noon now; one of its three inverters makes nothing."""
    now = datetime.now(UTC)
    newest = now - (now - INSTALLED) % TICK
    window = Window(newest - timedelta(hours=2), newest)
    east = 12 - now.hour
    register(platform.mysql, PLANT, INVERTERS, zone=f"Etc/GMT{-east:+d}", longitude=15.0 * east)
    rows = readings(PLANT, INVERTERS, [window.start + timedelta(minutes=n) for n in range(4, 120, 5)])
    power = pl.when(pl.col("invno") == STANDING).then(0.0).otherwise(pl.col("ackw"))
    send(platform.mysql, rows.with_columns(ackw=power))
    person = (MANAGER, "미나", "manager", PHONE, MAIL, "ko", INSTALLED, None, INSTALLED)
    platform.mongo_store.upsert(USERS, pl.DataFrame([person], schema=USERS.schema, orient="row"))
    station = platform.mysql.read(CUSTOMER, [Condition("mcno", "=", PLANT)]).with_columns(
        name=pl.lit("해남 8501호 발전소"), owner_id=pl.lit(None, pl.String), manager_id=pl.lit(MANAGER)
    )
    platform.mongo_store.upsert(POWER_STATION, POWER_STATION.conform(station))
    bounds = ("--from", window.start.isoformat(), "--to", window.end.isoformat())
    platform.wattline("history", *RAISING, *bounds, "--chunk", "1d")
    return window


@pytest.fixture(scope="module")
def event(platform: Platform, past: Window) -> dict[str, Any]:
    """What the history over those hours has found."""
    (found,) = platform.mongo["event"].find({"mcno": PLANT, "level": "fault"})
    assert past.start < found["raised_at"] <= past.end
    return dict(found)


def _mails(platform: Platform) -> list[dict[str, Any]]:
    return [mail for mail in platform.received("mail") if mail["to"] == [MAIL]]


def _texts(platform: Platform) -> list[dict[str, Any]]:
    return [sms for sms in platform.received("sms") if sms["to"] == PHONE.replace("-", "")]


def _drained(platform: Platform) -> int:
    return int(platform.get("/api/v2/dags/alert_outbox/dagRuns?state=success&limit=1")["total_entries"])


def test_history_records_a_fault_and_tells_nobody(platform: Platform, event: dict[str, Any]) -> None:
    assert (event["invno"], event["type"], event["cleared_at"]) == (STANDING, NOT_GENERATING, None)
    assert platform.mongo["outbox"].count_documents({"mcno": PLANT}) == 0


def test_the_next_live_run_tells_it_once_by_mail_and_sms_and_a_check_ends_it(
    platform: Platform, event: dict[str, Any]
) -> None:
    for dag_id in (*RAISING, "alert_outbox"):
        platform.api.unpause(dag_id)
    until(lambda: bool(_mails(platform) and _texts(platform)), "the mail and the SMS of the fault")
    until(lambda: platform.mysql_rows("SELECT mcno FROM smslog WHERE receiver LIKE '%8501'") != [], "the SMS log")
    drained = _drained(platform)
    until(lambda: _drained(platform) > drained, "another run that sends")

    identifier = event_id(PLANT, STANDING, NOT_GENERATING, event["raised_at"])
    (mail,), (sms,) = _mails(platform), _texts(platform)
    for said in ("해남 8501호 발전소", "발전 불능", f"wattline events check {identifier}", "events.md#203"):
        assert said in mail["text"]
    assert "/dags/reliability_inverter/runs/scheduled__" in mail["text"]
    assert "발전 불능" in sms["text"]
    sent = platform.mongo["outbox"].find({"mcno": PLANT})
    assert [(one["transition"], one["status"]) for one in sent] == [("raised", "sent")] * 2
    assert platform.mysql_rows("SELECT mcno FROM smslog WHERE receiver LIKE '%8501'") == [(PLANT,)]
    assert platform.mongo["sms_log"].count_documents({"mcno": PLANT}) == 1

    assert "2 sent" in platform.wattline("events", "list", "--mcno", str(PLANT))
    assert "is checked" in platform.wattline("events", "check", identifier, "--by", MANAGER)
    (checked,) = platform.mongo["event"].find({"mcno": PLANT, "level": "fault"})
    assert checked["checked_by"] == MANAGER
