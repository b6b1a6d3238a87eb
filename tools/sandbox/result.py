"""What a sandboxed call gave, and what to tell the one who asked for it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from signal import SIGXFSZ
from typing import Any

from weft.tools.sandbox.advice import LimitName, advice, refused_by_words
from weft.tools.sandbox.cgroups import Cgroups, CgroupUsage
from weft.tools.sandbox.limits import SandboxLimits

__all__ = ["LimitName", "SandboxResult", "read_result"]

SHELL_SIGNALS = 128
"""A wrapper reports death by signal as this plus the signal, as a shell does."""


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
    growth_bytes: int
    """How much more the workspace holds than before; may be negative."""
    limits: SandboxLimits
    """What the command could have used, more memory that it was granted included."""
    limit: LimitName | None
    """The limit that was hit. Below ``full``, memory and processes are told by a failed command's
    complaint alone."""
    advice: str
    """What was hit, how far, and what to try, in plain words; empty where nothing was."""


def read_result(
    head: dict[str, Any], body: bytes, limits: SandboxLimits, cgroups: Cgroups | None
) -> SandboxResult:
    """The result that a launcher's answer tells."""
    if head["grown_to"] is not None:
        limits = replace(limits, memory_bytes=head["grown_to"])
    usage = CgroupUsage(None, None, 0, 0) if cgroups is None else cgroups.usage(head["readings"])
    code = os.waitstatus_to_exitcode(head["status"])
    number = -code if code < 0 else code - SHELL_SIGNALS if code > SHELL_SIGNALS else None
    peak = usage.peak_memory_bytes
    stdout, stderr = body[: head["stdout_bytes"]], body[head["stdout_bytes"] :]
    limit = _limit(head, usage, number, limits)
    if limit is None and cgroups is None and code != 0:
        limit = refused_by_words(stderr)
    dropped, growth = int(head["dropped_bytes"]), int(head["growth_bytes"])
    peak_bytes: int = head["rss_bytes"] if peak is None else peak
    return SandboxResult(
        exit_code=code if number is None else None,
        signal=number,
        stdout=stdout,
        stderr=stderr,
        is_truncated=dropped > 0,
        dropped_bytes=dropped,
        wall_s=head["wall_s"],
        cpu_s=head["cpu_s"] if usage.cpu_s is None else usage.cpu_s,
        peak_memory_bytes=peak_bytes,
        growth_bytes=growth,
        limits=limits,
        limit=limit,
        advice=advice(
            limit,
            limits,
            peak_bytes=peak_bytes,
            dropped_bytes=dropped,
            growth_bytes=growth,
            is_full=cgroups is not None,
        ),
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
