"""A command line, run where it can reach nothing but the workspace."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from weft.tools.builtin.place import SandboxPlace, ending, in_name_of
from weft.tools.meter import note_usage
from weft.tools.sandbox import LimitName
from weft.tools.tool import Tool, as_tool

__all__ = ["ShellResult", "shell_tool"]

NAME = "shell"
SYSTEM_PATH = "/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellResult:
    """How a command line ended."""

    exit_code: int | None
    """None where a signal or a limit ended it."""
    stdout: str
    stderr: str
    limit: LimitName | None = None
    """The limit that was hit."""
    notice: str = ""
    """How far it went and what to try, in words; empty where nothing is to be said."""


def shell_tool(place: SandboxPlace) -> Tool[[str, float | None, str | None], ShellResult]:
    """A tool called ``shell`` over one place."""
    program = "bash" if shutil.which("bash", path=SYSTEM_PATH) else "sh"

    async def shell(
        command: str, timeout_s: float | None = None, memory: str | None = None
    ) -> ShellResult:
        """Run a command line in the workspace, which is the current folder. There is no network,
        and nothing goes on running after the call. Long output is cut in the middle.

        Args:
            command: The command line.
            timeout_s: Seconds it may take, where the default is too short.
            memory: Memory it may use, such as "1 GiB", where the default is too little.
        """
        with in_name_of(NAME):
            limits = await place.limits_of(memory, timeout_s)
            sandbox = await place.sandbox
            result = await sandbox.run([program, "-c", command], limits=limits)
        note_usage(peak_memory_bytes=result.peak_memory_bytes, is_timed_out=result.limit == "wall")
        return ShellResult(
            exit_code=result.exit_code,
            stdout=place.excerpt(result.stdout),
            stderr=place.excerpt(result.stderr),
            limit=result.limit,
            notice=ending(result),
        )

    return as_tool(shell, effect="write", timeout_s=place.timeout_s, resources=place.resources)
