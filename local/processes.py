"""One process of the local stack: start it in the background, see whether it runs, end it with all it started.

No supervisor stands above the processes: each runs in a session of its own, so one of them can be stopped and started
while the others go on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.servers import listening

LAST_LINES = 15


class StackError(RuntimeError):
    """The stack cannot go on; the message names the process and the remedy."""


@dataclass(frozen=True)
class Process:
    """A program of the stack.

    Attributes:
        name: what people call it; also the name of its log.
        folder: where its pid file and log are, in `run/` and `log/`.
        command: the program and its arguments; it stays in the foreground.
        environment: its whole environment.
        ready: whether it does its work.
        ports: the setting's name of each port it listens on → the port.
        patience: seconds until it must be ready.
        stop_signal: the signal that ends it in good order.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready: Callable[[], bool]
    ports: Mapping[str, int]
    patience: float = 60
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log" / f"{self.name}.log"

    def start(self) -> None:
        """Start it in a session of its own, unless it runs.

        Raises:
            StackError: one of its ports is taken.
        """
        if self.find() is not None:
            return
        for setting, port in self.ports.items():
            if listening(port):
                raise StackError(f"{self.name}: port {port} is in use by another program; set {setting} to a free one")
        for file in (self.log, self._pid_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        log, append = os.fspath(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        pid = os.posix_spawn(self.command[0], self.command, self.environment, file_actions=files, setsid=True)
        self._pid_file.write_text(f"{pid} {psutil.Process(pid).create_time()}")

    def wait(self) -> None:
        """Return once it is ready.

        Raises:
            StackError: it ended, or was not ready in time; with the last lines of its log.
        """
        deadline = time.monotonic() + self.patience
        while not self.ready():
            if self.find() is None:
                raise StackError(f"{self.name} ended while it was starting.{self._last_lines()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} is not ready after {self.patience:.0f} s.{self._last_lines()}")
            time.sleep(0.2)

    def find(self) -> psutil.Process | None:
        """The running process, or None."""
        leader = self._leader()
        return leader if leader is not None and _alive(leader) else None

    def family(self) -> set[psutil.Process]:
        """The process, its descendants, and orphans that a crash of it left behind."""
        leader = self._leader()
        if leader is None and self._replaced():
            return set()
        family = {process for process in psutil.process_iter() if _session(process) == self._started[0]}
        if leader is not None:
            family |= {leader, *leader.children(recursive=True)}
        return {process for process in family if _alive(process)}

    def forget(self) -> None:
        """Remove the pid file."""
        self._pid_file.unlink(missing_ok=True)

    def _leader(self) -> psutil.Process | None:
        """The process that `start` made, maybe a zombie. The start time tells it from a later one of that number."""
        pid, started = self._started
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return None
        return process if abs(process.create_time() - started) < 1 else None

    def _replaced(self) -> bool:
        """Whether the session's number means another session now.

        The kernel gives the number to nobody while a member lives, so it is another's after a reboot or once the
        number belongs to a process that is not ours.
        """
        pid, started = self._started
        return pid == 0 or psutil.boot_time() > started or psutil.pid_exists(pid)

    @property
    def _started(self) -> tuple[int, float]:
        """Process number and start time, or zeros where it was never started."""
        try:
            pid, started = self._pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return 0, 0.0
        return int(pid), float(started)

    def _last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join(["", f"The last lines of {self.log}:", *(f"  {line}" for line in lines)])

    @property
    def _pid_file(self) -> Path:
        return self.folder / "run" / f"{self.name}.pid"


def stop(processes: Sequence[Process], patience: float) -> None:
    """End `processes` together: ask each, wait up to `patience` seconds, then kill whatever of them is left."""
    families = [(process, process.family()) for process in processes]
    for process, _ in families:
        leader = process.find()
        if leader is not None:
            with suppress(psutil.NoSuchProcess):
                leader.send_signal(process.stop_signal)
    members = set().union(*(family for _, family in families))
    _wait(members, patience)
    # Children that were born meanwhile, and orphans, are found once more.
    left = members.union(*(process.family() for process in processes))
    for member in left:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    _wait(left, 10)
    for process in processes:
        process.forget()


def _wait(members: set[psutil.Process], patience: float) -> None:
    deadline = time.monotonic() + patience
    while any(map(_alive, members)) and time.monotonic() < deadline:
        time.sleep(0.1)


def _alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not, even where nobody collects it (an orphan in a container)."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return -1
