from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wattline.errors import TerminalError, TransientError
from wattline.storage.contract import ENERGY, UTC_TIME
from wattline.storage.staging import Staging

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # Airflow's plugin finder
FRAME = pl.DataFrame(
    {"at": [datetime(2026, 11, 1, 0, 10, 0, 1, UTC), None], "daykw": [Decimal("999999999999.999999"), None]},
    schema={"at": UTC_TIME, "daykw": ENERGY},
)
RUN = "inverterlog/scheduled__2026-11-01T00:10:00+00:00"


@pytest.fixture(params=["local", "memory"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "local":
        return tmp_path / "staging"
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    attach("memory", fs=MemoryFileSystem())
    return ObjectStoragePath(f"memory://wattline/{tmp_path.name}")


def files(folder: Any) -> list[str]:
    return sorted(file.name for run in folder.iterdir() for file in run.iterdir())


def test_a_frame_comes_back_as_it_was(base: Any) -> None:
    where = Staging(base, RUN).write("readings", FRAME)
    assert where.startswith(str(base))
    assert where.endswith("/readings.parquet")
    assert Staging(base, RUN).read("readings").equals(FRAME)
    assert Staging(base, RUN).read("readings").schema == FRAME.schema


def test_it_says_whether_a_frame_is_there(base: Any) -> None:
    staging = Staging(base, RUN)
    assert not staging.holds("readings")
    staging.write("readings", FRAME)
    assert staging.holds("readings")
    staging.clear()
    assert not staging.holds("readings")


def test_the_last_write_counts_and_leaves_one_file(base: Any) -> None:
    staging = Staging(base, RUN)
    staging.write("readings", FRAME)
    staging.write("readings", FRAME.head(1))
    assert staging.read("readings").height == 1
    assert files(base) == ["readings.parquet"]


def test_runs_do_not_see_each_other(base: Any) -> None:
    first, second = Staging(base, "inverterlog/a:b"), Staging(base, "inverterlog/a+b")
    first.write("readings", FRAME)
    second.write("readings", FRAME.head(1))
    first.clear()
    assert second.read("readings").height == 1
    with pytest.raises(TerminalError, match="clear the task"):
        first.read("readings")


def test_clearing_removes_everything_and_can_be_repeated(base: Any) -> None:
    staging = Staging(base, RUN)
    staging.write("readings", FRAME)
    staging.write("state", FRAME)
    staging.clear()
    staging.clear()
    assert not base.exists() or list(base.iterdir()) == []


def test_a_killed_write_leaves_no_frame(base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    staging = Staging(base, RUN)
    staging.write("readings", FRAME)

    class KilledError(BaseException):
        pass

    def die(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(type(base), "replace", die)
    with pytest.raises(KilledError):
        staging.write("readings", FRAME.head(1))
    with pytest.raises(KilledError):
        staging.write("state", FRAME)
    assert staging.read("readings").equals(FRAME)
    with pytest.raises(TerminalError, match="'state'"):
        staging.read("state")
    staging.clear()


@pytest.mark.parametrize("name", ["", "../readings", "a/b", "a.b", "읽기"])
def test_a_name_cannot_leave_the_folder(base: Any, name: str) -> None:
    with pytest.raises(TerminalError, match="no name of a frame"):
        Staging(base, RUN).write(name, FRAME)


@pytest.mark.parametrize("run_key", ["..", "/etc/passwd", "x" * 1000, "a b\n", ""])
def test_any_text_is_a_run_key(tmp_path: Path, run_key: str) -> None:
    Staging(tmp_path, run_key).write("readings", FRAME)
    (folder,) = tmp_path.iterdir()
    assert files(tmp_path) == ["readings.parquet"]
    assert len(folder.name) < 120


def test_a_folder_that_fails_may_work_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TransientError, match="staging folder"):
        Staging(tmp_path / "file", RUN).write("readings", FRAME)
