"""The sensor that holds a run back."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from wattline.errors import TransientError
from wattline_operators import wait
from wattline_operators.base import ERROR_KEY
from wattline_operators.wait import CoverageSensor

END = datetime(2026, 11, 1, 2, 10, tzinfo=UTC)


class _Task:
    def __init__(self, previous: str | None) -> None:
        self.previous = previous
        self.pushed: dict[str, str] = {}

    def get_first_reschedule_date(self, _: Any) -> None:
        return None

    def get_previous_dagrun(self) -> Any:
        return self.previous and SimpleNamespace(state=self.previous, run_id="before")

    def xcom_push(self, key: str, value: str) -> None:
        self.pushed[key] = value


def _context(previous: str | None = None) -> dict[str, Any]:
    interval = {"data_interval_start": END - timedelta(minutes=10), "data_interval_end": END}
    return {"ti": _Task(previous), "params": {}, **interval}


@pytest.fixture
def covered(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the manifests say."""
    answers = [True]
    monkeypatch.setattr("wattline.storage.coverage.covered", lambda *_: answers[0])
    monkeypatch.setattr(wait, "open_documents", lambda _: nullcontext())
    return answers


@pytest.mark.parametrize(
    ("previous", "in_order", "is_covered", "goes_on"),
    [
        (None, True, True, True),
        ("success", True, True, True),
        ("failed", True, True, True),
        ("running", True, True, False),
        ("running", False, True, True),
        ("success", True, False, False),
    ],
)
def test_it_waits_for_the_rows_and_for_the_run_before(
    covered: list[bool], previous: str | None, in_order: bool, is_covered: bool, goes_on: bool
) -> None:
    covered[0] = is_covered
    sensor = CoverageSensor(task_id="wait", table="reading", in_order=in_order)
    assert sensor.poke(_context(previous)) is goes_on


def test_an_error_leaves_its_line_and_a_pause_leaves_none(covered: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = CoverageSensor(task_id="wait", table="reading")
    context = _context()

    def away(_: Any) -> bool:
        raise TransientError("MongoDB: nobody home")

    monkeypatch.setattr(sensor, "poke", away)
    with pytest.raises(TransientError):
        sensor.execute(context)
    assert context["ti"].pushed == {ERROR_KEY: "TransientError: MongoDB: nobody home"}

    def paused(_: Any) -> bool:
        raise AirflowRescheduleException(END)

    later = _context()
    monkeypatch.setattr(sensor, "poke", paused)
    with pytest.raises(AirflowRescheduleException):
        sensor.execute(later)
    assert later["ti"].pushed == {}
