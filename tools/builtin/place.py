"""Where the tools of one toolbox work, and within what."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from weft.errors import EnvironmentFailed, InvalidRequest, SandboxUnavailable, ToolFailed
from weft.tools.builtin.ground import Ground
from weft.tools.environment import Preparation
from weft.tools.render import render_result
from weft.tools.resources import ToolResources
from weft.tools.sandbox import Sandbox, SandboxLimits, SandboxResult
from weft.tools.sandbox.usage import used_bytes

__all__ = ["SMALLEST_GROWTH", "Place", "SandboxPlace", "ending", "in_name_of"]

SMALLEST_GROWTH = 1 << 20
"""What a call may write into a full workspace: deleting needs a little room too."""
PREPARE_S = 120.0
"""How much longer than its own time a call may take, in which the sandbox is prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One workspace, which may still be prepared when tools are first offered."""

    ground: Preparation[Ground]
    max_workspace_bytes: int
    """What the workspace may hold after any number of calls, beside what it shares."""
    max_chars: int
    """Characters of one text that a model is shown."""

    async def num_left_bytes(self) -> int:
        """What may still be written."""
        ground = await self.ground
        return self.max_workspace_bytes - await asyncio.to_thread(_folder_bytes, ground.measured())

    def excerpt(self, data: bytes | str) -> str:
        """Head and tail of an output as text, with a line between that says what is missing."""
        text = data if isinstance(data, str) else data.decode(errors="replace")
        # What a sandboxed process says may hold half characters, which no record takes.
        return render_result(text.encode(errors="replace").decode(), max_chars=self.max_chars).text


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlace(Place):
    """A workspace and the sandbox over it."""

    sandbox: Preparation[Sandbox]
    limits: SandboxLimits
    """Of a call that asks for nothing."""
    quota: SandboxLimits
    """The most that a call may ask for."""

    @property
    def resources(self) -> ToolResources:
        return ToolResources(max_memory_bytes=self.quota.memory_bytes)

    @property
    def timeout_s(self) -> float:
        """Of a tool: the sandbox's own limit comes first."""
        return self.quota.wall_s + PREPARE_S

    async def limits_of(self, memory: str | None, timeout_s: float | None) -> SandboxLimits:
        """The limits of one call. Raises InvalidRequest for what cannot be asked for."""
        left_bytes = await self.num_left_bytes()
        limits = self.limits.clamped(memory or self.limits.memory_bytes, self.quota)
        growth = max(SMALLEST_GROWTH, min(limits.workspace_bytes, left_bytes))
        wall_s = limits.wall_s if timeout_s is None else min(timeout_s, self.quota.wall_s)
        return replace(limits, wall_s=wall_s, workspace_bytes=growth)


@contextmanager
def in_name_of(tool: str) -> Generator[None]:
    """Raise what goes wrong within as a ToolError of this tool, its class kept where it is one."""
    try:
        yield
    except (EnvironmentFailed, SandboxUnavailable) as error:
        raise type(error)(error.what, tool=tool, remedy=error.remedy) from error
    except InvalidRequest as error:
        raise ToolFailed(error.what, tool=tool, remedy=error.remedy) from error


def _folder_bytes(folder: Path) -> int:
    """What a workspace holds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return used_bytes(descriptor)
    finally:
        os.close(descriptor)


def ending(result: SandboxResult) -> str:
    """How a command ended, in words; empty where it ended by itself and fine."""
    if result.advice or result.signal is None:
        return result.advice
    return f"It was ended by signal {result.signal}."
