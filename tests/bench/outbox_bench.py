"""Draining the outbox against the local sinks for mail and SMS, on a throw-away mongod.

`python -m tests.bench.outbox_bench [MESSAGES]`: half of them mails, half SMS, each to somebody else.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from local.servers import MongoDB, free_port
from tests import alert_world
from tests.servers import RunningServer
from wattline.alerts.deliver import drain
from wattline.alerts.notice import Notice, Person

MESSAGES = 5_000
LIMIT_SECONDS = 60


def measure(url: str, sinks: alert_world.Sinks, messages: int) -> dict[str, float]:
    """Seconds to queue and to drain.

    Raises:
        SystemExit: the sinks have not got every message once.
    """
    at = datetime.now(UTC).replace(microsecond=0)
    people = tuple(Person(f"p{n}", "ko", f"010{n:08}", f"p{n}@example.org") for n in range(messages // 2))
    key: dict[str, Any] = {"mcno": 0, "invno": 0, "type": 301, "raised_at": at}
    values = {"what": "mongodb", "detail": "연결할 수 없음"}
    with MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        began = time.perf_counter()
        alert_world.queue(database, Notice(key, "raised", None, None, 301, at, values, to=people))
        queued = time.perf_counter()
        counts = drain(database, sinks.channels, datetime.now(UTC), limit=messages)
        drained, work = time.perf_counter(), time.process_time()
    mails, texts = ({str(one["to"]) for one in sinks.got(name)} for name in ("mail", "sms"))
    if (counts.sent, len(mails), len(texts)) != (len(people) * 2, len(people), len(people)):
        raise SystemExit(f"{counts}: {len(mails)} mails and {len(texts)} SMS arrived")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"messages": counts.sent, "queue": queued - began, "drain": drained - queued, "work": work, "peak_mb": peak}


def bench(console: Console, messages: int = MESSAGES) -> None:
    """Measure on a throw-away server, and print."""
    with tempfile.TemporaryDirectory() as folder:
        server = RunningServer(MongoDB(Path(folder) / "mongo", free_port()))
        server.start()
        try:
            with alert_world.serving(Path(folder) / "sinks") as sinks:
                one = measure(server.server.url("bench_outbox"), sinks, messages)
        finally:
            server.kill()
    table = Table(
        "messages",
        "queue s",
        "drain s",
        "messages/s",
        "limit s",
        "CPU s, all",
        "MB",
        title="Outbox: half mail, half SMS",
    )
    cells = (f"{one['queue']:.1f}", f"{one['drain']:.1f}", f"{one['messages'] / one['drain']:,.0f}")
    table.add_row(f"{one['messages']:,.0f}", *cells, str(LIMIT_SECONDS), f"{one['work']:.1f}", f"{one['peak_mb']:.0f}")
    console.print(table)


if __name__ == "__main__":
    bench(Console(width=140), int(sys.argv[1]) if sys.argv[1:] else MESSAGES)
