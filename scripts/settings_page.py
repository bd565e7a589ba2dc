"""Print docs/settings.md from the settings themselves: `python -m scripts.settings_page > docs/settings.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from local.settings import CHECKOUT, LocalSettings
from wattline.settings import Settings

HEAD = """\
# Settings

Printed from the code by `python -m scripts.settings_page`; a test compares.

A setting is an environment variable. `WATTLINE_ENV_FILE` may name a file of such variables, for the command line; the
local stack writes one, `.local/wattline.env`. Inside Airflow the databases come from the connections `solar_mysql`,
`solar_mysql_source`, `solar_mongo`, `myems_system`, `myems_historical` and `myems_energy` instead (`AIRFLOW_CONN_…`).
Containers take settings from `.env`. Airflow's own settings that differ from its defaults are in
[airflow.cfg](../airflow.cfg).
"""


def page() -> str:
    """The whole page, as Markdown."""
    local = {name: field for name, field in LocalSettings.model_fields.items() if name not in Settings.model_fields}
    parts = [HEAD, "## Pipelines and command line\n", *_table(Settings, Settings.model_fields)]
    parts += ["\n## Local stack\n", "Read by `make up` and its like.\n", *_table(LocalSettings, local)]
    return "\n".join(parts) + "\n"


def _table(settings: type[BaseSettings], fields: dict[str, FieldInfo]) -> Iterator[str]:
    prefix = settings.model_config["env_prefix"]
    yield "| variable | default | what it means |\n|---|---|---|"
    for name, field in fields.items():
        meaning = (field.description or "").replace("<", "&lt;")
        yield f"| `{prefix}{name.upper()}` | {_shown(field.default)} | {meaning} |"


def _shown(default: Any) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, Path) and default.is_absolute():
        default = default.relative_to(CHECKOUT)
    return f"`{default}`" if str(default) else ""


if __name__ == "__main__":
    sys.stdout.write(page())
