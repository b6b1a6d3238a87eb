"""Parallel arguments on a scripted model: requests, phases, leads, failures."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from weft.errors import (
    BudgetExceeded,
    GrammarRejected,
    InvalidRequest,
    OutputTruncated,
    ToolArgumentsInvalid,
    UnsupportedFeature,
)
from weft.programs import (
    HEADS,
    SKELETON,
    Budget,
    GenOptions,
    HeadForm,
    Step,
    ToolCall,
    call_tool,
    chat,
    gen,
    program,
    tool,
)
from weft.programs.prompt import Prompt
from weft.programs.seeds import step_seed
from weft.runtime.engine.protocol import Capabilities
from weft.runtime.executor import Run
from weft.runtime.testing import Prompted, Reply, ScriptedEngine
from weft.tools import parse_tool_calls


@tool
def book(start: str, end: str, seats: int = 1) -> str:
    """Book a seat."""
    return f"{start} {end} {seats}"


@tool
def cancel(ticket: str, seats: int = 1) -> str:
    """Give a seat back."""
    return f"{ticket} {seats}"


@tool(depends={"end": ("start", "seats")})
def travel(end: str, start: str, note: str, seats: int = 1) -> str:
    """Travel."""
    return end + start + note + str(seats)


VALUES = {"start": '"Ada"', "end": '"B, }"', "seats": "2", "ticket": '"x"', "note": '"n"'}


class Model(ScriptedEngine):
    """Knows a value for every argument, whatever was said before, and says what may follow it."""

    def __init__(self, form: HeadForm, name: str, **values: str) -> None:
        self._form = form
        self._values = {**VALUES, **values}
        self._name_part = f'{form.gap}"{name}"{form.name_ends[0]}'
        super().__init__(self.say)

    def say(self, prompted: Prompted) -> str:
        if prompted.text.rstrip().endswith('"name":'):
            return self._name_part
        argument = prompted.text.rstrip().removesuffix('":').rpartition('"')[2]
        value = self._values[argument]
        return self._form.gap + value + self._form.argument_ends[-1]

    @property
    def leads(self) -> list[str]:
        return [prompt.partition("Go")[2] for prompt in self.prompts]


async def called(
    engine: ScriptedEngine,
    *tools: Any,
    form: HeadForm = SKELETON,
    prompt: Any = "Go",
    budget: Budget | None = None,
    **options: Any,
) -> ToolCall:
    given = cast("GenOptions", options)

    @program
    async def main() -> ToolCall:
        return await call_tool(cast("Prompt", prompt), tools, form=form, **given)

    return await (await Run.start(main, engine=engine, budget=budget, seed=1)).result()


async def test_the_name_comes_first_and_then_all_arguments_at_once() -> None:
    engine = Model(SKELETON, "book")
    call = await called(engine, book, cancel)
    assert call == ToolCall(name="book", arguments={"start": "Ada", "end": "B, }", "seats": 2})
    assert list(call.arguments) == ["start", "end", "seats"]
    begun = '<tool_call>\n{"name": "book", "arguments": {'
    assert engine.leads == [
        '<tool_call>\n{"name":',
        f'{begun}"start":',
        f'{begun}"end":',
        f'{begun}"seats":',
    ]


async def test_heads_ask_for_the_name_and_all_arguments_at_once_and_equal_ones_once() -> None:
    engine = Model(HEADS, "cancel")
    call = await called(engine, book, cancel, form=HEADS)
    assert call == ToolCall(name="cancel", arguments={"ticket": "x", "seats": 2})
    begun = '<tool_call>\n{"arguments": {'
    assert engine.leads == [
        '<tool_call>\n{"name": ',
        f'{begun}"start": ',
        f'{begun}"end": ',
        f'{begun}"seats": ',
        f'{begun}"ticket": ',
    ]


@pytest.mark.parametrize("form", [SKELETON, HEADS])
async def test_all_arguments_are_under_way_together(form: HeadForm) -> None:
    together = asyncio.Barrier(3 if form is SKELETON else 5)
    model = Model(form, "book")

    def say(prompted: Prompted) -> str | Reply:
        said = model.say(prompted)
        is_name = form is SKELETON and prompted.text.endswith('"name":')
        return said if is_name else Reply(text=said, wait=together.wait)

    assert (await called(ScriptedEngine(say), book, cancel, form=form)).name == "book"


async def test_same_names_with_other_schemas_are_asked_for_apart() -> None:
    @tool
    def refund(seats: str) -> str:
        """Refund."""
        return seats

    engine = Model(HEADS, "book")
    await called(engine, book, refund, form=HEADS)
    assert sum(lead.endswith('"seats": ') for lead in engine.leads) == 2


async def test_a_single_tool_needs_no_choice() -> None:
    for form in (SKELETON, HEADS):
        engine = Model(form, "?")
        assert (await called(engine, book, form=form)).name == "book"
        assert len(engine.requests) == 3


async def test_a_tool_without_arguments_is_called_with_none() -> None:
    @tool
    def ring() -> str:
        """Ring."""
        return "ding"

    assert await called(Model(SKELETON, "?"), ring) == ToolCall(name="ring", arguments={})


@pytest.mark.parametrize("form", [SKELETON, HEADS])
async def test_dependent_arguments_see_the_values_they_need(form: HeadForm) -> None:
    engine = Model(form, "?")
    call = await called(engine, travel, form=form)
    assert list(call.arguments) == ["end", "start", "note", "seats"]
    *free, last = engine.leads
    assert [lead.rpartition("{")[2].rstrip() for lead in free] == [
        '"start":',
        '"seats":',
        '"note":',
    ]
    assert last.rstrip().endswith('{"start": "Ada", "seats": 2, "end":')


async def test_what_was_left_out_stands_before_nothing() -> None:
    engine = Model(SKELETON, "?", seats="null")
    call = await called(engine, travel)
    assert dict(call.arguments) == {"end": "B, }", "start": "Ada", "note": "n"}
    assert engine.leads[-1].endswith('{"start": "Ada", "end":')


async def test_the_call_equals_the_one_that_is_written_in_one_go() -> None:
    """The model's values depend on nothing, so both ways must give the same."""
    arguments = {name: json.loads(VALUES[name]) for name in ("start", "end", "seats")}
    whole = json.dumps({"name": "book", "arguments": arguments})

    @program
    async def sequential() -> str:
        return await gen("Go")

    engine = ScriptedEngine(lambda _: f"<tool_call>\n{whole}\n</tool_call>")
    reply = await (await Run.start(sequential, engine=engine)).result()
    [parsed] = parse_tool_calls(reply).calls
    for form in (SKELETON, HEADS):
        call = await called(Model(form, "book"), book, cancel, form=form)
        assert parsed == (call.name, call.arguments)
        assert list(call.arguments) == list(arguments)


