"""`reliability_inverter` as its DAG says it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

DAG_FILE = Path(__file__).parents[2] / "dags" / "reliability_inverter.py"


def test_its_steps_are_visible_and_messages_come_after_everything_is_stored() -> None:
    dag = DagBag(DAG_FILE).dags["reliability_inverter"]
    collectors = {"collect_logs", "collect_states", "collect_events"}
    for task_id, following in pairwise(["wait_for_inverterlog", "plan", "collect_targets"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.get_task("collect_targets").downstream_task_ids == collectors
    assert dag.get_task("gate").upstream_task_ids == collectors
    # The log comes first: what a run leaves behind is found by its rows.
    storers = ["store_run_alert_log", "store_run_alert", "store_event", "store_event_log"]
    for task_id, following in pairwise(["gate", "check", *storers, "queue_messages", "finish"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.max_active_runs == 1
    assert dag.get_task("wait_for_inverterlog").in_order
