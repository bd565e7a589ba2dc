"""What `wattline generation check` tells: which days do not agree, and which nobody has checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import polars as pl

from wattline.migrate.entry import ORIGIN
from wattline.solar.summary_tables import GENERATION_CHECK
from wattline.solar.tables import DAY_GENERATION, PLANT
from wattline.storage.contract import MYSQL
from wattline.storage.store import Condition, Store

_ENDED_AND_CHECKED = timedelta(days=1, hours=12 + 3)
"""After a date's midnight UTC: the day is over in every time zone, and hours and summary have had three hours."""
_SPAN = timedelta(days=31)
_PLANT_DAY = ("mcno", "day")
_DAY_WITH_ORIGIN = replace(DAY_GENERATION, columns=(*DAY_GENERATION.columns, ORIGIN))


@dataclass(frozen=True)
class Verdicts:
    """What the checks say of the days since one of them.

    Attributes:
        checked: how many days of inverters and plants have a verdict.
        apart: `mcno, invno, day, explained_by, finding` of those that do not agree, in order of time.
        unchecked: `mcno, first, last, days` of plants with energy on days that are over and have no verdict.
    """

    checked: int
    apart: pl.DataFrame
    unchecked: pl.DataFrame

    @property
    def unexplained(self) -> int:
        """How many days do not agree without any reason."""
        return self.apart["explained_by"].null_count()


def verdicts(store: Store, since: date, now: datetime) -> Verdicts:
    """Read the verdicts on the days from `since` on.

    Only days that do not agree are read as a whole; of the others their number, and a month at once which they are.

    Args:
        store: MongoDB `solar`.
        since: a plant's local day.
        now: the present, UTC.
    """
    days = Condition("day", ">=", since)
    columns = ("mcno", "invno", "day", "explained_by", "finding")
    apart = store.read(GENERATION_CHECK, (days, Condition("agrees", "=", False)), columns)
    over, first, found = (now - _ENDED_AND_CHECKED).date(), since, [apart.select(_PLANT_DAY).clear()]
    while first <= over:
        found.append(_unchecked(store, first, min(first + _SPAN, over + timedelta(days=1))))
        first += _SPAN
    unchecked = (
        pl.concat(found).group_by("mcno").agg(first=pl.col("day").min(), last=pl.col("day").max(), days=pl.len())
    )
    return Verdicts(store.count(GENERATION_CHECK, (days,)), apart.sort("day", "mcno", "invno"), unchecked.sort("mcno"))


def _unchecked(store: Store, first: date, after: date) -> pl.DataFrame:
    """`mcno, day` of plants with energy and no verdict; days of the old system have no tick rows to check them by."""
    plants = (Condition("day", ">=", first), Condition("day", "<", after), Condition("invno", "=", PLANT))
    made = store.read(_DAY_WITH_ORIGIN, (*plants, Condition("daykw", ">", 0)), (*_PLANT_DAY, ORIGIN.name))
    ours = made.filter(pl.col(ORIGIN.name).ne_missing(MYSQL)).select(_PLANT_DAY)
    return ours.join(store.read(GENERATION_CHECK, plants, _PLANT_DAY), on=_PLANT_DAY, how="anti")
