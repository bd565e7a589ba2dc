"""How much memory a benchmark's process took; imports nothing, so that it takes none itself."""

from __future__ import annotations

import re
from pathlib import Path


def peak_mb() -> float:
    """Most memory that this process held; `ru_maxrss` would also count its parent's at the time of the start."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    return int(peak[1]) / 1024
