"""The grammar of tool calls, from the tools' JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from weft.errors import GrammarRejected
from weft.programs.grammar import GrammarSpec

__all__ = ["tool_call_tag"]

_BEGIN, _END = "<tool_call>", "</tool_call>"


def tool_call_tag(
    tools: Sequence[Mapping[str, object]], *, style: str = "hermes", required: bool | str = False
) -> GrammarSpec:
    """What a model may write that can call ``tools`` (``{"name", "description", "parameters"}``).

    A call is ``<tool_call>\\n{"name": …, "arguments": …}\\n</tool_call>`` with arguments after that
    tool's own schema. ``required``: False lets text and calls alternate freely; True wants calls
    only, one or more, one per line; a tool's name wants exactly one call of that tool.

    Raises: GrammarRejected for an unknown style, no tools, or a name that is not among them.
    """
    if style != "hermes":
        raise GrammarRejected(f"The tool call style is {style!r}.", remedy="Use 'hermes'.")
    chosen = [tool for tool in tools if not isinstance(required, str) or tool["name"] == required]
    if not chosen:
        names = [tool["name"] for tool in tools]
        raise GrammarRejected(
            f"The tool required is {required!r} among {names}.", remedy="Name one of the tools."
        )
    tags = [_tag(tool) for tool in chosen]
    layout = _calls_only(tags, required) if required else _calls_in_text(tags)
    tag = {"type": "structural_tag", "format": layout}
    return GrammarSpec(kind="structural_tag", text=json.dumps(tag))


def _tag(tool: Mapping[str, object]) -> Mapping[str, object]:
    name = json.dumps(tool["name"])
    return {
        "type": "tag",
        "begin": f'{_BEGIN}\n{{"name": {name}, "arguments": ',
        "content": {"type": "json_schema", "json_schema": tool["parameters"]},
        "end": f"}}\n{_END}",
    }


def _calls_in_text(tags: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    return {"type": "triggered_tags", "triggers": [_BEGIN], "tags": tags}


def _calls_only(tags: Sequence[Mapping[str, object]], required: bool | str) -> Mapping[str, object]:
    return {
        "type": "tags_with_separator",
        "tags": tags,
        "separator": "\n",
        "at_least_one": True,
        "stop_after_first": isinstance(required, str),
    }
