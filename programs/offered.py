"""What a model may be offered as a tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from weft.programs.toolstep import ToolStep, tool
from weft.tools import Tool

__all__ = ["ToolLike", "as_tool_step"]

ToolLike: TypeAlias = ToolStep[..., Any] | Tool[..., Any] | Callable[..., object]
"""What ``@tool`` made, a bare Tool, or a typed function."""


def as_tool_step(one: ToolLike) -> ToolStep[..., Any]:
    """Raises ToolDefinitionError for a function that cannot be a tool."""
    if isinstance(one, ToolStep):
        step: ToolStep[..., Any] = cast(Any, one)
        return step
    return ToolStep(cast(Any, one)) if isinstance(one, Tool) else tool(one)
