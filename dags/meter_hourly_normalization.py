"""### What
Turns the readings of MyEMS's cumulative meters into energy of hours (or half hours), exactly as MyEMS counts, and says
of each hour why it has its value. Goes on from each meter's newest hour, and looks back for late or repaired readings
and for holes. Takes the place of MyEMS's normalization service: stop that one.

### Inputs
MyEMS's three databases: `tbl_meters`, `tbl_meters_points`, `tbl_points`, `tbl_virtual_meters`, `tbl_variables`;
`tbl_energy_value`, of which only checked and good readings count (see `meter_cleaning`).

### Outputs
`tbl_meter_hourly`, `tbl_virtual_meter_hourly`, one row a slot; `meter_hourly_quality` (reasons), `meter_daily_closure`
(energy + dropped = growth of the counter), `meter_statistics`, `meter_finding`. Impossible counters and meters that
cannot be computed in `quarantine`.

### If it fails
Clear the failed task, or run the window again (`from`/`to`): one row a slot, whatever runs twice. How an hour came to
be, `wattline meters explain METER HOUR` says. Runbook: `docs/runbooks/meters.md`.
"""

from datetime import timedelta

from airflow.sdk import Asset

from wattline.settings import settings
from wattline_operators.finish import FinishOperator
from wattline_operators.gate import GateOperator
from wattline_operators.meter_sums import StatisticsOperator, VirtualMetersOperator
from wattline_operators.meters import (
    ClosureOperator,
    MeterReadingsGateOperator,
    MeterReadingsOperator,
    MeterRegisterOperator,
    NormalizeOperator,
    StoreHoursOperator,
)
from wattline_operators.pipeline import pipeline

MYEMS, CHECKS = {"pool": "mysql_myems"}, "wattline.meters.checks"
DONE = Asset("x-wattline://meters/hourly")

with pipeline(
    "meter_hourly_normalization",
    doc=__doc__,
    cron=settings().meters_cron,
    tags=["meters", "myems", "mysql"],
    late_after=timedelta(minutes=50),
    step=timedelta(minutes=settings().meters_minutes_to_count),
):
    meters = MeterRegisterOperator(task_id="meters", **MYEMS)
    gate_meters = GateOperator(task_id="gate_meters", suite=f"{CHECKS}:METERS", frame="meters", max_bad_share=1)
    readings = MeterReadingsOperator(task_id="readings", **MYEMS)
    gate_readings = MeterReadingsGateOperator(task_id="gate_readings")
    normalize = NormalizeOperator(task_id="normalize")
    store = StoreHoursOperator(task_id="store", **MYEMS)
    verify = ClosureOperator(task_id="verify_closure", **MYEMS)
    virtual = VirtualMetersOperator(task_id="virtual_meters", **MYEMS)
    statistics = StatisticsOperator(task_id="statistics", **MYEMS)
    meters >> gate_meters >> readings >> gate_readings >> normalize >> store >> virtual >> statistics
    store >> verify
    [verify, statistics] >> FinishOperator(task_id="finish", covers=["meter_hourly"], outlets=[DONE])
