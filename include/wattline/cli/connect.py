"""The databases of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from pydantic import SecretStr
from pymongo.database import Database

from wattline.errors import TerminalError
from wattline.meters.databases import Databases
from wattline.migrate.source import Source
from wattline.settings import settings
from wattline.storage import schema
from wattline.storage.documents import Document
from wattline.storage.mongo import MongoStore
from wattline.storage.mysql import MySQLStore


@contextmanager
def gateway_mysql() -> Iterator[MySQLStore]:
    """MySQL `solar` as the field gateways' user; closed at the end.

    Raises:
        TerminalError: the setting is missing.
    """
    with closing(MySQLStore.from_url(_url("mysql_gateway_url", settings().mysql_gateway_url))) as store:
        yield store


@contextmanager
def reader_mysql() -> Iterator[MySQLStore]:
    """MySQL `solar` as the user who only reads; closed at the end.

    Raises:
        TerminalError: the setting is missing.
    """
    with closing(MySQLStore.from_url(_url("mysql_source_url", settings().mysql_source_url))) as store:
        yield store


@contextmanager
def myems() -> Iterator[Databases]:
    """MyEMS's three databases as the meter pipelines' user; closed at the end.

    Raises:
        TerminalError: a setting is missing or cannot be read.
    """
    with closing(Databases(*(MySQLStore.from_url(url) for url in myems_urls()))) as databases:
        yield databases


def myems_urls() -> tuple[str, str, str]:
    """URLs of the system, the historical and the energy database for the meter pipelines' user.

    Raises:
        TerminalError: a setting is missing.
    """
    given = settings()
    return (
        _url("myems_system_url", given.myems_system_url),
        _url("myems_historical_url", given.myems_historical_url),
        _url("myems_energy_url", given.myems_energy_url),
    )


def myems_owner_url() -> str:
    """URL of the energy database for its owner.

    Raises:
        TerminalError: the setting is missing.
    """
    return _url("myems_owner_url", settings().myems_owner_url)


@contextmanager
def migration_source() -> Iterator[Source]:
    """MySQL `solar` as the user who only reads, for migrations; closed at the end.

    Raises:
        TerminalError: the setting is missing or cannot be read.
    """
    given = settings()
    url = _url("mysql_source_url", given.mysql_source_url)
    with closing(Source.from_url(url, given.migrate_query_seconds)) as source:
        yield source


@contextmanager
def pipeline_documents() -> Iterator[Database[Document]]:
    """The MongoDB database of the pipelines' user, for what is no table; closed at the end.

    Raises:
        TerminalError: the setting is missing or cannot be read.
    """
    with schema.mongo_database(_url("mongo_url", settings().mongo_url)) as database:
        yield database


@contextmanager
def pipeline_mongo() -> Iterator[MongoStore]:
    """MongoDB `solar` as the pipelines' user; closed at the end.

    Raises:
        TerminalError: the setting is missing.
    """
    with closing(MongoStore.from_url(_url("mongo_url", settings().mongo_url))) as store:
        yield store


def _url(name: str, value: SecretStr) -> str:
    if not value.get_secret_value():
        variable = f"WATTLINE_{name.upper()}"
        raise TerminalError(f"{variable} is not set. Set it, or let WATTLINE_ENV_FILE name a file that does")
    return value.get_secret_value()
