"""Typed functions as tools: what a model or a program may call, within limits."""

from weft.tools.signature import Bound, IdemKey
from weft.tools.tool import Effect, Tool, ToolOptions, as_tool

__all__ = ["Bound", "Effect", "IdemKey", "Tool", "ToolOptions", "as_tool"]
