"""Where the local stack lives and on which ports it listens."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parent.parent


class LocalSettings(BaseSettings):
    """Settings of the local stack, each from the environment variable `WATTLINE_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="WATTLINE_", extra="ignore", frozen=True)

    data_dir: Path = Field(default=CHECKOUT / ".local", description="everything the stack writes is below this folder")
    port_airflow: int = Field(default=8080, description="Airflow's UI and REST API")
    port_mariadb: int = Field(default=13306, description="MariaDB")
    port_mongo: int = Field(default=17017, description="mongod")
    port_postgres: int = Field(default=15432, description="PostgreSQL, Airflow's metadata")
    port_smtp: int = Field(default=12525, description="mail sink")
    port_sms: int = Field(default=18025, description="SMS sink")
    port_task_log: int = Field(default=18793, description="Airflow's server of task logs")
    port_trigger_log: int = Field(default=18794, description="Airflow's server of trigger logs")

    @property
    def data(self) -> Path:
        """`data_dir`, absolute."""
        return self.data_dir.resolve()

    @property
    def env_file(self) -> Path:
        """The environment of every process of the stack, as a file to source; it also marks a folder as ours."""
        return self.data / "wattline.env"

    @property
    def log_folder(self) -> Path:
        """One log file a process."""
        return self.data / "log"

    @property
    def sink_folder(self) -> Path:
        """What the mail and the SMS sink received: `mail.jsonl`, `sms.jsonl`."""
        return self.data / "sink"

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and REST API."""
        return f"http://localhost:{self.port_airflow}"
