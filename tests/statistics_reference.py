"""The statistics of power computed by pandas, group by group, as whoever reads the contract would do it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from wattline.solar.sun import elevation

TICK = timedelta(minutes=10)
Document = dict[str, Any]


def reference(
    logs: pd.DataFrame, plant: Document, ratings: dict[int, float | None], day: date, middle: str
) -> dict[int, Document]:
    """What must be stored of a plant and day, by inverter number.

    Args:
        logs: `invno, at, ackw, dckw` of the plant, of any time; none of them stale.
        plant: `timezone`, `latitude`, `longitude`.
        ratings: of every inverter that must have a document.
        day: the plant's local day.
        middle: mean or median.
    """
    zone = ZoneInfo(plant["timezone"])
    start, end = (datetime.combine(day + timedelta(days=n), time(), zone).astimezone(UTC) for n in (0, 1))
    slots = round((end - start) / TICK)
    rows = logs[(logs["at"] > start) & (logs["at"] <= end)].copy()
    rows["slot"] = ((rows["at"] - start - pd.Timedelta(1, "us")) // TICK).astype(int)
    for name in ("ackw", "dckw"):
        rows[f"{name}_per_kw"] = rows[name] / rows["invno"].map(lambda invno: ratings[invno] or np.nan).astype(float)
    middles = np.array([(start + TICK * (n + 0.5)).replace(tzinfo=None) for n in range(slots)], "datetime64[us]")
    # Where the sun stands has tests of its own; a few tenths of a degree may move a slot into the day.
    light = elevation(middles, plant["latitude"], plant["longitude"]) > 0
    units = {invno: rows[rows["invno"] == invno] for invno in ratings} | {0: rows}
    return {
        invno: {"start": start, "slots": slots} | _figures(part, ratings, light, middle)
        for invno, part in units.items()
    }


def _figures(rows: pd.DataFrame, ratings: dict[int, float | None], light: Any, middle: str) -> Document:
    every = range(len(light))
    by_slot, lit = rows.groupby("slot"), rows[light[rows["slot"]]]
    known = [ratings[invno] for invno in rows["invno"].unique() if ratings[invno]]
    found: Document = {
        "installed_kw": sum(known) if known else None,
        "count": by_slot.size().reindex(every, fill_value=0).tolist(),
        "daylight_slots": int(light.sum()),
        "day_count": len(lit),
    }
    for name in ("ackw", "dckw"):
        found[f"{name}_sum"] = by_slot[name].sum().reindex(every, fill_value=0.0).tolist()
        for suffix in ("", "_per_kw"):
            found[name + suffix] = _plain(by_slot[name + suffix].agg(middle).reindex(every))
            found[f"{name}_day{suffix}"] = _plain([lit[name + suffix].agg(middle)])[0]
    return found


def _plain(values: Any) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
