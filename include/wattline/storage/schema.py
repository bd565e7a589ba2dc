"""The databases themselves: created, brought to the newest version, their users given the least rights.

Everything here can be run again at any time and changes nothing then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import MySQLdb
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.uri_parser import parse_uri

from wattline.errors import BadInputError
from wattline.storage.bson_frames import validator
from wattline.storage.contract import Table
from wattline.storage.documents import DOCUMENTS, Document, create_collection, translated
from wattline.storage.mysql import connect
from wattline.storage.mysql_errors import server_error

EVERY_TABLE = "*"
_GENERATION = ("daygeneration", "daytotalgeneration", "timegeneration")
_EVENTS = ("event", "event_log", "smslog")
_BOXES = ("conn_box", "conn_box_log", "connboxvoltage")
_REFERENCE = ("users", "sensor_name", "sensor_type", "zipaddress")
_METERS_WRITE = ("tbl_meter_hourly", "meter_hourly_quality", "meter_daily_closure")
_METERS_REPLACE = (
    "tbl_offline_meter_hourly",
    "tbl_virtual_meter_hourly",
    "meter_finding",
    "meter_statistics",
    "meter_median_due",
)
_GATEWAYS = ("customer", "inverter", "inverterlog", "client_status", "remoteip", "temperature", "irradiance")
MYSQL_RIGHTS: Mapping[str, Mapping[str, str]] = {
    "gateway": {
        EVERY_TABLE: "CREATE TEMPORARY TABLES",
        **dict.fromkeys((*_GATEWAYS, *_BOXES, *_EVENTS, *_GENERATION, *_REFERENCE), "SELECT, INSERT, UPDATE"),
    },
    "pipelines": {
        EVERY_TABLE: "SELECT, CREATE TEMPORARY TABLES",
        **dict.fromkeys(("inverterlog_tick", *_GENERATION, *_EVENTS), "INSERT, UPDATE"),
    },
    "source": {EVERY_TABLE: "SELECT"},
    "meters_system": {EVERY_TABLE: "SELECT"},
    "meters_historical": {
        EVERY_TABLE: "SELECT, CREATE TEMPORARY TABLES",
        "tbl_energy_value": "UPDATE (is_bad)",
        "tbl_offline_meter_files": "UPDATE (status)",
    },
    "meters_energy": {
        EVERY_TABLE: "SELECT, CREATE TEMPORARY TABLES",
        **dict.fromkeys(_METERS_WRITE, "INSERT, UPDATE"),
        **dict.fromkeys(_METERS_REPLACE, "INSERT, UPDATE, DELETE"),
    },
}
"""What each kind of user may do with which MySQL tables, and no more; `gateway` also stands for the older screens."""

_UNKNOWN_DATABASE = 1049
_USER_EXISTS = 51003
_PATIENCE_MS = 5_000


def upgrade_mysql(owner_url: str) -> str:
    """Create the database if it is missing and bring its tables to the newest version, which is returned.

    Raises:
        TerminalError: the URL is no use, or its user may not do this.
        TransientError: the server cannot be reached.
    """
    url = mysql_url(owner_url)
    with _mysql_errors(owner_url, url):
        with closing(connect(url.set(database=""))) as server:
            name = _quoted(url.database or "")
            server.cursor().execute(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4")
        with _engine(url).begin() as connection:
            command.upgrade(_alembic(connection), "head")
    return mysql_version(owner_url)[1]


def mysql_version(owner_url: str) -> tuple[str | None, str]:
    """The version that the database has (None: no table or no database yet) and the newest one.

    Raises:
        TerminalError: the URL is no use, or its user may not look.
        TransientError: the server cannot be reached.
    """
    url = mysql_url(owner_url)
    newest = ScriptDirectory.from_config(_alembic()).get_current_head()
    with _mysql_errors(owner_url, url):
        try:
            with _engine(url).connect() as connection:
                return MigrationContext.configure(connection).get_current_revision(), str(newest)
        except sa.exc.OperationalError as error:
            if error.orig is not None and error.orig.args[0] == _UNKNOWN_DATABASE:
                return None, str(newest)
            raise


def grant_mysql(owner_url: str, user_url: str, role: str) -> None:
    """Create the user of `user_url` (or set its password) and give it the rights of `role`; the owner is left alone.

    Args:
        owner_url: the schema's owner, who may create users and grant.
        user_url: the same database with the user's name and password.
        role: a key of MYSQL_RIGHTS.

    Raises:
        TerminalError: a URL is no use, or the owner may not do this.
        TransientError: the server cannot be reached.
    """
    owner, user = mysql_url(owner_url), mysql_url(user_url)
    if user.username == owner.username:
        return
    who = (user.username, "%")
    with _mysql_errors(owner_url, owner, user), closing(connect(owner)) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (*who, user.password))
        cursor.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*who, user.password))
        for table, rights in MYSQL_RIGHTS[role].items():
            cursor.execute(f"GRANT {rights} ON {_scope(owner.database or '', table)} TO %s@%s", who)


def upgrade_mongo(owner_url: str, tables: Sequence[Table]) -> list[str]:
    """Create every collection that is missing and give all their present validators and indexes; returns their names.

    Collections of months come to be with their first document; those that exist are brought up to date here.

    Raises:
        TerminalError: the URL is no use, or its user may not do this.
        TransientError: the server cannot be reached.
    """
    with mongo_database(owner_url) as database, translated():
        wanted = _collections(database, tables)
        for name, (rule, indexes) in wanted.items():
            create_collection(database, name, rule, indexes)
            database.command("collMod", name, validator=rule)
    return sorted(wanted)


def stale_collections(owner_url: str, tables: Sequence[Table]) -> list[str]:
    """Names of collections that are missing or have another validator than the contracts say.

    Raises:
        TerminalError: the URL is no use, or its user may not look.
        TransientError: the server cannot be reached.
    """
    with mongo_database(owner_url) as database, translated():
        there = {entry["name"]: entry["options"].get("validator") for entry in database.list_collections()}
        wanted = _collections(database, tables)
        return sorted(name for name, (rule, _) in wanted.items() if there.get(name) != rule)


def grant_mongo(owner_url: str, user_url: str) -> None:
    """Create the user of `user_url` (or set its password) with readWrite on the database; the owner is left alone.

    Raises:
        TerminalError: a URL is no use, or the owner may not do this.
        TransientError: the server cannot be reached.
    """
    user, owner = _parsed(user_url), _parsed(owner_url)
    if not user["username"] or user["username"] == owner["username"]:
        return
    rights = {"pwd": user["password"], "roles": [{"role": "readWrite", "db": owner["database"]}]}
    home = user["options"].get("authsource") or user["database"]
    with mongo_database(owner_url) as database, translated():
        try:
            database.client[home].command("createUser", user["username"], **rights)
        except OperationFailure as error:
            if error.code != _USER_EXISTS:
                raise
            database.client[home].command("updateUser", user["username"], **rights)


def mysql_url(url: str) -> sa.URL:
    """`mysql://user:password@host:port/database`, taken apart.

    Raises:
        BadInputError: it is something else; the message does not show it.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        parsed = None
    if parsed is None or not (parsed.database and parsed.username):
        raise BadInputError("the MySQL URL cannot be read", remedy="Write mysql://user:password@host:port/database")
    return parsed


