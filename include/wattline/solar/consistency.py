"""Whether a day's figures agree: the sum of its hours, its day counter, and the growth of its lifetime counter.

Hours and growth come of the same counter, so they agree unless hours are missing. The day counter is another one: it
restarts at midnight and at resets, whatever happens to the lifetime counter. What may set it apart is known:

- `counter_reset`: what was made between the last reading before a reset and the first after it is in the day counter
  only; it explains no more than the inverter's rated power gives in that time. And the day counter shows the largest of
  the parts of the day, where it began anew as well: it explains no more than the other parts;
- `spans_gap`: the day counter restarted in an outage (at midnight, or early, in the evening), and the energy of the
  outage is reported by the lifetime counter only. It explains no more than the energy of the hour that is marked so,
  the first or the last of the day that has any;
- `first_reading`: an inverter begins in the middle of a day, whose counter knows the energy before.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from wattline.solar.counter import ANY_INVERTER_KW, MARGIN
from wattline.solar.summary_tables import GENERATION_CHECK
from wattline.solar.tables import PLANT
from wattline.storage.contract import ENERGY

TOLERANCE_SHARE = 200
"""Figures agree within one part in so many of the largest: 0.5 %."""
RESOLUTION_KWH = 1
"""Many counters count whole kWh: so much may be between two of one inverter."""
_KEY = ("mcno", "invno", "day")
_PLANT_DAY = ("mcno", "day")
_EXACT = pl.Decimal(38, 6)
_ZERO = pl.lit(0).cast(_EXACT)


def generation_check(inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """GENERATION_CHECK rows, in key order, of inverters with tick rows at both ends of the day, and of their plants.

    Args:
        inputs: the frames of `collect_summary`: `days, energy, hours, totals`; `totals` holds days that are over.
    """
    inverters = _explained(_inverters(inputs))
    rows = pl.concat([inverters, _plants(inputs, inverters)], how="diagonal")
    largest = pl.max_horizontal("hours", "daykw", "growth", "inverters")
    agrees = ~_apart(pl.col("difference"), largest, pl.col("resolution"))
    explained_by = pl.when(~agrees & pl.col("explained")).then("flags")
    rows = rows.with_columns(agrees=agrees, explained_by=explained_by).with_columns(finding=_finding())
    return GENERATION_CHECK.conform(rows.with_columns(pl.col(_EXACT).cast(ENERGY))).sort(GENERATION_CHECK.key)


def _inverters(inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The three figures of each inverter's day, `beyond` (hours that it lacks are below 0) and what its hours say."""
    hours = _summed_hours(inputs["hours"])
    daykw = inputs["energy"].select(*_KEY, pl.col("daykw").cast(_EXACT))
    growth = (pl.col("after").cast(_EXACT) - pl.col("before").cast(_EXACT)).alias("growth")
    rows = inputs["totals"].select(*_KEY, growth, "first_reading", "reset_hours").join(hours, on=_KEY, how="left")
    rows = rows.join(daykw, on=_KEY, how="left").join(_hours_of_days(inputs["days"]), on=_PLANT_DAY)
    rows = rows.join(inputs["inverters"].select("mcno", "invno", "capacity_kw"), on=("mcno", "invno"), how="left")
    rated = pl.when(pl.col("capacity_kw") > 0).then("capacity_kw").otherwise(ANY_INVERTER_KW)
    return rows.with_columns(
        inverters=pl.lit(None, _EXACT),
        resolution=pl.lit(RESOLUTION_KWH).cast(_EXACT),
        lost=(rated * MARGIN * pl.col("reset_hours").fill_null(0)).round(6).cast(_EXACT),
        hours_missing=pl.col("hour_rows").fill_null(0) < pl.col("hours_of_day"),
        by_hours=_or_zero("hours") - pl.col("growth"),
        by_day=pl.col("growth") - _or_zero("daykw"),
        difference=_spread("hours", "daykw", "growth"),
    )


