"""Sessions of the API's users: one that nobody uses expires.

A document of `login_history` is a login, a refusal or a logout of a user. A login is a session: it lasts until
`ended_at` (logged out, or ended by a later login) or `expired_at`; each use moves `last_seen`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pymongo.database import Database

from wattline.storage.documents import Document, documents, translated

IDLE = timedelta(minutes=40)
"""A session expires when it was last used so long ago."""
LOGIN = "login"
"""`kind` of a document that is a session; the others are `refused` and `logout`."""
_MILLISECONDS = IDLE // timedelta(milliseconds=1)


def expire(database: Database[Document], now: datetime) -> int:
    """Set `expired_at`, to 40 minutes after the last use, of every open session idle for that long; how many.

    One statement by the server: a session that is used in the same moment is either seen as used or has expired.
    Doing it again, or later, gives the same times.

    Args:
        database: holds `login_history`.
        now: UTC.

    Raises:
        TransientError: the server cannot be reached.
    """
    idle = {"kind": LOGIN, "expired_at": None, "ended_at": None, "last_seen": {"$lte": now - IDLE}}
    when = [{"$set": {"expired_at": {"$add": ["$last_seen", _MILLISECONDS]}}}]
    with translated():
        return int(documents(database, "login_history").update_many(idle, when).modified_count)
