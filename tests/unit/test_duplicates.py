"""Which inverters of a register are one and the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from wattline.solar.duplicates import PAIR, events, notices, pairs

AT = datetime(2026, 11, 20, tzinfo=UTC)


def found(
    inverters: list[tuple[int, int, str | None]], gateways: list[tuple[int, str, int | None]] | None = None
) -> list[tuple[Any, ...]]:
    serials = {"mcno": pl.Int32(), "invno": pl.Int32(), "serial_no": pl.String()}
    addresses = {"mcno": pl.Int32(), "ip": pl.String(), "port": pl.Int32()}
    rows = pairs(pl.DataFrame(inverters, serials, orient="row"), pl.DataFrame(gateways or [], addresses, orient="row"))
    assert rows.schema == PAIR
    return rows.rows()


def test_the_same_serial_number_in_two_plants_or_in_one() -> None:
    assert found([(2, 1, "A1"), (1, 3, " a1 "), (1, 2, "B")]) == [(1, 3, 2, 1, "a1", None)]
    assert found([(1, 4, "A1"), (1, 2, "A1")]) == [(1, 2, 1, 4, "a1", None)]
    three = found([(1, 1, "A"), (2, 1, "A"), (3, 1, "A")])
    assert [row[:4] for row in three] == [(1, 1, 2, 1), (1, 1, 3, 1), (2, 1, 3, 1)]


@pytest.mark.parametrize("nothing", [None, "", " ", "-", "N/A", "unknown", "없음"])
def test_what_stands_for_no_serial_number_is_none(nothing: str | None) -> None:
    assert found([(1, 1, nothing), (2, 1, nothing)]) == []


def test_the_same_number_behind_the_same_address_and_port() -> None:
    inverters: list[tuple[int, int, str | None]] = [(1, 1, None), (1, 2, None), (2, 2, None), (2, 3, None)]
    assert found(inverters, [(1, "203.0.113.5", 502), (2, "203.0.113.5", 502)]) == [
        (1, 2, 2, 2, None, "203.0.113.5:502")
    ]
    for other in (("203.0.113.5", 503), ("203.0.113.6", 502), ("203.0.113.5", None)):
        assert found(inverters, [(1, "203.0.113.5", 502), (2, *other)]) == []
    # Without a port it is a whole network, where many plants may be.
    assert found(inverters, [(1, "203.0.113.5", None), (2, "203.0.113.5", None)]) == []
    assert found(inverters, [(1, "203.0.113.5", 0), (2, "203.0.113.5", 0)]) == []


def test_a_pair_that_shares_both_is_one_pair() -> None:
    both = [(1, "203.0.113.5", 502), (2, "203.0.113.5", 502)]
    assert found([(1, 1, "A"), (2, 1, "A")], both) == [(1, 1, 2, 1, "a", "203.0.113.5:502")]


def _pair(other: int, gone: datetime | None = None, at: datetime = AT) -> dict[str, Any]:
    shared = {"serial_no": "a", "address": None, "found_at": at, "gone_at": gone}
    return {"mcno": 1, "invno": 1, "other_mcno": other, "other_invno": 1} | shared


def test_one_event_an_inverter_and_day_that_lasts_as_long_as_any_of_its_pairs() -> None:
    later = AT + timedelta(days=1)
    (event,) = events([_pair(2, gone=later), _pair(3)])
    assert event.key == {"mcno": 1, "invno": 1, "raised_at": AT, "type": 302}
    assert event.cleared_at is None
    assert "plant 2" in event.message
    assert "plant 3" in event.message
    (over,) = events([_pair(2, gone=later), _pair(3, gone=AT)])
    assert over.cleared_at == later
    assert [each.key["raised_at"] for each in events([_pair(2), _pair(3, at=later), _pair(4)])] == [AT, later]


@pytest.mark.parametrize("days", [0, 1, 30])
def test_what_lasts_is_told_however_late_until_it_is_queued(days: int) -> None:
    at = AT + timedelta(days=days)
    (notice,) = notices([_pair(2)], at)
    assert notice.key == {"mcno": 1, "invno": 1, "raised_at": AT, "type": 302}
    assert (notice.mcno, notice.transition) == (1, "raised")
    assert notice.at == at, "a message that is due since long ago is given up"
    assert notices([_pair(2) | {"queued_at": AT}], at) == []
    assert notices([_pair(2, gone=AT)], at) == []