def _explained(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `flags`, as text, and `explained`: whether they explain each two figures that do not agree."""
    largest = pl.max_horizontal("hours", "daykw", "growth")
    off_hours = _apart(pl.col("by_hours"), largest, pl.col("resolution"))
    off_day = _apart(pl.col("by_day"), largest, pl.col("resolution"))

    def no_more_than(energy: str, difference: pl.Expr) -> pl.Expr:
        beyond = difference - _or_zero(energy)
        return (difference > 0) & ~_apart(beyond, largest, pl.col("resolution"), up=True)

    reset = no_more_than("lost", -pl.col("by_day")) | no_more_than("restarted", pl.col("by_day"))
    reset &= pl.col("counter_reset").fill_null(value=False)
    gap = no_more_than("spanning", pl.col("by_day"))
    first = pl.col("first_reading") & (pl.col("by_day") < 0)
    missing = pl.col("hours_missing") & (pl.col("by_hours") < 0)
    whys = {"hours_missing": off_hours & missing, "counter_reset": off_day & reset}
    whys |= {"spans_gap": off_day & gap, "first_reading": off_day & first}
    flags = pl.concat_str(
        [pl.when(why).then(pl.lit(name)) for name, why in whys.items()], separator=", ", ignore_nulls=True
    )
    return rows.with_columns(
        flags=flags, explained=(~off_hours | missing) & (~off_day | reset | gap | first), off=off_hours | off_day
    )


def _plants(inputs: Mapping[str, pl.DataFrame], inverters: pl.DataFrame) -> pl.DataFrame:
    """The same of whole plants: `growth` and `inverters` are sums; explained is what its inverters' flags explain."""
    unexplained = pl.when(~pl.col("explained") | ~pl.col("off")).then
    parts = inverters.group_by(_PLANT_DAY).agg(
        pl.col("growth", "resolution").sum(),
        inverters=_or_zero("daykw").sum(),
        rest_hours=unexplained("by_hours").otherwise(_ZERO).sum(),
        rest_day=unexplained("by_day").otherwise(_ZERO).sum(),
        flags=pl.col("flags").filter(pl.col("flags") != "").str.split(", ").explode().unique().sort().str.join(", "),
    )
    rows = parts.with_columns(invno=pl.lit(PLANT, pl.Int32)).join(_summed_hours(inputs["hours"]), on=_KEY, how="left")
    rows = rows.join(inputs["energy"].select(*_KEY, pl.col("daykw").cast(_EXACT)), on=_KEY, how="left")
    largest = pl.max_horizontal("hours", "daykw", "growth", "inverters")
    of_inverters = inputs["hours"].filter(pl.col("invno") != PLANT).group_by(_PLANT_DAY)
    rows = rows.join(of_inverters.agg(inverter_hours=_or_zero("timekw").sum()), on=_PLANT_DAY, how="left")
    # Its rows must be the sums of its inverters' rows; beyond that, each difference is one of its inverters.
    own_day = _or_zero("daykw") - pl.col("inverters")
    own_hours = _or_zero("hours") - _or_zero("inverter_hours")
    return rows.with_columns(
        difference=_spread("hours", "daykw", "growth", "inverters"),
        explained=(pl.col("flags") != "")
        & ~_apart(own_day, largest, pl.col("resolution"))
        & ~_apart(own_hours, largest, pl.col("resolution"))
        & ~_apart(pl.col("rest_hours"), largest, pl.col("resolution"))
        & ~_apart(pl.col("rest_day"), largest, pl.col("resolution")),
    )


def _summed_hours(hours: pl.DataFrame) -> pl.DataFrame:
    """Per inverter and day: sum and number of its hours, energy of gaps at its ends, and of resets.

    `restarted` is the energy of all but the largest part of a day that resets cut; their own hours are in no part.
    """
    begins = pl.col("counter_reset").fill_null(value=False)
    hours = hours.sort(*_KEY, "start").with_columns(begins=begins, part=begins.cum_sum().over(_KEY))
    whole = pl.col("timekw").cast(_EXACT)
    parts = hours.group_by(*_KEY, "part").agg(all=whole.sum(), of_part=whole.filter(~pl.col("begins")).sum())
    restarted = parts.group_by(_KEY).agg(restarted=pl.col("all").sum() - pl.col("of_part").max())
    energy = pl.col("timekw").cast(_EXACT)
    before, after = (energy.cum_sum(reverse=back) - energy for back in (False, True))
    at_an_end = pl.min_horizontal(before, after) == 0
    spanning = energy.filter(pl.col("spans_gap").fill_null(value=False) & at_an_end)
    return (
        hours.group_by(_KEY, maintain_order=True)
        .agg(
            hours=energy.sum(),
            hour_rows=pl.len(),
            spanning=spanning.sum(),
            counter_reset=pl.col("begins").any(),
        )
        .join(restarted, on=_KEY)
    )


def _hours_of_days(days: pl.DataFrame) -> pl.DataFrame:
    """`mcno, day, hours_of_day`: 24, or as many as the clock has where it changes."""
    count = ((pl.col("end") - pl.col("start")).dt.total_minutes() / 60).ceil().cast(pl.UInt32)
    return days.select(*_PLANT_DAY, hours_of_day=count)


def _or_zero(name: str) -> pl.Expr:
    return pl.col(name).cast(_EXACT).fill_null(_ZERO)


def _spread(*names: str) -> pl.Expr:
    """The largest minus the smallest; a figure that is missing is 0."""
    figures = [_or_zero(name) for name in names]
    return pl.max_horizontal(*figures) - pl.min_horizontal(*figures)


def _apart(difference: pl.Expr, largest: pl.Expr, resolution: pl.Expr, *, up: bool = False) -> pl.Expr:
    """Whether a difference (only one above 0, where `up`) is more than the tolerance."""
    size = difference if up else difference.abs()
    return (size > resolution) & (size * TOLERANCE_SHARE > largest)


def _finding() -> pl.Expr:
    """One line for people, where the figures do not agree."""
    what = pl.when(pl.col("invno") == PLANT).then(pl.lit("as a whole")).otherwise(pl.format("inverter {}", "invno"))
    figures = [pl.coalesce(_kwh(name), pl.lit("missing")) for name in ("hours", "daykw", "growth")]
    parts = pl.format("hours {}, day counter {}, growth {}", *figures)
    parts += pl.coalesce(pl.format(", inverters {}", _kwh("inverters")), pl.lit(""))
    why = pl.coalesce(pl.format("explained by {}", "explained_by"), pl.lit("nothing explains it"))
    head = pl.format("plant {}, {}, {}: {} apart", "mcno", what, "day", _kwh("difference"))
    return pl.when(~pl.col("agrees")).then(pl.format("{} ({}): {}", head, parts, why))


def _kwh(name: str) -> pl.Expr:
    """As text, without the zeros at the end."""
    return pl.format("{} kWh", pl.col(name).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end("."))
