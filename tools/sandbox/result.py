"""What a sandboxed call gave, and what to tell the one who asked for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from signal import SIGXFSZ
from typing import Any, Literal

from weft.tools.sandbox.cgroups import Cgroups, CgroupUsage
from weft.tools.sandbox.limits import SandboxLimits

__all__ = ["LimitName", "SandboxResult", "read_result"]

LimitName = Literal["memory", "wall", "output", "processes", "workspace"]
SHELL_SIGNALS = 128
"""A wrapper reports death by signal as this plus the signal, as a shell does."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """How a command ended. Hitting a limit is a result too, not an error."""

    exit_code: int | None
    """None where a signal ended the command."""
    signal: int | None
    """The number of the signal that ended it; an exit code above 128 is taken for one."""
    stdout: bytes
    stderr: bytes
    is_truncated: bool
    """Output between the head and the tail of a stream was dropped."""
    dropped_bytes: int
    wall_s: float
    cpu_s: float
    """Below ``full`` without the processes that nobody waited for, as those of a killed tree."""
    peak_memory_bytes: int
    """At ``full`` of all processes together, below it of the greatest one."""
    limit: LimitName | None
    """The limit that was hit. Below ``full`` only wall, output and workspace are noticed."""
    advice: str
    """What was hit, how far, and what to try, in plain words; empty where nothing was."""


def read_result(
    head: dict[str, Any], body: bytes, limits: SandboxLimits, cgroups: Cgroups | None
) -> SandboxResult:
    """The result that a launcher's answer tells."""
    usage = CgroupUsage(None, None, 0, 0) if cgroups is None else cgroups.usage(head["readings"])
    code = os.waitstatus_to_exitcode(head["status"])
    number = -code if code < 0 else code - SHELL_SIGNALS if code > SHELL_SIGNALS else None
    peak = usage.peak_memory_bytes
    limit = _limit(head, usage, number, limits)
    dropped = int(head["dropped_bytes"])
    peak_bytes = head["rss_bytes"] if peak is None else peak
    return SandboxResult(
        exit_code=code if number is None else None,
        signal=number,
        stdout=body[: head["stdout_bytes"]],
        stderr=body[head["stdout_bytes"] :],
        is_truncated=dropped > 0,
        dropped_bytes=dropped,
        wall_s=head["wall_s"],
        cpu_s=head["cpu_s"] if usage.cpu_s is None else usage.cpu_s,
        peak_memory_bytes=peak_bytes,
        limit=limit,
        advice=_advice(limit, limits, peak_bytes, dropped),
    )


def _limit(
    head: dict[str, Any], usage: CgroupUsage, number: int | None, limits: SandboxLimits
) -> LimitName | None:
    """The first limit that explains the end; what stopped the command comes before what it met."""
    if head["stopped"] is not None:
        stopped: LimitName = head["stopped"]
        return stopped
    if usage.num_oom_kills:
        return "memory"
    if number == SIGXFSZ or head["growth_bytes"] >= limits.workspace_bytes:
        return "workspace"
    return "processes" if usage.num_refused_forks else None


def _advice(limit: LimitName | None, limits: SandboxLimits, peak: int, dropped: int) -> str:
    match limit:
        case "memory":
            return (
                f"The command was ended at its memory limit of {_mib(limits.memory_bytes)}; its "
                f"peak was {_mib(peak)}. Work on the data in smaller parts, or ask for more memory."
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
                f"{_mib(limits.workspace_bytes)}. Write less, or delete what is not needed."
            )
        case "output":
            return (
                f"The command was ended for its flood of output; {dropped} bytes were dropped. "
                "Write the output to a file in the workspace, and print the part that matters."
            )
        case None if dropped:
            return (
                f"{dropped} bytes were dropped from the middle of the output. "
                "Write it to a file in the workspace, and print the part that matters."
            )
        case None:
            return ""


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:g} MiB" if size_bytes % MIB == 0 else f"{size_bytes / MIB:.1f} MiB"
