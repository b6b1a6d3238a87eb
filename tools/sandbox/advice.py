"""What to tell the one who asked for a command that met a limit, in plain words."""

from __future__ import annotations

import re
from typing import Literal

from weft.tools.sandbox.limits import SandboxLimits

__all__ = ["LimitName", "advice", "refused_by_words"]

LimitName = Literal["memory", "wall", "output", "processes", "workspace"]
MIB = 1 << 20
READ_BYTES = 1 << 16
NO_MEMORY = re.compile(rb"MemoryError|[Oo]ut of memory|[Cc]annot allocate memory|bad_alloc")
NO_PROCESS = re.compile(rb"can't start new thread|[Cc]annot fork|Resource temporarily unavailable")


def refused_by_words(stderr: bytes) -> LimitName | None:
    """Which limit a command that failed complains of.

    Limits of single processes only refuse: that they did, nobody but the command can tell.
    """
    end = stderr[-READ_BYTES:]
    if NO_PROCESS.search(end):
        return "processes"
    return "memory" if NO_MEMORY.search(end) else None


def advice(
    limit: LimitName | None,
    limits: SandboxLimits,
    *,
    peak_bytes: int,
    dropped_bytes: int,
    growth_bytes: int,
    is_full: bool,
) -> str:
    """What was met, how far it went, and what to try; "" where nothing was."""
    match limit:
        case "memory":
            met = (
                f"was ended at its memory limit of {_mib(limits.memory_bytes)}; its"
                if is_full
                else f"was refused memory: no process may take more than "
                f"{_mib(limits.memory_bytes)} of addresses. The"
            )
            return (
                f"The command {met} peak was {_mib(peak_bytes)}. Work on the data in smaller "
                "parts, or ask for more memory."
            )
        case "wall":
            return (
                f"The command was ended at its time limit of {limits.wall_s:g} s. Do less in one "
                "call, or ask for more time. It does not help to start a process in the background."
            )
        case "processes":
            return (
                f"The command was refused a process beyond its limit of {limits.max_processes}. "
                "Start fewer processes or threads at a time."
            )
        case "workspace":
            return (
                "The command wrote more than the workspace may grow, "
                f"{_mib(limits.workspace_bytes)}; it had grown by {_mib(max(0, growth_bytes))} at "
                "the end. Write less, or delete what is not needed."
            )
        case "output":
            return (
                f"The command was ended for its flood of output; {dropped_bytes} bytes were "
                "dropped. Write the output to a file in the workspace, and print the part that "
                "matters."
            )
        case None if dropped_bytes:
            return (
                f"{dropped_bytes} bytes were dropped from the middle of the output. "
                "Write it to a file in the workspace, and print the part that matters."
            )
        case None:
            return ""


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:g} MiB" if size_bytes % MIB == 0 else f"{size_bytes / MIB:.1f} MiB"
