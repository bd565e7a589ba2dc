"""### What
Says every day, for every inverter and plant, the median AC and DC power of each ten minutes of the local day that
ended, with the count; its median over the daylight; and the same per installed kW. One odd inverter does not move a
plant's median, so it shows beside it.

### Inputs
MongoDB `inverterlog_YYYYMM` (tick rows that are not stale); MySQL `inverter` and `customer` (rated power, time zones,
coordinates). Waits for `inverterlog` of the day; takes earlier days along that `inverterlog` has marked in `recompute`.

### Outputs
MongoDB `statics_inverter_median`: one document an inverter, or plant (`invno` 0), and local day, with arrays over its
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

DONE = Asset("x-wattline://solar/statistics_inverter_median")

with pipeline(
    "statistics_inverter_median",
    doc=__doc__,
    cron="0 0 * * *",
    tags=["solar", "statistics", "mongo"],
    late_after=timedelta(hours=1),
    in_order=True,
    task_timeout=timedelta(hours=1),
    step=timedelta(days=1),
):
    finish = FinishOperator(task_id="finish", covers=["statistics_inverter_median"], outlets=[DONE])
    power_statistics(processor="medians", table="STATISTICS_MEDIAN") >> finish
