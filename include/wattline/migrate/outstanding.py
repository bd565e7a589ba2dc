"""Verifications that found keys to differ, and that no later one has made good."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from pymongo.database import Database

from wattline.migrate.slices import FIRST
from wattline.storage.coverage import holds
from wattline.storage.documents import Document, documents, translated
from wattline.window import Window


def outstanding(database: Database[Document], names: Sequence[str]) -> dict[str, list[Document]]:
    """Name of an entry → its verifications that still say that keys differ, newest first; none where all is well.

    A verification is `{by, start, end, at, flaws}`: a slice, when it was verified, and how many keys differed.

    Raises:
        TransientError: the database is away.
        TerminalError: the user may not look.
    """
    checks = documents(database, "migration_check")
    flawed: Sequence[Document] = [
        {"$match": {"table": {"$in": list(names)}, "flaws": {"$gt": 0}}},
        {"$group": {"_id": "$table", "at": {"$min": "$at"}, "until": {"$max": {"$max": ["$at", "$_id.end"]}}}},
    ]
    found: dict[str, list[Document]] = defaultdict(list)
    with translated():
        # What is verified since, and begins later than all that differed, says nothing of it.
        since = [
            {"table": one["_id"], "at": {"$gte": one["at"]}, "_id.start": {"$lt": one["until"]}}
            for one in checks.aggregate(flawed)
        ]
        for one in checks.find({"$or": since}, {"at": 1, "flaws": 1}) if since else ():
            identity = one.pop("_id")
            found[identity["table"]].append(identity | one)
    still = {name: unresolved(each) for name, each in found.items()}
    return {name: each for name, each in still.items() if each}


def unresolved(checks: Sequence[Document]) -> list[Document]:
    """Those verifications of one table that found keys to differ and still count, newest first.

    One does not count any more where later ones cover its range together: by the same column, or all that was written
    until then.
    """
    newest_first = sorted(checks, key=lambda check: check["at"], reverse=True)
    return [
        check
        for place, check in enumerate(newest_first)
        if check["flaws"] and not _superseded(check, newest_first[:place])
    ]


def _superseded(check: Document, later: Sequence[Document]) -> bool:
    def covered(by: str, start: datetime, end: datetime) -> bool:
        ranges = sorted((each["start"], each["end"]) for each in later if each["by"] == by)
        return holds([each for each in ranges if each[0] < end and each[1] > start], Window(start, end))

    return covered(check["by"], check["start"], check["end"]) or covered("changed", FIRST, check["at"])
