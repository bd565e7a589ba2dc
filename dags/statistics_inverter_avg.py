"""### What
Says every day, for every inverter and plant, the mean AC and DC power of each ten minutes of the local day that ended,
with count and sum; its mean over the daylight; and the same per installed kW, so that inverters of different size can
be compared.

### Inputs
MongoDB `inverterlog_YYYYMM` (tick rows that are not stale); MySQL `inverter` and `customer` (rated power, time zones,
coordinates). Waits for `inverterlog` of the day; takes earlier days along that `inverterlog` has marked in `recompute`.

### Outputs
MongoDB `statics_inverter_avg`: one document an inverter, or plant (`invno` 0), and local day, with arrays over its
slots. The gate in `quality_result`.

### If it fails
Days are stored whole or not at all. Clear the run, or run any window again (`from`/`to`, or `wattline history`): the
same documents come out. Runbook: `docs/runbooks/solar.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline_operators.finish import FinishOperator
from wattline_operators.pipeline import pipeline
from wattline_operators.statistics import power_statistics

DONE = Asset("x-wattline://solar/statistics_inverter_avg")

with pipeline(
    "statistics_inverter_avg",
    doc=__doc__,
    cron="0 0 * * *",
    tags=["solar", "statistics", "mongo"],
    late_after=timedelta(hours=1),
    in_order=True,
    task_timeout=timedelta(hours=1),
    step=timedelta(days=1),
):
    finish = FinishOperator(task_id="finish", covers=["statistics_inverter_avg"], outlets=[DONE])
    power_statistics(processor="averages", table="STATISTICS_AVG") >> finish
