"""Senders to be killed: for every line on its input it forks two children that drain the outbox once, at the same time.

`python -m tests.outbox_sender MONGO_URL MAIL_URL SMS_URL`; it answers `began PID PID` and, when both are gone, `ended`.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from wattline.alerts.deliver import Channels, drain


def _drain(mongo_url: str, channels: Channels) -> None:
    with MongoClient[dict[str, Any]](mongo_url) as client:
        drain(client.get_default_database(), channels, datetime.now(UTC))


def _child(mongo_url: str, channels: Channels) -> int:
    child = os.fork()
    if not child:
        _drain(mongo_url, channels)
        os._exit(0)
    return child


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the input ends."""
    mongo_url, mail_url, sms_url = sys.argv[1:]
    for _ in sys.stdin:
        children = [_child(mongo_url, Channels(mail_url, sms_url)) for _ in range(2)]
        _say(f"began {children[0]} {children[1]}")
        for child in children:
            os.waitpid(child, 0)
        _say("ended")


if __name__ == "__main__":
    main()
