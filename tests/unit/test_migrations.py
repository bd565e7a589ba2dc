"""The entries of the migrations: every table of the platform's documentation, under its names, with sound contracts."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from wattline.alerts.channels import ChannelResult, Receipt
from wattline.alerts.duty import Delivery, sms_documents
from wattline.alerts.oncall import Message
from wattline.errors import BadInputError
from wattline.migrate.entry import Entry
from wattline.solar import legacy_store, legacy_tables
from wattline.solar.contracts import ALL_TABLES
from wattline.solar.legacy_tables import CUSTOMER_OWNER, LEGACY_TABLES, POWER_STATION
from wattline.solar.migrations import ENTRIES, entry
from wattline.solar.tables import CUSTOMER, TABLES
from wattline.storage.bson_frames import validator
from wattline.storage.contract import Table
from wattline.storage.documents import DOCUMENTS

MOVED = {
    "migration_inverter_m10": {"inverter": "inverter", "inverterlog": "inverter_reading"},
    "migration_minute_10": {
        "event": "event",
        "event_log": "event_log",
        "smslog": "sms_log",
        "conn_box": "conn_box",
        "connboxvoltage": "connboxvoltage",
        "conn_box_log": "conn_box_log",
        "irradiance": "irradiance",
    },
    "migration_day_1": {
        "client_status": "client_status",
        "remoteip": "remote_ip",
        "users": "users",
        "customer": "customer",
        "power_station": "power_station",
        "sensor_name": "sensor_name",
        "sensor_type": "sensor_type",
        "temperature": "temperature",
        "zipaddress": "zipaddress",
    },
    "migration_daygeneration_d01": {
        "daygeneration": "day_generation",
        "daytotalgeneration": "day_total_generation",
        "timegeneration": "time_generation",
    },
}
"""DAG → table → collection."""
INCREMENTAL = {"inverterlog", "event", "event_log", "smslog", "conn_box_log", "irradiance", "temperature"} | set(
    MOVED["migration_daygeneration_d01"]
)
SHARED = {"event", "event_log", "smslog"} | set(MOVED["migration_daygeneration_d01"])
MEASURED = {
    "inverterlog": "at",
    "event": "raised_at",
    "event_log": "at",
    "smslog": "sent_at",
    "conn_box_log": "at",
    "irradiance": "at",
    "temperature": "at",
    "timegeneration": "start",
}
ALL = [each for entries in ENTRIES.values() for each in entries]
MONTHLY = {"inverterlog", "conn_box_log"}


def test_every_table_has_its_entry_in_its_dag() -> None:
    assert {dag: {each.name: each.target.mongo for each in entries} for dag, entries in ENTRIES.items()} == MOVED


def test_an_entry_is_found_by_its_name() -> None:
    assert [entry(each.name) for each in ALL] == ALL
    with pytest.raises(BadInputError, match=r"no migration 'evnt'.*inverter, inverterlog, event, event_log"):
        entry("evnt")


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_an_entry_is_compared_and_selected_as_its_table_allows(each: Entry) -> None:
    assert (each.changed is not None) == (each.name in INCREMENTAL)
    assert each.deletions == ("keep" if each.name in INCREMENTAL else "soft")
    assert (each.stamp is not None) == (each.changed is None and "updated_at" in each.target.schema)
    assert each.shared == (each.name in SHARED)
    assert each.measured == MEASURED.get(each.name)
    assert (each.target.month_column == "at") == (each.name in MONTHLY)
    assert each.source == ("customer" if each.name == "power_station" else each.name)
    assert each.changed in (None, "received_at" if each.name == "inverterlog" else "updated_at")


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)
def test_a_contract_is_sound(table: Table) -> None:
    assert [column.name for column in table.columns[: len(table.key)]] == list(table.key), "key columns come first"
    assert not any(table.column(name).nullable for name in table.key)
    assert set(validator(table)["$jsonSchema"]["required"]) == {"_id", *table.schema}
    assert all(column.doc for column in table.columns)


def test_collections_and_names_are_each_one_contracts() -> None:
    assert {*TABLES, *LEGACY_TABLES} <= {*ALL_TABLES}
    collections = [table.mongo for table in ALL_TABLES if table.mongo]
    assert len(set(collections)) == len(collections)
    assert len({table.name for table in ALL_TABLES}) == len(ALL_TABLES)
    assert not set(collections) & set(DOCUMENTS), "documents have validators of their own"
    moved = {each.target for each in ALL}
    assert set(LEGACY_TABLES) <= moved


def test_the_watermark_is_part_of_the_documents_only_where_the_migration_wrote_them() -> None:
    for each in ALL:
        if each.shared:
            assert "updated_at" not in each.target.schema
            assert {"updated_at", "origin"} <= set(each.documents.schema)


def test_customer_is_split_and_nothing_of_it_is_lost() -> None:
    parts = entry("customer"), entry("power_station")
    for each in parts:
        columns = {*each.sources.values(), *each.ignored}
        assert columns == {*CUSTOMER.schema, "owner_id", "owner_phone", "owner_mail", "manager_id"}
    copied = {*CUSTOMER_OWNER.schema, *POWER_STATION.schema}
    assert copied >= columns
    assert {"owner_phone", "owner_mail"}.isdisjoint(POWER_STATION.schema)


def test_passwords_are_not_moved() -> None:
    users = entry("users")
    assert "password" in users.ignored
    assert "password" not in {name for each in ALL for name in (*each.sources, *each.sources.values())}


def test_sms_of_both_origins_have_the_same_fields() -> None:
    receipt = Receipt(to="010-0000-0001", sender="010-0000-0002", text="t", ok=True, message_id="m", result="r")
    sent = Delivery(ChannelResult("sms", ok=True, error=None, receipts=(receipt,)), Message("s", "t", "h", "m"), ())
    (document,) = sms_documents([sent], datetime(2026, 11, 1, tzinfo=UTC))
    own = set(document) - {"_id", "ok"}
    assert own == set(legacy_tables.SMS_LOG.schema) - {"id", "mcno"}


def test_the_simulator_writes_under_the_sources_names() -> None:
    for name, table in legacy_store.SOURCES.items():
        entries = [each for each in ALL if each.source == name]
        assert table.mysql == name
        assert set(table.schema) == {source for each in entries for source in each.sources.values()}
        assert {table.key} == {tuple(each.sources[key] for key in each.target.key) for each in entries}


def test_entries_are_there_without_heavy_libraries() -> None:
    slow = ("pandas", "pvlib", "pymongo", "MySQLdb", "sqlalchemy", "airflow")
    loaded = f"import sys, wattline.solar.migrations; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"
