"""A database server under a test's control."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirakuru.base import Executor

from local.servers import Server


class _Running(Executor):
    """A process that counts as started once its server's owner can log in."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._log = (server.folder / "log").open("a")
        super().__init__(server.command, timeout=60, sleep=0.05, stdout=self._log, stderr=self._log)

    def pre_start_check(self) -> bool:
        return self._server.ready()

    def after_start_check(self) -> bool:
        return self._server.ready()

    def _clear_process(self) -> None:
        super()._clear_process()
        self._log.close()


@dataclass
class RunningServer:
    """A server that a test may stop, start and kill; `url` names the database `solar`."""

    server: Server
    url: str = field(init=False)
    _process: _Running | None = None

    def __post_init__(self) -> None:
        self.server.prepare()
        self.url = self.server.url("solar")

    def start(self) -> None:
        """Start, unless it runs; returns when the owner can log in."""
        if self._process is None:
            self._process = _Running(self.server)
            self._process.start()

    def stop(self) -> None:
        """End it in good order (SIGTERM)."""
        if self._process is not None:
            self._process.stop(expected_returncode=0)
            self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process = None
