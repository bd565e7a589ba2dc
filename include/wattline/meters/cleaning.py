"""Cleaning: which readings of a counter are bad. MyEMS's mark `is_bad` is false, true, or null while nobody checked.

The rule, per point, in the order of time (same second: by id). A reading that is bad takes no part in what follows.

1. **Limits.** A reading below the point's low limit or above its high limit is bad; both limits are good.
2. **Falls.** A counter does not fall, so where a reading is lower than the one before it, one of these is true:

   - `dip`: the readings from there on are bad, up to the first that is at least as high as the one before the fall,
     which must not be found in a spike itself;
   - `spike`: the readings before it are bad, back to the last that is at most as high as the one after the fall;
   - the counter was set back (reset, replaced, rolled over). Then nothing is bad: it goes on from where it is.

   A dip or a spike has to be short and to begin or end with a jump. Short: from the good reading before it to the good
   reading after it, the longest silence left out, it is at most `patience`, and with it at most twice that. A jump: one
   rise, on the way back from a dip or up a spike, is at least half of its height. A counter that was set back climbs in
   steps, and what it counts is energy, even where it soon passes its old state.
   Where both fit, the one with fewer readings is true; of equal ones the spike, as it makes no difference to energy.
   Falls that only one fits are settled first. So good readings between two spikes stay good.
3. **Rises**, where the meter's `max_rate` is known: a rise by more than that, that is taken back by a fall of at least
   half of it to where the rate allows, within the same time, is bad up to that fall: `too_fast`. Where it is not taken
   back it is good: a counter may have been away, or set forward.
4. What is taken out may show other falls: 2 and 3 are repeated until nothing more is found.

**Undecided** readings stay as they are: those of a dip that has not ended or whose return, which may be the beginning
of a spike, has not lasted longer than it, and those of a rise that has not been taken back, while `until` is less than
`patience` after the last good reading before it; and both sides of a fall while a longer
spike and a shorter dip fit it and the dip's return has not lasted longer than the spike. After that they count as good.
No reading is undecided for longer than 2 × `patience` after its own time.

What decides about a reading lies at most 2 × `patience` from it, but for faults that follow each other more closely.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

import numpy as np
import polars as pl

from wattline.meters.exact import PLACES
from wattline.meters.excursions import DIP, NO_RATE, SPIKE, TOO_FAST, Flags, Line, Numbers, Terms, find
from wattline.meters.tables import BIG, VALUE
from wattline.storage.contract import UTC_TIME

PATIENCE = timedelta(hours=3)
"""How long a counter may be off its line before that is its line."""
BAD = ("below_low_limit", "above_high_limit", "dip", "spike", "too_fast", "marked_before")
"""Why a reading is bad; the last: somebody marked it, and the rule would not."""
REASON = pl.Enum([*BAD, "undecided"])
_BELOW, _ABOVE, _DIP, _SPIKE, _TOO_FAST, _MARKED, _UNDECIDED = range(7)
_OF_KIND = {DIP: _DIP, SPIKE: _SPIKE, TOO_FAST: _TOO_FAST}
_GOOD = -1
_LARGEST = 2 * 10**18
"""Two million million: no counter reaches it, and sums of it fit into 64 bits."""
_FASTEST = 10**10
_HOUR = 3600

READING = pl.Schema({"id": BIG, "point_id": BIG, "at": UTC_TIME, "value": VALUE, "is_bad": pl.Boolean()})
"""Columns of readings: `at` in UTC, `value` in the point's unit, `is_bad` null while nobody checked."""
POINT = pl.Schema({"point_id": BIG, "low_limit": VALUE, "high_limit": VALUE, "max_rate": VALUE})
"""Columns of points: limits of a reading, and of its growth in an hour; each may be null for unknown."""