async def test_a_tool_may_be_its_schema_alone() -> None:
    schema = {
        "name": "fly",
        "description": "Fly.",
        "parameters": {"type": "object", "properties": {"end": {"type": "string"}}},
    }
    call = await called(Model(SKELETON, "fly"), schema, book)
    assert call == ToolCall(name="fly", arguments={"end": "B, }"})


async def test_prompts_are_chats_and_hold_steps() -> None:
    @program
    async def main() -> ToolCall:
        talk = chat("Be exact.").user("Go", gen("where"))
        return await call_tool(talk, [book])

    model = Model(SKELETON, "?")

    def say(prompted: Prompted) -> str:
        return "Rome" if prompted.text == "user: where" else model.say(prompted)

    engine = ScriptedEngine(say)
    await (await Run.start(main, engine=engine)).result()
    assert engine.prompts[1].startswith("system: Be exact.\nuser: Go\nRome<tool_call>")


async def test_every_part_is_a_generation_of_the_run() -> None:
    @program
    async def main() -> ToolCall:
        step: Step[ToolCall] = call_tool("Go", [travel, cancel], max_tokens=40)
        return await step

    run = await Run.start(main, engine=Model(SKELETON, "travel"))
    await run.result()
    inside = "main/call_tool"
    assert {f"{inside}/{name}" for name in ("tool", "end", "start", "note", "seats")} <= set(
        run.graph().nodes
    )
    edges = set(run.graph().in_edges(f"{inside}/end"))
    assert {(f"{inside}/{name}", f"{inside}/end") for name in ("start", "seats")} <= edges
    assert not any(edge == (f"{inside}/note", f"{inside}/end") for edge in edges)


