"""What heartbeat expects of the pipelines is what their DAGs say of themselves."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from airflow.dag_processing.dagbag import DagBag

from local.settings import CHECKOUT
from wattline.platform.pipelines import PIPELINES, Pipeline


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(CHECKOUT / "dags")


def test_every_pipeline_is_watched_by_its_own_figures(bag: DagBag) -> None:
    assert {*PIPELINES} == {*bag.dags} - {"heartbeat"}
    for name, expected in PIPELINES.items():
        dag = bag.dags[name]
        (finish,) = dag.leaves
        (deadline,) = dag.deadline
        assert expected.covers in finish.covers, name
        found = Pipeline(expected.covers, timedelta(minutes=dag.default_args["step"]), deadline.interval)
        assert found == expected, name


def test_no_two_pipelines_are_told_by_the_same_table() -> None:
    covers = [pipeline.covers for pipeline in PIPELINES.values()]
    assert len(covers) == len(set(covers))


def test_the_steps_of_heartbeat_are_visible(bag: DagBag) -> None:
    dag = bag.dags["heartbeat"]
    for task_id in ("collect_server_status", "collect_pipelines", "collect_gateways", "collect_messages"):
        assert dag.get_task(task_id).downstream_task_ids == {"store_server_status"}
    for task_id, following in pairwise(["store_server_status", "queue_messages", "finish"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.max_active_runs == 1
    assert {task.pool for task in dag.tasks} == {"default_pool"}, "it must not wait behind those that it watches"
