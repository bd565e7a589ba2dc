"""What goes from MySQL `solar` to MongoDB `solar`: one entry a table, by the DAG that moves it."""

from __future__ import annotations

from collections.abc import Mapping

from wattline.errors import BadInputError
from wattline.migrate.entry import Entry
from wattline.solar.irradiance import IRRADIANCE
from wattline.solar.legacy_tables import (
    CLIENT_STATUS,
    CONN_BOX,
    CONN_BOX_LOG,
    CONN_BOX_VOLTAGE,
    CUSTOMER_OWNER,
    EVENT,
    EVENT_LOG,
    POWER_STATION,
    REMOTE_IP,
    SENSOR_NAME,
    SENSOR_TYPE,
    SMS_LOG,
    TEMPERATURE,
    TIME_GENERATION,
    UPDATED_AT,
    USERS,
    ZIPADDRESS,
)
from wattline.solar.tables import DAY_GENERATION, DAY_TOTAL_GENERATION, INVERTER, READING
from wattline.storage.contract import Table

_CHANGED = UPDATED_AT.name
_OF_THE_PLANT = "of the plant, not of its owner: in power_station"
_OF_THE_OWNER = "of the owner, not of the plant: in customer"


def _whole(name: str, target: Table, ignored: Mapping[str, str] | None = None, source: str = "") -> Entry:
    """A small table, compared as a whole in every run; a document whose row is gone is marked."""
    stamp = _CHANGED if _CHANGED in target.schema else None
    return Entry(name, source or name, target, stamp=stamp, ignored=ignored or {}, deletions="soft")


def _growing(name: str, target: Table, measured: str | None = None) -> Entry:
    """A table that only gateways and older screens write."""
    return Entry(name, name, target, changed=_CHANGED, measured=measured)


def _shared(name: str, target: Table, measured: str | None = None, **renamed: str) -> Entry:
    """A table whose collection pipelines of the platform write too."""
    return Entry(
        name, name, target, changed=_CHANGED, measured=measured, renamed=renamed, extra=(UPDATED_AT,), shared=True
    )


ENTRIES: Mapping[str, tuple[Entry, ...]] = {
    "migration_inverter_m10": (
        _whole("inverter", INVERTER),
        Entry("inverterlog", "inverterlog", READING, changed="received_at", measured="at"),
    ),
    "migration_minute_10": (
        _shared("event", EVENT, "raised_at"),
        _shared("event_log", EVENT_LOG, "at"),
        _shared(
            "smslog", SMS_LOG, "sent_at", message_id="provider_message_id", to="receiver", text="message", at="sent_at"
        ),
        _whole("conn_box", CONN_BOX),
        _whole("connboxvoltage", CONN_BOX_VOLTAGE),
        _growing("conn_box_log", CONN_BOX_LOG, "at"),
        _growing("irradiance", IRRADIANCE, "at"),
    ),
    "migration_day_1": (
        _whole("client_status", CLIENT_STATUS),
        _whole("remoteip", REMOTE_IP),
        _whole("users", USERS, {"password": "a secret; the API has its own hashes, nothing is migrated"}),
        _whole(
            "customer",
            CUSTOMER_OWNER,
            dict.fromkeys(
                ("name", "address", "latitude", "longitude", "timezone", "status", "capacity_kw", "manager_id"),
                _OF_THE_PLANT,
            ),
        ),
        _whole("power_station", POWER_STATION, dict.fromkeys(("owner_phone", "owner_mail"), _OF_THE_OWNER), "customer"),
        _whole("sensor_name", SENSOR_NAME),
        _whole("sensor_type", SENSOR_TYPE),
        _growing("temperature", TEMPERATURE, "at"),
        _whole("zipaddress", ZIPADDRESS),
    ),
    "migration_daygeneration_d01": (
        _shared("daygeneration", DAY_GENERATION),
        _shared("daytotalgeneration", DAY_TOTAL_GENERATION),
        _shared("timegeneration", TIME_GENERATION, "start"),
    ),
}
"""DAG → the entries that it runs."""


def entry(name: str) -> Entry:
    """The entry called `name`.

    Raises:
        BadInputError: there is none; the message lists the names.
    """
    by_name = {each.name: each for entries in ENTRIES.values() for each in entries}
    if name not in by_name:
        raise BadInputError(f"there is no migration {name!r}", remedy=f"Take one of {', '.join(by_name)}")
    return by_name[name]
