"""Frames between the tasks of one run, as Parquet files in a folder: a local one, or one in an object store."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import polars as pl

from wattline.errors import TerminalError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Buffer

_READABLE_CHARACTERS = 80


class Staging:
    """The staged frames of one run. A frame is there whole or not at all, whenever its writer is killed.

    Args:
        base: the folder of all runs: a `pathlib.Path`, or a path with the same methods (Airflow's ObjectStoragePath).
        run_key: what tells the run from all others, any text; runs with different keys never share a file.
    """

    def __init__(self, base: Any, run_key: str) -> None:
        self._folder = base / _folder_name(run_key)

    def write(self, name: str, frame: pl.DataFrame) -> str:
        """Stage `frame` in place of any earlier one of that name; returns where it is, to show to people.

        Raises:
            TerminalError: the name is more than letters, digits, `_` and `-`.
            TransientError: the folder cannot be written.
        """
        content = BytesIO()
        frame.write_parquet(content, compression="lz4")
        return self._put(self._file(name), content.getbuffer())

    def read(self, name: str) -> pl.DataFrame:
        """The frame staged as `name`.

        Raises:
            TerminalError: there is none; the task that stages it must run again.
            TransientError: the folder cannot be read.
        """
        with _folder_errors():
            try:
                with self._file(name).open("rb") as file:
                    content = BytesIO(file.read())
            except FileNotFoundError:
                raise TerminalError(f"no frame {name!r} is staged; clear the task that stages it") from None
        return pl.read_parquet(content)

    def holds(self, name: str) -> bool:
        """Whether a frame is staged as `name`.

        Raises:
            TransientError: the folder cannot be read.
        """
        with _folder_errors():
            return bool(self._file(name).exists())

    def write_note(self, name: str, note: Mapping[str, Any]) -> None:
        """Keep a few JSON values beside the frames, in place of any earlier ones of that name; whole or not at all.

        Raises:
            TerminalError: the name is more than letters, digits, `_` and `-`.
            TransientError: the folder cannot be written.
        """
        self._put(self._file(name, "json"), json.dumps(note).encode())

    def read_note(self, name: str) -> dict[str, Any]:
        """The note kept as `name`; empty where there is none.

        Raises:
            TransientError: the folder cannot be read.
        """
        with _folder_errors():
            try:
                note: dict[str, Any] = json.loads(self._file(name, "json").read_text())
            except FileNotFoundError:
                return {}
        return note

    def clear(self) -> None:
        """Remove every frame of the run, and what killed writers left.

        Raises:
            TransientError: the folder cannot be changed.
        """
        with _folder_errors():
            if not self._folder.exists():
                return
            for file in self._folder.iterdir():
                file.unlink()
            self._folder.rmdir()

    def _put(self, target: Any, content: Buffer) -> str:
        with _folder_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f"{target.name}.{uuid4().hex}.part"
            with part.open("wb") as file:
                file.write(content)
            part.replace(target)
        return str(target)

    def _file(self, name: str, kind: str = "parquet") -> Any:
        if not re.fullmatch(r"[\w-]+", name, re.ASCII):
            raise TerminalError(f"{name!r} is no name of a frame; use letters, digits, _ and -")
        return self._folder / f"{name}.{kind}"


def _folder_name(run_key: str) -> str:
    """A folder name that people recognise and that no other key has."""
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", run_key)[:_READABLE_CHARACTERS]
    return f"{readable}-{sha256(run_key.encode()).hexdigest()[:16]}"


@contextmanager
def _folder_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransientError(f"staging folder: {type(error).__name__}: {error.strerror or error}") from error
