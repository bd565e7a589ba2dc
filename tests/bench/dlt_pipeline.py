"""The readings of `inverterlog` from MySQL to MongoDB by dlt, to compare the migration with.

It is what a user of dlt would write who has read its page on performance: the `sql_database` source, incremental by
`received_at`, and a destination of their own that puts documents by natural key. It runs in `.venv-bench`, without
Wattline: `.venv-bench/bin/python tests/bench/dlt_pipeline.py MYSQL_URL MONGO_URL` copies every row into the collection
`inverterlog` and prints seconds (imports are not counted), rows and peak memory as JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import connectorx  # noqa: F401 # dlt imports it with the first query
import dlt
import pyarrow as pa
import sqlalchemy as sa
from bson.decimal128 import Decimal128
from dlt.sources.sql_database import sql_table
from pymongo import MongoClient, ReplaceOne

TABLE = "inverterlog"
KEY = ("mcno", "invno", "at")
SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",  # it warns once a chunk that Arrow takes key columns for nullable
    # Several files of a table load at a time, each in a thread: a fifth faster than one file.
    "DATA_WRITER__FILE_MAX_ITEMS": "50000",
}
"""dlt reads them when its first pipeline is made."""


def readings(mysql: str) -> Any:
    """The rows as Arrow tables, exact: as such they are staged without a Python loop over them."""
    return sql_table(
        credentials=mysql.replace("mysql://", "mysql+mysqldb://", 1),
        table=TABLE,
        incremental=dlt.sources.incremental("received_at"),
        primary_key=KEY,
        write_disposition="merge",
        backend="connectorx",
        backend_kwargs={"return_type": "arrow_stream"},
        chunk_size=50_000,
        reflection_level="full_with_precision",
        type_adapter_callback=_known,
    ).add_map(_exact)


def mongodb(database: Any) -> Any:
    """A destination that replaces documents by key, so loading rows again changes nothing."""

    @dlt.destination(batch_size=10_000)
    def put(items: pa.RecordBatch, table: dict[str, Any]) -> None:
        decimals = [name for name, column in table["columns"].items() if column.get("data_type") == "decimal"]
        writes = []
        for row in items.to_pylist():
            for name in decimals:
                if row[name] is not None:
                    row[name] = Decimal128(row[name])
            key = {name: row[name] for name in KEY}
            writes.append(ReplaceOne({"_id": key}, {"_id": key, **row}, upsert=True))
        database[table["name"]].bulk_write(writes, ordered=False)

    return put


def copy(mysql: str, mongo: str, folder: str) -> int:
    """Extract, normalize and load; returns the number of rows that dlt counted. `folder` is for its working files."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo)
    with client:
        destination = mongodb(client.get_default_database())
        pipeline = dlt.pipeline(TABLE, destination=destination, pipelines_dir=folder)
        pipeline.run(readings(mysql)).raise_on_failed_jobs()
        rows: int = pipeline.last_trace.last_normalize_info.row_counts[TABLE]
    return rows


def _exact(rows: pa.Table) -> pa.Table:
    """connectorx hands every decimal over with ten places; the table has six."""
    energy = dict.fromkeys(("daykw", "totkw"), pa.decimal128(18, 6))
    return rows.cast(pa.schema([(field.name, energy.get(field.name, field.type)) for field in rows.schema]))


def _known(kind: Any) -> Any:
    """dlt 1.31 does not know the Double of SQLAlchemy 2.1."""
    return sa.Numeric(asdecimal=False) if isinstance(kind, sa.Double) else kind


def _peak_mb() -> float:
    """Most memory that this process held. It is all of dlt's: files load in threads, and nothing else is started."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    return int(peak[1]) / 1024


def main(mysql: str, mongo: str) -> None:
    """Copy and print how it went."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(SETTINGS, DLT_DATA_DIR=folder)
        started = time.perf_counter()
        rows = copy(mysql, mongo, folder)
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mb": _peak_mb()}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
