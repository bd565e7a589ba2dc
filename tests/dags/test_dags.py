"""Every DAG, by what is true of all of them."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, CronDataIntervalTimetable

from wattline.quality.suite import Suite
from wattline.storage.contract import Table
from wattline_operators.alerts import EscalateOperator, LogSmsOperator
from wattline_operators.base import PipelineOperator
from wattline_operators.collect import CollectOperator
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.oncall import notify_failure
from wattline_operators.plan import MarkOperator, ScopeOperator
from wattline_operators.process import ProcessOperator
from wattline_operators.store import StoreOperator

CHECKOUT = Path(__file__).parents[2]
FILES = sorted((CHECKOUT / "dags").glob("*.py"))
POOLS = {"mysql_solar", "mongo_solar", "mysql_myems", "default_pool"}
SYSTEMS = {"solar", "meters", "anomaly", "sensors", "devices"}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(CHECKOUT / "dags")


@pytest.fixture(params=[file.stem for file in FILES])
def dag(request: pytest.FixtureRequest, bag: DagBag) -> DAG:
    return bag.dags[request.param]


def test_every_file_is_one_dag_of_its_name(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [file.stem for file in FILES]


def test_it_says_what_it_does(dag: DAG) -> None:
    headings = [line for line in dag.doc_md.splitlines() if line.startswith("###")]
    assert headings == ["### What", "### Inputs", "### Outputs", "### If it fails"]
    assert dag.tags & SYSTEMS
    assert all(task.owner != "airflow" for task in dag.tasks)


def test_it_computes_closed_intervals_and_any_window(dag: DAG) -> None:
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert not dag.catchup
    assert set(dag.params) == {"from", "to"}


def test_it_fails_loudly_and_tries_again_with_back_off(dag: DAG) -> None:
    assert dag.on_failure_callback == notify_failure
    assert len(dag.deadline) == 1
    for task in dag.tasks:
        assert task.execution_timeout
        assert task.execution_timeout <= timedelta(hours=1)
        assert task.retry_policy.rules[0].exception.__name__ == "TerminalError"
        # What the next minute's run does again is not tried again by this one.
        if isinstance(task, PipelineOperator) and not isinstance(task, EscalateOperator | LogSmsOperator):
            assert task.retries >= 2
            assert task.retry_exponential_backoff
            assert not task.on_failure_callback


def test_it_ends_with_one_step_that_only_a_complete_run_reaches(dag: DAG) -> None:
    (last,) = dag.leaves
    assert isinstance(last, FinishOperator)
    assert last.trigger_rule == "all_success"
    assert last.outlets
    assert last.covers


def test_nothing_is_stored_that_no_gate_has_seen(dag: DAG) -> None:
    for store in (task for task in dag.tasks if isinstance(task, StoreOperator)):
        assert any(isinstance(dag.get_task(up), GateOperator) for up in store.get_flat_relative_ids(upstream=True))


def test_its_parts_exist(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.pool in POOLS
        match task:
            case CollectOperator():
                assert callable(resolve_name(task.collector))
            case ProcessOperator():
                assert callable(resolve_name(task.processor))
            case GateOperator():
                assert isinstance(resolve_name(task.suite), Suite)
            case StoreOperator():
                assert isinstance(resolve_name(task.table), Table)
            case MarkOperator():
                assert {*resolve_name(task.readers)} <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_file_is_a_table_of_contents(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= 60
    (block,) = [node for node in ast.parse(text).body if isinstance(node, ast.With)]
    body = [node for node in ast.walk(block) if isinstance(node, ast.If | ast.FunctionDef)]
    assert body == []


def test_the_steps_of_inverterlog_are_visible(bag: DagBag) -> None:
    dag = bag.dags["inverterlog"]
    line = ["wait_for_readings", "collect_inverters", "collect_readings", "gate", "process", "mark"]
    for task_id, following in pairwise(line):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    storers = {"store_inverter_log", "store_day_generation", "store_day_total_generation", "store_mysql_inverter_log"}
    assert dag.get_task("mark").downstream_task_ids == storers
    assert dag.max_active_runs == 1


def test_the_steps_of_time_generation_are_visible(bag: DagBag) -> None:
    dag = bag.dags["time_generation"]
    for task_id, following in pairwise(["wait_for_inverterlog", "plan", "collect_inverters"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.get_task("collect_inverters").downstream_task_ids == {"collect_logs", "collect_hours"}
    for task_id, following in pairwise(["collect_logs", "gate", "process", "mark"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.get_task("collect_hours").downstream_task_ids == {"gate"}
    storers = {"store_time_generation", "store_mysql_time_generation"}
    assert dag.get_task("mark").downstream_task_ids == storers
    assert dag.max_active_runs == 1


def test_the_steps_of_mysql_total_generation_are_visible(bag: DagBag) -> None:
    dag = bag.dags["mysql_total_generation"]
    line = ["wait_for_inverterlog", "plan", "collect_inverters", "collect_logs", "gate", "process"]
    for task_id, following in pairwise(line):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    storers = {"store_mysql_day_generation", "store_mysql_day_total_generation"}
    assert dag.get_task("process").downstream_task_ids == storers
    assert dag.max_active_runs == 1


def test_the_steps_of_generation_summary_are_visible(bag: DagBag) -> None:
    dag = bag.dags["generation_summary"]
    for task_id, following in pairwise(["wait_for_time_generation", "plan", "collect_plants", "collect_irradiance"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.get_task("collect_irradiance").downstream_task_ids == {"collect_days", "collect_periods"}
    for task_id, following in pairwise(["collect_days", "gate", "process"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.get_task("gate").max_bad_share == 1, "a broken sensor stops no summary"
    storers = {"store_day_performance", "store_period_generation", "store_generation_check"}
    assert dag.get_task("process").downstream_task_ids == storers
    assert dag.max_active_runs == 1


def test_who_plans_is_marked_before_any_row_that_it_read_changes(bag: DagBag) -> None:
    marked = set()
    for dag in bag.dags.values():
        for mark in (task for task in dag.tasks if isinstance(task, MarkOperator)):
            marked |= {*resolve_name(mark.readers)}
            storers = {task.task_id for task in dag.tasks if isinstance(task, StoreOperator)}
            assert storers == mark.get_flat_relative_ids(upstream=False) - {"finish"}
    planning = {dag.dag_id for dag in bag.dags.values() if any(isinstance(task, ScopeOperator) for task in dag.tasks)}
    assert planning == marked


@pytest.mark.parametrize("dag_id", ["statistics_inverter_avg", "statistics_inverter_median"])
def test_the_steps_of_the_statistics_of_power_are_visible(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    line = ["wait_for_inverterlog", "plan", "collect_inverters", "collect_logs", "gate", "process", "store_statistics"]
    for task_id, following in pairwise([*line, "finish"]):
        assert dag.get_task(task_id).downstream_task_ids == {following}
    assert dag.max_active_runs == 1


def test_all_files_parse_within_two_seconds_without_heavy_libraries() -> None:
    code = (
        "import sys, time, runpy; import airflow.sdk, airflow.sdk.definitions.deadline, pydantic_settings\n"
        "start = time.process_time()\n"
        f"for file in {[str(file) for file in FILES]!r}: runpy.run_path(file)\n"
        "heavy = {'pandas', 'polars', 'pyarrow', 'great_expectations', 'pymongo', 'MySQLdb'} & set(sys.modules)\n"
        "print(time.process_time() - start, *sorted(heavy))"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT / "plugins"
    )
    seconds, *heavy = done.stdout.split()
    assert heavy == []
    assert float(seconds) < 2, f"{time.monotonic() - started} s in all"


def test_the_product_knows_nothing_of_airflow() -> None:
    for file in (CHECKOUT / "include").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in ("airflow", "wattline_operators")], file
