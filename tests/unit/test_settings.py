"""Settings: what is wrong with one is told by its name, without its value."""

from __future__ import annotations

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
