"""Parts of a tool call that are decoded each by itself: how each begins and where it ends.

After SimpleTool (parallel decoding of a call's name and arguments from one prompt).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic_core import from_json

from weft.programs.handle import Step
from weft.programs.lead import Control, Lead
from weft.programs.output import Output
from weft.programs.tool_calls import CALL_BEGIN, TagFormat, call_opening, structural_tag

__all__ = ["HEADS", "SKELETON", "HeadForm"]

T = TypeVar("T")

TOOL = "$tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadForm:
    """What a model has begun to write when it is asked for one part of a tool call.

    Defaults are those of SKELETON: an ordinary call that any model continues.
    """

    begin: str = CALL_BEGIN
    """The control token that opens a call."""
    name_lead: str = '\n{"name":'
    """Stands before the tool's name."""
    arguments_lead: str = call_opening(TOOL) + "{"
    """Stands before an argument and those it depends on; ``$tool`` is the tool's name as JSON.
    Where it says no name, arguments are asked for together with the name."""
    gap: str = " "
    """Between a lead and its value. The model writes it, unless a model is trained otherwise: a
    space and a quotation mark are one token of most vocabularies."""
    name_ends: tuple[str, ...] = (",",)
    """What may follow the name. One of them is written, so that a value ends as its model knows
    it, and is no part of the value."""
    argument_ends: tuple[str, ...] = (",", "}}")
    """What may follow an argument."""

    @property
    def names_tool(self) -> bool:
        """The tool must be known before its arguments are asked for."""
        return TOOL in self.arguments_lead

    def lead_to_name(self) -> Lead:
        return (Control(self.begin), self.name_lead)

    def lead_to_argument(self, tool: str, argument: str, needed: Sequence[Step[str]] = ()) -> Lead:
        """``needed`` give the members that stand before it: see ``member_output``."""
        opening = self.arguments_lead.replace(TOOL, json.dumps(tool))
        space = "" if self.gap else " "
        return (Control(self.begin), opening, *needed, f"{json.dumps(argument)}:{space}")

    def name_output(self, names: Iterable[str]) -> Output[str]:
        """One of the tools' names."""
        texts = [json.dumps(name) for name in names]
        choices: TagFormat = {"type": "or", "elements": [_constant(text) for text in texts]}
        return self._output("a tool's name", choices, self.name_ends, _name)

    def member_output(
        self, argument: str, schema: Mapping[str, object], *, is_left_out_as_null: bool
    ) -> Output[str]:
        """An argument as a member of a JSON object with the comma after it, ``"x": 1, ``; nothing
        where null stands for an argument that is left out."""

        def member(text: str) -> str:
            value = text.strip()
            if from_json(value, allow_inf_nan=False) is None and is_left_out_as_null:
                return ""
            return f"{json.dumps(argument)}: {value}, "

        wanted: TagFormat = {"type": "json_schema", "json_schema": schema}
        return self._output(f"the argument {argument!r}", wanted, self.argument_ends, member)

    def _output(
        self, name: str, wanted: TagFormat, ends: tuple[str, ...], read: Callable[[str], T]
    ) -> Output[T]:
        def parse(text: str) -> T:
            return read(_without_end(text, ends))

        elements = [wanted, {"type": "or", "elements": [_constant(end) for end in ends]}]
        if self.gap:
            elements.insert(0, _constant(self.gap))
        grammar = structural_tag({"type": "sequence", "elements": elements})
        return Output(name=name, grammar=grammar, parse=parse, is_self_delimiting=True)


SKELETON = HeadForm()
"""Any model: the name first, then all arguments at once, each as the first one of its call."""
HEADS = HeadForm(
    name_lead='\n{"name": ',
    arguments_lead='\n{"arguments": {',
    gap="",
    name_ends=("}",),
    argument_ends=("}",),
)
"""A model trained for it: the name and all arguments at once."""


def _constant(text: str) -> TagFormat:
    return {"type": "const_string", "value": text}


def _without_end(text: str, ends: tuple[str, ...]) -> str:
    """Raises ValueError for text that does not end in one of ``ends`` after JSON."""
    for end in ends:
        if text.endswith(end):
            value = text.removesuffix(end)
            if _is_json(value):
                return value
    raise ValueError("it is no JSON with its end")


def _is_json(text: str) -> bool:
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return True


def _name(text: str) -> str:
    name: str = from_json(text)
    return name
