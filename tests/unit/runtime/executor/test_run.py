"""Runs as a caller sees them: results, errors, events, status."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from weft.errors import (
    EngineError,
    EngineOverloaded,
    InvalidRequest,
    OutputInvalid,
    OutputTruncated,
    ProgramError,
    StepFormatted,
    StepOutsideRun,
    StepTimeout,
    StepUnused,
    UnsupportedFeature,
    WrongReturnType,
)
from weft.programs import Retry, Step, chat, gen, program, step, verifier
from weft.runtime.engine.protocol import Capabilities
from weft.runtime.executor import Run, run_sync
from weft.runtime.observe.event import (
    PartialEvent,
    ResultEvent,
    RunEvent,
    StepEvent,
    TokenEvent,
)
from weft.runtime.testing import ManualClock, Prompted, Reply, ScriptedEngine, Sequencer, settle


class Report(BaseModel):
    title: str
    score: int


@program
async def brief(topic: str) -> Report:
    pro = gen(f"for {topic}", name="pro")
    con = gen(f"against {topic}", name="con")
    return await gen(["Merge:", pro, con], out=Report, name="merge")


def brief_script(prompted: Prompted) -> str:
    if "Merge:" in prompted.text:
        return '{"title": "tea", "score": 7}'
    return prompted.text.removeprefix("user: ").upper()


async def test_a_program_joins_two_generations_into_typed_output() -> None:
    engine = ScriptedEngine(brief_script)
    run = await Run.start(brief, "tea", engine=engine, run_id="r1")
    assert await run.result() == Report(title="tea", score=7)
    assert run.status == "finished"
    assert engine.prompts[2] == "user: Merge:\nFOR TEA\nAGAINST TEA"
    assert [one.request_id for one in engine.requests] == [
        "r1/brief/pro",
        "r1/brief/con",
        "r1/brief/merge",
    ]
    assert run.usage.num_requests == 3
    assert run.usage.num_generated_tokens == 7 + 11 + 28


def test_run_sync_gives_the_result() -> None:
    assert run_sync(brief, "tea", engine=ScriptedEngine(brief_script)).score == 7


async def test_seeds_follow_from_run_seed_and_lineage() -> None:
    async def seeds(seed: int) -> list[int | None]:
        engine = ScriptedEngine(brief_script)
        await (await Run.start(brief, "tea", engine=engine, seed=seed)).result()
        return [one.sampling.seed for one in engine.requests]

    first, again, other = await seeds(1), await seeds(1), await seeds(2)
    assert first == again
    assert len({*first, *other}) == 6


async def test_a_given_seed_is_kept() -> None:
    @program
    async def fixed() -> str:
        return await gen("x", seed=42)

    engine = ScriptedEngine()
    await (await Run.start(fixed, engine=engine, seed=9)).result()
    assert engine.requests[0].sampling.seed == 42


async def test_chat_turns_may_hold_steps() -> None:
    @program
    async def talk() -> str:
        draft = gen("draft")
        return await chat("Be short.").user("Mend:", draft).assistant("ok").user({"a": 1}).gen()

    engine = ScriptedEngine(lambda prompted: "D" if prompted.text == "user: draft" else "done")
    assert await (await Run.start(talk, engine=engine)).result() == "done"
    assert engine.prompts[1] == 'system: Be short.\nuser: Mend:\nD\nassistant: ok\nuser: {"a":1}'


async def test_raw_prompts_are_not_rendered() -> None:
    @program
    async def raw() -> str:
        return await gen("2 + 2 =", is_raw=True)

    assert await (await Run.start(raw, engine=ScriptedEngine())).result() == "2 + 2 ="


# Handles.


async def test_a_step_awaited_twice_gives_the_same_and_runs_once() -> None:
    @program
    async def twice() -> bool:
        one = gen("x")
        return (await one) is (await one)

    engine = ScriptedEngine()
    assert await (await Run.start(twice, engine=engine)).result()
    assert len(engine.requests) == 1


async def test_formatting_a_step_is_refused_with_advice() -> None:
    @program
    async def careless() -> str:
        one = gen("x")
        return await gen(f"About {one}")

    with pytest.raises(StepFormatted, match=r"'careless/gen'.*gen\(\['Merge:', step\]\)"):
        await (await Run.start(careless, engine=ScriptedEngine())).result()


@pytest.mark.parametrize("how", [str, "{}".format, "%s".__mod__])
async def test_every_way_into_text_is_refused(how: object) -> None:
    @program
    async def careless() -> str:
        one = gen("x")
        return str(how(one))  # type: ignore[operator]  # pyright: ignore

    with pytest.raises(StepFormatted):
        await (await Run.start(careless, engine=ScriptedEngine())).result()


async def test_a_step_as_condition_is_refused() -> None:
    @program
    async def careless() -> str:
        return "yes" if gen("ok?", out=bool) else "no"  # pyright: ignore

    with pytest.raises(ProgramError, match="if await step"):
        await (await Run.start(careless, engine=ScriptedEngine())).result()


async def test_an_unused_step_is_an_error_that_names_it() -> None:
    @program
    async def forgetful() -> str:
        gen("never read", name="lost")
        return await gen("x")

    engine = ScriptedEngine()
    with pytest.raises(StepUnused, match="'forgetful/lost'"):
        await (await Run.start(forgetful, engine=engine)).result()
    assert engine.num_active == 0


async def test_an_unused_step_that_failed_is_the_cause() -> None:
    @step
    async def broken() -> None:
        raise ValueError("boom")

    @program
    async def forgetful() -> None:
        broken()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with pytest.raises(StepUnused) as caught:
        await (await Run.start(forgetful, engine=ScriptedEngine())).result()
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_step_returned_un_awaited_is_an_error() -> None:
    @program
    async def lazy() -> str:
        return gen("x")  # type: ignore[return-value]  # pyright: ignore

    with pytest.raises(WrongReturnType, match="return await step"):
        await (await Run.start(lazy, engine=ScriptedEngine())).result()


async def test_gen_outside_of_a_run_is_an_error() -> None:
    with pytest.raises(StepOutsideRun, match="Run.start"):
        gen("x")
    with pytest.raises(StepOutsideRun, match="brief"):
        brief("x")


async def test_a_step_function_outside_of_a_run_is_its_function() -> None:
    @step
    async def double(x: int) -> int:
        return 2 * x

    @step
    def triple(x: int) -> int:
        return 3 * x

    assert await double(2) == 4
    assert triple.function(2) == 6
    plain: object = triple(2)
    assert plain == 6


async def test_submitting_from_a_thread_is_refused() -> None:
    @program
    async def threaded() -> str:
        return await asyncio.to_thread(lambda: str(gen("x")))

    with pytest.raises(StepOutsideRun, match="another thread"):
        await (await Run.start(threaded, engine=ScriptedEngine())).result()


# Types.


async def test_a_wrong_return_type_is_refused() -> None:
    @program
    async def wrong() -> int:
        return "three"  # type: ignore[return-value]  # pyright: ignore

    with pytest.raises(WrongReturnType, match=r"wrong\(\) returned 'three', not int"):
        await (await Run.start(wrong, engine=ScriptedEngine())).result()


async def test_a_number_as_text_is_not_converted_silently() -> None:
    @program
    async def wrong() -> int:
        return "3"  # type: ignore[return-value]  # pyright: ignore

    with pytest.raises(WrongReturnType):
        await (await Run.start(wrong, engine=ScriptedEngine())).result()


@pytest.mark.parametrize("text", ["", "{}", '{"title": "t"}', '{"title": "t", "score": "x"}', "hi"])
async def test_output_that_does_not_fit_is_a_typed_error(text: str) -> None:
    @program
    async def ask() -> Report:
        return await gen("x", out=Report)

    with pytest.raises(OutputInvalid, match="not a valid Report"):
        await (await Run.start(ask, engine=ScriptedEngine(lambda _: text))).result()


async def test_cut_output_is_a_typed_error() -> None:
    @program
    async def ask() -> int:
        return await gen("x", out=int, max_tokens=2)

    # "12" would read as a number, but the model was not done.
    with pytest.raises(OutputTruncated, match="max_tokens"):
        await (await Run.start(ask, engine=ScriptedEngine(lambda _: "123"))).result()


# Retries and timeouts.


async def test_retries_draw_with_other_seeds_until_one_is_fine() -> None:
    answers = iter(["bad", "worse", '{"title": "t", "score": 1}'])

    @program
    async def ask() -> Report:
        return await gen("x", out=Report, retries=2)

    engine = ScriptedEngine(lambda _: next(answers))
    run = await Run.start(ask, engine=engine, run_id="r")
    assert (await run.result()).score == 1
    assert [one.request_id for one in engine.requests] == [
        "r/ask/gen",
        "r/ask/gen~2",
        "r/ask/gen~3",
    ]
    assert len({one.sampling.seed for one in engine.requests}) == 3
    phases = [one.phase async for one in run.events() if isinstance(one, StepEvent)]
    assert phases.count("retrying") == 2


async def test_only_errors_worth_it_are_tried_again() -> None:
    @program
    async def ask() -> str:
        return await gen("x", retries=Retry(attempts=5, on=(EngineOverloaded,)))

    engine = ScriptedEngine(lambda _: Reply(error=EngineError("no")))
    with pytest.raises(EngineError):
        await (await Run.start(ask, engine=engine)).result()
    assert len(engine.requests) == 1


async def test_retries_wait_longer_each_time() -> None:
    clock = ManualClock()
    times: list[float] = []

    @step(retries=Retry(attempts=3, backoff_s=1.0, factor=2.0))
    async def flaky() -> str:
        times.append(clock.now())
        raise ValueError("no")

    @program
    async def ask() -> str:
        return await flaky()

    run = await Run.start(ask, engine=ScriptedEngine(), clock=clock)
    for _ in range(4):
        await settle()
        clock.advance(1.0)
    with pytest.raises(ValueError, match="no"):
        await run.result()
    assert times == [0.0, 1.0, 3.0]


async def test_a_timeout_cancels_the_request_in_the_engine() -> None:
    clock, gates = ManualClock(), Sequencer()

    @program
    async def ask() -> str:
        return await gen("x", timeout_s=2.0)

    engine = ScriptedEngine(lambda _: Reply(text="late", wait=lambda: gates.wait("never")))
    run = await Run.start(ask, engine=engine, clock=clock, run_id="r")
    await settle()
    clock.advance(2.0)
    with pytest.raises(StepTimeout, match=r"'ask/gen' took longer than its timeout of 2 s"):
        await run.result()
    assert engine.closed == ["r/ask/gen"]
    assert engine.num_active == 0


# What an engine offers.


async def test_a_missing_capability_is_refused_before_the_start() -> None:
    started: list[int] = []

    @program(requires=frozenset({"logprobs", "regex"}))
    async def needy() -> None:
        started.append(1)

    engine = ScriptedEngine(capabilities=Capabilities(grammars=frozenset({"json_schema"})))
    with pytest.raises(UnsupportedFeature, match="logprobs, regex"):
        await Run.start(needy, engine=engine)
    assert not started


async def test_a_missing_capability_is_refused_at_submit() -> None:
    @program
    async def needy() -> Report:
        return await gen("x", out=Report)

    engine = ScriptedEngine(capabilities=Capabilities())
    with pytest.raises(UnsupportedFeature, match="json_schema"):
        await (await Run.start(needy, engine=engine)).result()
    assert not engine.requests


# Events.


async def test_events_are_numbered_without_gaps_and_can_be_resumed() -> None:
    run = await Run.start(brief, "tea", engine=ScriptedEngine(brief_script))
    early = [one async for one in run.events()]
    assert [one.seq for one in early] == list(range(1, len(early) + 1))
    assert [one async for one in run.events(after=5)] == early[5:]
    first, last = early[0], early[-1]
    assert isinstance(first, RunEvent) and first.phase == "started"
    assert isinstance(last, RunEvent) and last.phase == "finished"
    result = early[-2]
    assert isinstance(result, ResultEvent) and result.value == {"title": "tea", "score": 7}


async def test_tokens_and_partials_are_told_as_they_come() -> None:
    @program
    async def ask() -> Report:
        return await gen("x", out=Report)

    text = '{"title": "tea", "score": 12}'
    engine = ScriptedEngine(lambda _: Reply(text=text, chunk=1))
    run = await Run.start(ask, engine=engine)
    events = [one async for one in run.events()]
    assert "".join(one.text for one in events if isinstance(one, TokenEvent)) == text
    partials = [one.value for one in events if isinstance(one, PartialEvent)]
    assert partials[0] == {}
    assert {"title": "tea"} in partials
    for value in partials:
        # A certain part never shows a number that is still being written.
        assert value in ({}, {"title": "tea"}, {"title": "tea", "score": 12})


async def test_an_observer_that_raises_does_not_stop_the_run() -> None:
    reported: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))

    def bad(event: object) -> None:
        raise ValueError("observer")

    seen: list[object] = []
    engine = ScriptedEngine(brief_script)
    run = await Run.start(brief, "tea", engine=engine, observers=(bad, seen.append))
    await run.result()
    assert len(reported) == 1
    assert seen == [one async for one in run.events()]


# Arguments.


def test_json_input_is_validated_by_name() -> None:
    assert brief.bind_json({"topic": "tea"}).kwargs == {"topic": "tea"}
    with pytest.raises(InvalidRequest, match="'topic' is missing"):
        brief.bind_json({})
    with pytest.raises(InvalidRequest, match="'colour' is no parameter"):
        brief.bind_json({"topic": "tea", "colour": 1})
    with pytest.raises(InvalidRequest, match="topic is 3"):
        brief.bind_json({"topic": 3})


async def test_arguments_that_do_not_fit_are_refused_at_the_start() -> None:
    with pytest.raises(TypeError):
        await Run.start(brief, engine=ScriptedEngine())


async def test_a_verifier_gives_a_verdict() -> None:
    @verifier
    def is_long(text: str) -> bool:
        return len(text) > 3

    @program
    async def judge() -> list[float]:
        draft: Step[str] = gen("x")
        verdicts = [is_long(draft.edge), is_long("ab")]
        return [(await one).score for one in verdicts]

    assert await (await Run.start(judge, engine=ScriptedEngine())).result() == [1.0, 0.0]


async def test_a_verifier_that_gives_no_score_is_refused() -> None:
    @verifier
    def bad(text: str) -> float:
        return "good"  # type: ignore[return-value]  # pyright: ignore

    @program
    async def judge() -> float:
        return (await bad("x")).score

    with pytest.raises(WrongReturnType, match="'good'"):
        await (await Run.start(judge, engine=ScriptedEngine())).result()
