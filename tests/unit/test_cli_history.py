"""`wattline history`: what it refuses, how it cuts, and that it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from wattline.airflow_api import AirflowApi
from wattline.cli import history as cli
from wattline.errors import BadInputError, TerminalError
from wattline.window import Window

START = datetime(2026, 11, 1, tzinfo=UTC)


def api_of(totals: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> AirflowApi:
    """A session with an Airflow that has so many runs of each state, and shows a page of them at most."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "x"})
        asked = request.url.params
        total = totals.get(asked["state"], 0)
        shown = [
            {"dag_id": "inverterlog", "dag_run_id": f"run{n}"} for n in range(min(total, int(asked["limit"]), 100))
        ]
        return httpx.Response(200, json={"dag_runs": shown, "total_entries": total})

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: real(transport=httpx.MockTransport(answer), **given))
    return AirflowApi("http://airflow.test", "admin", "x")


def test_it_ends_and_counts_however_many_runs_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def waited(_: float) -> Any:
        raise AssertionError("it waits for runs that are done")

    # Only the command's own: other threads of this process, such as those of a database's client, may sleep.
    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=waited))
    with (
        api_of({"failed": 150, "success": 50}, monkeypatch) as api,
        pytest.raises(TerminalError, match="150 of 200 runs failed: inverterlog/run0, "),
    ):
        cli._follow(api, "history_x", 200)


def test_a_window_that_is_not_over_is_refused_before_anything_is_queued() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(BadInputError, match=r"--to: .* is not over yet"):
        cli.history(["inverterlog"], START.isoformat(), tomorrow.isoformat())


def test_a_window_is_cut_without_hole_or_overlap() -> None:
    whole = Window(START, START + timedelta(hours=25))
    assert cli.split(whole, cli.parse_chunk("12h")) == [
        Window(START + timedelta(hours=low), START + timedelta(hours=high))
        for low, high in ((0, 12), (12, 24), (24, 25))
    ]
    assert cli.split(whole, cli.parse_chunk("2d")) == [whole]


@pytest.mark.parametrize("text", ["", "0d", "9m", "1w", "-1d", "1.5h", "10"])
def test_a_chunk_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="--chunk"):
        cli.parse_chunk(text)
