"""Logs split by UTC month: `inverterlog_202611` and its neighbours, seen as one collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pymongo.command_cursor import CommandCursor
from pymongo.database import Database

from wattline.errors import BadInputError

Document = dict[str, Any]


def collection_name(stem: str, moment: date) -> str:
    """The collection that holds `moment`: a UTC date, or a time in any zone.

    Raises:
        BadInputError: a time without time zone.
    """
    day = _utc(moment) if isinstance(moment, datetime) else moment
    return f"{stem}_{day.year:04d}{day.month:02d}"


def collection_names(stem: str, start: datetime, end: datetime) -> list[str]:
    """The collections that may hold a time in `[start, end)`, oldest first; none where the range is empty.

    Raises:
        BadInputError: an end without time zone.
    """
    first, stop = _utc(start), _utc(end)
    if stop <= first:
        return []
    last = stop - timedelta(microseconds=1)
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [collection_name(stem, date(month // 12, month % 12 + 1, 1)) for month in months]


def find_range(
    database: Database[Document],
    stem: str,
    column: str,
    start: datetime,
    end: datetime,
    *,
    where: Mapping[str, Any] | None = None,
) -> CommandCursor[Document]:
    """The documents with `column` in `[start, end)` that match `where`, in time order, by one query.

    Args:
        database: where the collections are; a month without collection has no documents.
        stem: the collections' name without `_YYYYMM`.
        column: the time by which the collections are split.
        start: first instant of the range.
        end: first instant after it.
        where: a MongoDB filter that the documents must also match.

    Raises:
        BadInputError: an end without time zone.
    """
    match: Document = {column: {"$gte": start, "$lt": end}}
    stages = [{"$match": {"$and": [match, where]} if where else match}]
    names = collection_names(stem, start, end) or [collection_name(stem, start)]
    pipeline = union(names, stages)
    pipeline.append({"$sort": {column: 1, "_id": 1}})
    return database[names[0]].aggregate(pipeline, allowDiskUse=True)


def union(names: Sequence[str], stages: Sequence[Mapping[str, Any]]) -> list[Document]:
    """The pipeline that, run on the first of `names`, runs `stages` on each of them and gives all results."""
    others = ({"$unionWith": {"coll": name, "pipeline": list(stages)}} for name in names[1:])
    return [*map(dict, stages), *others]


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise BadInputError(f"{moment} has no time zone", remedy="Use a time with an offset")
    return moment.astimezone(UTC)
