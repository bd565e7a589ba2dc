"""Processes of the local stack: clear messages when one does not come, and nothing left when all go."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.environment import Environment
from local.processes import Process, StackError, stop
from local.servers import HOST
from local.settings import LocalSettings
from local.stack import Stack

PARENT_OF_A_STUBBORN_CHILD = "(trap '' TERM; echo here; while :; do sleep 0.1; done) & wait"


@pytest.fixture
def started() -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    stop(processes, patience=0)


def shell(folder: Path, script: str, name: str = "shell", **ports: int) -> Process:
    process = Process(
        name=name, folder=folder, command=("/bin/sh", "-c", script), environment=dict(os.environ),
        ready=lambda: process.log.exists() and "here" in process.log.read_text(), ports=ports, patience=5,
    )  # fmt: skip
    return process


def running(processes: set[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def settings(folder: Path) -> LocalSettings:
    return LocalSettings(data_dir=folder)


def test_stop_takes_children_that_do_not_listen(tmp_path: Path, started: list[Process]) -> None:
    process = shell(tmp_path, PARENT_OF_A_STUBBORN_CHILD)
    started.append(process)
    process.start()
    process.wait()
    family = process.family()
    assert len(family) >= 2
    stop([process], patience=0.5)
    assert not running(family)
    assert process.find() is None


def test_stop_takes_the_orphans_of_a_crash(tmp_path: Path, started: list[Process]) -> None:
    process = shell(tmp_path, PARENT_OF_A_STUBBORN_CHILD)
    started.append(process)
    process.start()
    process.wait()
    leader = process.find()
    assert leader is not None
    leader.kill()
    leader.wait()
    orphans = process.family()
    assert orphans
    stop([process], patience=0)
    assert not running(orphans)


def test_a_later_process_of_the_same_number_is_not_ours(tmp_path: Path) -> None:
    process = shell(tmp_path, "")
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "shell.pid").write_text(f"{other.pid} {psutil.Process(other.pid).create_time() - 60}")
        assert process.find() is None
        stop([process], patience=0)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_starting_twice_keeps_the_first(tmp_path: Path, started: list[Process]) -> None:
    process = shell(tmp_path, "echo here; sleep 60")
    started.append(process)
    process.start()
    process.wait()
    first = process.find()
    process.start()
    assert process.find() == first


def test_a_taken_port_names_its_setting(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        process = shell(tmp_path, "sleep 60", name="mongod", WATTLINE_PORT_MONGO=port)
        with pytest.raises(StackError, match=rf"mongod: port {port} is in use .* set WATTLINE_PORT_MONGO"):
            process.start()


def test_a_process_that_ends_while_starting_shows_its_last_words(tmp_path: Path) -> None:
    process = shell(tmp_path, "echo no such table; exit 3", name="scheduler")
    process.start()
    with pytest.raises(StackError, match=r"(?s)scheduler ended while it was starting.*no such table"):
        process.wait()


def test_clean_spares_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StackError, match="set WATTLINE_DATA_DIR"):
        Stack(settings(tmp_path)).clean(lambda line: None)
    assert (tmp_path / "thesis.txt").exists()


def test_the_environment_file_is_private_lasting_and_for_any_shell(tmp_path: Path) -> None:
    environment = Environment(settings(tmp_path))
    environment.write()
    file = tmp_path / "wattline.env"
    assert file.stat().st_mode & 0o077 == 0
    assert not [f for f in (tmp_path / "secrets").iterdir() if f.stat().st_mode & 0o077]
    shown = subprocess.run(
        ["sh", "-c", f". {shlex.quote(str(file))}; env -0"], capture_output=True, text=True, check=True
    ).stdout
    sourced = dict(line.split("=", 1) for line in shown.split("\0") if line)
    assert environment.variables().items() <= sourced.items()
    assert Environment(settings(tmp_path)).variables() == environment.variables()
