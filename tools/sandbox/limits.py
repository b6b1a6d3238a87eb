"""What one sandboxed call may use."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields

from weft.errors import InvalidRequest

__all__ = ["SandboxLimits"]

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
UNITS = {"": 1, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
HINTS = {"low": 128 * MIB, "medium": 512 * MIB, "high": 2 * GIB}
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(?:i?b)?")
SMALLEST_MEMORY = 16 * MIB
"""Below this not even the interpreter of a small script starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What one call may use. Raises InvalidRequest at construction."""

    memory_bytes: int = 512 * MIB
    """At ``full`` of all processes together, with their /tmp; below it address space of each."""
    cpus: float = 1.0
    """Processors' worth of time; only ``full`` holds to it."""
    max_processes: int = 64
    """Processes and threads at one time."""
    wall_s: float = 60.0
    output_bytes: int = MIB
    """Kept of each of the two streams: half from its start, half from its end."""
    workspace_bytes: int = 256 * MIB
    """How much the workspace may grow; a write may pass it for a tenth of a second."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value: float = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise InvalidRequest(f"{field.name} is {value!r}.", remedy="It must be positive.")
        if self.memory_bytes < SMALLEST_MEMORY:
            raise InvalidRequest(
                f"memory_bytes is {self.memory_bytes!r}.",
                remedy=f"No command starts in less than {SMALLEST_MEMORY}.",
            )

    def clamped(self, hint: str | int, quota: SandboxLimits) -> SandboxLimits:
        """These limits with the memory that ``hint`` asks for, and nothing above ``quota``.

        A hint is "low", "medium", "high", a number of bytes, or a size like "300 MiB". It may come
        from a model: however much it asks for, it gets the tenant's quota at most. Raises
        InvalidRequest for a hint that is none of these.
        """
        wanted = min(max(_hinted_bytes(hint), SMALLEST_MEMORY), quota.memory_bytes)
        return SandboxLimits(
            memory_bytes=wanted,
            cpus=min(self.cpus, quota.cpus),
            max_processes=min(self.max_processes, quota.max_processes),
            wall_s=min(self.wall_s, quota.wall_s),
            output_bytes=min(self.output_bytes, quota.output_bytes),
            workspace_bytes=min(self.workspace_bytes, quota.workspace_bytes),
        )


def _hinted_bytes(hint: str | int) -> int:
    if isinstance(hint, int):
        return hint
    text = hint.strip().lower()
    if text in HINTS:
        return HINTS[text]
    if (match := SIZE.fullmatch(text)) is None:
        raise InvalidRequest(
            f"The resource hint is {hint!r}.",
            remedy='Write "low", "medium", "high", or a size such as "300 MiB".',
        )
    return int(float(match[1]) * UNITS[match[2]])