def judge(
    readings: pl.DataFrame,
    points: pl.DataFrame,
    *,
    until: datetime | None = None,
    patience: timedelta = PATIENCE,
    recheck: bool = False,
) -> pl.DataFrame:
    """What the rule says of each reading; see the module.

    A reading that is marked bad stays so, and takes no part, unless the rule would mark it, too: its mark may come from
    an earlier run, which may not change what this one sees.

    Args:
        readings: columns of READING.
        points: columns of POINT; one row a point. A low limit above the high one counts as no limits. `max_rate` is
            taken per second, rounded up to a millionth.
        until: up to when the readings have arrived; the newest reading by default.
        patience: how long a counter may be off its line.
        recheck: whether marks of before count for nothing.

    Returns:
        `id`, `is_bad` (null while undecided) and `reason` (REASON; null where good), by point, time and id.
    """
    rows = readings.select(READING.names()).sort("point_id", "at", "id")
    if rows.is_empty():
        return pl.DataFrame(schema={"id": BIG, "is_bad": pl.Boolean(), "reason": REASON})
    outside, line = _outside(rows, points), _line(rows, points)
    newest = line.seconds.max() if until is None else int(until.timestamp())
    terms = Terms(int(newest), int(patience.total_seconds()))
    codes = _codes(line, outside, terms)
    marked = rows["is_bad"].fill_null(value=False).to_numpy()
    if marked.any() and not recheck:
        codes = _beside(codes, marked, line, outside, terms)
    words = dict(enumerate(REASON.categories))
    reason = pl.Series("reason", codes).replace_strict(words, default=None, return_dtype=REASON)
    bad = pl.Series("is_bad", codes != _GOOD).set(pl.Series(codes == _UNDECIDED), None)
    return pl.DataFrame([rows["id"], bad, reason])


def suspects(readings: pl.DataFrame, points: pl.DataFrame) -> pl.Series:
    """The points at which `judge` may find something; at the others every reading is good.

    They have a mark, a reading outside the limits, or a step that no counter makes.

    Args:
        readings: columns of READING.
        points: columns of POINT.

    Returns:
        Their point_id, each once.
    """
    rows = readings.select(READING.names()).sort("point_id", "at", "id")
    line = _line(rows, points)
    step, seconds, rate = np.diff(line.value), np.diff(line.seconds), line.rates[line.point[1:]]
    odd = (_outside(rows, points) != _GOOD) | rows["is_bad"].fill_null(value=False).to_numpy()
    odd[1:] |= (np.diff(line.point) == 0) & ((step < 0) | ((rate >= 0) & (step > rate * seconds)))
    return rows["point_id"].filter(pl.Series(odd)).unique()


def crossed(points: pl.DataFrame) -> pl.DataFrame:
    """The `points` (columns of POINT) whose low limit is above the high one."""
    return points.filter(pl.col("low_limit") > pl.col("high_limit"))


def _beside(codes: Numbers, marked: Flags, line: Line, outside: Numbers, terms: Terms) -> Numbers:
    """The codes where marks stand that the rule does not make: they take no part at the points that have them."""
    foreign = marked & ((codes == _GOOD) | (codes == _UNDECIDED))
    if foreign.any():
        has_some = np.zeros(line.rates.size, np.bool_)
        has_some[line.point[foreign]] = True
        again = np.flatnonzero(has_some[line.point])
        codes[again] = _codes(line.take(again), np.where(foreign, _MARKED, outside)[again], terms)
    return codes


def _codes(line: Line, outside: Numbers, terms: Terms) -> Numbers:
    codes = outside.copy()
    inside = np.flatnonzero(outside == _GOOD)
    kind, undecided = find(line.take(inside), terms)
    for found, code in _OF_KIND.items():
        codes[inside[kind == found]] = code
    codes[inside[undecided]] = _UNDECIDED
    return codes


def _outside(rows: pl.DataFrame, points: pl.DataFrame) -> Numbers:
    crossing = pl.col("low_limit") > pl.col("high_limit")
    limits = points.filter(crossing.is_null() | ~crossing).select("point_id", "low_limit", "high_limit")
    joined = rows.select("point_id", "value").join(limits, on="point_id", how="left", maintain_order="left")
    above = pl.when(pl.col("value") > pl.col("high_limit")).then(_ABOVE).otherwise(_GOOD)
    code = pl.when(pl.col("value") < pl.col("low_limit")).then(_BELOW).otherwise(above)
    return joined.select(code.cast(BIG).alias("code"))["code"].to_numpy()


def _line(rows: pl.DataFrame, points: pl.DataFrame) -> Line:
    point = rows["point_id"].rle_id()
    own = rows.select(pl.col("point_id").unique(maintain_order=True))
    rates = own.join(points, on="point_id", how="left", maintain_order="left")["max_rate"]
    per_second = [NO_RATE if rate is None else min(ceil(rate.scaleb(PLACES) / _HOUR), _FASTEST) for rate in rates]
    return Line(
        point.cast(BIG).to_numpy(),
        rows["at"].dt.epoch("s").to_numpy(),
        rows["value"].to_physical().clip(-_LARGEST, _LARGEST).cast(BIG).to_numpy(),
        np.array(per_second, np.int64),
    )
