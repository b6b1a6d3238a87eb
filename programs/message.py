"""One turn of a chat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Message", "Role", "ToolCall"]

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call the model asked for: a tool's name and its arguments as JSON-shaped data."""

    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A turn: who speaks, what, and for an assistant which tools it calls."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
