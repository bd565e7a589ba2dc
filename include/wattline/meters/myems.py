"""MyEMS's own tables, as version 6 makes them: for the demo and for tests. A live MyEMS has them already.

Three databases, perhaps on three servers; their names never stand in a statement. Instants are UTC and whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing

import polars as pl

from wattline.errors import TerminalError
from wattline.meters.tables import METER_KINDS, VALUE
from wattline.storage.contract import UTC_TIME, Column, Table
from wattline.storage.mysql import MySQLStore
from wattline.storage.schema import mysql_url

VALUE_SQL = {6: "DECIMAL(21,6)", 3: "DECIMAL(18,3)"}
"""Places after the point → the SQL type of energy. Installations before version 6 have three places."""

_NAME = "VARCHAR(255) NOT NULL"
_NUMBER = "BIGINT NOT NULL"
_OPTIONAL_NUMBER = "BIGINT"
_FLAG = "BOOL NOT NULL"
_VALUE = "{value} NOT NULL"
_IDENTITY = {"name": _NAME, "uuid": "CHAR(36) NOT NULL"}
_ACCOUNTING = {"energy_category_id": _NUMBER, "is_counted": _FLAG}
_LIMITS = {"hourly_low_limit": _VALUE, "hourly_high_limit": _VALUE}
_COSTS = {"cost_center_id": _NUMBER, "energy_item_id": _OPTIONAL_NUMBER}
_DESCRIPTION = {"description": "VARCHAR(255)"}
_POINT = {
    "name": "VARCHAR(512) NOT NULL",
    "data_source_id": _NUMBER,
    "object_type": "ENUM('ENERGY_VALUE','ANALOG_VALUE','DIGITAL_VALUE') NOT NULL",
    "units": "VARCHAR(32) NOT NULL",
    "high_limit": _VALUE,
    "low_limit": _VALUE,
    "higher_limit": "{value}",
    "lower_limit": "{value}",
    "ratio": "{value} NOT NULL DEFAULT 1",
    "offset_constant": "{value} NOT NULL DEFAULT 0",
    "is_trend": _FLAG,
    "is_virtual": "BOOL NOT NULL DEFAULT FALSE",
    "address": "LONGTEXT NOT NULL",
    **_DESCRIPTION,
}
_VARIABLE = {
    "name": "CHAR(36) NOT NULL",
    "virtual_meter_id": _NUMBER,
    "meter_type": f"ENUM({','.join(repr(kind) for kind in METER_KINDS)}) NOT NULL",
    "meter_id": _NUMBER,
}
_READING = {
    "point_id": _NUMBER,
    "utc_date_time": "DATETIME NOT NULL",
    "actual_value": _VALUE,
    "is_bad": "BOOL",
    "is_published": "BOOL",
}
_FILE = {
    "file_name": _NAME,
    "uuid": "CHAR(36) NOT NULL",
    "upload_datetime_utc": "DATETIME NOT NULL",
    "status": "VARCHAR(45) NOT NULL",
    "file_object": "LONGBLOB NOT NULL",
}


def _hourly(kind: str) -> dict[str, str]:
    return {f"{kind}_id": _NUMBER, "start_datetime_utc": "DATETIME NOT NULL", "actual_value": _VALUE}


_Columns = Mapping[str, str]
SYSTEM: Mapping[str, _Columns] = {
    "tbl_meters": _IDENTITY | _ACCOUNTING | _LIMITS | _COSTS | {"master_meter_id": _OPTIONAL_NUMBER} | _DESCRIPTION,
    "tbl_meters_points": {"meter_id": _NUMBER, "point_id": _NUMBER},
    "tbl_points": _POINT,
    "tbl_offline_meters": _IDENTITY | _ACCOUNTING | _LIMITS | _COSTS | _DESCRIPTION,
    "tbl_virtual_meters": _IDENTITY | {"equation": "LONGTEXT NOT NULL"} | _ACCOUNTING | _COSTS | _DESCRIPTION,
    "tbl_variables": _VARIABLE,
}
"""Tables of the system database → their columns but `id`, and the SQL type of each."""
HISTORICAL: Mapping[str, _Columns] = {"tbl_energy_value": _READING, "tbl_offline_meter_files": _FILE}
"""The same for the historical database, as far as Wattline uses it."""
ENERGY: Mapping[str, _Columns] = {f"tbl_{kind}_hourly": _hourly(kind) for kind in METER_KINDS}
"""The same for the energy database."""

_INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "tbl_meters_points": (("meter_id",),),
    "tbl_points": (("id", "object_type"),),
    "tbl_variables": (("virtual_meter_id",),),
    "tbl_energy_value": (("point_id", "utc_date_time"), ("utc_date_time",)),
    **{f"tbl_{kind}_hourly": ((f"{kind}_id", "start_datetime_utc"),) for kind in METER_KINDS},
}
"""None is unique: MyEMS keeps the hours single by its one process, `wattline meters upgrade` by a key."""

READING = Table(
    name="energy_value",
    key=("utc_date_time", "point_id"),
    columns=(
        Column("point_id", pl.Int64(), "the point of the meter's counter"),
        Column("utc_date_time", UTC_TIME, "when it was read, whole seconds"),
        Column("actual_value", VALUE, "the counter"),
        Column("is_bad", pl.Boolean(), "judged bad, judged good, or not judged yet", nullable=True),
    ),
    mysql="tbl_energy_value",
)
"""Readings as a gateway inserts them. MyEMS enforces no key: writing rows twice doubles them."""


def create(system_url: str, historical_url: str, energy_url: str, *, places: int = 6) -> None:
    """Create MyEMS's databases and tables where they are missing; what is there stays as it is.

    Args:
        system_url: `mysql://user:password@host:port/database` of a user who may create it.
        historical_url: the same; all three may name one database.
        energy_url: the same.
        places: digits after the point of energy: 6, or 3 as in older installations.

    Raises:
        TerminalError: a URL is no use, or its user may not do this.
        TransientError: a server cannot be reached.
    """
    if places not in VALUE_SQL:
        raise TerminalError(f"MyEMS has no energy with {places} places after the point; take 6, or 3 for an older one")
    for url, tables in ((system_url, SYSTEM), (historical_url, HISTORICAL), (energy_url, ENERGY)):
        _create_database(url)
        with closing(MySQLStore.from_url(url)) as store, store._cursor() as cursor:
            for name, columns in tables.items():
                cursor.execute(_create_table(name, columns, VALUE_SQL[places]))


def contract(table: str, columns: Iterable[str] = ()) -> Table:
    """The contract of a table of the system database, keyed by `id`, so that a store can read and write it.

    Args:
        table: a key of SYSTEM.
        columns: which of its columns, beside `id`; all of them by default.
    """
    known = SYSTEM[table]
    return Table(
        name=table,
        key=("id",),
        columns=(
            Column("id", pl.Int64(), "MyEMS's number of the row"),
            *(_column(name, known[name]) for name in columns or known),
        ),
        mysql=table,
    )


def _column(name: str, sql_type: str) -> Column:
    kind = sql_type.partition("(")[0].partition(" ")[0]
    types = {"BIGINT": pl.Int64(), "BOOL": pl.Boolean(), "{value}": VALUE}
    return Column(name, types.get(kind, pl.String()), "as MyEMS has it", nullable="NOT NULL" not in sql_type)


def _create_database(url: str) -> None:
    parsed = mysql_url(url)
    server = parsed.set(database="").render_as_string(hide_password=False)
    with closing(MySQLStore.from_url(server)) as store, store._cursor() as cursor:
        quoted = (parsed.database or "").replace("`", "``")
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{quoted}` CHARACTER SET utf8mb4")


def _create_table(name: str, columns: _Columns, value: str) -> str:
    parts = ["id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"]
    parts += [f"{column} {kind.replace('{value}', value)}" for column, kind in columns.items()]
    parts += [
        f"KEY {name}_index_{number} ({', '.join(index)})" for number, index in enumerate(_INDEXES.get(name, ()), 1)
    ]
    return f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(parts)}) CHARACTER SET utf8mb4"
