"""A client for the few calls of Airflow's public REST API that the command line makes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import httpx

from wattline.errors import TerminalError, TransientError
from wattline.window import Window


@dataclass(frozen=True)
class RunCounts:
    """How many runs of a batch are in which state, and the ids `dag_id/run_id` of some failed ones."""

    succeeded: int
    failed: int
    some_failed: tuple[str, ...]


class AirflowApi:
    """A session with Airflow's REST API, logged in as one user.

    Args:
        url: address of the API server, e.g. `http://localhost:8080`.
        user: name of the user.
        password: its password.

    Raises:
        TransientError: Airflow does not answer, or answers with a server error.
        TerminalError: Airflow refuses: wrong login, unknown DAG.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60)
        token = self._call("POST", "/auth/token", {"username": user, "password": password})["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def require_dag(self, dag_id: str) -> None:
        """Refuse a DAG that Airflow does not know."""
        self.get(f"/api/v2/dags/{dag_id}")

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run a DAG."""
        self.patch(f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, window: Window, run_after: datetime) -> None:
        """Queue one run that computes `window`; runs start in the order of `run_after`."""
        conf = {"from": window.start.isoformat(), "to": window.end.isoformat()}
        body = {"logical_date": None, "dag_run_id": run_id, "conf": conf, "run_after": run_after.isoformat()}
        self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)

    def counts(self, batch: str) -> RunCounts:
        """The state of the runs, of any DAG, whose id contains `batch`."""
        failed = self._runs(batch, "failed", 5)
        return RunCounts(
            succeeded=self._runs(batch, "success", 1)["total_entries"],
            failed=failed["total_entries"],
            some_failed=tuple(f"{run['dag_id']}/{run['dag_run_id']}" for run in failed["dag_runs"]),
        )

    def get(self, path: str) -> dict[str, Any]:
        """The answer to any reading call, e.g. `/api/v2/dags`."""
        return self._call("GET", path, None)

    def variable(self, key: str) -> str | None:
        """The value of an Airflow Variable, None where there is none."""
        found = self._call("GET", f"/api/v2/variables?variable_key_pattern={key}&limit=100", None)["variables"]
        return next((entry["value"] for entry in found if entry["key"] == key), None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to any creating call, e.g. `/api/v2/backfills`."""
        return self._call("POST", path, body)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to any changing call, e.g. `/api/v2/dags/{dag_id}`."""
        return self._call("PATCH", path, body)

    def _runs(self, batch: str, state: str, limit: int) -> dict[str, Any]:
        return self.get(f"/api/v2/dags/~/dagRuns?run_id_pattern={batch}&state={state}&limit={limit}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            where = self._client.base_url
            raise TransientError(f"Airflow does not answer at {where}: {error}. Is it up (make status)?") from error
        if answer.is_server_error:
            raise TransientError(f"Airflow answered {answer.status_code} to {method} {path.partition('?')[0]}")
        if answer.is_error:
            raise TerminalError(f"Airflow refused {method} {path.partition('?')[0]}: {_detail(answer)}")
        result: dict[str, Any] = answer.json()
        return result


def _detail(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail", "")
    except ValueError:
        detail = ""
    return f"{answer.status_code} {detail or answer.reason_phrase}"
