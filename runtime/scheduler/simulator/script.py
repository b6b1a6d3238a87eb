"""What a simulated program does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from weft.errors import InvalidRequest

__all__ = ["Script", "ScriptStep"]


class ScriptStep(NamedTuple):
    """One call, and the tool that the program runs on its answer."""

    new_tokens: int
    """Added to the context: the task at first, later a tool's result."""
    output_tokens: int
    tool: str = ""
    """Empty: none, the next call follows at once."""
    tool_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One program: calls and tools in turn, each context the last one and more."""

    program: str
    arrives_s: float
    steps: tuple[ScriptStep, ...]
    tenant: str = ""
    deadline_s: float | None = None
    prefix: str = ""
    prefix_tokens: int = 0

    def __post_init__(self) -> None:
        if not self.steps:
            raise InvalidRequest(
                f"Program {self.program!r} has no steps.", remedy="Give at least one."
            )

    @property
    def shared_prefix(self) -> str:
        """Alike for all who share its KV; empty: nobody. As on an engine, tenants share none."""
        return f"{self.tenant}/{self.prefix}" if self.prefix else ""
