"""Typed functions as tools: what a model or a program may call, within limits."""

from weft.tools.arguments import parse_json_object
from weft.tools.batch import BatchCall, BatchPlan, plan_batch
from weft.tools.capacity import ToolCapacity
from weft.tools.meter import note_usage
from weft.tools.parse import ParsedCall, ParsedReply, parse_tool_calls
from weft.tools.registry import ToolRegistry
from weft.tools.render import Rendered, render_error, render_result
from weft.tools.resources import ToolResources
from weft.tools.runner import ToolRunner
from weft.tools.signature import Bound, IdemKey
from weft.tools.statistics import ToolRecord, ToolStatistics
from weft.tools.tool import Effect, Tool, ToolOptions, as_tool

__all__ = [
    "BatchCall",
    "BatchPlan",
    "Bound",
    "Effect",
    "IdemKey",
    "ParsedCall",
    "ParsedReply",
    "Rendered",
    "Tool",
    "ToolCapacity",
    "ToolOptions",
    "ToolRecord",
    "ToolRegistry",
    "ToolResources",
    "ToolRunner",
    "ToolStatistics",
    "as_tool",
    "note_usage",
    "parse_json_object",
    "parse_tool_calls",
    "plan_batch",
    "render_error",
    "render_result",
]
