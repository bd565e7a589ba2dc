"""A session with the source: in UTC, forgiving in what it reads, with a limit to each statement, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import MySQLdb

_SESSION = "SET SESSION time_zone = '+00:00', sql_mode = '', transaction_isolation = 'READ-COMMITTED'"
_OLD_SESSION = _SESSION.replace("transaction_isolation", "tx_isolation")
_UNKNOWN_VARIABLE = 1193


@dataclass
class Effort:
    """What reading took from the source: statements, the longest of them in seconds, bytes."""

    statements: int = 0
    longest: float = 0.0
    size: int = 0

    def add(self, seconds: float, size: int) -> None:
        """Count one statement."""
        self.statements += 1
        self.longest = max(self.longest, seconds)
        self.size += size


def prepare(cursor: Any, seconds: float) -> None:
    """Set the session up; the server ends statements that take longer than `seconds`."""
    try:
        cursor.execute(_SESSION)
    except MySQLdb.Error as error:
        if error.args[0] != _UNKNOWN_VARIABLE:
            raise
        cursor.execute(_OLD_SESSION)
    cursor.execute("SELECT VERSION()")
    mariadb = "mariadb" in text_of(cursor.fetchone()[0]).lower()
    limit = f"max_statement_time = {seconds}" if mariadb else f"max_execution_time = {round(seconds * 1000)}"
    cursor.execute(f"SET SESSION {limit}")


def text_of(value: bytes | str) -> str:
    """What the driver gives as bytes or text, as text."""
    return value.decode() if isinstance(value, bytes) else value
