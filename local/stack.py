"""The local stack as a whole: its processes in their order, from nothing to healthy and back."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.environment import ADMIN, METADATA, Environment
from local.processes import Process, StackError, stop
from local.servers import HOST, Server, listening
from local.settings import CHECKOUT, LocalSettings
from wattline.airflow_api import AirflowApi
from wattline.errors import WattlineError

WATTLINE = Path(sys.executable).with_name("wattline")
AIRFLOW = (sys.executable, "-m", "airflow")

Report = Callable[[str], None]
"""Takes one line that says what happens now."""


@dataclass(frozen=True)
class State:
    """How one process is.

    Attributes:
        name: the process, by the name of its log.
        ports: where it listens.
        pid: None where it does not run.
        ready: whether it does its work.
        memory: bytes, with its descendants, shared pages counted once.
    """

    name: str
    ports: tuple[int, ...]
    pid: int | None
    ready: bool
    memory: int


class Stack:
    """The servers, the sinks and Airflow's four components of one data folder.

    Args:
        settings: folder and ports.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings
        self.environment = Environment(settings)

    def up(self, report: Report) -> None:
        """Start whatever does not run, and return when all of it is healthy.

        Raises:
            StackError: a port is taken, or a process does not come; the message has its last log lines.
            ServerError: a server is not installed, or its data folder cannot be made.
        """
        self._claim_folder()
        self.environment.write()
        for server in self._servers.values():
            server.prepare()
        report("Starting MariaDB, mongod, PostgreSQL and the sinks for mail and SMS")
        self._start(self.server_processes())
        self.environment.postgres.create(METADATA)
        airflow = self.airflow_processes()
        if any(process.find() is None for process in airflow):
            report("Creating schemas, users and Airflow's metadata")
            self._run([str(WATTLINE), "schema", "upgrade"])
            self._run([str(WATTLINE), "meters", "create"])
            self._run([*AIRFLOW, "db", "migrate"])
            self._run([*AIRFLOW, "pools", "import", str(CHECKOUT / "config" / "pools.json")])
        report("Starting Airflow: api-server, scheduler, dag-processor, triggerer; and the watchdog")
        self._start([*airflow, self.watchdog_process()])

    def down(self, report: Report) -> None:
        """End every process of the stack, Airflow first, with all their children."""
        if not self.settings.env_file.exists():
            return
        report("Stopping Airflow")
        # The watchdog first: what is stopped on purpose is no reason for a mail.
        stop([self.watchdog_process()], patience=10)
        stop(self.airflow_processes(), patience=20)
        report("Stopping the servers")
        stop(self.server_processes(), patience=30)

    def clean(self, report: Report) -> None:
        """End every process and remove the data folder."""
        if self.settings.data.exists():
            self._claim_folder()
            self.down(report)
            shutil.rmtree(self.settings.data)

    def airflow(self) -> AirflowApi:
        """A session with Airflow's REST API as its administrator."""
        return AirflowApi(self.settings.airflow_url, ADMIN, self.environment.password(f"airflow_{ADMIN}"))

    def state(self) -> list[State]:
        """How each process is now."""
        return [_state(process) for process in self.processes()]

    def processes(self) -> list[Process]:
        """Every process, in the order in which they start."""
        return [*self.server_processes(), *self.airflow_processes(), self.watchdog_process()]

    def server_processes(self) -> list[Process]:
        """The databases and the sinks."""
        databases = [
            self._process(name, tuple(server.command), server.ready, {f"WATTLINE_PORT_{setting}": server.port})
            for (name, setting), server in self._servers.items()
        ]
        return [*databases, self._sink("mail", "SMTP"), self._sink("sms", "SMS")]

    def airflow_processes(self) -> list[Process]:
        """Airflow's four components."""
        ports = {
            "api-server": {"WATTLINE_PORT_AIRFLOW": self.settings.port_airflow},
            "scheduler": {"WATTLINE_PORT_TASK_LOG": self.settings.port_task_log},
            "dag-processor": {},
            "triggerer": {"WATTLINE_PORT_TRIGGER_LOG": self.settings.port_trigger_log},
        }
        ready = {
            "api-server": self._healthy("metadatabase"),
            "scheduler": self._healthy("scheduler"),
            "dag-processor": self._parsed,
            "triggerer": self._healthy("triggerer"),
        }
        return [self._process(name, (*AIRFLOW, name), ready[name], taken) for name, taken in ports.items()]

    def watchdog_process(self) -> Process:
        """The dead-man check, which is no part of Airflow."""
        command = (str(WATTLINE), "watchdog", "--every", "15")
        return self._process("watchdog", command, lambda: True, {})

    @property
    def _servers(self) -> dict[tuple[str, str], Server]:
        environment = self.environment
        return {
            ("mariadb", "MARIADB"): environment.mariadb,
            ("mongod", "MONGO"): environment.mongodb,
            ("postgres", "POSTGRES"): environment.postgres,
        }

    def _sink(self, kind: str, setting: str) -> Process:
        port = {"SMTP": self.settings.port_smtp, "SMS": self.settings.port_sms}[setting]
        folder = str(self.settings.sink_folder)
        command = (sys.executable, "-m", "wattline.alerts.sinks", kind, "--port", str(port), "--folder", folder)
        return self._process(f"{kind}-sink", command, lambda: listening(port), {f"WATTLINE_PORT_{setting}": port})

    def _process(
        self, name: str, command: tuple[str, ...], ready: Callable[[], bool], ports: Mapping[str, int]
    ) -> Process:
        return Process(
            name=name,
            folder=self.settings.data,
            command=command,
            environment=self.environment.process(),
            ready=ready,
            ports=ports,
            patience=120,
            # PostgreSQL waits for its clients on SIGTERM, and does not on SIGINT.
            stop_signal=signal.SIGINT if name == "postgres" else signal.SIGTERM,
        )

    def _healthy(self, component: str) -> Callable[[], bool]:
        url = f"http://{HOST}:{self.settings.port_airflow}/api/v2/monitor/health"

        def healthy() -> bool:
            try:
                answer = httpx.get(url, timeout=5, trust_env=False)
                return bool(answer.json()[component]["status"] == "healthy")
            except (httpx.HTTPError, ValueError, KeyError):
                return False

        return healthy

    def _parsed(self) -> bool:
        """Whether Airflow has looked at every DAG file, so that each DAG can be run or its error be read."""
        if not self._healthy("dag_processor")():
            return False
        files = len(list((CHECKOUT / "dags").glob("*.py")))
        try:
            with self.airflow() as api:
                paths = ("/api/v2/dags?limit=1", "/api/v2/importErrors?limit=1")
                return files <= sum(int(api.get(path)["total_entries"]) for path in paths)
        except WattlineError:
            return False

    def _start(self, processes: list[Process]) -> None:
        for process in processes:
            process.start()
        for process in processes:
            process.wait()

    def _run(self, command: list[str]) -> None:
        environment = self.environment.process()
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = (done.stdout + done.stderr).splitlines()[-20:]
            raise StackError("\n".join([f"`{' '.join(command)}` failed:", *(f"  {line}" for line in lines)]))

    def _claim_folder(self) -> None:
        folder = self.settings.data
        if folder.exists() and any(folder.iterdir()) and not self.settings.env_file.exists():
            raise StackError(f"{folder} holds files of something else; set WATTLINE_DATA_DIR to another folder")
        folder.mkdir(parents=True, exist_ok=True)


def _state(process: Process) -> State:
    running = process.find()
    family = process.family() if running else set()
    return State(
        name=process.name,
        ports=tuple(process.ports.values()),
        pid=running.pid if running else None,
        ready=running is not None and process.ready(),
        memory=sum(member.memory_full_info().pss for member in family),
    )