async def test_seeds_differ_by_argument_and_follow_from_the_run_or_the_one_given() -> None:
    def seeds(engine: ScriptedEngine) -> list[int | None]:
        return [request.sampling.seed for request in engine.requests]

    one, again, given = (Model(SKELETON, "?") for _ in range(3))
    await called(one, book)
    await called(again, book)
    await called(given, book, seed=5, temperature=0.5)
    assert seeds(one) == seeds(again)
    assert len(set(seeds(one))) == 3
    assert seeds(given) == [step_seed(5, name) for name in ("start", "end", "seats")]
    assert {request.sampling.temperature for request in given.requests} == {0.5}


@pytest.mark.parametrize("form", [SKELETON, HEADS])
async def test_one_failure_ends_the_other_arguments(form: HeadForm) -> None:
    started = asyncio.Event()

    async def long() -> None:
        started.set()
        await asyncio.Event().wait()

    async def once_started() -> None:
        await started.wait()

    def say(prompted: Prompted) -> Reply:
        if prompted.text.rstrip().endswith('"seats":'):
            return Reply(text="1" * 99, wait=once_started)
        return Reply(wait=long)

    engine = ScriptedEngine(say)
    with pytest.raises(OutputTruncated, match="argument 'seats'"):
        await called(engine, book, form=form, max_tokens=8)
    assert engine.num_active == 0
    assert len(engine.closed) == 2


async def test_a_failure_names_the_argument_that_failed_and_not_those_that_wait_for_it() -> None:
    def say(prompted: Prompted) -> Reply:
        return Reply(error=GrammarRejected("No.", remedy="Yes."))

    with pytest.raises(GrammarRejected, match="Argument 'start' of tool 'travel'.*No"):
        await called(ScriptedEngine(say), travel)


async def test_values_that_the_function_refuses_are_refused() -> None:
    with pytest.raises(ToolArgumentsInvalid, match=r"arguments\.seats"):
        await called(Model(SKELETON, "?", seats='"many"'), book)


async def test_cancelling_the_call_ends_every_branch() -> None:
    engine = ScriptedEngine(lambda _: Reply(wait=asyncio.Event().wait))

    @program
    async def main() -> None:
        step = call_tool("Go", [book])
        while len(engine.requests) < 3:
            await asyncio.sleep(0)
        step.cancel()

    await (await Run.start(main, engine=engine)).result()
    assert engine.num_active == 0
    assert len(engine.closed) == 3


async def test_branches_count_towards_the_budget() -> None:
    with pytest.raises(BudgetExceeded, match="steps"):
        await called(Model(SKELETON, "?"), book, budget=Budget(steps=3))


async def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="0 tools with 0 names"):
        await called(ScriptedEngine())
    with pytest.raises(InvalidRequest, match="2 tools with 1 names"):
        await called(ScriptedEngine(), book, book)
    with pytest.raises(InvalidRequest, match="lead is 'x'"):
        await called(ScriptedEngine(), book, lead="x")
    plain = ScriptedEngine(capabilities=Capabilities(grammars=frozenset({"json"})))
    with pytest.raises(UnsupportedFeature, match="structural_tag"):
        await called(plain, book)
