"""Files that only their owner may read: generated secrets, and what holds some."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def _token() -> str:
    return secrets.token_urlsafe(24)


def secret(path: Path, make: Callable[[], str] = _token) -> str:
    """The secret kept in `path`; made where there is none yet."""
    if not path.exists():
        write_private(path, make())
    return path.read_text()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
