"""Requests whose answer is one tool call with four independent arguments."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.programs.message import Message

__all__ = ["NUM_ARGUMENTS", "Booking", "drawn_bookings", "recorded_bookings"]

NUM_ARGUMENTS = 4
SYLLABLES = "ba de fi go ku la me ni po ru sa te vi wo za".split()
NUM_CHARACTERS = 18
"""Of every drawn value: mini's tokens of such words have two or three letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What is asked, with the tools offered and the call that is right."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    """``{"name", "description", "parameters"}`` each."""
    name: str
    arguments: Mapping[str, object]


def recorded_bookings(file: Path, num: int) -> list[Booking]:
    """Up to ``num`` held-out problems with four arguments; none where there is no such file."""
    if not file.exists():
        return []
    problems = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    found = [_recorded(one) for one in problems if _has_four(one["check"])]
    return found[:num]


def _has_four(check: Mapping[str, Any]) -> bool:
    return check["kind"] == "tool_call" and len(check["arguments"]) == NUM_ARGUMENTS


def _recorded(problem: Mapping[str, Any]) -> Booking:
    return Booking(
        messages=tuple(
            Message(role=one["role"], content=one["content"]) for one in problem["messages"]
        ),
        tools=tuple(tool["function"] for tool in problem["tools"]),
        name=problem["check"]["name"],
        arguments=problem["check"]["arguments"],
    )


def drawn_bookings(seed: int, num: int) -> list[Booking]:
    """Requests for any model: every value has one length, whatever the model makes of it, so that
    time can be measured, and nothing else."""
    rng = random.Random(seed)
    return [_drawn(rng) for _ in range(num)]


def _drawn(rng: random.Random) -> Booking:
    names = rng.sample(["passenger", "origin", "destination", "hotel", "note", "agent"], k=4)
    arguments = {name: _words(rng) for name in names}
    asked = ", ".join(f"{name} {value}" for name, value in arguments.items())
    kind = {"type": "string", "minLength": NUM_CHARACTERS, "maxLength": NUM_CHARACTERS}
    properties = dict.fromkeys(names, kind)
    tools = [_tool("book_trip", properties), _tool("cancel_trip", {"ticket": {"type": "string"}})]
    return Booking(
        messages=(Message(role="user", content=f"Book a trip: {asked}."),),
        tools=tuple(tools),
        name="book_trip",
        arguments=arguments,
    )


def _words(rng: random.Random) -> str:
    letters = "".join(rng.choices(SYLLABLES, k=NUM_CHARACTERS))
    return letters[: NUM_CHARACTERS // 2 - 1].title() + " " + letters[: NUM_CHARACTERS // 2].title()


def _tool(name: str, properties: Mapping[str, object]) -> Mapping[str, object]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": f"{name.replace('_', ' ')}.", "parameters": parameters}
