"""The meters' part of `make demo`: what the tables say after the pipelines ran over simulated meters."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import MySQLdb
from rich.table import Table
from rich.text import Text

from local.environment import MYEMS, Environment
from local.servers import HOST, OWNER

PIPELINES = ("meter_cleaning", "meter_hourly_normalization")
"""In this order: only readings that are judged good count."""


def hours_by_reason(environment: Environment) -> Table:
    """Why hours have their value: how many for each reason, their energy, and what they drop."""
    table = Table("reason", "hours", "energy kWh", "dropped kWh", title="Meters: hours by reason")
    for column in table.columns[1:]:
        column.justify = "right"
    query = """SELECT reason, COUNT(*), SUM(actual_value), SUM(raw_increment + rolled_over - actual_value)
               FROM meter_hourly_quality GROUP BY reason ORDER BY 2 DESC"""
    for reason, hours, energy, dropped in _rows(environment, "energy", query):
        table.add_row(reason, f"{hours:,}", f"{energy:,}", f"{dropped:,}")
    return table


def meters(environment: Environment) -> Table:
    """What each simulated meter shows, and what came of it."""
    names = dict(_rows(environment, "system", "SELECT id, name FROM tbl_meters"))
    table = Table("meter", "energy kWh", "dropped kWh", "hours by reason", title="Meters: what each of them shows")
    query = """SELECT meter_id, SUM(energy), SUM(dropped),
                      GROUP_CONCAT(CONCAT(hours, ' ', reason) ORDER BY hours DESC SEPARATOR ', ')
               FROM (SELECT meter_id, reason, COUNT(*) AS hours, SUM(actual_value) AS energy,
                            SUM(raw_increment + rolled_over - actual_value) AS dropped
                     FROM meter_hourly_quality GROUP BY meter_id, reason) AS counted
               GROUP BY meter_id ORDER BY meter_id"""
    for meter, energy, dropped, reasons in _rows(environment, "energy", query):
        name = Text(names.get(meter, str(meter)))  # perhaps with brackets, which are no markup
        table.add_row(name, f"{energy:,}", f"{dropped:,}", reasons)
    return table


def closure(environment: Environment) -> str:
    """Whether hours and what was dropped add up to the growth of every counter, on every day."""
    query = "SELECT COUNT(*), COALESCE(SUM(difference <> 0), 0) FROM meter_daily_closure"
    ((days, unequal),) = _rows(environment, "energy", query)
    return f"Energy + dropped = growth of the counter: {days - unequal:,} of {days:,} meters' days, to the last digit"


def _rows(environment: Environment, part: str, query: str) -> list[tuple[Any, ...]]:
    server = environment.mariadb
    connection = MySQLdb.connect(host=HOST, port=server.port, user=OWNER, passwd=server.password, database=MYEMS[part])
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
