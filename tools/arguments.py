"""Arguments as a model writes them: JSON text, of bounded size and depth."""

from __future__ import annotations

import math
from typing import cast

from pydantic_core import from_json

from weft.errors import ToolArgumentsInvalid
from weft.tools.problems import describe_error

__all__ = ["MAX_ARGUMENT_BYTES", "parse_json_object"]

MAX_ARGUMENT_BYTES = 1_048_576
"""Most bytes the arguments of one call may take as JSON."""
MAX_DEPTH = 64
"""Most containers inside one another."""


def parse_json_object(text: str | bytes, *, tool: str = "") -> dict[str, object]:
    """Read strict JSON (no NaN, no infinity) that must be an object, in linear time.

    Raises ToolArgumentsInvalid; ``tool`` is the name it carries.
    """
    try:
        data = text if isinstance(text, bytes) else text.encode()
        if len(data) > MAX_ARGUMENT_BYTES:
            raise _invalid(tool, f"are {len(data)} bytes, over the cap of {MAX_ARGUMENT_BYTES}")
        value: object = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise _invalid(tool, f"are no JSON: {describe_error(error)}") from error
    if not isinstance(value, dict):
        raise _invalid(tool, f"are a JSON {type(value).__name__}, not an object")
    found = cast("dict[str, object]", value)
    _check_values(found, tool)
    return found


def _check_values(value: object, tool: str) -> None:
    """Walk without recursion: containers too deep, numbers too large for a float."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
        if any(isinstance(child, float) and not math.isfinite(child) for child in level):
            raise _invalid(tool, "hold a number too large for a float")
    raise _invalid(tool, f"are nested more than {MAX_DEPTH} levels deep")


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _invalid(tool: str, what: str) -> ToolArgumentsInvalid:
    return ToolArgumentsInvalid(
        f"The arguments of tool {tool!r} {what}.",
        tool=tool,
        remedy="Send one JSON object that fits the tool's schema.",
    )
