"""Contracts of the legacy tables as MongoDB holds them: events, connection boxes, sensors, users, gateways, addresses.

What MySQL holds otherwise than a store writes it (BIT, JSON) has no MySQL name here: the migration reads it by itself.
Where pipelines of the platform write a collection too, `updated_at` of MySQL is no part of the contract: migrations add
`UPDATED_AT` to the documents that they write.
"""

from __future__ import annotations

import polars as pl

from wattline.solar.tables import CUSTOMER, INVERTER, INVNO_OR_PLANT, MCNO
from wattline.storage.contract import ENERGY, UTC_TIME, Column, Table

UPDATED_AT = Column("updated_at", UTC_TIME, "last change of the row in MySQL")
"""The watermark of every legacy table that grows."""

_INT, _TEXT = pl.Int32(), pl.String()
_MAX_VOLTS, _MAX_AMPERES = 2_000.0, 5_000.0

_TYPE = Column("type", _INT, "100s are notices, 200s faults, 300s the platform itself", minimum=100, maximum=399)
_OF_EVENT = (Column("mcno", _INT, "plant number; 0 is the platform itself", minimum=0), INVNO_OR_PLANT, _TYPE)
_BOXNO = Column("boxno", _INT, "number of the connection box, unique inside the plant", minimum=1)
_OF_CHANNEL = (MCNO, _BOXNO, Column("channel", _INT, "channel of the box, one string of panels", minimum=1))
_SENSORNO = Column("sensorno", _INT, "number of the sensor, unique inside the plant", minimum=1)
_OWNER_ID = Column("owner_id", _TEXT, "`user_id` of the owner", nullable=True)
_VALUES = (
    Column("voltage", pl.Float64(), "DC voltage", "V", True, 0, _MAX_VOLTS),
    Column("current", pl.Float64(), "DC current; a little below 0 at night", "A", True, -10, _MAX_AMPERES),
)
_BOX_STATUS = Column("status", _INT, "status word: 0 normal, 1 a fuse has blown, 2 the box is open", nullable=True)

TIME_GENERATION = Table(
    name="time_generation",
    key=("mcno", "invno", "start"),
    columns=(
        MCNO,
        INVNO_OR_PLANT,
        Column("start", UTC_TIME, "begin of the clock hour"),
        Column("timekw", ENERGY, "energy made in the hour", "kWh", minimum=0),
        Column("spans_gap", pl.Boolean(), "holds energy of an outage that reached into the hour", nullable=True),
        Column("estimated", pl.Boolean(), "whether the energy is a guess: never", nullable=True),
        Column("counter_reset", pl.Boolean(), "a counter segment began in the hour", nullable=True),
        Column("fresh_ticks", _INT, "tick rows of the hour that are not stale; 0: no data", nullable=True, minimum=0),
    ),
    mysql="timegeneration",
    mongo="time_generation",
    indexes=(("start",),),
    own_column="fresh_ticks",
)
"""Energy per inverter, or plant, and clock hour; rows of the old system have no flags."""

EVENT = Table(
    name="event",
    key=("mcno", "invno", "type", "raised_at"),
    columns=(
        *_OF_EVENT,
        Column("raised_at", UTC_TIME, "when it was raised"),
        Column("level", _TEXT, "notice or fault"),
        Column("message", _TEXT, "what happened, for people", nullable=True),
        Column("cleared_at", UTC_TIME, "when it was over; null while it lasts", nullable=True),
        Column("checked", pl.Boolean(), "somebody has seen it"),
        Column("checked_at", UTC_TIME, "when somebody marked it as seen", nullable=True),
        Column("checked_by", _TEXT, "`user_id` of who marked it", nullable=True),
    ),
    mysql="event",
    mongo="event",
    indexes=(("raised_at",),),
)
"""What happened to an inverter, or a plant, and how long it lasted."""

EVENT_LOG = Table(
    name="event_log",
    key=("mcno", "invno", "type", "at", "action"),
    columns=(
        *_OF_EVENT,
        Column("at", UTC_TIME, "when the event changed"),
        Column("action", _TEXT, "raised, cleared, merged (another took its place), withdrawn or checked"),
        Column("message", _TEXT, "what happened, for people", nullable=True),
    ),
    mysql="event_log",
    mongo="event_log",
    indexes=(("at",),),
)
"""Every change of every event, one row each."""

