"""Settings: what is wrong with one is told by its name, without its value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from wattline.cli import oncall
from wattline.errors import BadInputError
from wattline.settings import settings


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.cache_clear()
    monkeypatch.delenv("WATTLINE_ENV_FILE", raising=False)


@pytest.mark.parametrize(("name", "value"), [("MAX_BAD_SHARE", "hunter2"), ("RETRY_SECONDS", "0")])
def test_a_value_that_does_not_fit_is_told_by_the_name_of_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"WATTLINE_{name}", value)
    with pytest.raises(BadInputError, match=f"WATTLINE_{name}: Input should be") as error:
        settings()
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["mongodb://user:hun/ter2@host/solar", "mongodb://user:hun@ter2@host/solar", "ter2"])
def test_a_url_that_cannot_be_read_is_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTLINE_MONGO_URL", url)
    result = CliRunner().invoke(oncall.app, ["status"])
    settings.cache_clear()
    assert isinstance(result.exception, BadInputError)
    assert "ter2" not in f"{result.exception}{result.output}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("METERS_MINUTES_TO_COUNT", "90", "less than or equal to 60"),
        ("METERS_MINUTES_TO_COUNT", "45", "multiple of 30"),
        ("METERS_START", "2026-01-01T00:00", "timezone"),
        ("METERS_ZONE", "Mars/Olympus", "IANA"),
        ("METERS_ZONE", "../etc/passwd", "IANA"),
        ("METERS_MODE", "lenient", "'strict' or 'recover'"),
    ],
)
def test_the_meters_settings_take_what_the_rule_can_count_with(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"WATTLINE_{name}", value)
    with pytest.raises(BadInputError, match=said) as error:
        settings()
    settings.cache_clear()
    assert f"WATTLINE_{name}" in str(error.value)


@pytest.mark.parametrize(
    ("count", "clean", "cron"),
    [
        ("60", "30", "30 * * * *"),
        ("60", "0", "0 * * * *"),
        ("60", "95", "35 * * * *"),
        ("30", "30", "0,30 * * * *"),
        ("30", "10", "10,40 * * * *"),
    ],
)
def test_the_meters_runs_begin_when_a_slots_readings_had_time_to_be_cleaned(
    count: str, clean: str, cron: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATTLINE_METERS_MINUTES_TO_COUNT", count)
    monkeypatch.setenv("WATTLINE_METERS_MINUTES_TO_CLEAN", clean)
    monkeypatch.setenv("WATTLINE_METERS_START", "2026-11-01T09:00+09:00")
    given = settings()
    settings.cache_clear()
    assert given.meters_cron == cron
    assert given.meters_start == datetime(2026, 11, 1, tzinfo=UTC)
    assert given.meters_start.utcoffset() == timedelta(0)
