"""The on-call's messages over real SMTP and HTTP, from the callbacks to the documents in MongoDB."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.execution_time import task_runner, xcom
from pymongo import MongoClient
from typer.testing import CliRunner

from local.servers import HOST, free_port
from tests import alert_world
from wattline import settings as settings_module
from wattline.alerts.channels import NotificationError, send
from wattline.alerts.duty import VARIABLE
from wattline.alerts.oncall import Message
from wattline.cli import oncall as cli
from wattline_operators import oncall
from wattline_operators.base import PipelineOperator

pytestmark = pytest.mark.integration

MESSAGE = Message("제목: 실패 — fällt", "본문", "<p>본문 <b>굵게</b><br>둘째 줄</p>", "짧은 글")
START, END = datetime(2026, 11, 22, 9, 40, tzinfo=UTC), datetime(2026, 11, 22, 9, 50, tzinfo=UTC)
RUN = "scheduled__2026-11-22T09:50:00+00:00"


class Sinks(alert_world.Sinks):
    """The sinks, by URLs with the on-call's addresses."""

    @property
    def mail_url(self) -> str:
        return f"{super().mail_url}&to=oncall@example.org"

    def sms_url(self, secret: str = "right") -> str:
        return f"{super().sms_url(secret)}/01000000002/01000000003"

    def got(self, name: str) -> list[dict[str, Any]]:
        return self.heard(name)


@pytest.fixture(scope="module")
def running_sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sinks]:
    with alert_world.serving(tmp_path_factory.mktemp("sinks")) as sinks:
        yield Sinks(sinks.folder, sinks.mail_port, sinks.sms_port)


@pytest.fixture
def sinks(running_sinks: Sinks) -> Sinks:
    running_sinks.clear()
    return running_sinks


def test_a_mail_and_an_sms_arrive_as_they_were_written(sinks: Sinks) -> None:
    results = send(MESSAGE, [sinks.mail_url, sinks.sms_url()])

    (mail,) = sinks.got("mail")
    assert (mail["from"], mail["to"]) == ("wattline@example.org", ["oncall@example.org"])
    assert (mail["subject"], mail["html"]) == (MESSAGE.subject, MESSAGE.html)
    assert mail["text"].splitlines() == ["본문 굵게", "둘째 줄"]
    assert mail["size"] > len(MESSAGE.html.encode())
    assert [(each["from"], each["to"], each["text"], each["type"]) for each in sinks.got("sms")] == [
        ("01000000001", "01000000002", "짧은 글", "SMS"),
        ("01000000001", "01000000003", "짧은 글", "SMS"),
    ]
    assert [each.message_id for each in results[1].receipts] == [each["message_id"] for each in sinks.got("sms")]


@pytest.mark.parametrize("broken", ["mail", "sms"])
def test_a_broken_channel_is_named_and_does_not_stop_the_other(sinks: Sinks, broken: str) -> None:
    (sinks.folder / f"{broken}.fail").touch()

    with pytest.raises(NotificationError, match="mailto" if broken == "mail" else "outage") as failed:
        send(MESSAGE, [sinks.mail_url, sinks.sms_url()])

    assert [result.ok for result in failed.value.results] == [broken != "mail", broken != "sms"]
    sent = [entry for name in ("mail", "sms") for entry in sinks.got(name) if "refused" not in entry]
    assert len(sent) == (2 if broken == "mail" else 1)


def test_a_wrong_secret_is_refused_kept_and_not_shown(sinks: Sinks) -> None:
    with pytest.raises(NotificationError, match="SignatureDoesNotMatch") as failed:
        send(MESSAGE, [sinks.sms_url("hunter2")])

    assert "hunter2" not in str(failed.value)
    assert [(each["refused"], each["status"]) for each in sinks.got("sms")] == [("SignatureDoesNotMatch", 403)] * 2


class Step(PipelineOperator):
    """A step of ours, that leaves a line on its error."""

    def run_step(self, context: Any) -> None:
        """Never called here."""


