"""What a prompt may be made of, and how it becomes messages once its Steps have results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import PydanticSerializationError, to_json

from weft.errors import InvalidRequest
from weft.programs.handle import Step, is_step
from weft.programs.message import Message, Role

__all__ = [
    "Prompt",
    "Turn",
    "excerpt",
    "fill",
    "find_steps",
    "last_part",
    "messages_of",
    "text_of",
]

Prompt = str | Message | Step[Any] | Sequence[object]
"""Text, a message, a Step, or a sequence of parts: strings, Steps, Messages, Turns and JSON-able
values. Parts are joined with line breaks; what is not a string is written as JSON."""

MAX_DEPTH = 32
"""Containers nested deeper than this are not searched for Steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A message whose parts may still hold un-awaited Steps."""

    role: Role
    parts: tuple[object, ...]


def find_steps(value: object, depth: int = 0) -> Iterator[Step[Any]]:
    """Every Step in a value, searching lists, tuples, dicts and Turns."""
    if is_step(value):
        yield value
    elif isinstance(value, list | tuple | dict | Turn) and depth < MAX_DEPTH:
        for item in _items(cast("_Container", value)):
            yield from find_steps(item, depth + 1)


_Container = list[object] | tuple[object, ...] | dict[object, object] | Turn


def _items(value: _Container) -> Sequence[object]:
    if isinstance(value, Turn):
        return value.parts
    return list(value.values()) if isinstance(value, dict) else value


def fill(value: object) -> object:
    """The value with every Step replaced by its result. The Steps must be done and fine."""
    if is_step(value):
        return value.result()
    if isinstance(value, Turn):
        return Turn(role=value.role, parts=tuple(map(fill, value.parts)))
    if isinstance(value, list):
        return [fill(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {key: fill(item) for key, item in cast("dict[object, object]", value).items()}
    if type(value) is tuple:
        return tuple(map(fill, cast("tuple[object, ...]", value)))
    return value


def messages_of(prompt: object) -> list[Message]:
    """The messages of a filled prompt. Text outside of a message is what the user says.

    Raises InvalidRequest when a part is not data.
    """
    if isinstance(prompt, str):
        return [Message(role="user", content=prompt)]
    messages: list[Message] = []
    loose: list[str] = []
    for part in _parts(prompt):
        if isinstance(part, Message | Turn):
            _flush(loose, messages)
            messages.append(part if isinstance(part, Message) else _message(part))
        else:
            loose.append(text_of(part))
    _flush(loose, messages)
    return messages


def _parts(prompt: object) -> Sequence[object]:
    if isinstance(prompt, list | tuple):
        return cast("Sequence[object]", prompt)
    return (prompt,)


def _message(turn: Turn) -> Message:
    return Message(role=turn.role, content="\n".join(map(text_of, turn.parts)))


def _flush(loose: list[str], messages: list[Message]) -> None:
    if loose:
        messages.append(Message(role="user", content="\n".join(loose)))
        loose.clear()


def text_of(part: object) -> str:
    """A part as text: strings as they are, everything else as JSON."""
    if isinstance(part, str):
        return part
    try:
        return to_json(part).decode()
    except (PydanticSerializationError, ValueError) as error:
        raise InvalidRequest(
            f"A prompt part is {part!r}, which is not data.",
            remedy="Give strings, Steps, Messages or JSON-able values.",
        ) from error


def last_part(prompt: object) -> object:
    """The part of a filled prompt that says most about it: what stands at its end."""
    while True:
        if isinstance(prompt, Turn):
            prompt = prompt.parts
        elif isinstance(prompt, Message):
            return prompt.content
        elif isinstance(prompt, list | tuple) and prompt:
            prompt = cast("Sequence[object]", prompt)[-1]
        else:
            return prompt


def excerpt(value: object, size: int = 60) -> str:
    """The end of a prompt or result on one line, for people. Safe on un-awaited Steps."""
    if isinstance(value, str):
        text = value[-4 * size :]
    elif isinstance(value, Mapping | list | tuple):
        text = repr(cast("object", value))
    else:
        text = repr(value)
    line = " ".join(text.split())
    return line if len(line) <= size else "…" + line[-size + 1 :]
