"""A table with every type that a contract knows, for the tests of the stores."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import strategies as st

from wattline.storage.contract import ENERGY, POWER, UTC_TIME, Column, Table
from wattline.storage.store import Condition

SAMPLE = Table(
    name="sample",
    key=("site", "n", "at"),
    columns=(
        Column("site", pl.String(), "text key"),
        Column("n", pl.Int32(), "number key"),
        Column("at", UTC_TIME, "time key"),
        Column("kwh", ENERGY, "exact energy", nullable=True),
        Column("kw", POWER, "power", nullable=True),
        Column("big", pl.Int64(), "large number", nullable=True),
        Column("flag", pl.Boolean(), "yes or no", nullable=True),
        Column("day", pl.Date(), "local day", nullable=True),
        Column("seen", UTC_TIME, "another time", nullable=True),
        Column("note", pl.String(), "text", nullable=True),
    ),
    mysql="sample",
    mongo="sample",
    month_column="at",
    indexes=(("at",),),
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIX_PLACES = Decimal("0.000001")
_MOST = 10**18 - 1


def to_millisecond(value: Any) -> Any:
    """A time cut to milliseconds; anything else as it is."""
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value


texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["한글 발전소", "⚡🙂", "a", "a ", "A", "\\N", "\t\n\r\0\\'\"%s:x", ""]
)
energies = st.integers(-_MOST, _MOST).map(lambda units: Decimal(units).scaleb(-6)) | st.sampled_from(
    [Decimal(_MOST).scaleb(-6), Decimal(-_MOST).scaleb(-6), _SIX_PLACES, -_SIX_PLACES, Decimal(0)]
)
floats = st.floats(allow_nan=False, allow_infinity=False)
moments = st.timedeltas(timedelta(days=-300_000), timedelta(days=2_000_000)).map(lambda age: EPOCH + age)
months = st.timedeltas(timedelta(0), timedelta(days=95)).map(lambda age: datetime(2026, 11, 20, tzinfo=UTC) + age)
days = st.dates(date(1000, 1, 1))
longs = st.integers(-(2**63), 2**63 - 1)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "site": texts,
    "n": st.integers(-(2**31), 2**31 - 1) | st.integers(0, 3),
    "at": months,
    "kwh": energies,
    "kw": floats,
    "big": longs,
    "flag": st.booleans(),
    "day": days,
    "seen": moments,
    "note": texts,
}

CONDITIONS = st.sampled_from([column.name for column in SAMPLE.columns]).flatmap(
    lambda name: st.builds(
        Condition,
        st.just(name),
        st.sampled_from(["=", "<", "<=", ">", ">="] if name != "flag" else ["="]),
        VALUES[name].map(to_millisecond),
    )
)
"""Conditions on any column, with times that every database can hold."""


def rows(minimum: int = 0) -> st.SearchStrategy[pl.DataFrame]:
    """Frames of SAMPLE whose keys differ, also after their times are cut to milliseconds."""
    row = st.fixed_dictionaries(
        {c.name: VALUES[c.name] | st.none() if c.nullable else VALUES[c.name] for c in SAMPLE.columns}
    )
    lists = st.lists(row, min_size=minimum, max_size=12, unique_by=_millisecond_key)
    return lists.map(lambda found: pl.DataFrame(found, schema=SAMPLE.schema, orient="row"))


def sample(count: int, **changes: Any) -> pl.DataFrame:
    """`count` plain rows, one a minute from 2026-12-31T23:00Z on; `changes` sets columns."""
    start = datetime(2026, 12, 31, 23, tzinfo=UTC)
    minutes = pl.int_range(count, eager=True)
    plain = {
        "site": pl.lit("서울"),
        "n": pl.lit(1),
        "at": pl.lit(start) + pl.duration(minutes=minutes),
        "kwh": (minutes.cast(pl.Decimal(18, 6)) + Decimal("999999999.000001")),
        "kw": minutes.cast(pl.Float64) / 7,
        "big": minutes.cast(pl.Int64) - 5,
        "flag": minutes % 2 == 0,
        "day": pl.lit(date(2027, 1, 1)),
        "seen": pl.lit(start),
        "note": pl.lit(None),
    } | {name: pl.lit(value) for name, value in changes.items()}
    return SAMPLE.conform(pl.select(**plain))


def _millisecond_key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["site"], row["n"], to_millisecond(row["at"])