class Airflow:
    """What the execution API tells a callback, and the Variable it keeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mongo_url: str) -> None:
        self.states = {"store_days": "failed", "store_log": "failed", "collect": "success"}
        self.errors = {"store_log": "TransientError: mysql://u:hunter2@db/solar does not answer"}
        self.variables: dict[str, str] = {}
        self.mongo_url = mongo_url
        with DAG("inverterlog", schedule=None) as self.dag:
            Step(task_id="collect") >> [Step(task_id="store_log"), Step(task_id="store_days")]
        monkeypatch.setattr(
            task_runner.RuntimeTaskInstance, "get_task_states", lambda *, dag_id, run_ids: {run_ids[0]: self.states}
        )
        monkeypatch.setattr(xcom.XCom, "get_one", lambda *, task_id, **key: self.errors.get(task_id))
        variable = SimpleNamespace(get=lambda key, default: self.variables.get(key), set=self.variables.__setitem__)
        monkeypatch.setattr(oncall, "Variable", variable)
        monkeypatch.setattr(oncall, "open_documents", self.open_documents)

    @contextmanager
    def open_documents(self, conn_id: str) -> Iterator[Any]:
        with MongoClient[dict[str, Any]](self.mongo_url, serverSelectionTimeoutMS=500) as client:
            yield client.get_default_database()

    def documents(self, name: str) -> list[dict[str, Any]]:
        with self.open_documents("") as database:
            return list(database[name].find().sort("at"))

    def context(self, reason: str = "task_failure") -> Any:
        last = SimpleNamespace(task_id="store_days", map_index=-1, try_number=4)
        return {
            "dag": self.dag,
            "run_id": RUN,
            "reason": reason,
            "ti": last,
            "params": {},
            "data_interval_start": START,
            "data_interval_end": END,
        }


@pytest.fixture
def airflow(sinks: Sinks, monkeypatch: pytest.MonkeyPatch, fresh_mongo: str) -> Iterator[Airflow]:
    monkeypatch.setenv("WATTLINE_ONCALL_URLS", f"{sinks.mail_url} {sinks.sms_url()}")
    monkeypatch.setenv("WATTLINE_MONGO_URL", fresh_mongo)
    settings_module.settings.cache_clear()
    yield Airflow(monkeypatch, fresh_mongo)
    settings_module.settings.cache_clear()


def test_a_failed_run_is_told_once_recorded_and_folded(airflow: Airflow, sinks: Sinks) -> None:
    oncall.notify_failure(airflow.context())
    oncall.notify_failure(airflow.context())

    (mail,) = sinks.got("mail")
    assert mail["subject"] == "[Wattline] inverterlog.store_log failed (and 1 more task)"
    for part in ("TransientError: mysql://***@db/solar does not answer", "Also failed: store_days", str(END.hour)):
        assert part in mail["text"]
    assert "/dags/inverterlog/runs/scheduled__2026-11-22T09%3A50%3A00%2B00%3A00/tasks/store_log" in mail["text"]
    assert len(sinks.got("sms")) == 2
    assert [(each["_id"]["task_id"], each["folded"]) for each in airflow.documents("oncall_notice")] == [
        ("store_log", False),
        ("store_days", False),
        ("store_log", True),
        ("store_days", True),
    ]
    assert [each["message_id"] for each in airflow.documents("sms_log")] == [
        each["message_id"] for each in sinks.got("sms")
    ]
    failures = {each["step"]: each["error"] for each in airflow.documents("inverterlog_fail")}
    assert failures == {"store_log": "TransientError: mysql://***@db/solar does not answer", "store_days": ""}
    assert "hunter2" not in str(airflow.variables) + str(airflow.documents("oncall_notice"))


def test_a_failing_notifier_raises_is_kept_and_sends_again(airflow: Airflow, sinks: Sinks) -> None:
    (sinks.folder / "sms.fail").touch()
    with pytest.raises(NotificationError, match="solapi"):
        oncall.notify_failure(airflow.context())
    assert "inverterlog.store_log" in json.loads(airflow.variables[VARIABLE])["last_failed"]["failures"]
    (sinks.folder / "sms.fail").unlink()
    oncall.notify_failure(airflow.context())

    assert len(sinks.got("mail")) == 1
    sent = [each["text"] for each in sinks.got("sms") if "text" in each]
    assert len(sent) == 2
    assert ", and 1 more since " in sent[0]


def test_mongodb_being_down_does_not_stop_the_message(airflow: Airflow, sinks: Sinks) -> None:
    airflow.mongo_url = f"mongodb://{HOST}:{free_port()}/solar"

    oncall.notify_failure(airflow.context())

    assert len(sinks.got("mail")) == 1


def test_an_execution_api_that_is_down_costs_detail_and_not_the_message(
    airflow: Airflow, sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(**_: Any) -> Any:
        raise RuntimeError("no execution API")

    monkeypatch.setattr(task_runner.RuntimeTaskInstance, "get_task_states", gone)
    monkeypatch.setattr(xcom.XCom, "get_one", gone)
    monkeypatch.setattr(oncall, "Variable", SimpleNamespace(get=gone, set=gone))

    oncall.notify_failure(airflow.context())

    (mail,) = sinks.got("mail")
    assert mail["subject"] == "[Wattline] inverterlog.store_days failed"
    assert "killed or lost" in mail["text"]
    assert "/tasks/store_days?try_number=4" in mail["text"]


def test_a_run_that_timed_out_says_so(airflow: Airflow, sinks: Sinks) -> None:
    airflow.states = {"collect": "success", "store_log": "skipped", "store_days": "skipped"}

    oncall.notify_failure(airflow.context("timed_out"))

    assert "store_days" in sinks.got("mail")[0]["subject"]
    assert "dagrun_timeout" in sinks.got("mail")[0]["text"]


def test_a_run_without_any_task_to_blame_is_told_too(airflow: Airflow, sinks: Sinks) -> None:
    airflow.states = {}

    oncall.notify_failure({"dag": airflow.dag, "run_id": RUN, "reason": "all_tasks_deadlocked"})  # type: ignore[typeddict-item]

    assert sinks.got("mail")[0]["subject"] == "[Wattline] inverterlog failed"
    assert "all_tasks_deadlocked" in sinks.got("mail")[0]["text"]


def test_drift_is_told_once_recorded_and_never_stops_the_copy(
    airflow: Airflow, sinks: Sinks, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ("log.fan (int) is not in the entry", "log.door (password=hunter2) is not\nin the entry")
    for _ in range(2):
        oncall.tell_drift(airflow.context(), "log", lines)

    (mail,) = sinks.got("mail")
    assert mail["subject"] == "[Wattline] inverterlog.store_days found unknown columns"
    assert "The source table of log has columns" in mail["text"]
    assert "Unknown: log.fan (int) is not in the entry" in mail["text"].splitlines()
    assert "Unknown: log.door (password=***) is not in the entry" in mail["text"].splitlines()
    assert "/tasks/store_days?try_number=4" in mail["text"]
    assert len(sinks.got("sms")) == 2
    notices = airflow.documents("oncall_notice")
    assert [(each["kind"], each["folded"]) for each in notices] == [("drift", False), ("drift", True)]
    assert airflow.documents("inverterlog_fail") == []

    for name in ("mail", "sms"):
        (sinks.folder / f"{name}.fail").touch()
    oncall.tell_drift(airflow.context(), "event", lines)
    assert "could not tell of drift" in caplog.text
    assert "inverterlog.store_days" in json.loads(airflow.variables[VARIABLE])["last_failed"]["failures"]
    assert [each["ok"] for each in airflow.documents("oncall_notice")[-1]["channels"]] == [False, False]


@pytest.mark.parametrize(
    ("run_type", "state", "messages"),
    [("scheduled", "running", 1), ("scheduled", "failed", 0), ("backfill", "queued", 0), ("manual", "running", 0)],
)
def test_only_a_live_run_that_has_not_failed_is_late(
    airflow: Airflow, sinks: Sinks, run_type: str, state: str, messages: int
) -> None:
    airflow.states = {"collect": "success", "store_log": "running"}
    run = {
        "dag_id": "inverterlog",
        "dag_run_id": RUN,
        "run_type": run_type,
        "state": state,
        "data_interval_start": START.isoformat(),
        "data_interval_end": END.isoformat(),
    }
    context = {"dag_run": run, "deadline": {"id": "1", "deadline_time": "2026-11-22T10:05:00Z"}}

    asyncio.run(oncall.late_run(context))
    asyncio.run(oncall.late_run(context))

    assert len(sinks.got("mail")) == messages
    assert [each["kind"] for each in airflow.documents("oncall_notice")] == ["late"] * 2 * messages
    assert airflow.documents("inverterlog_fail") == []
    if messages:
        assert "running, was due at 2026-11-22 10:05 UTC; at work: store_log" in sinks.got("mail")[0]["text"]


class FakeApi:
    """Airflow's REST API, as far as `wattline oncall status` asks it."""

    value: str | None = None

    def __init__(self, *login: str) -> None:
        """Take any login."""

    def __enter__(self) -> FakeApi:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def variable(self, key: str) -> str | None:
        """The Variable."""
        assert key == VARIABLE
        return self.value


