"""Forms of offline meters into a real database: from a folder, from uploads, killed and run twice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.integration.meter_rights import least_rights
from tests.integration.metering import Site
from tests.meter_forms import form
from wattline.errors import BadInputError, TerminalError, TransientError
from wattline.meters import myems, offline
from wattline.meters.offline import Imported, Importer, import_files, import_folder, import_uploads
from wattline.meters.tables import FINDING, HOURLY
from wattline.storage.contract import Table
from wattline.storage.mysql import MySQLStore

pytestmark = pytest.mark.integration

SEOUL, BERLIN = "Asia/Seoul", "Europe/Berlin"
_METER = (
    "INSERT INTO tbl_offline_meters (id, name, uuid, energy_category_id, is_counted, hourly_low_limit, "
    "hourly_high_limit, cost_center_id) VALUES (%s, 'Boiler', UUID(), 1, 1, 0, %s, 1)"
)
_UPLOAD = (
    "INSERT INTO tbl_offline_meter_files (file_name, uuid, upload_datetime_utc, status, file_object) "
    "VALUES (%s, UUID(), UTC_TIMESTAMP(), %s, %s)"
)
KEY = ("start_datetime_utc", "meter_id", "subject")


@pytest.fixture(scope="module")
def installation(module_mysql: str) -> Iterator[Site]:
    """An installation with the offline meters 7 and 8 of up to 100 an hour."""
    made = Site(module_mysql).create()
    made.sql(_METER, [(7, 100), (8, 100)])
    yield made
    made.databases.close()


@pytest.fixture
def site(installation: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The installation at the end of November 2026, without files, hours and findings."""
    monkeypatch.setattr(offline, "_now", lambda: datetime(2026, 11, 30, tzinfo=UTC))
    for table in ("tbl_offline_meter_files", "tbl_offline_meter_hourly", "meter_finding"):
        installation.sql(f"DELETE FROM {table}")
    return installation


def boiler(*days: Any, meter: int = 7, month: int = 10) -> bytes:
    return form({3: [meter, "Boiler", None, *days]}, month=month)


