"""Loads the forms of offline meters: files, a watched folder, or what was uploaded to MyEMS.

A form is stored in one transaction, and storing it again changes nothing; only then its file is put away. So a run that
is killed is put right by the next one. Of two forms with the same day the later one counts: forms are taken one by one,
in the order in which they came, by one run at a time.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from wattline.errors import BadInputError, TerminalError, TransientError
from wattline.meters import workbook
from wattline.meters.databases import Databases
from wattline.meters.myems import contract
from wattline.meters.offline_days import KIND, NOT_OVER, Rules, finding_rows, hourly_rows, judge, midnight
from wattline.meters.registry import hourly_places
from wattline.meters.settle import Change, known_findings, known_of, known_rows, settle
from wattline.meters.tables import HOURLY, VALUE
from wattline.meters.upgrade import require_unique
from wattline.meters.workbook import Finding, Form
from wattline.window import Window

DONE, ERROR = "done", "error"
"""Where a folder's files go, and what becomes of an upload's status: at least one day is stored, or none."""
SETTLED = timedelta(seconds=10)
"""A file that was written to less than this ago may not be whole; a later run takes it."""

Follow = Callable[[pl.DataFrame], object]
"""Takes offline_meter_id and start_datetime_utc of a form's slots when they are stored, before the form is put away: so
a run that is killed in between does it again."""

_LET_READ = "Let the user who runs this read and write it"
_HOURLY = HOURLY[KIND]
_METERS = contract("tbl_offline_meters", ("hourly_low_limit", "hourly_high_limit"))


@dataclass(frozen=True)
class Imported:
    """What became of a form.

    Attributes:
        name: its file's name.
        days: how many days of meters are stored.
        changed: offline_meter_id and start_datetime_utc of every row that was not there with this value, or is gone.
        findings: the cells that are not loaded.
    """

    name: str
    days: int
    changed: pl.DataFrame
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> str:
        """DONE or ERROR."""
        return DONE if self.days else ERROR

    def __str__(self) -> str:
        """A line for the form, and one for each finding."""
        return "\n".join([f"{self.name}: days stored: {self.days}", *map(str, self.findings)])


class Importer:
    """Loads forms into one installation.

    Args:
        databases: the installation.
        zone: IANA name of the site's time zone.
        minutes: length of a slot, 60 or 30.
        follow: called for each form that is stored.

    Raises:
        BadInputError: there is no such zone or slot.
        TerminalError: the hourly table has no unique key, or is none of MyEMS's.
    """

    def __init__(self, databases: Databases, zone: str, minutes: int, follow: Follow = lambda _: None) -> None:
        if minutes not in (30, 60):
            raise BadInputError(f"{minutes} is no slot", field="minutes", remedy="Give 60 or 30")
        require_unique(databases.energy, [KIND])
        self.databases = databases
        self._follow = follow
        self._rules = Rules(_zone(zone), minutes, min(hourly_places(databases.energy, KIND), VALUE.scale))

    def load(self, name: str, content: bytes) -> Imported:
        """Store the days of a form that can be stored, and findings for the others; empty cells lose their findings.

        Args:
            name: the file's, for messages.
            content: the workbook.

        Raises:
            TransientError: a server cannot be reached; nothing is stored.
            TerminalError: a table or a right is missing; nothing is stored.
        """
        try:
            form = workbook.read(content)
        except BadInputError as error:
            return _unreadable(name, error)
        meters = self.databases.system.read(_METERS)
        judged = judge(form, meters, self._rules, _now())
        changed = self._store(judged, meters)
        if not (judged.days or judged.findings):
            return _unreadable(name, BadInputError("no day has a value", remedy="Fill in the form and send it again"))
        return Imported(name, len(judged.days), changed, tuple(judged.findings))

    def _store(self, form: Form, meters: pl.DataFrame) -> pl.DataFrame:
        """Write rows and findings; `Imported.changed`."""
        energy, zone = self.databases.energy, self._rules.zone
        rows = hourly_rows(form.days, self._rules)
        findings = finding_rows(form, meters["id"], self._rules)
        stored = {(each.meter_id, each.day) for each in form.days}
        if not form.cells:
            return rows.select(_HOURLY.key)
        days = sorted(day for _, day in form.cells)
        window = Window(midnight(days[0], zone), midnight(days[-1] + timedelta(days=1), zone))
        ids = sorted({meter for meter, _ in stored})
        old = _of_days(known_rows(energy, KIND, ids, window), _HOURLY.key[0], stored, zone)
        to_come = known_of(energy, KIND, NOT_OVER, {meter for meter, _ in form.cells})
        known = _of_days(known_findings(energy, KIND, window), "meter_id", form.cells, zone)
        known = pl.concat([known, to_come]).unique(maintain_order=True)
        gone = old.join(rows, on=_HOURLY.key, how="anti")
        # Every row is written, also where it is there: of two runs at once the last one then counts as a whole.
        settle(energy, Change(KIND, rows, gone, findings, known))
        self._follow(pl.concat([rows, gone]).select(_HOURLY.key))
        changed = rows.join(old, on=_HOURLY.schema.names(), how="anti")
        return pl.concat([changed, gone]).select(_HOURLY.key).sort(_HOURLY.key)


def import_files(importer: Importer, paths: Iterable[Path]) -> list[Imported]:
    """Load forms in the given order; the files stay where they are.

    Raises:
        TransientError, TerminalError: as `Importer`; the files before are stored.
    """
    return [_load_file(importer, path) for path in paths]


def import_folder(importer: Importer, folder: Path, *, settled: timedelta = SETTLED) -> list[Imported]:
    """Load the forms that lie in a folder, the oldest first, and move each to `done/` or `error/` in it.

    A file with findings gets a text file of its name beside it that tells them. Hidden files, Excel's lock files
    (`~$…`) and files that were written to less than `settled` ago are left alone.

    Raises:
        TransientError: another run is at work in the folder. Or as `Importer`.
        TerminalError: the folder cannot be used. Or as `Importer`.
    """
    done = []
    try:
        with _alone_in(folder):
            for path in _waiting(folder, settled):
                done.append(_load_file(importer, path))
                _put_away(path, done[-1])
    except OSError as error:
        raise TerminalError(f"the folder of offline meters cannot be used: {error}. {_LET_READ}") from error
    return done


def import_uploads(importer: Importer) -> list[Imported]:
    """Load what waits in `tbl_offline_meter_files` with the status new, the oldest first; it becomes done or error.

    Raises:
        TransientError, TerminalError: as `Importer`; the upload keeps its status.
    """
    done = []
    while (upload := _next_upload(importer)) is not None:
        done.append(upload)
    return done


def _next_upload(importer: Importer) -> Imported | None:
    """The oldest upload, loaded; its row is locked meanwhile, so that another run waits and then takes the next one."""
    with importer.databases.historical.transaction() as cursor:
        cursor.execute(
            "SELECT id FROM tbl_offline_meter_files WHERE status = 'new' ORDER BY id LIMIT 1 FOR UPDATE",
        )
        found = cursor.fetchone()
        if found is None:
            return None
        cursor.execute("SELECT file_name, file_object FROM tbl_offline_meter_files WHERE id = %s", found)
        name, content = cursor.fetchone()
        loaded = importer.load(name, content)
        cursor.execute("UPDATE tbl_offline_meter_files SET status = %s WHERE id = %s", (loaded.outcome, *found))
    return loaded


def _load_file(importer: Importer, path: Path) -> Imported:
    try:
        with path.open("rb") as file:
            content = file.read(workbook.MAX_BYTES + 1)
    except OSError as error:
        return _unreadable(path.name, BadInputError(f"the file cannot be read: {error.strerror}", remedy=_LET_READ))
    return importer.load(path.name, content)


def _now() -> datetime:
    return datetime.now(UTC)


def _unreadable(name: str, error: BadInputError) -> Imported:
    problem = str(error).removesuffix(error.remedy).rstrip(". ")
    nothing = _HOURLY.schema.to_frame().select(_HOURLY.key)
    return Imported(name, 0, nothing, (Finding("", "unreadable", problem, error.remedy),))


def _of_days(rows: pl.DataFrame, meter: str, days: set[tuple[int, date]], zone: ZoneInfo) -> pl.DataFrame:
    """The rows that belong to one of the days of meters."""
    wanted = pl.DataFrame(list(days), schema={meter: pl.Int64(), "day": pl.Date()}, orient="row")
    day = pl.col("start_datetime_utc").dt.convert_time_zone(zone.key).dt.date()
    return rows.with_columns(day=day).join(wanted, on=[meter, "day"], how="semi").drop("day")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadInputError(
            f"{name!r} is no time zone", field="zone", remedy="Use an IANA name, e.g. Asia/Seoul"
        ) from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, which ends with the process at the latest."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(f"another run is loading the files of {folder}") from None
        yield
    finally:
        os.close(handle)


def _waiting(folder: Path, settled: timedelta) -> list[Path]:
    """The files to load, the oldest first."""
    latest = time.time() - settled.total_seconds()
    found = [(path.stat().st_mtime, path) for path in folder.iterdir() if path.is_file()]
    return [path for at, path in sorted(found) if at <= latest and not path.name.startswith((".", "~$"))]


def _put_away(path: Path, loaded: Imported) -> None:
    """Move a file, and tell its findings before: a killed run comes back to it."""
    target = path.parent / loaded.outcome
    target.mkdir(exist_ok=True)
    place, number = target / path.name, 1
    while place.exists():
        number += 1
        place = target / f"{path.stem}.{number}{path.suffix}"
    if loaded.findings:
        place.with_name(f"{place.name}.txt").write_text(f"{loaded}\n", encoding="utf-8")
    with suppress(FileNotFoundError):  # somebody took it away meanwhile
        path.rename(place)
