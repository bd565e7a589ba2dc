"""### What
Loads the Excel forms of meters that are read by hand: a day's energy of each meter, spread over the day's hours so that
they add up to it exactly. Virtual meters and statistics that depend on them follow.

### Inputs
The watched folder (`WATTLINE_METERS_OFFLINE_FOLDER`), and files with the status `new` in `tbl_offline_meter_files`, as
MyEMS's own pages upload them; `tbl_offline_meters` (limits).

### Outputs
`tbl_offline_meter_hourly`; cells that cannot be loaded in `meter_finding` and in a text file beside the form. A loaded
form moves to `done/`, one without a usable cell to `error/`; an upload becomes `done` or `error`.

### If it fails
A form is stored as a whole or not at all, and stays where it is until all that follows is done: clear the run. Interval
and window do not matter: whatever waits is loaded. Runbook: `docs/runbooks/meters.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.finish import FinishOperator
from wattline_operators.meter_sums import ImportFormsOperator
from wattline_operators.pipeline import pipeline

DONE = Asset("x-wattline://meters/offline")

with pipeline(
    "meter_offline_forms",
    doc=__doc__,
    cron="*/10 * * * *",
    tags=["meters", "myems", "mysql"],
    late_after=timedelta(minutes=30),
    in_order=True,
):
    load = ImportFormsOperator(task_id="load_forms", pool="mysql_myems")
    load >> FinishOperator(task_id="finish", covers=["offline_meter_hourly"], outlets=[DONE])
