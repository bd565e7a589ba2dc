"""Messages are sent whatever becomes of the steps beside it."""

from __future__ import annotations

from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

from wattline_operators.alerts import DrainOperator

FOLDER = Path(__file__).parents[2] / "dags"


def test_sending_waits_for_nothing_and_the_steps_beside_it_do_not_hold_up_the_next_run() -> None:
    dag = DagBag(FOLDER / "alert_outbox.py").dags["alert_outbox"]
    send = dag.get_task("send")
    assert not send.get_flat_relative_ids(upstream=True)
    assert {name: dag.get_task(name).retries for name in ("escalate", "log_sms")} == {"escalate": 0, "log_sms": 0}
    # What it is at when its time is over still ends before the task is stopped.
    assert isinstance(send, DrainOperator)
    assert send.execution_timeout is not None
    assert send.budget <= send.execution_timeout * 0.6
    # What one channel has sent is logged although the other made the step fail; then the run fails all the same.
    assert dag.get_task("log_sms").trigger_rule == "all_done"
    assert dag.get_task("finish").upstream_task_ids == {"escalate", "send", "log_sms"}