def test_the_command_line_shows_who_was_told_and_fails_when_somebody_was_not(
    airflow: Airflow, sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "AirflowApi", FakeApi)
    run = CliRunner()
    assert "No notice yet" in run.invoke(cli.app, ["status"]).output
    oncall.notify_failure(airflow.context())
    good = run.invoke(cli.app, ["status"])
    (sinks.folder / "mail.fail").touch()
    airflow.variables.clear()
    with pytest.raises(NotificationError):
        oncall.notify_failure(airflow.context())
    bad = run.invoke(cli.app, ["status"])
    airflow.mongo_url = f"mongodb://{HOST}:{free_port()}/solar"
    with pytest.raises(NotificationError):
        oncall.notify_failure(airflow.context())
    monkeypatch.setattr(FakeApi, "value", airflow.variables[VARIABLE])
    unrecorded = run.invoke(cli.app, ["status"])

    assert (good.exit_code, bad.exit_code, unrecorded.exit_code) == (0, 1, 1)
    assert "sent to 2 of 2" in good.output
    assert "sent to 1 of 2" in bad.output
    assert "the newest notice did not reach every channel" in str(bad.exception)
    assert "not every channel was told of inverterlog.store_log" in str(unrecorded.exception)


def test_the_command_line_tries_every_channel(airflow: Airflow, sinks: Sinks) -> None:
    good = CliRunner().invoke(cli.app, ["test"])
    (sinks.folder / "mail.fail").touch()
    bad = CliRunner().invoke(cli.app, ["test"])

    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "is a test message" in sinks.got("mail")[0]["subject"]
    assert len(sinks.got("sms")) == 4
