"""What `wattline generation` shows of a plant: its hours, days or months, and its inverters beside their median."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal, cast
from zoneinfo import ZoneInfo

import polars as pl

from wattline.errors import BadInputError
from wattline.solar.history_command import history_command
from wattline.solar.legacy_tables import TIME_GENERATION
from wattline.solar.performance import LEAST_PEERS
from wattline.solar.summary_tables import DAY_PERFORMANCE, GENERATION_CHECK, PERIOD_GENERATION
from wattline.solar.tables import CUSTOMER, DAY_GENERATION, PLANT, TICK_ROW
from wattline.storage.store import Condition, Store, between

Length = Literal["day", "month", "year"]
_SHOWN_NUMBERS = 10
_NEXT = {"day": "1d", "month": "1mo", "year": "1y"}


@dataclass(frozen=True)
class Site:
    """A plant: number, name, and the zone that defines its days."""

    mcno: int
    name: str
    zone: ZoneInfo


@dataclass(frozen=True)
class Period:
    """Local days from `first` to the one before `after`."""

    first: date
    after: date


@dataclass(frozen=True)
class Generation:
    """The figures of a plant over a local day, month or year.

    Attributes:
        parts: `label, energy` (kWh), `note` of its hours, days or months, in order of time.
        total: `energy` (kWh), `capacity_kw, specific_yield, running_hours` and, of a day, `irradiation,
            irradiance_coverage, performance_ratio`; empty where the summary has not come there.
        inverters: `invno, energy, capacity_kw, specific_yield, running_hours, peer_deviation` (a share).
        findings: what does not agree, one line each.
    """

    parts: pl.DataFrame
    total: dict[str, float | Decimal | None]
    inverters: pl.DataFrame
    findings: list[str]


def find_site(store: Store, mcno: int) -> Site:
    """The plant `mcno` of MySQL `customer`.

    Raises:
        BadInputError: there is none, or its time zone is no time zone.
    """
    found = store.read(CUSTOMER, (Condition("mcno", "=", mcno),), ("mcno", "name", "timezone"))
    if found.is_empty():
        numbers = store.read(CUSTOMER, columns=("mcno",))["mcno"].cast(pl.String).to_list()
        shown = [*numbers[:_SHOWN_NUMBERS], *(["…"] if len(numbers) > _SHOWN_NUMBERS else [])]
        remedy = f"Take one of {', '.join(shown)}" if numbers else "MySQL `customer` holds no plant at all"
        raise BadInputError(f"there is no plant {mcno}", field="MCNO", remedy=remedy)
    _, name, zone = found.row(0)
    try:
        return Site(mcno, name, ZoneInfo(zone))
    except (KeyError, ValueError, OSError) as error:
        raise BadInputError(
            f"plant {mcno} has the time zone {zone!r}", field="timezone", remedy="Correct it in MySQL `customer`"
        ) from error


def generation(store: Store, site: Site, length: Length, first: date) -> Generation:
    """What the local day, month or year that begins with `first` made.

    Args:
        store: MongoDB `solar`.
        site: the plant.
        length: of the period.
        first: its first day.

    Raises:
        BadInputError: nothing is stored of it.
    """
    here = Condition("mcno", "=", site.mcno)
    shown = _day(store, site, here, first) if length == "day" else _period(store, here, length, first)
    if shown.parts.is_empty() and not shown.total:
        raise BadInputError(
            f"nothing is stored of plant {site.mcno} on {first}"
            if length == "day"
            else f"nothing is stored of plant {site.mcno} in that {length}",
            field="MCNO",
            remedy=_remedy(store, site, here, Period(first, _after(first, length))),
        )
    return shown


def _remedy(store: Store, site: Site, here: Condition, period: Period) -> str:
    """The command that brings what is missing of a period, and computes nothing else again.

    Days that are there, those of the old system too, are only to be summed up. One of them does: it brings its month,
    and the whole of a year that has no row yet.
    """
    inside = (Condition("day", ">=", period.first), Condition("day", "<", period.after))
    made = store.read(DAY_GENERATION, (here, *inside), ("day",))
    if made.height:
        first = cast("date", made["day"].min())
        period = Period(first, first + timedelta(days=1))
    start, end = (_midnight(each, site) for each in (period.first, period.after))
    ticks = made.height and store.count(TICK_ROW, (here, Condition("at", ">", start), Condition("at", "<=", end)))
    missing = ["generation_summary"] if made.height else ["inverterlog", "time_generation", "generation_summary"]
    command = history_command(["time_generation", *missing] if ticks else missing, start, end)
    return f"Run `{command}`" if command else "It lies ahead"


def _midnight(day: date, site: Site) -> datetime:
    return datetime.combine(day, time(), site.zone).astimezone(UTC)


def _after(first: date, length: Length) -> date:
    """The first day after a period."""
    return cast("date", pl.Series([first]).dt.offset_by(_NEXT[length]).item())


def _day(store: Store, site: Site, here: Condition, day: date) -> Generation:
    start, end = (_midnight(each, site) for each in (day, day + timedelta(days=1)))
    plant = Condition("invno", "=", PLANT)
    hours = store.read(TIME_GENERATION, (here, plant, *between("start", start, end)))
    no_data = pl.when(pl.col("fresh_ticks") == 0).then(pl.lit("no data"))
    gap = pl.when("spans_gap").then(pl.lit("holds energy of a gap"))
    reset = pl.when("counter_reset").then(pl.lit("counter reset"))
    parts = hours.select(
        label=pl.col("start").dt.convert_time_zone(site.zone.key).dt.strftime("%H:%M"),
        energy="timekw",
        note=pl.concat_str(no_data, gap, reset, separator=", ", ignore_nulls=True),
    )
    on = Condition("day", "=", day)
    rows = store.read(DAY_PERFORMANCE, (here, on))
    return Generation(parts, _total(rows), rows.filter(pl.col("invno") != PLANT), _findings(store, here, on))


def _period(store: Store, here: Condition, length: Length, first: date) -> Generation:
    after = _after(first, length)
    rows = store.read(PERIOD_GENERATION, (here, Condition("period", "=", length), Condition("start", "=", first)))
    inside = Condition("day", ">=", first), Condition("day", "<", after)
    parts = _days(store, here, inside) if length == "month" else _months(store, here, first, after)
    return Generation(parts, _total(rows), _beside_median(rows), _findings(store, here, *inside))


def _days(store: Store, here: Condition, inside: tuple[Condition, Condition]) -> pl.DataFrame:
    plant = Condition("invno", "=", PLANT)
    energy = store.read(DAY_GENERATION, (here, plant, *inside))
    ratio = store.read(DAY_PERFORMANCE, (here, plant, *inside), ("day", "performance_ratio"))
    rows = energy.join(ratio, on="day", how="left", maintain_order="left")
    note = pl.format("performance ratio {}", pl.col("performance_ratio").round(2))
    return rows.select(label=pl.col("day").dt.strftime("%d %a"), energy="daykw", note=note.fill_null(""))


def _months(store: Store, here: Condition, first: date, after: date) -> pl.DataFrame:
    where = (Condition("period", "=", "month"), Condition("start", ">=", first), Condition("start", "<", after))
    rows = store.read(PERIOD_GENERATION, (here, Condition("invno", "=", PLANT), *where))
    days = pl.format("{} days", "days")
    return rows.select(label=pl.col("start").dt.strftime("%b"), energy="energy", note=days)


def _total(rows: pl.DataFrame) -> dict[str, float | Decimal | None]:
    plant = rows.filter(pl.col("invno") == PLANT)
    return plant.row(0, named=True) if plant.height else {}


def _beside_median(rows: pl.DataFrame) -> pl.DataFrame:
    """The inverters of a period with their deviation from the median."""
    inverters = rows.filter(pl.col("invno") != PLANT)
    median = inverters["specific_yield"].median()
    several = inverters["specific_yield"].count() >= LEAST_PEERS and bool(median)
    share = pl.col("specific_yield") / cast("float", median) - 1 if several else pl.lit(None, pl.Float64)
    return inverters.with_columns(peer_deviation=share)


def _findings(store: Store, here: Condition, *days: Condition) -> list[str]:
    rows = store.read(GENERATION_CHECK, (here, *days, Condition("agrees", "=", False)), ("day", "invno", "finding"))
    return rows.sort("day", "invno")["finding"].to_list()
