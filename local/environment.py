"""The environment of the stack's processes: addresses, users, secrets. Written once to `wattline.env`, read by all."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.private import secret, write_private
from local.servers import HOST, MariaDB, MongoDB, PostgreSQL
from local.settings import CHECKOUT, LocalSettings

DATABASE = "solar"
METADATA = "airflow"
MYEMS = {part: f"myems_{part}_db" for part in ("system", "historical", "energy")}
"""MyEMS's databases, by the last word of their Airflow connections."""
ADMIN, VIEWER = "admin", "viewer"


class Environment:
    """What the processes of the stack need to know, made from its settings; secrets are generated when first asked for.

    Args:
        settings: folders and ports of the stack.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings
        servers = settings.data / "servers"
        self.mariadb = MariaDB(servers / "mariadb", settings.port_mariadb)
        self.mongodb = MongoDB(servers / "mongodb", settings.port_mongo)
        self.postgres = PostgreSQL(servers / "postgres", settings.port_postgres)

    def password(self, user: str) -> str:
        """The generated password of `user`."""
        return secret(self._secrets / user)

    def variables(self) -> dict[str, str]:
        """Every variable of `wattline.env`, by name."""
        return {
            "WATTLINE_DATA_DIR": str(self.settings.data),
            "PYTHONPATH": f"{CHECKOUT / 'include'}:{CHECKOUT / 'plugins'}",
            **self._wattline(),
            **self._oncall(),
            **self._connections(),
            **self._airflow(),
        }

    def process(self) -> dict[str, str]:
        """The environment of a process of the stack: this one's, with `variables` on top."""
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "PATH": path, "NO_PROXY": "localhost,127.0.0.1", **self.variables()}

    def write(self) -> None:
        """Write the files that other programs read: `wattline.env`, Airflow's keys and passwords."""
        secret(self._secrets / "jwt_secret", lambda: secrets.token_urlsafe(64))  # HS512 wants 64 bytes
        secret(self._secrets / "fernet_key", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
        secret(self._secrets / "api_secret_key")
        logins = {user: self.password(f"airflow_{user}") for user in (ADMIN, VIEWER)}
        write_private(self._secrets / "airflow_passwords.json", json.dumps(logins))
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in self.variables().items())
        head = "# Written by `make up`. Use it in a shell: . <this file>\n"
        write_private(self.settings.env_file, head + "".join(lines))

    @property
    def _secrets(self) -> Path:
        return self.settings.data / "secrets"

    def _url(self, scheme: str, user: str, database: str = DATABASE) -> str:
        port = self.settings.port_mariadb if scheme == "mysql" else self.settings.port_mongo
        return f"{scheme}://{user}:{self.password(f'{scheme}_{user}')}@{HOST}:{port}/{database}"

    def _wattline(self) -> dict[str, str]:
        return {
            "WATTLINE_MYSQL_OWNER_URL": self.mariadb.url(DATABASE),
            "WATTLINE_MYSQL_GATEWAY_URL": self._url("mysql", "gateway"),
            "WATTLINE_MYSQL_SOURCE_URL": self._url("mysql", "reader"),
            "WATTLINE_MYSQL_URL": self._url("mysql", "pipelines"),
            "WATTLINE_MONGO_OWNER_URL": self.mongodb.url(DATABASE),
            "WATTLINE_MONGO_URL": self._url("mongodb", "pipelines"),
            **{f"WATTLINE_MYEMS_{part.upper()}_URL": self._url("mysql", "meters", MYEMS[part]) for part in MYEMS},
            "WATTLINE_MYEMS_OWNER_URL": self.mariadb.url(MYEMS["energy"]),
            "WATTLINE_METERS_START": self._meters_start(),
            "WATTLINE_AIRFLOW_URL": self.settings.airflow_url,
            "WATTLINE_AIRFLOW_USER": ADMIN,
            "WATTLINE_AIRFLOW_PASSWORD": self.password(f"airflow_{ADMIN}"),
        }

    def _meters_start(self) -> str:
        """Where meters begin: three days before the stack was first started, which holds what the demo simulates."""
        start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
        return secret(self._secrets / "meters_start", start.isoformat)

    def _oncall(self) -> dict[str, str]:
        key, password = self.password("sms_key"), self.password("sms_secret")
        mail = f"mailto://{HOST}:{self.settings.port_smtp}/?from=wattline@example.org"
        sms = f"solapi://{key}:{password}@{HOST}:{self.settings.port_sms}/01000000001"
        return {
            "WATTLINE_ONCALL_URLS": f"{mail}&to=oncall@example.org {sms}/01000000002",
            "WATTLINE_MAIL_URL": mail,
            "WATTLINE_SMS_URL": sms,
            "WATTLINE_SMS_SINK_KEY": key,
            "WATTLINE_SMS_SINK_SECRET": password,
        }

    def _connections(self) -> dict[str, str]:
        def connection(kind: str, user: str, extra: Mapping[str, object], database: str = DATABASE) -> str:
            port = self.settings.port_mariadb if kind == "mysql" else self.settings.port_mongo
            password = self.password(f"{'mysql' if kind == 'mysql' else 'mongodb'}_{user}")
            place = {"host": HOST, "port": port, "schema": database, "login": user, "password": password}
            return json.dumps({"conn_type": kind, **place, "extra": extra})

        utf8 = {"charset": "utf8mb4"}
        myems = {part: connection("mysql", "meters", utf8, database) for part, database in MYEMS.items()}
        return {
            "AIRFLOW_CONN_SOLAR_MYSQL": connection("mysql", "pipelines", utf8),
            "AIRFLOW_CONN_SOLAR_MYSQL_SOURCE": connection("mysql", "reader", utf8),
            "AIRFLOW_CONN_SOLAR_MONGO": connection(
                "mongo", "pipelines", {"tz_aware": True, "serverSelectionTimeoutMS": 5000}
            ),
            **{f"AIRFLOW_CONN_MYEMS_{part.upper()}": given for part, given in myems.items()},
        }

    def _airflow(self) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(CHECKOUT),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.postgres.url(METADATA),
            "AIRFLOW__API__PORT": str(self.settings.port_airflow),
            "AIRFLOW__API__BASE_URL": self.settings.airflow_url,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.settings.port_task_log),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.settings.port_trigger_log),
        }
