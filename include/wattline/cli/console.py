"""Where commands print their tables."""

from __future__ import annotations

from rich.console import Console

_FILE_WIDTH = 120


def wide_console() -> Console:
    """Standard output; where it is no terminal, wide enough that no column of a table is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)
