"""One tool call whose parts are decoded in parallel, from one prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack, cast

from pydantic_core import from_json

from weft.errors import GrammarRejected, InvalidRequest
from weft.programs.branch import Branch, branch_output, branches_of
from weft.programs.dialogue import Chat
from weft.programs.function import Orderable
from weft.programs.generate import GenOptions, order_gen
from weft.programs.handle import Step, use
from weft.programs.heads import SKELETON, HeadForm
from weft.programs.lead import Lead
from weft.programs.message import ToolCall
from weft.programs.offered import ToolLike, as_tool_step
from weft.programs.output import Output
from weft.programs.prompt import Prompt
from weft.programs.seeds import step_seed
from weft.programs.strand import current_strand
from weft.tools import Tool, ToolRegistry

__all__ = ["call_tool"]

NAME = "call_tool"


def call_tool(
    prompt: Prompt | Chat,
    tools: Sequence[ToolLike | Mapping[str, object]],
    *,
    form: HeadForm = SKELETON,
    **options: Unpack[GenOptions],
) -> Step[ToolCall]:
    """Have the model call one of ``tools``; the call is checked, and not run. A tool may also be
    given as ``{"name", "description", "parameters"}``, and is then held to its schema alone.

    Every argument is a generation of its own, under the grammar of its own schema; those that
    depend on nothing run side by side. With SKELETON the tool's name is decoded first and then
    its arguments, as a model writes them that was trained for nothing else; with HEADS, on a
    model trained for it, the name and the arguments of all tools are decoded at once, equal
    ones once. An argument that ``depends`` on others starts with their values. When one part
    fails, the others end.

    ``options`` are those of every generation, so ``max_tokens`` limits one argument; with
    ``seed`` each draws with a seed that follows from it and the argument.

    Raises here: StepOutsideRun, InvalidRequest, ToolDefinitionError. Raises when awaited:
    GrammarRejected, which names the argument, ToolArgumentsInvalid, and what ``gen`` raises.
    """
    turns: Prompt = list(prompt.turns) if isinstance(prompt, Chat) else prompt
    step_name = options.pop("name", NAME)
    decoder = _Decoder.of(tools, form, options)
    order = Orderable(decoder.call, kind="program", name=step_name)
    return order.order(current_strand(f"{NAME}()"), (turns,), {})


class _Offer(NamedTuple):
    schema: Mapping[str, object]
    branches: tuple[Branch, ...]
    tool: Tool[..., Any] | None


def _offer(one: ToolLike | Mapping[str, object]) -> _Offer:
    if isinstance(one, Mapping):
        schema = cast("Mapping[str, Any]", one)
        return _Offer(schema, branches_of(schema["parameters"], {}), None)
    tool = as_tool_step(one).tool
    return _Offer(tool.json_schema(), branches_of(tool.parameters, tool.depends), tool)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoder:
    """What is offered, and how its parts are asked for."""

    branches: Mapping[str, tuple[Branch, ...]]
    """By tool."""
    checked: ToolRegistry
    """The tools that check their arguments."""
    form: HeadForm
    options: GenOptions

    @classmethod
    def of(
        cls,
        tools: Sequence[ToolLike | Mapping[str, object]],
        form: HeadForm,
        options: GenOptions,
    ) -> _Decoder:
        if "lead" in options:
            raise InvalidRequest(
                f"lead is {options['lead']!r}.",
                remedy="Leave it out: the form says how parts begin.",
            )
        offers = [_offer(one) for one in tools]
        branches = {str(one.schema["name"]): one.branches for one in offers}
        if not offers or len(branches) < len(offers):
            raise InvalidRequest(
                f"tools has {len(offers)} tools with {len(branches)} names.",
                remedy="Offer at least one tool, each under a name of its own.",
            )
        return cls(
            branches=branches,
            checked=ToolRegistry(one.tool for one in offers if one.tool is not None),
            form=form,
            options={**options, "tool_schemas": [one.schema for one in offers]},
        )

    async def call(self, prompt: Prompt) -> ToolCall:
        writer = _Writer(self, prompt)
        choice = self._order_name(prompt) if len(self.branches) > 1 else None
        if not self.form.names_tool:
            for tool, branches in self.branches.items():
                writer.submit(tool, branches)
        name = next(iter(self.branches)) if choice is None else await choice
        writer.submit(name, self.branches[name])
        writer.keep(self.branches[name])
        arguments = await writer.arguments(name, self.branches[name])
        if name in self.checked:
            self.checked.get(name).check(arguments)
        return ToolCall(name=name, arguments=arguments)

    def _order_name(self, prompt: Prompt) -> Step[str]:
        output = self.form.name_output(self.branches)
        return self.order(prompt, "tool", output, self.form.lead_to_name())

    def order(self, prompt: Prompt, name: str, output: Output[str], lead: Lead) -> Step[str]:
        """One part, as a generation."""
        options: GenOptions = {**self.options, "name": name, "lead": lead}
        if "seed" in options:
            options["seed"] = step_seed(options["seed"], name)
        return order_gen(prompt, output, None, options)


class _Writer:
    """The branches that are being written, each at most once."""

    def __init__(self, decoder: _Decoder, prompt: Prompt) -> None:
        self._decoder = decoder
        self._prompt = prompt
        self._steps: dict[Branch, Step[str]] = {}

    def submit(self, tool: str, branches: Sequence[Branch]) -> None:
        for branch in branches:
            self._submit(tool, branch)

    def _submit(self, tool: str, branch: Branch) -> Step[str]:
        if branch not in self._steps:
            form = self._decoder.form
            needed = [self._submit(tool, one) for one in branch.needs]
            output = branch_output(branch, form)
            lead = form.lead_to_argument(tool, branch.argument, needed)
            step = self._decoder.order(self._prompt, branch.argument, output, lead)
            use(step)
            self._steps[branch] = step
        return self._steps[branch]

    def keep(self, branches: Sequence[Branch]) -> None:
        """Cancel the others."""
        for branch, step in self._steps.items():
            if branch not in branches:
                step.cancel()

    async def arguments(self, tool: str, branches: Sequence[Branch]) -> dict[str, object]:
        members = await asyncio.gather(*(self._member(tool, branch) for branch in branches))
        text = "".join(members).removesuffix(", ")
        return cast("dict[str, object]", from_json(f"{{{text}}}"))

    async def _member(self, tool: str, branch: Branch) -> str:
        try:
            return await self._steps[branch]
        except GrammarRejected as error:
            # What depends on a failed branch fails by the very same error.
            failed = [one for one in branch.needs if self._steps[one].error is error]
            argument = (failed or [branch])[0].argument
            raise GrammarRejected(
                f"Argument {argument!r} of tool {tool!r} cannot be enforced: {error.what}",
                remedy=error.remedy,
            ) from error
