"""Wattline's one registration with Airflow.

Airflow executes this file in every component, so it stays cheap. Only in the scheduler it imports the libraries that
take seconds, before the executor forks its workers: each task then starts with them loaded.
"""

from __future__ import annotations

import logging
import sys
import warnings
from importlib import import_module

from airflow.plugins_manager import AirflowPlugin

SLOW_IMPORTS = (
    "great_expectations",
    "great_expectations.render.renderer.page_renderer",
    "pyarrow.parquet",
    "airflow.providers.mongo.hooks.mongo",
    "airflow.providers.mysql.hooks.mysql",
)
"""Libraries only: a worker must not keep Wattline's own code. Never polars (pymongoarrow imports it): its threads do
not survive a fork."""


class WattlinePlugin(AirflowPlugin):
    """Registers Wattline; the API and its pages are mounted here."""

    name = "wattline"


def _load_slow_libraries() -> None:
    # It tells of every function that it leaves undocumented.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Great Expectations imports two modules that the standard library deprecates.
        warnings.filterwarnings("ignore", r"module 'sre_(constants|parse)' is deprecated", DeprecationWarning)
        for name in SLOW_IMPORTS:
            import_module(name)


if "scheduler" in sys.argv:
    _load_slow_libraries()
