"""Wattline's one registration with Airflow.

Airflow executes this file in every component, so it stays cheap. Only in the scheduler it imports the libraries that
take seconds, before the executor forks its workers: each task then starts with them loaded.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

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


class Pages:
    """The pages' ASGI application, imported when the first of them is asked for, which only the API server is."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on."""
        # Importing takes seconds, in which the server's loop has other requests to answer.
        app = await asyncio.to_thread(resolve_name, "wattline_pages.migrations:app")
        await app(scope, receive, send)


class WattlinePlugin(AirflowPlugin):
    """Registers Wattline: its pages, and where the UI shows them.

    Airflow shows a view of the destination `dag` at every DAG.
    """

    name = "wattline"
    fastapi_apps = [{"app": Pages(), "url_prefix": "/wattline/pages", "name": "Wattline"}]  # noqa: RUF012 - Airflow's
    external_views = [  # noqa: RUF012 - Airflow's
        {
            "name": "Migrations",
            # Without a slash at its begin it is found below Airflow's own path, wherever a proxy has put that.
            "href": "wattline/pages/migrations/{DAG_ID}",
            "destination": "dag",
            "url_route": "migrations",
        }
    ]


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
