"""Wait: hold a run until the rows that it reads are complete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowRescheduleException

from wattline_operators.base import leave_error, open_documents, window_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class CoverageSensor(BaseSensorOperator):
    """Wait, without holding a worker, until another pipeline has finished a table for the whole of this run's window.

    It gives up after 30 minutes, so that runs behind it go on.

    Args:
        table: the table that must be covered.
        in_order: wait for the run of the interval before, too, while it runs. Backfills start as many runs at once as
            their own limit allows, whatever the DAG says.
        mongo_conn_id: Airflow connection id of the MongoDB that keeps the manifests.
        step: the distance of two runs' windows in minutes, for a manual run without any interval.
    """

    template_fields: Sequence[str] = ("table", "mongo_conn_id")

    def __init__(
        self,
        *,
        table: str,
        in_order: bool = False,
        mongo_conn_id: str = "solar_mongo",
        step: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(mode="reschedule", poke_interval=10, timeout=30 * 60, **kwargs)
        self.table = table
        self.in_order = in_order
        self.mongo_conn_id = mongo_conn_id
        self.step = step

    def execute(self, context: Context) -> Any:
        """Poke; on an error leave its last line for the on-call message."""
        try:
            return super().execute(context)
        except AirflowRescheduleException:
            raise
        except Exception as error:
            leave_error(context, error)
            raise

    def poke(self, context: Context) -> bool:
        """Whether the window is covered, and nothing that must come first is under way."""
        from wattline.storage.coverage import covered

        if self.in_order:
            previous = context["ti"].get_previous_dagrun()
            if previous is not None and previous.state == "running":
                self.log.info("Waiting for the run before: %s", previous.run_id)
                return False
        with open_documents(self.mongo_conn_id) as database:
            return covered(database, self.table, window_of(context, timedelta(minutes=self.step)))
