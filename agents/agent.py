"""A model in a role, with tools, that goes on until it has an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar, Unpack, cast, overload

from typing_extensions import TypeForm

from weft.agents.toolset import Toolset
from weft.agents.turn import Said, answer_output, turn_output
from weft.errors import InvalidRequest
from weft.programs import Ebnf, GenOptions, JsonSchema, Message, Regex, Step
from weft.programs.function import Orderable
from weft.programs.generate import order_gen
from weft.programs.offered import ToolLike
from weft.programs.output import output_of
from weft.programs.prompt import messages_of
from weft.programs.strand import current_strand

__all__ = ["Agent", "AgentOptions", "AgentTool", "Transcript"]

T = TypeVar("T")

AgentTool: TypeAlias = ToolLike


class AgentOptions(GenOptions, total=False):
    """What an Agent can declare; the rest is for each of its generations (see GenOptions)."""

    system: str
    """What it is told first."""
    tools: Iterable[AgentTool]
    max_turns: int
    """Most generations, 8 unless told. In the last one only the answer is allowed."""
    max_tool_calls: int
    """Most calls in one conversation, 32 unless told; further ones are refused to the model."""
    max_result_chars: int
    """What a tool answers is cut to this for the model, in the middle; 8000 unless told."""
    on_tool_error: Literal["tell", "raise"]
    """``tell`` the model, unless told, or ``raise`` out of the agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript(Generic[T]):
    """A finished conversation."""

    answer: T
    messages: tuple[Message, ...]
    """From the system's words to the answer."""
    num_tool_calls: int
    """Calls that were run or refused; malformed ones included."""


class Agent(Orderable, Generic[T]):
    """A role that programs call: ``analyst("What sold best?")`` gives a Step with the answer.

    The model generates under a grammar that allows tool calls and the answer and nothing else.
    The calls of one turn run as Steps, side by side where their effects allow it: reads wait for
    the writes before them, writes run alone in the order given, and equal calls of a pure tool
    run once. Their results go back to the model.
    Immutable: each call is a conversation of its own.
    """

    @overload
    def __init__(
        self: Agent[str],
        name: str,
        /,
        *,
        out: Regex | Ebnf | Sequence[str] | None = None,
        **options: Unpack[AgentOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Agent[object], name: str, /, *, out: JsonSchema, **options: Unpack[AgentOptions]
    ) -> None: ...
    @overload
    def __init__(
        self, name: str, /, *, out: TypeForm[T], **options: Unpack[AgentOptions]
    ) -> None: ...
    def __init__(
        self, name: str, /, *, out: object = None, **options: Unpack[AgentOptions]
    ) -> None:
        """Raises InvalidRequest, GrammarRejected, ToolDefinitionError."""
        super().__init__(self._answer, kind="program", name=name)
        self._system = options.pop("system", "")
        self._max_turns = _positive("max_turns", options.pop("max_turns", 8))
        self._max_calls = _positive("max_tool_calls", options.pop("max_tool_calls", 32))
        self._toolset = Toolset(
            options.pop("tools", ()),
            max_calls=self._max_calls,
            max_chars=_positive("max_result_chars", options.pop("max_result_chars", 8_000)),
            is_raising=options.pop("on_tool_error", "tell") == "raise",
        )
        self.tools = self._toolset.registry
        self._options = cast("GenOptions", options)
        self._options["tool_schemas"] = self.tools.json_schemas()
        answer = output_of(out)
        self._last = answer_output(answer)
        self._turn = (
            turn_output(answer, self.tools.json_schemas()) if len(self.tools) else self._last
        )

    def __call__(self, *prompt: object) -> Step[T]:
        """Start a conversation; prompt parts are as in ``gen`` and may be un-awaited Steps.

        The Step raises OutputInvalid or OutputTruncated, and ToolError when told to raise.
        """
        return self.order(current_strand(f"{self.name}()"), prompt, {})

    def converse(self, *prompt: object) -> Step[Transcript[T]]:
        """The same, giving the whole conversation."""
        talk = Orderable(self._converse, kind="program", name=self.name)
        return talk.order(current_strand(f"{self.name}.converse()"), prompt, {})

    async def _answer(self, *prompt: object) -> T:
        return (await self._converse(*prompt)).answer

    async def _converse(self, *prompt: object) -> Transcript[T]:
        system = [Message(role="system", content=self._system)] if self._system else []
        messages = [*system, *messages_of(prompt[0] if len(prompt) == 1 else prompt)]
        num_calls = 0
        for turn in range(1, self._max_turns + 1):
            is_last = turn == self._max_turns or num_calls >= self._max_calls
            said = await self._say(messages, is_last)
            messages.append(said.message)
            if said.answers:
                break
            told = await self._toolset.run(said.calls, num_calls)
            messages += [Message(role="tool", content=text) for text in told]
            num_calls += len(said.calls)
        else:
            raise AssertionError("the last turn allows nothing but an answer")
        return Transcript(
            answer=said.answers[0], messages=tuple(messages), num_tool_calls=num_calls
        )

    async def _say(self, messages: list[Message], is_last: bool) -> Said[T]:
        output = self._last if is_last else self._turn
        said: Said[T] = await order_gen(list(messages), output, None, self._options)
        return said


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise InvalidRequest(f"{name} is {value!r}.", remedy="It must be at least 1.")
    return value
