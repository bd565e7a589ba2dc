"""A simulated world in MyEMS's databases. Once begun, it goes on consistently.

Filling it again adds nothing, filling it later goes on where it ended, and after a kill the rest is added.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from wattline.errors import BadInputError
from wattline.meters.databases import Databases
from wattline.meters.demo_register import settings_frame, system_frames
from wattline.meters.fleet import DemoMeter, demo_meters
from wattline.meters.myems import READING, contract
from wattline.meters.simulate import readings
from wattline.meters.tables import SETTING
from wattline.storage.store import WriteResult, between
from wattline.window import Window

_ROWS_AT_ONCE = 250_000
"""How many readings are held in memory at a time: some 60 MB."""
_MARK = re.compile(r"; Wattline demo, seed (\d+), since (\S+)$")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class World:
    """Simulated meters in MyEMS's databases.

    Attributes:
        meters: they all begin at the same time.
        seed: the world's seed.
        since: when it began, a full hour in UTC.
    """

    meters: tuple[DemoMeter, ...]
    seed: int
    since: datetime

    @classmethod
    def open(cls, databases: Databases, count: int, seed: int, start: datetime) -> World:
        """The world of `count` meters that MyEMS holds, or one that begins at `start` (UTC; cut to the hour).

        Raises:
            BadInputError: MyEMS holds meters of its own, or a world of another seed, or one that begins after `start`.
            TransientError: a server cannot be reached.
        """
        begin = start.replace(minute=0, second=0, microsecond=0)
        since = _known_since(databases, seed) or begin
        if begin < since:
            raise BadInputError(
                f"the demo in this database begins at {since:%Y-%m-%dT%H:%MZ}",
                field="--days",
                remedy="Ask for fewer days, or use empty databases",
            )
        return cls(demo_meters(count, seed), seed, since)

    def register(self, databases: Databases) -> None:
        """Write the meters, their points and what is known of them; writing it again changes nothing."""
        mark = f"; Wattline demo, seed {self.seed}, since {self.since:%Y-%m-%dT%H:%MZ}"
        for name, rows in system_frames(self.meters, mark).items():
            databases.system.upsert(contract(name), rows)
        databases.energy.upsert(SETTING, settings_frame(self.meters))

    def windows(self, until: datetime) -> list[Window]:
        """The world's time up to `until`, in parts whose readings are held in memory at once."""
        length = max(_ROWS_AT_ONCE // (60 * len(self.meters)), 1) * _HOUR
        starts = [self.since + number * length for number in range(max(-(-(until - self.since) // length), 0))]
        return [Window(start, min(start + length, until)) for start in starts]

    def send(self, databases: Databases, window: Window, until: datetime) -> WriteResult:
        """Insert the readings of a window that are not there; `until` is where the world ends for now."""
        frame = readings(self.meters, self.seed, self.since, window, until)
        there = databases.historical.read(READING, between("utc_date_time", window.start, window.end), READING.key)
        missing = frame.join(there, on=READING.key, how="anti")
        written = databases.historical.upsert(READING, missing)
        return WriteResult(written.inserted, 0, frame.height - missing.height)


def _known_since(databases: Databases, seed: int) -> datetime | None:
    """When the world that MyEMS holds began; None where it holds no meters."""
    since = None
    known = databases.system.read(contract("tbl_meters", ["name", "description"]))
    for name, description in known.select("name", "description").iter_rows():
        mark = _MARK.search(description or "")
        if mark is None:
            raise BadInputError(
                f"this MyEMS has meters of its own, such as {name!r}",
                field="tbl_meters",
                remedy="Give the demo databases of its own",
            )
        if mark[1] != str(seed):
            raise BadInputError(
                f"the demo in this database is of seed {mark[1]}",
                field="--seed",
                remedy="Use that seed, or empty databases",
            )
        since = datetime.fromisoformat(mark[2])
    return since
