from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from apprise.plugins.email import NotifyEmail
from hypothesis import given
from hypothesis import strategies as st

from wattline.alerts import duty
from wattline.alerts.channels import ChannelResult, open_channels, send
from wattline.alerts.duty import Delivery, Memory, dump_memory, load_memory, notice_documents, tell
from wattline.alerts.oncall import Failure, Message

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def failure(task: str) -> Failure:
    return Failure("inverterlog", task, "run", None, 1, "TransientError: no answer", "http://localhost/log")


@dataclass
class FakeChannel:
    label: str
    works: bool = True
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> ChannelResult:
        if self.works:
            self.sent.append(message)
        return ChannelResult(self.label, self.works, "" if self.works else "no answer")


class Desk:
    """Two channels, and the memory that goes through JSON as the Airflow Variable does."""

    def __init__(self) -> None:
        self.mail, self.sms = FakeChannel("mail"), FakeChannel("sms")
        self.memory = Memory()

    def tell(self, tasks: Sequence[str], minutes: int) -> list[Delivery]:
        self.memory, deliveries = tell(
            [failure(task) for task in tasks],
            load_memory(dump_memory(self.memory)),
            ["mail://", "sms://"],
            now=NOON + timedelta(minutes=minutes),
            window=HOUR,
            language="en",
        )
        return deliveries


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk()
    monkeypatch.setattr(duty, "open_channels", lambda urls: [desk.mail, desk.sms])
    return desk


def test_one_run_is_one_message_whatever_number_of_its_tasks_failed(desk: Desk) -> None:
    desk.tell(["store_log", "store_days", "store_mysql"], 0)

    assert len(desk.mail.sent) == len(desk.sms.sent) == 1
    assert "Also failed: store_days, store_mysql" in desk.mail.sent[0].text


def test_a_task_that_fails_for_the_first_time_is_told_though_others_are_folded(desk: Desk) -> None:
    desk.tell(["store_log"], 0)
    deliveries = desk.tell(["store_log", "store_days"], 10)

    assert [each.failures for each in deliveries] == [(failure("store_days"),)] * 2
    assert desk.mail.sent[1].subject == "[Wattline] inverterlog.store_days failed"


def test_a_broken_channel_is_tried_again_while_the_other_stays_quiet(desk: Desk) -> None:
    desk.sms.works = False
    first = desk.tell(["store_log"], 0)
    second = desk.tell(["store_log"], 10)
    assert desk.memory.last_failed is not None
    assert desk.memory.last_failed.error == "sms: no answer"
    assert desk.memory.last_failed.failures == ("inverterlog.store_log",)
    desk.sms.works = True
    third = desk.tell(["store_log"], 20)
    fourth = desk.tell(["store_log"], 30)

    assert [[each.result.channel for each in each_time] for each_time in (first, second, third, fourth)] == [
        ["mail", "sms"],
        ["sms"],
        ["sms"],
        [],
    ]
    assert len(desk.mail.sent) == 1
    assert "and 2 more since 12:00Z" in desk.sms.sent[0].sms
    assert desk.memory.last_failed is None


def test_a_failed_attempt_is_remembered_until_a_message_gets_through(desk: Desk) -> None:
    desk.tell(["store_days"], 0)
    desk.sms.works = False
    desk.tell(["store_log"], 5)
    attempt = desk.memory.last_failed
    assert attempt is not None

    desk.tell(["store_days"], 10)
    assert desk.memory.last_failed == attempt


@given(
    times=st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans(), st.integers(1, 3)), max_size=25),
)
def test_no_channel_loses_a_failure(times: list[tuple[int, bool, bool, int]]) -> None:
    desk = Desk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duty, "open_channels", lambda urls: [desk.mail, desk.sms])
        minutes, told = 0, {"mail": 0, "sms": 0}
        for gap, mail_works, sms_works, tasks in times:
            minutes += gap
            desk.mail.works, desk.sms.works = mail_works, sms_works
            before = desk.memory
            for delivery in desk.tell("abc"[:tasks], minutes):
                channel = delivery.result.channel
                if delivery.result.ok:
                    known = before.channels.get(channel, {})
                    more = sum(known[key].more for key in known if key.rpartition(" ")[2] in _tasks(delivery))
                    told[channel] += len(delivery.failures) + more
        failures = sum(tasks for *_, tasks in times)
        for channel in ("mail", "sms"):
            pending = sum(entry.more for entry in desk.memory.channels.get(channel, {}).values())
            assert told[channel] + pending == failures


def _tasks(delivery: Delivery) -> set[str]:
    return {each.task_id for each in delivery.failures}


def test_a_memory_that_cannot_be_read_costs_a_message_too_many_at_most() -> None:
    assert load_memory("{broken") == load_memory('{"channels": 3}') == load_memory(None) == Memory()


def test_a_notice_says_who_was_told_of_which_failure(desk: Desk) -> None:
    desk.tell(["store_log"], 0)
    failures = [failure("store_log"), failure("store_days")]
    desk.sms.works = False
    deliveries = desk.tell(["store_log", "store_days"], 10)

    log, days = notice_documents(failures, deliveries, NOON, "en")

    assert log["_id"] == {"dag_id": "inverterlog", "run_id": "run", "task_id": "store_log", "at": NOON}
    assert (log["folded"], log["channels"]) == (True, [])
    assert days["folded"] is False
    assert days["channels"] == [
        {"channel": "mail", "ok": True, "error": ""},
        {"channel": "sms", "ok": False, "error": "no answer"},
    ]
    assert "store_days failed" in days["text"]


def test_no_channel_at_all_is_a_failed_attempt() -> None:
    memory, deliveries = tell([failure("store_log")], Memory(), [], now=NOON, window=HOUR, language="en")

    assert [each.result.ok for each in deliveries] == [False]
    assert memory.last_failed is not None
    assert "WATTLINE_ONCALL_URLS" in memory.last_failed.error


@pytest.mark.parametrize("url", ["hunter2", "foo://hunter2@x", "solapi://K:hunter2@localhost/02/hunter2", "mailto://"])
def test_a_url_that_cannot_be_read_becomes_a_channel_that_says_so_and_nothing_else(url: str) -> None:
    (channel,) = open_channels([url])

    assert channel.problem
    assert "hunter2" not in f"{channel} {channel.label}"
    with pytest.raises(Exception, match="channel 1"):
        send(Message("s", "t", "h", "m"), [url])


def test_a_service_that_breaks_is_a_result_and_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: NotifyEmail, **_: object) -> bool:
        raise RuntimeError("cannot log in with hunter2")

    url = "mailto://wattline:hunter2@localhost:1/?from=wattline@example.org&to=oncall@example.org"
    (channel,) = open_channels([url])
    monkeypatch.setattr(NotifyEmail, "notify", broken)

    result = channel.send(Message("s", "t", "h", "m"))

    assert (result.ok, result.error) == (False, "RuntimeError: cannot log in with ***")
    assert "hunter2" not in result.channel


def test_channels_of_one_name_are_told_apart() -> None:
    url = "mailto://localhost:1/?from=wattline@example.org&to=oncall@example.org"

    first, second = open_channels([url, url])

    assert first.label != second.label
