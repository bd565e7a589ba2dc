"""`reliability_inverter` as its DAG says it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

DAG_FILE = Path(__file__).parents[2] / "dags" / "reliability_inverter.py"


def test_its_steps_are_visible_and_messages_come_after_everything_is_stored() -> None:
    dag = DagBag(DAG_FILE).dags["reliability_inverter"]
    for task_id, following in pairwise(["wait_for_inverterlog", "collect_targets"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.get_task("collect_targets").downstream_task_ids == {"collect_logs", "collect_states"}
    assert dag.get_task("gate").upstream_task_ids == {"collect_logs", "collect_states"}
    storers = {"store_event", "store_event_log", "store_run_alert", "store_run_alert_log"}
    for task_id, following in pairwise(["gate", "check"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.get_task("check").downstream_task_ids == storers
    assert dag.get_task("queue_messages").upstream_task_ids == storers
    assert dag.get_task("queue_messages").downstream_task_ids == {"finish"}
    assert dag.max_active_runs == 1
    assert dag.get_task("wait_for_inverterlog").in_order
