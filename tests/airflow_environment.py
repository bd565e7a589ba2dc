"""A throw-away home for Airflow, set before anything imports it: it reads its settings on import."""

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