CONN_BOX = Table(
    name="conn_box",
    key=("mcno", "boxno"),
    columns=(
        MCNO,
        _BOXNO,
        Column("invno", _INT, "the inverter that it feeds", nullable=True, minimum=1),
        Column("channels", _INT, "how many channels it has", minimum=1, maximum=64),
        *map(INVERTER.column, ("serial_no", "installed_at", "removed_at")),
        Column("at", UTC_TIME, "time of the newest values; null before the first", nullable=True),
        *_VALUES,
        _BOX_STATUS,
        UPDATED_AT,
    ),
    mysql="conn_box",
    mongo="conn_box",
)
"""The register of connection boxes with the newest values of each, its current summed over the channels."""

CONN_BOX_LOG = Table(
    name="conn_box_log",
    key=("mcno", "boxno", "channel", "at"),
    columns=(
        *_OF_CHANNEL,
        Column("at", UTC_TIME, "time of the values, by the gateway's clock"),
        *_VALUES,
        _BOX_STATUS,
        UPDATED_AT,
    ),
    mysql="conn_box_log",
    mongo="conn_box_log",
    month_column="at",
    indexes=(("at",), ("updated_at",)),
)
"""What the channels of connection boxes measured: MongoDB `conn_box_log_YYYYMM`."""

CONN_BOX_VOLTAGE = Table(
    name="connboxvoltage",
    key=("mcno", "boxno", "channel"),
    columns=(
        *_OF_CHANNEL,
        Column("at", UTC_TIME, "time of the newest values"),
        *_VALUES,
        UPDATED_AT,
    ),
    mysql="connboxvoltage",
    mongo="connboxvoltage",
)
"""The newest values of each channel of a connection box."""

CLIENT_STATUS = Table(
    name="client_status",
    key=("mcno",),
    columns=(
        MCNO,
        Column("said_at", UTC_TIME, "when the gateway last spoke"),
        Column("firmware", _TEXT, "version of its program", nullable=True),
        Column("online", pl.Boolean(), "whether it holds its line open"),
        Column("alarms", pl.Int64(), "alarm bits: 1 disk, 2 clock, 4 line, 8 power", minimum=0, maximum=255),
        Column("detail", _TEXT, "what else it said, as JSON text", nullable=True),
        UPDATED_AT,
    ),
    mongo="client_status",
    indexes=(("said_at",),),
)
"""What the field gateway of a plant last said of itself."""

REMOTE_IP = Table(
    name="remoteip",
    key=("mcno",),
    columns=(
        MCNO,
        Column("ip", _TEXT, "IPv4 or IPv6 address from which the gateway last called"),
        Column("port", _INT, "its port", nullable=True, minimum=0, maximum=65_535),
        Column("called_at", UTC_TIME, "when it last called"),
        Column("bytes_received", pl.UInt64(), "everything that it ever sent", "bytes"),
        UPDATED_AT,
    ),
    mongo="remote_ip",
    indexes=(("called_at",),),
)
"""Where the gateway of a plant last called from."""

USERS = Table(
    name="users",
    key=("user_id",),
    columns=(
        Column("user_id", _TEXT, "name to log in with"),
        Column("name", _TEXT, "full name"),
        Column("authority", _TEXT, "administrator, manager (of several plants) or owner"),
        Column("phone", _TEXT, "number for SMS", nullable=True),
        Column("mail", _TEXT, "address for mail", nullable=True),
        Column("language", _TEXT, "language of messages: ko or en"),
        Column("created_at", UTC_TIME, "when the account was made"),
        Column("last_login_at", UTC_TIME, "last login on the older screens", nullable=True),
        UPDATED_AT,
    ),
    mongo="users",
    indexes=(("authority",),),
)
"""Who may log in, without passwords."""