def put(folder: Path, name: str, content: bytes, age: float = 60) -> Path:
    """A file that was last written to `age` seconds ago."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def days(site: Site, meter: int = 7) -> dict[str, tuple[int, Decimal]]:
    """Local day in Seoul → its rows and their sum."""
    rows = site.databases.energy.read(HOURLY["offline_meter"]).filter(pl.col("offline_meter_id") == meter)
    local = pl.col("start_datetime_utc").dt.convert_time_zone(SEOUL).dt.strftime("%m-%d")
    summed = rows.group_by(local, maintain_order=True).agg(pl.len().alias("n"), pl.col("actual_value").sum())
    return {day: (count, total) for day, count, total in summed.rows()}


def subjects(site: Site) -> list[str]:
    return site.databases.energy.read(FINDING)["subject"].to_list()


def test_a_form_becomes_hours_that_add_up_and_again_changes_nothing(site: Site, tmp_path: Path) -> None:
    path = put(tmp_path, "oct.xlsx", boiler(10, None, 0.000001, "1000.000001"))
    (first,) = import_files(Importer(site.databases, SEOUL, 60), [path])
    assert (first.days, first.findings, first.outcome, first.changed.height) == (3, (), "done", 72)
    expected = {"10-01": (24, 10), "10-03": (24, Decimal("0.000001")), "10-04": (24, Decimal("1000.000001"))}
    assert days(site) == expected
    before = site.sql("SELECT * FROM tbl_offline_meter_hourly ORDER BY id")
    (again,) = import_files(Importer(site.databases, SEOUL, 60), [path])
    assert (again.days, again.changed.height) == (3, 0)
    assert site.sql("SELECT * FROM tbl_offline_meter_hourly ORDER BY id") == before
    assert path.exists()


def test_a_corrected_day_replaces_all_its_slots_and_no_other(site: Site, tmp_path: Path) -> None:
    import_files(Importer(site.databases, SEOUL, 30), [put(tmp_path, "a.xlsx", boiler(24, 24, 24))])
    assert days(site)["10-02"] == (48, 24)
    (done,) = import_files(Importer(site.databases, SEOUL, 60), [put(tmp_path, "b.xlsx", boiler(None, 12))])
    assert days(site) == {"10-01": (48, 24), "10-02": (24, 12), "10-03": (48, 24)}
    # The 24 half hours are gone; the whole hours have 0.5 as before.
    assert done.changed.height == 24


def test_a_day_of_25_hours_has_25_slots(site: Site, tmp_path: Path) -> None:
    content = boiler(*[None] * 24, 1)
    import_files(Importer(site.databases, BERLIN, 60), [put(tmp_path, "a.xlsx", content)])
    rows = site.databases.energy.read(HOURLY["offline_meter"])
    assert (rows.height, rows["actual_value"].sum()) == (25, 1)
    assert str(rows["start_datetime_utc"].min()) == "2026-10-24 22:00:00+00:00"


def test_findings_stand_until_the_day_is_right(site: Site, tmp_path: Path) -> None:
    content = form({3: [7, "Boiler", None, 1, -1, 99999], 4: [9, "Lost", None, 1], 5: [8, "Pump", None, "?"]})
    (done,) = import_files(Importer(site.databases, SEOUL, 60), [put(tmp_path, "a.xlsx", content)])
    assert [each.cell for each in done.findings] == ["E3", "D5", "F3", "A4"]
    found = site.databases.energy.read(FINDING).sort(KEY)
    assert found.select("meter_id", "subject").rows() == [
        (8, "not_a_number"),
        (7, "negative"),
        (7, "above_high_limit"),
    ]
    assert found["detail"][2].startswith("F3: 99999 in 24 hours is above the hourly high limit 100")
    import_files(Importer(site.databases, SEOUL, 60), [put(tmp_path, "b.xlsx", boiler(None, 2, -3))])
    assert subjects(site) == ["negative", "not_a_number"]
    import_files(Importer(site.databases, SEOUL, 60), [put(tmp_path, "c.xlsx", boiler(None, None, 3))])
    assert subjects(site) == ["not_a_number"]


def test_a_wrong_cell_that_is_emptied_loses_its_finding_and_a_stored_day_stays(site: Site, tmp_path: Path) -> None:
    importer = Importer(site.databases, SEOUL, 60)
    other = form({3: [7, "Boiler", None, -1]}, month=9)
    both = form({3: [7, "Boiler", None, 1, -1, *[None] * 28, "?"], 4: [8, "Pump", None, "?"]})
    import_files(importer, [put(tmp_path, "a.xlsx", other), put(tmp_path, "b.xlsx", both)])
    assert subjects(site) == ["negative", "negative", "not_a_number", "not_a_number"]
    import_files(importer, [put(tmp_path, "c.xlsx", boiler(None, None, 3))])
    assert days(site) == {"10-01": (24, 1), "10-03": (24, 3)}
    # Those of another month and of another meter are not of the form's cells.
    left = site.databases.energy.read(FINDING).sort(KEY).select("meter_id", "subject").rows()
    assert left == [(7, "negative"), (8, "not_a_number")]
    (empty,) = import_files(importer, [put(tmp_path, "d.xlsx", form({3: [7, "Boiler"], 4: [8, "Pump"]}))])
    assert (empty.outcome, [each.subject for each in empty.findings]) == ("error", ["unreadable"])
    assert site.databases.energy.read(FINDING)["meter_id"].to_list() == [7]


def test_a_day_that_is_not_over_is_told_until_the_meter_is_right(site: Site, tmp_path: Path) -> None:
    importer = Importer(site.databases, SEOUL, 60)
    (wrong,) = import_files(importer, [put(tmp_path, "a.xlsx", form({3: [7, "Boiler", None, 1]}, year=2035))])
    assert (wrong.outcome, days(site), subjects(site)) == ("error", {}, ["not_over"])
    assert str(wrong.findings[0]).startswith("D3: 2035-10-01 is not over yet. Send the form again when it is, or")
    # It is the 30th, 9 o'clock, in Seoul.
    content = boiler(*[None] * 28, 1, 1, month=11)
    (done,) = import_files(importer, [put(tmp_path, "b.xlsx", content)])
    assert ([each.cell for each in done.findings], days(site)) == (["AG3"], {"11-29": (24, 1)})
    assert site.databases.energy.read(FINDING)["start_datetime_utc"].dt.year().to_list() == [2026]


def test_the_column_of_an_older_installation_is_filled_exactly(
    fresh_mysql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline, "_now", lambda: datetime(2026, 11, 30, tzinfo=UTC))
    old = Site(fresh_mysql).create(places=3)
    old.sql(_METER, [(7, 100)])
    import_files(Importer(old.databases, SEOUL, 60), [put(tmp_path, "a.xlsx", boiler("10.0006", "0.001"))])
    assert days(old) == {"10-01": (24, Decimal("10.001")), "10-02": (24, Decimal("0.001"))}
    old.databases.close()


def test_a_table_without_unique_key_is_refused(fresh_mysql: str) -> None:
    myems.create(fresh_mysql, fresh_mysql, fresh_mysql)
    bare = Site(fresh_mysql)
    with pytest.raises(TerminalError, match="wattline meters upgrade"):
        import_files(Importer(bare.databases, SEOUL, 60), [])
    bare.databases.close()


@pytest.mark.parametrize(("zone", "minutes", "field"), [("Mars/Olympus", 60, "zone"), (SEOUL, 15, "minutes")])
def test_a_wrong_setting_is_named(site: Site, zone: str, minutes: int, field: str) -> None:
    with pytest.raises(BadInputError, match=f"^{field}: "):
        import_files(Importer(site.databases, zone, minutes), [])


def test_a_folder_is_emptied_oldest_first_and_says_why(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "offline"
    put(folder, "b_first.xlsx", boiler(1, -1), age=90)
    put(folder, "a_last.xlsx", boiler(2), age=30)
    put(folder, "none.xlsx", boiler(None), age=50)
    put(folder, "list.csv", b"7;Boiler;1", age=55)
    put(folder, "~$open.xlsx", b"", age=50)
    put(folder, ".hidden", b"", age=50)
    put(folder, "half.xlsx", boiler(3)[:500], age=1)
    done = import_folder(Importer(site.databases, SEOUL, 60), folder)
    assert [(each.name, each.outcome) for each in done] == [
        ("b_first.xlsx", "done"),
        ("list.csv", "error"),
        ("none.xlsx", "error"),
        ("a_last.xlsx", "done"),
    ]
    assert days(site) == {"10-01": (24, 2)}
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert left == [
        ".hidden",
        "done/a_last.xlsx",
        "done/b_first.xlsx",
        "done/b_first.xlsx.txt",
        "error/list.csv",
        "error/list.csv.txt",
        "error/none.xlsx",
        "error/none.xlsx.txt",
        "half.xlsx",
        "~$open.xlsx",
    ]
    assert (
        (folder / "done/b_first.xlsx.txt").read_text().startswith("b_first.xlsx: days stored: 1\nE3: -1 is negative.")
    )
    assert "no .xlsx workbook" in (folder / "error/list.csv.txt").read_text()
    assert "no day has a value" in (folder / "error/none.xlsx.txt").read_text()


def test_who_knows_that_files_are_whole_need_not_wait(site: Site, tmp_path: Path) -> None:
    put(tmp_path, "oct.xlsx", boiler(1), age=0)
    assert import_folder(Importer(site.databases, SEOUL, 60), tmp_path) == []
    assert len(import_folder(Importer(site.databases, SEOUL, 60), tmp_path, settled=timedelta(0))) == 1


def test_a_file_of_the_same_name_is_kept_beside_the_first(site: Site, tmp_path: Path) -> None:
    for value in (1, 2, 3):
        put(tmp_path, "oct.xlsx", boiler(value))
        import_folder(Importer(site.databases, SEOUL, 60), tmp_path)
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == ["oct.2.xlsx", "oct.3.xlsx", "oct.xlsx"]
    assert days(site) == {"10-01": (24, 3)}


class Killed(BaseException):
    pass


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, nth: int = 1) -> None:
    """End the process, so to speak, at the `nth` call of a function."""
    original, calls = getattr(owner, name), iter(range(1, 1_000))

    def instead(*given: Any, **named: Any) -> Any:
        if next(calls) == nth:
            raise Killed
        return original(*given, **named)

    monkeypatch.setattr(owner, name, instead)


@pytest.mark.parametrize(
    ("moment", "stored"),
    [
        ((offline, "settle", 1), {}),
        ((MySQLStore, "upsert", 1), {}),
        ((MySQLStore, "upsert", 2), {}),
        ((offline, "_put_away", 1), {"10-01": (24, 1)}),
        ((Path, "rename", 1), {"10-01": (24, 1)}),
        ((Path, "rename", 2), {"10-01": (24, 2)}),
    ],
)
def test_a_run_that_is_killed_anywhere_is_put_right_by_the_next(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: tuple[Any, str, int], stored: object
) -> None:
    put(tmp_path, "a.xlsx", boiler(1, -1), age=90)
    put(tmp_path, "b.xlsx", boiler(2, -1), age=30)
    with monkeypatch.context() as patch:
        killed_at(patch, *moment)
        with pytest.raises(Killed):
            import_folder(Importer(site.databases, SEOUL, 60), tmp_path)
    assert days(site) == stored
    import_folder(Importer(site.databases, SEOUL, 60), tmp_path)
    assert days(site) == {"10-01": (24, 2)}
    assert subjects(site) == ["negative"]
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == [
        "a.xlsx",
        "a.xlsx.txt",
        "b.xlsx",
        "b.xlsx.txt",
    ]


def test_two_runs_in_one_folder_are_refused(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.xlsx", boiler(1))
    refused: list[BaseException] = []

    def load(importer: Importer, name: str, content: bytes) -> Imported:
        with pytest.raises(TransientError, match="another run") as caught:
            import_folder(Importer(site.databases, SEOUL, 60), tmp_path)
        refused.append(caught.value)
        return original(importer, name, content)

    original = Importer.load
    monkeypatch.setattr(Importer, "load", load)
    assert [each.days for each in import_folder(Importer(site.databases, SEOUL, 60), tmp_path)] == [1]
    assert len(refused) == 1


def test_a_folder_that_cannot_be_used_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TerminalError, match="file"):
        import_folder(Importer(site.databases, SEOUL, 60), tmp_path / "file")


def test_uploads_are_loaded_in_order_and_get_myems_status(site: Site) -> None:
    uploads = [
        ("a.xlsx", boiler(1)),
        ("b.xlsx", b"nonsense"),
        ("c.xlsx", boiler(2, -1)),
        ("d.xlsx", boiler(-1, meter=8)),
    ]
    site.sql(_UPLOAD, [("old.xlsx", "done", boiler(9)), *((name, "new", content) for name, content in uploads)])
    done = import_uploads(Importer(site.databases, SEOUL, 60))
    assert [(each.name, each.days) for each in done] == [("a.xlsx", 1), ("b.xlsx", 0), ("c.xlsx", 1), ("d.xlsx", 0)]
    statuses = [status for (status,) in site.sql("SELECT status FROM tbl_offline_meter_files ORDER BY id")]
    assert statuses == ["done", "done", "error", "done", "error"]
    assert days(site) == {"10-01": (24, 2)}
    assert import_uploads(Importer(site.databases, SEOUL, 60)) == []


def test_an_upload_keeps_its_status_until_it_is_stored(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.sql(_UPLOAD, [("a.xlsx", "new", boiler(1)), ("b.xlsx", "new", boiler(2))])

    def gone(_: MySQLStore, table: Table, frame: pl.DataFrame) -> None:
        raise TransientError("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr(MySQLStore, "upsert", gone)
        with pytest.raises(TransientError):
            import_uploads(Importer(site.databases, SEOUL, 60))
    assert site.sql("SELECT DISTINCT status FROM tbl_offline_meter_files") == [("new",)]
    assert len(import_uploads(Importer(site.databases, SEOUL, 60))) == 2
    assert days(site) == {"10-01": (24, 2)}


def test_the_pipelines_users_may_do_this(site: Site) -> None:
    site.sql(_UPLOAD, [("a.xlsx", "new", boiler(1, -1)), ("b.xlsx", "new", boiler(None, 2))])
    with closing(least_rights(site.url)) as databases:
        assert [each.outcome for each in import_uploads(Importer(databases, SEOUL, 30))] == ["done", "done"]
        assert import_uploads(Importer(databases, SEOUL, 60)) == []
    assert days(site) == {"10-01": (48, 1), "10-02": (48, 2)}


def test_of_two_runs_at_once_the_newest_upload_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.sql(_UPLOAD, [("a.xlsx", "new", boiler(1)), ("b.xlsx", "new", boiler(2))])
    loading, go_on, original = threading.Event(), threading.Event(), Importer.load

    def load(importer: Importer, name: str, content: bytes) -> Imported:
        if not loading.is_set():
            loading.set()
            go_on.wait(20)
        return original(importer, name, content)

    monkeypatch.setattr(Importer, "load", load)
    other = Site(site.url)
    with closing(other.databases), ThreadPoolExecutor(2) as pool:
        slow = pool.submit(import_uploads, Importer(site.databases, SEOUL, 60))
        assert loading.wait(20)
        quick = pool.submit(import_uploads, Importer(other.databases, SEOUL, 60))
        time.sleep(0.5)
        go_on.set()
        names = [each.name for run in (slow, quick) for each in run.result(30)]
    assert sorted(names) == ["a.xlsx", "b.xlsx"]
    assert days(site) == {"10-01": (24, 2)}
