"""Statistics: the steps that all statistics of power share."""

from __future__ import annotations

from airflow.sdk import BaseOperator

from wattline_operators.collect import CollectOperator
from wattline_operators.parts import PartsCollectOperator, PartsGateOperator, PartsProcessOperator, PartsStoreOperator
from wattline_operators.plan import ScopeOperator
from wattline_operators.wait import CoverageSensor

_MYSQL = {"conn_id": "solar_mysql", "pool": "mysql_solar"}
_MONGO = {"conn_id": "solar_mongo", "pool": "mongo_solar"}
_COLLECT, _TABLES = "wattline.solar.collect_statistics", "wattline.solar.statistics_tables"


def power_statistics(processor: str, table: str) -> BaseOperator:
    """The steps of a pipeline of statistics, in the DAG that is being made; the last one is returned.

    Args:
        processor: name of a processor in `wattline.solar.statistics`.
        table: name of its contract in `wattline.solar.statistics_tables`.
    """
    wait = CoverageSensor(task_id="wait_for_inverterlog", table="inverterlog", in_order=True)
    plan = ScopeOperator(task_id="plan")
    inverters = CollectOperator(task_id="collect_inverters", collector=f"{_COLLECT}:inverters", **_MYSQL)
    logs = PartsCollectOperator(
        task_id="collect_logs", collector=f"{_COLLECT}:logs", inputs=["scope", "inverters"], **_MONGO
    )
    gate = PartsGateOperator(task_id="gate", suite="wattline.solar.checks:POWER_LOGS", frame="logs")
    process = PartsProcessOperator(
        task_id="process",
        processor=f"wattline.solar.statistics:{processor}",
        inputs=["inverters"],
        parts=["days", "good_logs"],
    )
    store = PartsStoreOperator(task_id="store_statistics", table=f"{_TABLES}:{table}", frame="statistics", **_MONGO)
    wait >> plan >> inverters >> logs >> gate >> process >> store
    return store