CUSTOMER_OWNER = Table(
    name="customer_owner",
    key=("mcno",),
    columns=(
        MCNO,
        CUSTOMER.column("owner"),
        _OWNER_ID,
        Column("owner_phone", _TEXT, "the owner's number for SMS", nullable=True),
        Column("owner_mail", _TEXT, "the owner's address for mail", nullable=True),
        UPDATED_AT,
    ),
    mongo="customer",
    indexes=(("owner_id",),),
)
"""Who owns a plant and how to reach them: the personal half of MySQL `customer`."""

POWER_STATION = Table(
    name="power_station",
    key=("mcno",),
    columns=(
        *(column for column in CUSTOMER.columns if column.name != "updated_at"),
        _OWNER_ID,
        Column("manager_id", _TEXT, "`user_id` of who manages it", nullable=True),
        UPDATED_AT,
    ),
    mongo="power_station",
    indexes=(("owner_id",), ("manager_id",)),
)
"""A plant: name, site, size, day, state, and who may see it: the other half of MySQL `customer`."""

SENSOR_NAME = Table(
    name="sensor_name",
    key=("mcno", "sensorno"),
    columns=(
        MCNO,
        _SENSORNO,
        Column("name", _TEXT, "what people call it"),
        Column("type", _INT, "`type` of sensor_type", minimum=1),
        Column("in_use", pl.Boolean(), "whether it is still in use"),
    ),
    mongo="sensor_name",
)
"""The sensors of a plant."""

SENSOR_TYPE = Table(
    name="sensor_type",
    key=("type",),
    columns=(
        Column("type", _INT, "number of the type", minimum=1),
        Column("name", _TEXT, "what it measures"),
        Column("unit", _TEXT, "unit of its values"),
    ),
    mysql="sensor_type",
    mongo="sensor_type",
)
"""What a sensor can measure."""

TEMPERATURE = Table(
    name="temperature",
    key=("mcno", "sensorno", "at"),
    columns=(
        MCNO,
        _SENSORNO,
        Column("at", UTC_TIME, "time of the value"),
        Column("temperature", pl.Decimal(6, 2), "temperature", "°C", minimum=-60, maximum=120),
        UPDATED_AT,
    ),
    mysql="temperature",
    mongo="temperature",
    indexes=(("at",), ("updated_at",)),
)
"""Temperatures of air and panels."""

ZIPADDRESS = Table(
    name="zipaddress",
    key=("zipcode", "seq"),
    columns=(
        Column("zipcode", _TEXT, "postal code, five digits"),
        Column("seq", _INT, "number of the address inside the code", minimum=1),
        Column("sido", _TEXT, "province or metropolitan city"),
        Column("sigungu", _TEXT, "city, county or district"),
        Column("road", _TEXT, "road or village"),
        Column("building", _TEXT, "building", nullable=True),
    ),
    mysql="zipaddress",
    mongo="zipaddress",
)
"""Postal addresses of Korea."""

SMS_LOG = Table(
    name="sms_log",
    key=("id",),
    columns=(
        Column("id", pl.Int64(), "number of the row in MySQL", minimum=1),
        Column("message_id", _TEXT, "the provider's number of the message", nullable=True),
        Column("sender", _TEXT, "sending number"),
        Column("to", _TEXT, "receiving number"),
        Column("text", _TEXT, "the message"),
        Column("result", _TEXT, "the provider's answer", nullable=True),
        Column("at", UTC_TIME, "when it was sent"),
        Column("mcno", _INT, "the plant that it speaks of", nullable=True),
    ),
    mongo="sms_log",
    indexes=(("at",),),
)
"""SMS of MySQL `smslog`, under the names of the on-call's documents, which are in `sms_log` too and have other keys."""

_GROWING = (TIME_GENERATION, EVENT, EVENT_LOG, CONN_BOX_LOG, TEMPERATURE)
_NEWEST = (CONN_BOX, CONN_BOX_VOLTAGE, CLIENT_STATUS, REMOTE_IP)
_REFERENCE = (USERS, CUSTOMER_OWNER, POWER_STATION, SENSOR_NAME, SENSOR_TYPE, ZIPADDRESS)
LEGACY_TABLES = (*_GROWING, *_NEWEST, *_REFERENCE)
"""The contracts of this module whose collections hold nothing else; `sms_log` is one of `storage.documents`."""
