"""Errors of the MySQL drivers as ours: can trying again help, and nothing secret in the message."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wattline.errors import TerminalError, TransientError

LOCAL_INFILE_REFUSED = frozenset({1148, 2068, 3948, 4166})
"""The server or the client forbids LOAD DATA LOCAL."""

_TRANSIENT = frozenset(
    {
        0,  # the connection is closed
        1040,  # too many connections
        1053,  # the server is shutting down
        1158, 1159, 1160, 1161,  # the network failed while reading or writing
        1205, 1213,  # lock wait timeout, deadlock
        1317, 1927, 1969, 3024,  # the query or its connection was ended, or ran too long
        2002, 2003, 2006, 2013, 2055,  # the server cannot be reached, or the connection broke
        4031,  # the server closed an idle connection
    }
)  # fmt: skip
_BROKEN_CONNECTION = ("io error", "driver error", "drivererror", "timed out", "could not connect", "connection")


def server_error(error: BaseException, secrets: Iterable[str]) -> TransientError | TerminalError:
    """Our error for one of mysqlclient, with `secrets` taken out of its message."""
    code, message = (*error.args, "", "")[:2]
    kind = TransientError if isinstance(error, OSError) or code in _TRANSIENT else TerminalError
    return kind(_without(f"MySQL: {message or type(error).__name__} ({code})", secrets))


def reader_error(error: BaseException, secrets: Iterable[str]) -> TransientError | TerminalError:
    """Our error for one of connectorx: its text is all there is to tell by."""
    text = str(error)
    code = re.search(r"ERROR (\d+)", text)
    if code:
        kind = TransientError if int(code[1]) in _TRANSIENT else TerminalError
    else:
        kind = TransientError if any(sign in text.lower() for sign in _BROKEN_CONNECTION) else TerminalError
    return kind(_without(f"MySQL: reading failed: {text[:300]}", secrets))


def _without(message: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        message = message.replace(secret, "***")
    return message
