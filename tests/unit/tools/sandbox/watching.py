"""What tests see of the processes and cgroups of sandboxes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from weft.tools.sandbox import SandboxReport
from weft.tools.sandbox.usage import children

__all__ = ["BEGUN_S", "cgroups", "is_running", "launchers", "processes", "until"]

BEGUN_S = 20.0
"""For what a test waits for before it starts to look: nothing is bounded by it."""
GONE_S = 2.0


def processes(word: str) -> list[str]:
    """The processes whose command line holds a word."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def is_running(pid: str) -> bool:
    """Whether a process has not ended; whoever adopted it may be slow to notice that it has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def cgroups(report: SandboxReport, launchers: list[str]) -> list[Path]:
    """The cgroups of some launchers."""
    bases = report.cgroups.bases if report.cgroups else ()
    names = [f"weft-{launcher}-*" for launcher in launchers]
    return [folder for base in bases for name in names for folder in Path(base).glob(name)]


async def launchers() -> list[str]:
    """The launchers that this process started."""
    found = map(str, children(os.getpid()))
    return [child for child in found if b"boot.py" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def until(is_so: Callable[[], bool], *, within_s: float = GONE_S) -> float:
    """Wait until something holds; says how long it took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < within_s, "it took too long"
        await asyncio.sleep(0.01)
    return time.monotonic() - began
