"""The daily digest: what each manager is told of the reliability of their plants."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, cast

import polars as pl

from wattline.alerts.notice import Language, Notice, Person
from wattline.alerts.recipients import Recipients
from wattline.solar.tables import PLANT
from wattline.window import Window

_MOST_PLANTS = 30
_WEAK = 0.95
"""Availability below which a plant's worst inverter is named."""
_WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "total": "{plants} plants: available {availability}, readings {received}, {faults} faults{repair}",
        "plant": "{name} ({mcno}{day}): available {availability}, readings {received}, {faults} faults{repair}{worst}",
        "repair": ", mean time to repair {minutes:.0f} min",
        "worst": "; inverter {invno} only {availability}",
        "more": "and {count} more plants, none known to be worse",
        "nothing": "-",
    },
    "ko": {
        "total": "발전소 {plants}개: 가동률 {availability}, 수신율 {received}, 고장 {faults}건{repair}",
        "plant": "{name} ({mcno}{day}): 가동률 {availability}, 수신율 {received}, 고장 {faults}건{repair}{worst}",
        "repair": ", 평균 복구 {minutes:.0f}분",
        "worst": "; {invno}번 인버터 {availability}",
        "more": "그 밖에 발전소 {count}개 (가동률이 더 낮다고 확인된 곳 없음)",
        "nothing": "-",
    },
}


def notices(window: Window, rows: pl.DataFrame, recipients: Recipients) -> list[Notice]:
    """One notice a manager on the local day of each of their plants that ended with the window.

    That day is the date of the window's begin, or the one before where the plant lies west of Greenwich. Rows of
    earlier days, which the run has computed again, are told to nobody.

    Args:
        window: of the run, one day.
        rows: of RELIABILITY_DAY.
        recipients: the people of the plants.
    """
    ended = rows.filter(pl.col("day") >= window.start.date() - timedelta(days=1))
    newest = ended.filter(pl.col("day") == pl.col("day").max().over("mcno"))
    managers: dict[str, tuple[Person, list[int]]] = {}
    for mcno in newest["mcno"].unique().sort():
        manager = recipients.site(mcno).manager
        if manager is not None:
            managers.setdefault(manager.name, (manager, []))[1].append(mcno)
    names = {mcno: recipients.site(mcno).name for mcno in newest["mcno"].unique()}
    return [
        _notice(person, newest.filter(pl.col("mcno").is_in(plants)), names, window)
        for person, plants in managers.values()
    ]


def _notice(person: Person, rows: pl.DataFrame, names: Mapping[int, str], window: Window) -> Notice:
    day = _day(rows).isoformat()
    return Notice(
        key={"digest": "reliability", "user": person.name, "day": day},
        transition="digest",
        mcno=None,
        invno=None,
        type=0,
        at=window.end,
        values={"day": day, **{f"lines_{language}": "\n".join(lines(rows, names, language)) for language in _WORDS}},
        to=(person,),
    )


def lines(rows: pl.DataFrame, names: Mapping[int, str], language: Language) -> list[str]:
    """A line on all plants, then one a plant, the worst first; a plant whose day is not the newest has its date.

    Args:
        rows: of RELIABILITY_DAY, one day a plant.
        names: of the plants.
        language: ko or en.
    """
    words = _WORDS[language]
    plants = rows.filter(invno=PLANT).sort("availability", "mcno", nulls_last=True)
    worst = (
        rows.filter(pl.col("invno") != PLANT)
        .sort("availability", "invno", nulls_last=True)
        .unique("mcno", keep="first")
    )
    weakest = {row["mcno"]: row for row in worst.iter_rows(named=True)}
    found = [words["total"].format(plants=plants.height, **_figures(_sum(plants), words))]
    for row in plants.head(_MOST_PLANTS).iter_rows(named=True):
        of_plant = {
            "name": names.get(row["mcno"]) or str(row["mcno"]),
            "mcno": row["mcno"],
            "day": "" if row["day"] == _day(rows) else f", {row['day']}",
            "worst": _worst(weakest.get(row["mcno"]), words),
        }
        found.append(words["plant"].format(**of_plant, **_figures(row, words)))
    if plants.height > _MOST_PLANTS:
        found.append(words["more"].format(count=plants.height - _MOST_PLANTS))
    return found


def _day(rows: pl.DataFrame) -> date:
    return cast("date", rows["day"].max())


def _sum(plants: pl.DataFrame) -> dict[str, Any]:
    total: dict[str, Any] = plants.select("expected", "received", "down", "faults", "repairs").sum().row(0, named=True)
    expected, repairs = total["expected"], total["repairs"]
    minutes = plants.select((pl.col("repair_minutes") * pl.col("repairs")).sum()).item()
    return total | {
        "received_share": total["received"] / expected if expected else None,
        "availability": 1 - total["down"] / expected if expected else None,
        "repair_minutes": minutes / repairs if repairs else None,
    }


def _figures(row: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    minutes = row["repair_minutes"]
    return {
        "availability": _percent(row["availability"], words),
        "received": _percent(row["received_share"], words),
        "faults": row["faults"],
        "repair": "" if minutes is None else words["repair"].format(minutes=minutes),
    }


def _worst(row: Mapping[str, Any] | None, words: Mapping[str, str]) -> str:
    if row is None or row["availability"] is None or row["availability"] >= _WEAK:
        return ""
    return words["worst"].format(invno=row["invno"], availability=_percent(row["availability"], words))


def _percent(share: float | None, words: Mapping[str, str]) -> str:
    return words["nothing"] if share is None else f"{share:.1%}"
