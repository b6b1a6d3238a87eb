"""The `weft` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import weft

__all__ = ["COMMAND", "environment", "run_weft"]

COMMAND = (sys.executable, "-c", "import sys; from weft.runtime.cli import main; main()")
"""What the console script does, without needing it installed."""


def environment() -> dict[str, str]:
    """This process's environment, in which a child imports the same weft."""
    return {**os.environ, "PYTHONPATH": str(Path(weft.__file__).parents[1])}


def run_weft(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run to the end; standard input is empty."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
