"""One normalization in a process of its own; prints seconds, hours and peak memory as JSON.

`python -m tests.bench.meter_step SYSTEM_URL HISTORICAL_URL ENERGY_URL START NOW LIVE`: START and NOW in ISO 8601. With
LIVE 1 it goes on from each meter's newest row up to NOW less half an hour, without a look back; with 0 it computes the
whole hours of [START, NOW). Importing libraries is not counted: Airflow's workers have them.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy.ma  # noqa: F401 - polars imports it when it first needs it, as connectorx does pyarrow
import pyarrow as pa  # noqa: F401

from tests.bench.memory import peak_mb
from wattline.meters.databases import Databases
from wattline.meters.plan import Options
from wattline.meters.run import normalize
from wattline.storage.mysql import MySQLStore
from wattline.window import Window


def main(*arguments: str) -> None:
    """Run once and print how it went."""
    *urls, start, now, live = arguments
    first, last = (datetime.fromisoformat(text).astimezone(UTC) for text in (start, now))
    with closing(Databases(*map(MySQLStore.from_url, urls))) as databases:
        idle = peak_mb()
        started = time.perf_counter()
        options = Options(first, lookback=timedelta(0))
        end = last - timedelta(minutes=options.minutes_to_clean) if live == "1" else last
        begin = end - timedelta(minutes=1) if live == "1" else first
        counts = normalize(databases, Window(begin, end), options, live=live == "1")
        seconds = time.perf_counter() - started
    figures = {"seconds": seconds, "rows": sum(counts.values()), "peak_mb": peak_mb(), "idle_mb": idle}
    print(json.dumps(figures))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