def _collections(database: Database[Document], tables: Sequence[Table]) -> dict[str, tuple[Document, Any]]:
    """Collection → validator and indexes: of documents, of tables, and of the months that exist."""
    wanted: dict[str, tuple[Document, Any]] = {name: (kind.validator, kind.indexes) for name, kind in DOCUMENTS.items()}
    there = database.list_collection_names()
    for table in tables:
        if table.mongo is None:
            continue
        months = re.compile(rf"{re.escape(table.mongo)}_\d{{6}}")
        names = [name for name in there if months.fullmatch(name)] if table.month_column else [table.mongo]
        wanted |= dict.fromkeys(names, (validator(table), table.indexes))
    return wanted


def _alembic(connection: sa.Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine("mysql+mysqldb://", creator=lambda: connect(url), poolclass=sa.NullPool)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _scope(database: str, table: str) -> str:
    """`database.table` for GRANT, which takes `_` and `%` for wildcards where the table is `*`."""
    if table == EVERY_TABLE:
        return _quoted(re.sub(r"([_%])", r"\\\1", database)) + ".*"
    return f"{_quoted(database)}.{_quoted(table)}"


@contextmanager
def _mysql_errors(text: str, *urls: sa.URL) -> Iterator[None]:
    secrets = [text, *(str(url.password) for url in urls if url.password)]
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise server_error(error.orig or error, secrets) from None
    except MySQLdb.Error as error:
        raise server_error(error, secrets) from None


@contextmanager
def mongo_database(url: str) -> Iterator[Database[Document]]:
    """The database that a MongoDB URL names, closed at the end.

    Raises:
        BadInputError: the URL cannot be read or names no database; the message does not show it.
    """
    name = _parsed(url)["database"]
    client: MongoClient[Document] = MongoClient(url, serverSelectionTimeoutMS=_PATIENCE_MS)
    with client:
        yield client.get_database(name)


def _parsed(url: str) -> dict[str, Any]:
    try:
        parsed = dict(parse_uri(url))
    except Exception:  # the driver raises several kinds, some with the URL in their text
        parsed = {}
    if not parsed.get("database"):
        raise BadInputError("the MongoDB URL cannot be read", remedy="Write mongodb://user:password@host:port/database")
    return parsed
