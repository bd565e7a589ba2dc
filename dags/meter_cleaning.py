"""### What
Judges the readings of MyEMS's energy points: outside the limits of the point, dips and spikes of the counter are marked
as bad, all others as good. Good readings beside bad ones stay good; readings that come late are judged with the next
run. Takes the place of MyEMS's cleaning of energy values: stop that one.

### Inputs
`tbl_points` (limits), `meter_setting` (the most that a counter can rise in an hour), `tbl_energy_value` of the interval
and of the hours around it.

### Outputs
`tbl_energy_value.is_bad`. What somebody else has marked as bad stays bad.

### If it fails
Marks that are written are right; clear the run, or run the window again (`from`/`to`). Readings that are not judged
do not count, so hours show `no_readings` until then, and are revised after. Runbook: `docs/runbooks/meters.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.finish import FinishOperator
from wattline_operators.meter_sums import CleanOperator
from wattline_operators.pipeline import pipeline

DONE = Asset("x-wattline://meters/cleaning")

with pipeline(
    "meter_cleaning",
    doc=__doc__,
    cron="*/10 * * * *",
    tags=["meters", "myems", "mysql"],
    late_after=timedelta(minutes=20),
):
    clean = CleanOperator(task_id="clean", pool="mysql_myems")
    clean >> FinishOperator(task_id="finish", covers=["meter_cleaning"], outlets=[DONE])
