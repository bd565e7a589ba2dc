"""Which window a run computes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from wattline.errors import BadInputError
from wattline.window import Window
from wattline_operators.base import window_of

STEP = timedelta(minutes=10)
START = datetime(2026, 11, 1, tzinfo=UTC)


def context(params: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"params": params or {}, "dag_run": SimpleNamespace(run_after=START + timedelta(minutes=13)), **more}


def test_parameters_win_over_the_interval_and_the_interval_over_the_last_closed_step() -> None:
    interval = {"data_interval_start": START, "data_interval_end": START + STEP}
    given = {"from": "2026-10-01T00:00Z", "to": "2026-10-02T09:00+09:00"}
    october = Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC))
    assert window_of(context(given, **interval), STEP) == october
    assert window_of(context(**interval), STEP) == Window(START, START + STEP)
    assert window_of(context(), STEP) == Window(START, START + STEP)


def test_a_window_that_is_not_over_is_refused() -> None:
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with pytest.raises(BadInputError, match=r"to: .* is not over yet"):
        window_of(context({"from": START.isoformat(), "to": end}), STEP)


def test_one_end_alone_is_refused() -> None:
    with pytest.raises(BadInputError, match="Give both"):
        window_of(context({"from": START.isoformat()}), STEP)


def test_ends_between_the_ticks_are_refused() -> None:
    given = {"from": "2026-10-01T00:05Z", "to": "2026-10-01T00:30Z"}
    with pytest.raises(BadInputError, match=r"from/to: .* is off the grid\. Give ends at full 10 minutes"):
        window_of(context(given), STEP)
