"""What arrives in the legacy tables while simulated plants run: events, boxes, temperatures, SMS, what gateways say.

Everything follows from the seed, the plants and their faults. A row arrives in the window that holds its `updated_at`,
and rows that are changed later (events, newest values) are as the window's end sees them: so windows one after the
other leave the same rows as one window over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import reduce
from operator import or_

import numpy as np
import polars as pl

from wattline.solar.faults import Fault, Kind
from wattline.solar.fleet import Plant
from wattline.solar.legacy_irradiance import irradiance
from wattline.solar.legacy_register import AIR, PANEL, Frames, Numbers, boxes, chance, manager
from wattline.solar.legacy_tables import CONN_BOX, CONN_BOX_VOLTAGE
from wattline.solar.sun import elevation
from wattline.solar.tables import PLANT
from wattline.solar.weather import midnight
from wattline.storage.contract import UTC_TIME
from wattline.window import Window

OFFICE = "010-0000-0000"
"""The number that SMS come from."""
FAULTS_FROM = 200
_EVENTS = {
    Kind.BLACKOUT: (201, "계통 정전 (blackout)", timedelta(0)),
    Kind.SILENT: (202, "통신 이상 (communication error)", timedelta(minutes=60)),
    Kind.DEAD_INVERTER: (203, "발전 정지 (not generating)", timedelta(minutes=20)),
}
"""Kind of fault → event type, message, and how long it has to last."""
_NOTICES = ((101, "발전 시작 (generation started)", 7), (102, "발전 종료 (generation stopped)", 17))
"""Event type, message and clock hour of what happens to every plant every day."""
_MOMENTS = {"raised_at": "raised", "cleared_at": "cleared", "checked_at": "checked"}
_DELAY = timedelta(seconds=5)
"""From an event to its row."""
_CHECKED_AFTER = timedelta(minutes=30)
_SLOT = "10m"
_LONGEST_WAY = timedelta(minutes=20)
"""A row measured in a slot arrives within this time of the slot's begin."""
_EPOCH_2020 = 26_297_280
"""Minutes from 1970 to 2020."""
_VOLTS, _OPEN_VOLTS = 620.0, 780.0
_AMPERES = 9.0
"""Current of a channel in full sun."""
_FUSE_BLOWN = 1


def arrivals(plants: Sequence[Plant], window: Window, seed: int, faults: Sequence[Fault]) -> Frames:
    """MySQL table → rows that were written or changed in `window`.

    Args:
        plants: from `fleet.plants`; nothing happens before their `since`.
        window: by `updated_at`, UTC.
        seed: the world's.
        faults: at least those that overlap the window or the two hours before it.
    """
    near = [fault for fault in faults if fault.start < window.end and fault.end > window.start - timedelta(hours=2)]
    slots = _slots(plants, window, seed, near)
    log = _box_log(plants, slots, seed, near)
    events = _events(plants, window, seed, near)
    changes = _changes(events, window)
    return {
        "event": _as_seen(events, window),
        "event_log": changes,
        "smslog": _sms(changes),
        "conn_box_log": log,
        "connboxvoltage": _newest(log).select(CONN_BOX_VOLTAGE.schema.names()),
        "conn_box": _newest_of_boxes(plants, log, seed),
        "temperature": _temperatures(slots, seed),
        "irradiance": irradiance(plants, slots, seed),
        **_gateways(slots, seed),
    }


def _slots(plants: Sequence[Plant], window: Window, seed: int, faults: Sequence[Fault]) -> pl.DataFrame:
    """When gateways spoke so that it arrived in the window: `mcno, at, updated_at, light` (0 to 1), in time order.

    They speak every ten minutes, each at its own second; a silent one does not.
    """
    sites = [(plant.mcno, plant.since, plant.latitude, plant.longitude) for plant in plants]
    schema = {"mcno": pl.Int32(), "since": UTC_TIME, "latitude": pl.Float64(), "longitude": pl.Float64()}
    begin, end = window.start - _LONGEST_WAY, window.end + _LONGEST_WAY
    times = pl.datetime_range(begin, end, _SLOT, time_unit="us", eager=True).dt.truncate(_SLOT)
    rows = pl.DataFrame(sites, schema=schema, orient="row").join(times.to_frame("slot"), how="cross")
    seconds = 2 + 6 * chance(seed, rows["mcno"], rows["slot"].dt.epoch("s"), 51)
    way = pl.Series((seconds * 1e6).astype(np.int64)).cast(pl.Duration("us"))
    rows = rows.with_columns(at=pl.col("slot") + pl.duration(seconds=pl.col("mcno") * 37 % 200))
    rows = rows.with_columns(updated_at=pl.col("at") + way)
    kept = _arrived("updated_at", window) & (pl.col("at") >= pl.col("since")) & ~_hit(faults, Kind.SILENT)
    rows = rows.filter(kept).sort("at", "mcno")
    return rows.with_columns(light=pl.Series(_light(rows, seed))).drop("latitude", "longitude")


