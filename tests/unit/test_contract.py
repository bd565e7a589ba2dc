from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from wattline.errors import TerminalError
from wattline.solar.tables import DAY_GENERATION, TABLES, TICK_ROW
from wattline.storage.bson_frames import validator
from wattline.storage.contract import Column, Table
from wattline.storage.sql import sql_table

DAY = date(2026, 11, 30)


def days(count: int) -> pl.DataFrame:
    numbers = range(count, 0, -1)
    return pl.DataFrame({"mcno": numbers, "invno": 0, "day": DAY, "daykw": [Decimal(n) / 8 for n in numbers]})


def test_a_frame_is_brought_into_the_contracts_shape() -> None:
    shuffled = days(2).select("daykw", "day", "invno", "mcno").with_columns(more=pl.lit(1))
    shaped = DAY_GENERATION.conform(shuffled)
    assert shaped.schema == DAY_GENERATION.schema
    assert shaped["daykw"].to_list() == [Decimal("0.25"), Decimal("0.125")]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame.drop("day", "invno"), "day_generation: the frame lacks invno, day"),
        (lambda frame: frame.with_columns(mcno=pl.lit(2**40)), "does not fit"),
        (lambda frame: frame.with_columns(daykw=pl.lit("much")), "does not fit"),
        (lambda frame: frame.with_columns(daykw=pl.lit(None)), r"null in daykw \(2 rows\)"),
    ],
)
def test_a_frame_that_breaks_the_contract_is_refused(
    spoil: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    with pytest.raises(TerminalError, match=message):
        DAY_GENERATION.conform(spoil(days(2)))


@pytest.mark.parametrize("power", [float("nan"), float("inf"), float("-inf")])
def test_power_is_a_finite_number(power: float) -> None:
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    values = dict.fromkeys(TICK_ROW.schema, 0) | {"at": moment, "reading_at": moment, "dckw": power}
    with pytest.raises(TerminalError, match="NaN or infinity in dckw"):
        TICK_ROW.conform(pl.DataFrame(values))


def test_a_batch_is_in_key_order_with_one_row_a_key() -> None:
    assert DAY_GENERATION.batch(days(3))["mcno"].to_list() == [1, 2, 3]
    with pytest.raises(TerminalError, match=r"2 rows share a key, the first \{'mcno': 2, 'invno': 0, 'day'"):
        DAY_GENERATION.batch(pl.concat([days(3), days(3)[1:2]]))


def test_a_contract_names_only_columns_that_it_has() -> None:
    column = Column("mcno", pl.Int32(), "plant")
    for wrong in ({"key": ("nope",)}, {"indexes": (("nope",),)}, {"month_column": "nope"}):
        with pytest.raises(TerminalError, match="no column 'nope'"):
            Table(**{"name": "t", "key": ("mcno",), "columns": (column,)} | wrong)  # type: ignore[arg-type]
    with pytest.raises(TerminalError, match="it has mcno, invno"):
        DAY_GENERATION.column("nope")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_contract_has_a_home(table: Table) -> None:
    assert [column.name for column in table.columns[: len(table.key)]] == list(table.key), "key columns come first"
    assert not any(table.column(name).nullable for name in table.key)
    assert table.mysql
    assert [column.name for column in sql_table(table).primary_key] == list(table.key)
    assert set(validator(table)["$jsonSchema"]["required"]) == {"_id", *table.schema}


@pytest.mark.parametrize("made", [sql_table, validator])
@pytest.mark.parametrize("dtype", [pl.Decimal(38, 12), pl.Decimal(38, 6), pl.Float32()])
def test_a_type_that_a_database_would_round_is_refused(made: Callable[[Table], object], dtype: pl.DataType) -> None:
    table = Table("t", ("value",), (Column("value", dtype, "number"),), mysql="t", mongo="t")
    with pytest.raises(TerminalError, match="no exact"):
        made(table)


def test_a_database_that_lacks_a_table_says_so() -> None:
    with pytest.raises(TerminalError, match="not kept in MySQL"):
        sql_table(Table("t", ("n",), (Column("n", pl.Int32(), "number"),)))
