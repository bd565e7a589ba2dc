"""The processor of `generation_summary`."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from wattline.solar.consistency import generation_check
from wattline.solar.performance import day_performance
from wattline.solar.rollup import period_generation
from wattline.window import Window


def summarise(window: Window, inputs: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Days, the months and years they belong to, and whether the figures of the days that are over agree.

    Args:
        window: of the run.
        inputs: the frames of `collect_summary`, the irradiance after its gate.

    Returns:
        `day_performance`, `period_generation` and `generation_check`, by the contracts of these names.
    """
    performance = day_performance(window, inputs)
    return {
        "day_performance": performance,
        "period_generation": period_generation(performance, inputs),
        "generation_check": generation_check(inputs),
    }
