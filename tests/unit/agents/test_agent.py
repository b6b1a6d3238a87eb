"""Agents on a scripted model: turns, parallel tools, failures, limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from weft.agents import Agent, Transcript
from weft.errors import (
    InvalidRequest,
    OutputInvalid,
    ToolDefinitionError,
    ToolFailed,
    ToolNotFound,
    UnsupportedFeature,
)
from weft.programs import Budget, Message, Regex, Step, gen, program, tool
from weft.runtime.engine.protocol import Capabilities
from weft.runtime.executor import Run
from weft.runtime.observe.event import StepEvent
from weft.runtime.testing import Prompted, ScriptedEngine
from weft.tools import IdemKey, ToolCapacity, ToolResources, ToolRunner, as_tool
from weft.tools.calculator import calculator_tool


class Price(BaseModel):
    item: str
    total: float


@tool
def get_price(item: str) -> int:
    """Get the price of an item."""
    if item == "ghost":
        raise KeyError(item)
    return 10 * len(item)


def called(name: str, /, **arguments: object) -> str:
    call = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{call}\n</tool_call>"


class Engine(ScriptedEngine):
    """Answers from a list, one per turn, and renders tools and calls so that tests see them."""

    def __init__(self, *replies: str) -> None:
        super().__init__(self._next)
        self._replies = list(replies)

    def _next(self, prompted: Prompted) -> str:
        return self._replies.pop(0)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, object]] = ()
    ) -> tuple[int, ...]:
        lines = [f"tools: {', '.join(str(one['name']) for one in tools)}"]
        for message in messages:
            calls = "".join(f" {call.name}{dict(call.arguments)}" for call in message.tool_calls)
            lines.append(f"{message.role}: {message.content}{calls}")
        return self.encode("\n".join(lines))


async def talk(engine: ScriptedEngine, agent: Agent[Any], *prompt: object, **kw: Any) -> Any:
    @program
    async def main() -> object:
        return await agent(*prompt)

    run = await Run.start(main, engine=engine, **kw)
    return await run.result()


async def test_it_calls_a_tool_reads_the_result_and_answers() -> None:
    engine = Engine(called("get_price", item="mug"), "The mug costs 30.")
    agent = Agent("clerk", system="You sell.", tools=[get_price])
    assert await talk(engine, agent, "How much is a mug?") == "The mug costs 30."
    assert engine.prompts == [
        "tools: get_price\nsystem: You sell.\nuser: How much is a mug?",
        "tools: get_price\nsystem: You sell.\nuser: How much is a mug?\n"
        "assistant:  get_price{'item': 'mug'}\ntool: 30",
    ]


async def test_calls_of_one_turn_run_in_parallel_and_answer_in_order() -> None:
    together = asyncio.Barrier(3)

    @tool
    async def meet(name: str) -> str:
        """Wait for the others."""
        await together.wait()
        return f"hello {name}"

    engine = Engine("\n".join(called("meet", name=name) for name in "abc"), "done")
    assert await talk(engine, Agent("host", tools=[meet]), "Go") == "done"
    assert engine.prompts[1].endswith("tool: hello a\ntool: hello b\ntool: hello c")


async def test_the_answer_is_typed_and_the_transcript_complete() -> None:
    agent = Agent("clerk", tools=[get_price, calculator_tool()], out=Price, temperature=0.0)
    engine = Engine(
        called("get_price", item="mug"),
        called("calculator", expression="2 * 30"),
        '{"item": "mug", "total": 60}',
    )

    @program
    async def main() -> Transcript[Price]:
        transcript: Step[Transcript[Price]] = agent.converse("Two mugs?")
        return await transcript

    run = await Run.start(main, engine=engine)
    transcript = await run.result()
    assert transcript.answer == Price(item="mug", total=60)
    assert transcript.num_tool_calls == 2
    roles = [message.role for message in transcript.messages]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [message.content for message in transcript.messages if message.role == "tool"] == [
        "30",
        "60",
    ]
    grammars = [request.grammar for request in engine.requests]
    assert {grammar.kind for grammar in grammars if grammar} == {"structural_tag"}
    assert all(request.sampling.temperature == 0.0 for request in engine.requests)


async def test_types_follow_from_out() -> None:
    text: Agent[str] = Agent("a")
    pattern: Agent[str] = Agent("a", out=Regex("[0-9]+"))
    literal: Agent[Literal["yes", "no"]] = Agent("a", out=Literal["yes", "no"])
    assert await talk(Engine("hi"), text, "?") == "hi"
    assert await talk(Engine("12"), pattern, "?") == "12"
    assert await talk(Engine("no"), literal, "?") == "no"


async def test_prompt_parts_may_be_steps_and_agents_may_feed_agents() -> None:
    first, second = Agent("first"), Agent("second")

    @program
    async def main() -> str:
        return await second("Improve:", first(["Draft:", gen("topic")]))

    engine = Engine("TOPIC", "DRAFT", "BETTER")
    run = await Run.start(main, engine=engine)
    assert await run.result() == "BETTER"
    assert engine.prompts[1].endswith("user: Draft:\nTOPIC")
    assert engine.prompts[2].endswith("user: Improve:\nDRAFT")


FAILURES: list[tuple[str, str]] = [
    (called("get_price", item="ghost"), "raised KeyError"),
    (called("get_price", item=3), "arguments.item"),
    (called("get_price", item="mug", extra=1), "arguments.extra"),
    (called("get_prize", item="mug"), "Did you mean get_price?"),
    ("<tool_call>{oops}</tool_call>", "no JSON"),
    ("<tool_call>{", "no </tool_call>"),
]


@pytest.mark.parametrize(("reply", "told"), FAILURES)
async def test_a_failure_is_told_to_the_model(reply: str, told: str) -> None:
    engine = Engine(reply, "Sorry.")
    assert await talk(engine, Agent("clerk", tools=[get_price]), "?") == "Sorry."
    last = engine.prompts[1].splitlines()[-1]
    assert last.startswith("tool: Error: ") and told in last


async def test_a_malformed_call_stays_in_the_conversation_as_written() -> None:
    engine = Engine("<tool_call>{oops}</tool_call>", "Sorry.")
    await talk(engine, Agent("clerk", tools=[get_price]), "?")
    assert "assistant: <tool_call>{oops}</tool_call>\n" in engine.prompts[1]


@pytest.mark.parametrize(
    ("reply", "error"),
    [(called("get_price", item="ghost"), ToolFailed), (called("nothing"), ToolNotFound)],
)
async def test_a_failure_can_be_raised_instead(reply: str, error: type[Exception]) -> None:
    agent = Agent("clerk", tools=[get_price], on_tool_error="raise")
    with pytest.raises(error):
        await talk(Engine(reply), agent, "?")


async def test_raising_cancels_the_other_calls_of_the_turn() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def slow() -> str:
        """Take long."""
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return ""

    @tool
    async def broken() -> str:
        """Break."""
        await started.wait()
        raise ValueError("no")

    agent = Agent("clerk", tools=[slow, broken], on_tool_error="raise")
    with pytest.raises(ToolFailed):
        await talk(Engine(called("broken") + called("slow")), agent, "?")
    assert cancelled.is_set()


async def test_a_budget_that_runs_out_is_not_told_to_the_model_but_ends_it() -> None:
    engine = Engine(*[called("get_price", item="mug")] * 50)
    agent = Agent("clerk", tools=[get_price], max_turns=50)
    with pytest.raises(Exception, match="steps"):
        await talk(engine, agent, "?", budget=Budget(steps=6))


async def test_the_last_turn_only_allows_the_answer() -> None:
    engine = Engine(called("get_price", item="a"), "It is 10.")
    agent = Agent("clerk", tools=[get_price], max_turns=2)
    assert await talk(engine, agent, "?") == "It is 10."
    formats = [
        json.loads(request.grammar.text)["format"] for request in engine.requests if request.grammar
    ]
    assert [one["type"] for one in formats] == ["triggered_tags", "any_text"]
    again = Engine(*[called("get_price", item="a")] * 2)
    with pytest.raises(OutputInvalid, match="no call is left"):
        await talk(again, agent, "?")


async def test_calls_beyond_the_limit_are_refused_and_the_next_turn_answers() -> None:
    engine = Engine("\n".join(called("get_price", item="a") for _ in range(5)), "Enough.")
    agent = Agent("clerk", tools=[get_price], max_tool_calls=2)
    assert await talk(engine, agent, "?") == "Enough."
    told = [line for line in engine.prompts[1].splitlines() if line.startswith("tool: ")]
    assert [line.startswith("tool: Error: All 2") for line in told] == [False] * 2 + [True] * 3
    assert engine.requests[1].grammar != engine.requests[0].grammar


async def test_a_long_result_is_cut_for_the_model() -> None:
    @tool
    def read() -> str:
        """Read."""
        return "a" * 100 + "b" * 100

    engine = Engine(called("read"), "ok")
    await talk(engine, Agent("clerk", tools=[read], max_result_chars=20), "?")
    assert engine.prompts[1].endswith(
        "tool: " + "a" * 10 + "\n[180 characters left out]\n" + "b" * 10
    )


async def test_a_write_tool_gets_a_key_of_its_own_that_the_model_cannot_forge() -> None:
    keys: list[str] = []

    @tool(effect="write")
    def pay(amount: int, *, key: IdemKey) -> str:
        """Pay."""
        keys.append(key)
        return "paid"

    engine = Engine(
        called("pay", amount=1) + called("pay", amount=1) + called("pay", amount=1, key="forged"),
        "ok",
    )
    await talk(engine, Agent("clerk", tools=[pay]), "?", run_id="r")
    assert len(set(keys)) == len(keys) == 2 and "forged" not in keys
    assert "Error: " in engine.prompts[1].splitlines()[-1]


async def test_every_call_is_a_step_of_the_run() -> None:
    engine = Engine(called("get_price", item="a") + called("get_price", item="b"), "ok")
    seen: list[tuple[str, str]] = []

    def observe(event: object) -> None:
        if isinstance(event, StepEvent) and event.phase == "finished":
            seen.append((event.kind, event.lineage))

    await talk(engine, Agent("clerk", tools=[get_price]), "?", observers=[observe])
    assert sorted(seen) == [
        ("gen", "main/clerk/gen"),
        ("gen", "main/clerk/gen#2"),
        ("program", "main"),
        ("program", "main/clerk"),
        ("tool", "main/clerk/get_price"),
        ("tool", "main/clerk/get_price#2"),
    ]


def test_what_cannot_be_an_agent_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="'get_price'"):
        Agent("a", tools=[get_price, get_price])
    with pytest.raises(InvalidRequest, match="max_turns is 0"):
        Agent("a", max_turns=0)
    with pytest.raises(InvalidRequest, match="name"):
        Agent("a/b")

    def untyped(x) -> str:  # type: ignore[no-untyped-def] # pyright: ignore
        """Doc."""
        return ""

    with pytest.raises(ToolDefinitionError, match="'x'"):
        Agent("a", tools=[untyped])  # pyright: ignore[reportUnknownArgumentType]


async def test_tools_may_be_steps_tools_or_functions() -> None:
    def plain(x: int) -> int:
        """Plain."""
        return x

    agent = Agent("a", tools=[get_price, as_tool(plain, name="bare"), plain])
    assert agent.tools.names == ("get_price", "bare", "plain")
    engine = Engine(called("bare", x=1) + called("plain", x=2), "ok")
    await talk(engine, agent, "?")
    assert engine.prompts[1].endswith("tool: 1\ntool: 2")


async def test_an_engine_without_structural_tags_is_refused_by_name() -> None:
    engine = ScriptedEngine(capabilities=Capabilities(grammars=frozenset({"json"})))
    with pytest.raises(UnsupportedFeature, match="structural_tag"):
        await talk(engine, Agent("a", tools=[get_price]), "?")


async def test_a_write_waits_for_the_reads_before_it_and_reads_wait_for_it() -> None:
    log: list[str] = []

    @tool(effect="read")
    async def look(name: str) -> str:
        """Look."""
        log.append(f"+{name}")
        await asyncio.sleep(0)
        log.append(f"-{name}")
        return name

    @tool(effect="write")
    async def change(name: str) -> str:
        """Change."""
        return await look.tool.fn(name)  # type: ignore[misc, no-any-return]

    calls = [("look", "a"), ("look", "b"), ("change", "c"), ("change", "d"), ("look", "e")]
    engine = Engine("".join(called(name, name=letter) for name, letter in calls), "done")
    await talk(engine, Agent("clerk", tools=[look, change]), "?")
    assert log == ["+a", "+b", "-a", "-b", "+c", "-c", "+d", "-d", "+e", "-e"]
    assert engine.prompts[1].endswith("tool: a\ntool: b\ntool: c\ntool: d\ntool: e")


async def test_a_failed_write_is_told_and_what_follows_it_still_runs() -> None:
    @tool(effect="write")
    def break_it() -> str:
        """Break."""
        raise ValueError("no")

    engine = Engine(called("break_it") + called("get_price", item="mug"), "done")
    await talk(engine, Agent("clerk", tools=[break_it, get_price]), "?")
    failed, price = engine.prompts[1].splitlines()[-2:]
    assert failed.startswith("tool: Error: ") and price == "tool: 30"


async def test_equal_pure_calls_of_a_turn_run_once() -> None:
    num_runs = 0

    @tool(effect="pure")
    def double(number: int) -> int:
        """Double a number."""
        nonlocal num_runs
        num_runs += 1
        return 2 * number

    engine = Engine("".join(called("double", number=one) for one in (4, 4, 5, 4)), "done")
    run_tools = ToolRunner()
    await talk(engine, Agent("clerk", tools=[double]), "?", tools=run_tools)
    assert engine.prompts[1].endswith("tool: 8\ntool: 8\ntool: 10\ntool: 8")
    assert num_runs == run_tools.statistics.of("double").num_calls == 2


async def test_one_capacity_holds_for_the_calls_of_many_runs() -> None:
    running = most = 0

    @tool(resources=ToolResources(memory_bytes=1))
    async def work() -> int:
        """Work."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return 1

    runner = ToolRunner(capacity=ToolCapacity(2))
    agent = Agent("clerk", tools=[work])
    runs = [talk(Engine(called("work") * 3, "done"), agent, "?", tools=runner) for _ in range(3)]
    assert await asyncio.gather(*runs) == ["done"] * 3
    assert most == 2