def _arrived(column: str, window: Window) -> pl.Expr:
    return pl.col(column).is_between(window.start, window.end, closed="left")


def _hit(faults: Sequence[Fault], kind: Kind) -> pl.Expr:
    """Which rows with `mcno` and `at` lie in a fault of a whole plant."""
    return reduce(or_, (fault.rows for fault in faults if fault.kind is kind), pl.lit(value=False))


def _light(rows: pl.DataFrame, seed: int) -> Numbers:
    """The share of full sun (0 to 1) of each row: 0 at night, less where clouds are."""
    height = np.sin(
        np.radians(elevation(rows["at"].to_numpy(), rows["latitude"].to_numpy(), rows["longitude"].to_numpy()))
    )
    clouds = chance(seed, rows["mcno"], rows["slot"].dt.epoch("s"), 52)
    return np.asarray(np.maximum(height, 0) * (0.4 + 0.6 * clouds), np.float64)


def _box_log(plants: Sequence[Plant], slots: pl.DataFrame, seed: int, faults: Sequence[Fault]) -> pl.DataFrame:
    """CONN_BOX_LOG rows: every channel of every box, by daylight."""
    register = boxes(plants, seed).select(
        "mcno", "boxno", channel=pl.int_ranges(1, pl.col("channels") + 1, dtype=pl.Int32)
    )
    rows = slots.filter(pl.col("light") > 0).join(register, on="mcno").explode("channel")
    noise = chance(seed, rows["mcno"], rows["slot"].dt.epoch("s"), rows["channel"], 61)
    blown = pl.Series(chance(seed, rows["mcno"], rows["channel"], 62) < 0.03)  # noqa: PLR2004 - one fuse in 33
    off = _hit(faults, Kind.BLACKOUT)
    amperes = _AMPERES * pl.col("light") * pl.Series(0.95 + 0.1 * noise)
    return rows.select(
        "mcno",
        "boxno",
        "channel",
        "at",
        voltage=pl.when(off).then(_OPEN_VOLTS).otherwise(_VOLTS + pl.Series(20 * noise)).round(1),
        current=pl.when(off | blown).then(0.0).otherwise(amperes).round(2),
        status=pl.lit(blown).cast(pl.Int32) * _FUSE_BLOWN,
        updated_at="updated_at",
    )


def _newest(log: pl.DataFrame) -> pl.DataFrame:
    """The last row of each channel."""
    return log.sort("at").group_by("mcno", "boxno", "channel").last()


def _newest_of_boxes(plants: Sequence[Plant], log: pl.DataFrame, seed: int) -> pl.DataFrame:
    """CONN_BOX rows of the boxes that are in `log`, with their newest values."""
    newest = (
        _newest(log)
        .group_by("mcno", "boxno")
        .agg(
            pl.col("at", "updated_at", "status").max(),
            pl.col("voltage").mean().round(1),
            pl.col("current").sort_by("channel").sum().round(2),
        )
    )
    register = boxes(plants, seed).drop("at", "voltage", "current", "status", "updated_at")
    return register.join(newest, on=["mcno", "boxno"]).select(CONN_BOX.schema.names())


def _events(plants: Sequence[Plant], window: Window, seed: int, faults: Sequence[Fault]) -> pl.DataFrame:
    """Everything that happens around the window, whole: EVENT without `checked`."""
    since = {plant.mcno: plant.since for plant in plants}
    found = [row for fault in faults if fault.kind in _EVENTS and fault.mcno in since for row in _of_fault(fault)]
    found += [row for plant in plants for row in _of_days(plant, window)]
    text = dict.fromkeys(("level", "message"), pl.String())
    numbers = dict.fromkeys(("mcno", "invno", "type"), pl.Int32())
    schema = {**numbers, "raised_at": UTC_TIME, "cleared_at": UTC_TIME, **text}
    events = pl.DataFrame(found, schema=schema, orient="row")
    begun = pl.col("raised_at") >= pl.col("mcno").replace_strict(since, return_dtype=UTC_TIME)
    events = events.filter(begun).sort("mcno", "invno", "type", "raised_at")
    seen = pl.Series(chance(seed, events["mcno"], events["raised_at"].dt.epoch("s"), 71) < 0.5)  # noqa: PLR2004 - half
    checked = (pl.col("type") >= FAULTS_FROM) & seen
    return events.with_columns(checked_at=pl.when(checked).then(pl.col("cleared_at") + _CHECKED_AFTER))


def _of_fault(fault: Fault) -> list[tuple[object, ...]]:
    number, message, patience = _EVENTS[fault.kind]
    raised = fault.start + patience
    return [
        (fault.mcno, invno, number, raised, fault.end, "fault", message)
        for invno in fault.invnos or (PLANT,)
        if raised < fault.end
    ]


def _of_days(plant: Plant, window: Window) -> list[tuple[object, ...]]:
    """The notices of the local days that the window touches; each is over at once."""
    first, last = ((time.astimezone(plant.zone)).date() for time in (window.start - _DELAY, window.end))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [
        (plant.mcno, PLANT, number, moment, moment, "notice", message)
        for day in days
        for number, message, hour in _NOTICES
        for moment in (midnight(plant, day) + timedelta(hours=hour, minutes=plant.mcno * 7 % 40),)
    ]


