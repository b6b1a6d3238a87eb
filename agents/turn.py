"""One turn of an agent: what it may say, enforced as a grammar, and how that is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from weft.errors import ToolArgumentsInvalid
from weft.programs.grammar import GrammarSpec
from weft.programs.message import Message, ToolCall
from weft.programs.output import Output
from weft.programs.tool_calls import (
    CALL_BEGIN,
    TagFormat,
    calls_in_text,
    calls_only,
    structural_tag,
)
from weft.tools import ParsedCall, parse_tool_calls

__all__ = ["Said", "answer_output", "turn_output"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Generic[T]):
    """What a model said in one turn."""

    message: Message
    """As the conversation keeps it."""
    calls: tuple[ParsedCall | ToolArgumentsInvalid, ...] = ()
    """Tools to call, in order; empty when this is the answer."""
    answers: tuple[T, ...] = ()
    """The answer, alone in its tuple, or nothing when tools are called."""


def turn_output(answer: Output[T], schemas: Sequence[Mapping[str, object]]) -> Output[Said[T]]:
    """A turn that either calls tools, with arguments of their schemas, or gives the answer.

    Where the answer is free text, text may also stand around the calls.
    """

    def parse(text: str) -> Said[T]:
        parsed = parse_tool_calls(text)
        return _called(text, parsed.text, parsed.calls) if parsed.calls else _answered(answer, text)

    return Output(
        name=f"a tool call or {answer.name}",
        grammar=structural_tag(_turn_format(answer.grammar, schemas)),
        parse=parse,
    )


def answer_output(answer: Output[T]) -> Output[Said[T]]:
    """A turn that can only give the answer: tools are known, and no longer to be called."""

    def parse(text: str) -> Said[T]:
        if answer.grammar is None and CALL_BEGIN in text:
            raise ValueError("it calls a tool where no call is left")
        return _answered(answer, text)

    grammar = answer.grammar or structural_tag({"type": "any_text", "excludes": [CALL_BEGIN]})
    return Output(
        name=answer.name,
        grammar=grammar,
        parse=parse,
        is_self_delimiting=answer.is_self_delimiting,
    )


def _called(
    text: str, around: str, calls: tuple[ParsedCall | ToolArgumentsInvalid, ...]
) -> Said[Any]:
    """A malformed call is kept as it was written, so that the model sees what it did."""
    good = [call for call in calls if isinstance(call, ParsedCall)]
    if len(good) < len(calls):
        return Said(message=Message(role="assistant", content=text), calls=calls)
    tool_calls = tuple(ToolCall(name=call.name, arguments=call.arguments) for call in good)
    message = Message(role="assistant", content=around.strip(), tool_calls=tool_calls)
    return Said(message=message, calls=calls)


def _answered(answer: Output[T], text: str) -> Said[T]:
    message = Message(role="assistant", content=text)
    return Said(message=message, answers=(answer.parse(text),))


def _turn_format(answer: GrammarSpec | None, schemas: Sequence[Mapping[str, object]]) -> TagFormat:
    if answer is None:
        return calls_in_text(schemas)
    return {"type": "or", "elements": [calls_only(schemas), _answer_format(answer)]}


def _answer_format(spec: GrammarSpec) -> TagFormat:
    """A grammar as part of a structural tag."""
    match spec.kind:
        case "json_schema":
            return {"type": "json_schema", "json_schema": json.loads(spec.text)}
        case "json":
            return {"type": "json_schema", "json_schema": True}
        case "regex":
            return {"type": "regex", "pattern": spec.text}
        case "ebnf":
            return {"type": "grammar", "grammar": spec.text}
        case "choices":
            texts: list[str] = json.loads(spec.text)
            choices = [{"type": "const_string", "value": text} for text in texts]
            return {"type": "or", "elements": choices}
        case "structural_tag":
            return cast("TagFormat", json.loads(spec.text)["format"])
