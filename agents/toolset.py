"""The tools of an agent, and what the calls of one turn come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from weft.errors import ToolArgumentsInvalid, ToolError
from weft.programs import Step
from weft.programs.offered import ToolLike, as_tool_step
from weft.tools import (
    BatchCall,
    ParsedCall,
    Tool,
    ToolRegistry,
    plan_batch,
    render_error,
    render_result,
)

__all__ = ["Toolset"]


class Toolset:
    """Runs calls and puts what they gave, or why they failed, into words for the model."""

    def __init__(
        self, tools: Iterable[ToolLike], *, max_calls: int, max_chars: int, is_raising: bool
    ) -> None:
        """Raises ToolDefinitionError. Told to raise, it passes on the first ToolError."""
        steps = [as_tool_step(one) for one in tools]
        self._steps = {step.name: step for step in steps}
        self.registry = ToolRegistry(step.tool for step in steps)
        self._max_calls = max_calls
        self._max_chars = max_chars
        self._is_raising = is_raising

    async def run(
        self, calls: Sequence[ParsedCall | ToolArgumentsInvalid], num_before: int
    ) -> list[str]:
        """What the model is told of each call; ``num_before`` were made in earlier turns.

        Each call is a Step. They run in the order of their effects (see ``plan_batch``).
        """
        told: dict[int, str] = {}
        asked: dict[int, ParsedCall] = {}
        for number, call in enumerate(calls):
            accepted = self._accept(call, num_before + number)
            if isinstance(accepted, ToolError):
                told[number] = self._tell_error(accepted)
            else:
                asked[number] = accepted
        return await self._run_accepted(asked, told)

    async def _run_accepted(self, asked: dict[int, ParsedCall], told: dict[int, str]) -> list[str]:
        plan = plan_batch({number: self._effect(call) for number, call in asked.items()})
        free = [(number, self._order(asked[number])) for number in plan.free]
        for wave in plan.waves:
            started = [(number, self._order(asked[number])) for number in wave]
            for number, step in started:
                told[number] = await self._tell(asked[number].name, step)
        for number, step in free:
            told[number] = await self._tell(asked[number].name, step)
        told |= {number: told[first] for number, first in plan.same_as.items()}
        return [told[number] for number in sorted(told)]

    def _accept(
        self, call: ParsedCall | ToolArgumentsInvalid, num_before: int
    ) -> ParsedCall | ToolError:
        """The call, or why it is not run."""
        if isinstance(call, ToolArgumentsInvalid):
            return call
        try:
            self.registry.get(call.name)
        except ToolError as error:
            return error
        if num_before < self._max_calls:
            return call
        return ToolError(
            f"All {self._max_calls} tool calls are used up.",
            tool=call.name,
            remedy="Answer with what is known.",
        )

    def _effect(self, call: ParsedCall) -> BatchCall:
        return BatchCall(call.name, self.registry.get(call.name).effect, call.arguments)

    def _order(self, call: ParsedCall) -> Step[Any]:
        return self._steps[call.name].order_named(call.arguments)

    async def _tell(self, name: str, step: Step[Any]) -> str:
        tool: Tool[..., Any] = self.registry.get(name)
        try:
            data = tool.dump(await step)
        except ToolError as error:
            return self._tell_error(error)
        return render_result(data, max_chars=self._max_chars).text

    def _tell_error(self, error: ToolError) -> str:
        if self._is_raising:
            raise error
        return render_error(error, max_chars=self._max_chars).text