def _as_seen(events: pl.DataFrame, window: Window) -> pl.DataFrame:
    """EVENT rows that changed in the window, as they stand at its end."""
    seen = {name: pl.when(pl.col(name) + _DELAY < window.end).then(pl.col(name)) for name in _MOMENTS}
    rows = events.with_columns(**seen).with_columns(
        updated_at=pl.max_horizontal(*_MOMENTS) + _DELAY,
        checked=pl.col("checked_at").is_not_null(),
        checked_by=pl.when(pl.col("checked_at").is_not_null()).then(manager("mcno")),
    )
    return rows.filter(_arrived("updated_at", window))


def _changes(events: pl.DataFrame, window: Window) -> pl.DataFrame:
    """EVENT_LOG rows: each change of an event that arrived in the window."""
    rows = events.rename(_MOMENTS).unpivot(
        list(_MOMENTS.values()), index=["mcno", "invno", "type", "message"], variable_name="action", value_name="at"
    )
    rows = rows.drop_nulls("at").with_columns(updated_at=pl.col("at") + _DELAY)
    return rows.filter(_arrived("updated_at", window)).sort("at", "mcno", "invno", "type", "action")


def _sms(changes: pl.DataFrame) -> pl.DataFrame:
    """Rows of `smslog`: one to the plant's owner for each fault that is raised or cleared."""
    told = changes.filter((pl.col("type") >= FAULTS_FROM) & pl.col("action").is_in(["raised", "cleared"]))
    minute = pl.col("at").dt.epoch("s") // 60 - _EPOCH_2020
    number = (minute * 100_000 + pl.col("mcno") % 10_000 * 10 + pl.col("type") % 10) * 100 + pl.col("invno") % 100
    return told.select(
        "mcno",
        id=number,
        sent_at=pl.col("updated_at"),
        sender=pl.lit(OFFICE),
        receiver=pl.format("010-0000-{}", (pl.col("mcno") % 10_000).cast(pl.String).str.zfill(4)),
        message=pl.format("[{}] {}: {}", "mcno", "message", "action"),
        provider_message_id=pl.format("SIM{}", number),
        result=pl.lit("2000"),
        updated_at=pl.col("updated_at") + timedelta(seconds=2),
    )


def _temperatures(slots: pl.DataFrame, seed: int) -> pl.DataFrame:
    """TEMPERATURE rows: air and panels, once an hour."""
    hourly = slots.filter(pl.col("slot").dt.minute() == 0)
    season = (2 * np.pi * (pl.col("at").dt.ordinal_day() - 110) / 365).sin()
    noise = pl.Series(chance(seed, hourly["mcno"], hourly["slot"].dt.epoch("s"), 81))
    air = 12 + 13 * season + 4 * noise + 5 * pl.col("light")
    both = [
        hourly.select("mcno", "at", "updated_at", sensorno=pl.lit(sensor, pl.Int32), temperature=value)
        for sensor, value in ((AIR, air), (PANEL, air + 25 * pl.col("light")))
    ]
    return pl.concat(both).with_columns(pl.col("temperature").round(2).cast(pl.Decimal(6, 2)))


def _gateways(slots: pl.DataFrame, seed: int) -> Frames:
    """What each gateway that spoke last said of itself, and where it called from."""
    last = slots.group_by("mcno", maintain_order=True).last()
    drawn = pl.Series(chance(seed, last["mcno"], last["slot"].dt.epoch("s"), 91))
    up = (pl.col("at") - pl.col("since")).dt.total_seconds()
    status = last.select(
        "mcno",
        "updated_at",
        said_at="at",
        firmware=pl.format("2.{}.1", pl.col("mcno") % 4),
        online=drawn < 0.95,  # noqa: PLR2004 - one in twenty calls by and by
        alarms=pl.when(drawn < 0.1).then(1 + (drawn * 1000).cast(pl.Int64) % 15).otherwise(0),  # noqa: PLR2004 - one in ten
        detail=pl.struct(
            uptime_s=up, signal_dbm=-60 - (drawn * 40).cast(pl.Int64), boxes=pl.lit(1)
        ).struct.json_encode(),
    )
    # One counter in seven has passed what a signed number can hold.
    base = pl.when(pl.col("mcno") % 7 == 0).then(2**63).otherwise(0).cast(pl.UInt64)
    address = pl.when(pl.col("mcno") % 5 == 0).then(pl.format("2001:db8::{}", pl.col("mcno")))
    calls = last.select(
        "mcno",
        "updated_at",
        called_at="at",
        ip=address.otherwise(pl.format("198.51.100.{}", pl.col("mcno") % 256)),
        port=pl.lit(40_000, pl.Int32) + pl.col("mcno") % 20_000,
        bytes_received=base + up.cast(pl.UInt64) * 97,
    )
    return {"client_status": status, "remoteip": calls}
