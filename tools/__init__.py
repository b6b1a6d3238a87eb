"""Typed functions as tools: what a model or a program may call, within limits."""

from weft.tools.arguments import parse_json_object
from weft.tools.parse import ParsedCall, ParsedReply, parse_tool_calls
from weft.tools.registry import ToolRegistry
from weft.tools.render import Rendered, render_error, render_result
from weft.tools.signature import Bound, IdemKey
from weft.tools.tool import Effect, Tool, ToolOptions, as_tool

__all__ = [
    "Bound",
    "Effect",
    "IdemKey",
    "ParsedCall",
    "ParsedReply",
    "Rendered",
    "Tool",
    "ToolOptions",
    "ToolRegistry",
    "as_tool",
    "parse_json_object",
    "parse_tool_calls",
    "render_error",
    "render_result",
]
