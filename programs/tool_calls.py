"""The grammar of tool calls as Hermes templates write them, from the tools' JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from weft.errors import GrammarRejected
from weft.programs.grammar import GrammarSpec

__all__ = [
    "CALL_BEGIN",
    "TagFormat",
    "call_opening",
    "calls_in_text",
    "calls_only",
    "structural_tag",
    "tool_call_tag",
]

TagFormat: TypeAlias = Mapping[str, object]
"""Part of a structural tag, in xgrammar's format."""

CALL_BEGIN, CALL_END = "<tool_call>", "</tool_call>"


def tool_call_tag(
    tools: Sequence[Mapping[str, object]], *, required: bool | str = False
) -> GrammarSpec:
    """What a model may write that can call ``tools`` (``{"name", "description", "parameters"}``).

    A call is ``<tool_call>\\n{"name": …, "arguments": …}\\n</tool_call>`` with arguments after that
    tool's own schema. ``required``: False lets text and calls alternate freely; True wants calls
    only, one or more, one per line; a tool's name wants exactly one call of that tool.

    Raises: GrammarRejected for no tools, or a name that is not among them.
    """
    chosen = [tool for tool in tools if not isinstance(required, str) or tool["name"] == required]
    if not chosen:
        names = [tool["name"] for tool in tools]
        raise GrammarRejected(
            f"The tool required is {required!r} among {names}.", remedy="Name one of the tools."
        )
    if not required:
        return structural_tag(calls_in_text(chosen))
    return structural_tag(calls_only(chosen, is_single=isinstance(required, str)))


def structural_tag(form: TagFormat) -> GrammarSpec:
    """``form`` as the whole of what may be written."""
    text = json.dumps({"type": "structural_tag", "format": form}, ensure_ascii=False)
    return GrammarSpec(kind="structural_tag", text=text)


def calls_in_text(tools: Sequence[Mapping[str, object]]) -> TagFormat:
    """Free text in which calls may stand, anywhere."""
    return {"type": "triggered_tags", "triggers": [CALL_BEGIN], "tags": [*map(_call, tools)]}


def calls_only(tools: Sequence[Mapping[str, object]], *, is_single: bool = False) -> TagFormat:
    """One call or more, one per line, and nothing else."""
    return {
        "type": "tags_with_separator",
        "tags": [*map(_call, tools)],
        "separator": "\n",
        "at_least_one": True,
        "stop_after_first": is_single,
    }


def call_opening(name: str) -> str:
    """What stands between CALL_BEGIN and the arguments; ``name`` is JSON."""
    return f'\n{{"name": {name}, "arguments": '


def _call(tool: Mapping[str, object]) -> TagFormat:
    return {
        "type": "tag",
        "begin": CALL_BEGIN + call_opening(json.dumps(tool["name"])),
        "content": {"type": "json_schema", "json_schema": tool["parameters"]},
        "end": f"}}\n{CALL_END}",
    }
