"""One tool call whose parts are decoded in parallel, from one prompt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack, cast

from pydantic_core import from_json

from weft.agents.branch import Branch, branches_of
from weft.agents.offered import AgentTool, as_tool_step
from weft.errors import GrammarRejected, InvalidRequest
from weft.programs import Chat, GenOptions, Lead, Step, ToolCall
from weft.programs.function import Orderable
from weft.programs.generate import order_gen
from weft.programs.handle import use
from weft.programs.heads import SKELETON, HeadForm
from weft.programs.output import Output
from weft.programs.prompt import Prompt
from weft.programs.seeds import step_seed
from weft.programs.strand import current_strand
from weft.tools import ToolRegistry

__all__ = ["call_tool"]

NAME = "call_tool"


def call_tool(
    prompt: Prompt | Chat,
    tools: Sequence[AgentTool],
    *,
    form: HeadForm = SKELETON,
    **options: Unpack[GenOptions],
) -> Step[ToolCall]:
    """Have the model call one of ``tools``; the call is checked, and not run.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoder:
    """What is offered, and how its parts are asked for."""

    tools: ToolRegistry
    branches: Mapping[str, tuple[Branch, ...]]
    """By tool."""
    form: HeadForm
    options: GenOptions

    @classmethod
    def of(cls, tools: Sequence[AgentTool], form: HeadForm, options: GenOptions) -> _Decoder:
        registry = ToolRegistry(as_tool_step(one).tool for one in tools)
        if not len(registry):
            raise InvalidRequest("tools is empty.", remedy="Offer at least one tool.")
        if "lead" in options:
            raise InvalidRequest(
                f"lead is {options['lead']!r}.",
                remedy="Leave it out: the form says how parts begin.",
            )
        return cls(
            tools=registry,
            branches={tool.name: branches_of(tool) for tool in registry},
            form=form,
            options={**options, "tool_schemas": registry.json_schemas()},
        )

    async def call(self, prompt: Prompt) -> ToolCall:
        writer = _Writer(self, prompt)
        choice = self._order_name(prompt) if len(self.tools) > 1 else None
        if not self.form.names_tool:
            for tool, branches in self.branches.items():
                writer.submit(tool, branches)
        name = self.tools.names[0] if choice is None else await choice
        writer.submit(name, self.branches[name])
        writer.keep(self.branches[name])
        arguments = await writer.arguments(name, self.branches[name])
        self.tools.get(name).check(arguments)
        return ToolCall(name=name, arguments=arguments)

    def _order_name(self, prompt: Prompt) -> Step[str]:
        output = self.form.name_output(self.tools.names)
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
            output = form.member_output(
                branch.argument,
                json.loads(branch.schema),
                is_left_out_as_null=branch.is_left_out_as_null,
            )
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
