"""A sender to be killed: for every line on its input it forks a child that drains the outbox once, and says its number.

`python -m tests.outbox_sender MONGO_URL MAIL_URL SMS_URL`; it answers `began PID` and, when the child is gone, `ended`.
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


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the input ends."""
    mongo_url, mail_url, sms_url = sys.argv[1:]
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            _drain(mongo_url, Channels(mail_url, sms_url))
            os._exit(0)
        _say(f"began {child}")
        os.waitpid(child, 0)
        _say("ended")


if __name__ == "__main__":
    main()
