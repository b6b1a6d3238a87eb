"""Turns that agents took: prompts, and what their answers must look like."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.programs.grammar import GrammarSpec
from weft.programs.message import Message, ToolCall
from weft.programs.output import output_of
from weft.programs.tool_calls import tool_call_tag

__all__ = ["Turn", "recorded_turns"]

SKILLS = ("shop_split", "shop_sql", "shop_answer", "tools")
"""The three turns of ``examples/shop_analyst.py``, and those of agents that call tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What an agent was asked to say next."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, object], ...]
    grammar: GrammarSpec | None


def recorded_turns(folder: Path, seed: int) -> list[Turn]:
    """The turns recorded in ``folder``, one file per skill, in an order that ``seed`` decides."""
    turns = [
        _turn(skill, json.loads(line))
        for skill in SKILLS
        for line in (folder / f"{skill}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    random.Random(seed).shuffle(turns)
    return turns


def _turn(skill: str, recorded: Mapping[str, Any]) -> Turn:
    tools = tuple(recorded["tools"] or ())
    return Turn(
        messages=tuple(map(_message, recorded["messages"])),
        tools=tools,
        grammar=_grammar(skill, [tool["function"] for tool in tools]),
    )


def _grammar(skill: str, tools: list[Mapping[str, object]]) -> GrammarSpec | None:
    """What the program enforces in such a turn."""
    if skill == "shop_split":
        return output_of(list[str]).grammar
    return tool_call_tag(tools) if tools else None


def _message(recorded: Mapping[str, Any]) -> Message:
    calls = [call["function"] for call in recorded.get("tool_calls") or ()]
    return Message(
        role=recorded["role"],
        content=recorded.get("content") or "",
        tool_calls=tuple(ToolCall(name=c["name"], arguments=c["arguments"]) for c in calls),
    )
