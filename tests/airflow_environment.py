"""A throw-away home for Airflow, and how many threads polars has, set before anything imports them."""

import os
import tempfile
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]
_HOME = tempfile.mkdtemp(prefix="wattline-airflow-")

for _name in [name for name in os.environ if name.startswith(("AIRFLOW_", "WATTLINE_"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": str(_CHECKOUT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(_CHECKOUT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__API_AUTH__JWT_SECRET": "of-tests-only-and-long-enough-for-hs512-" * 2,
    "WATTLINE_DATA_DIR": _HOME,
}
if os.environ.get("LONG_TESTS") != "1":
    # Several workers with small frames: threads would mostly wait for each other. Long runs have all of them.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
