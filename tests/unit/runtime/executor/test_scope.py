"""Structured concurrency: what leaves a scope takes everything below with it."""

from __future__ import annotations

import asyncio

import pytest

from weft.errors import EngineError, StepOutsideRun
from weft.programs import gen, program, step
from weft.runtime.executor import Run
from weft.runtime.observe.event import StepEvent
from weft.runtime.testing import Prompted, Reply, ScriptedEngine, Sequencer, settle


def gated(gates: Sequencer, *names: str) -> ScriptedEngine:
    """Prompts that contain one of the names wait at the gate of that name; ``fail`` fails."""

    def script(prompted: Prompted) -> Reply:
        text = prompted.text.removeprefix("user: ")
        if "fail" in text:
            return Reply(error=EngineError("scripted failure"))
        name = next((name for name in names if name in text), None)
        if name is None:
            return Reply(text=text)
        return Reply(text=text, wait=lambda: gates.wait(name))

    return ScriptedEngine(script)


async def test_gathered_branches_keep_their_own_results() -> None:
    gates = Sequencer()

    @step
    async def call(branch: str, number: int) -> str:
        if branch == "A":
            await gates.wait(f"{branch}{number}")
        return f"{branch}{number}"

    async def branch(name: str) -> tuple[str, str]:
        return await call(name, 1), await call(name, 2)

    @program
    async def both() -> list[tuple[str, str]]:
        return list(await asyncio.gather(branch("A"), branch("B")))

    run = await Run.start(both, engine=ScriptedEngine())
    for name in ("A1", "A2"):
        await settle()
        gates.open(name)
    assert await run.result() == [("A1", "A2"), ("B1", "B2")]
    summaries = {
        one.lineage: one.summary
        async for one in run.events()
        if isinstance(one, StepEvent) and one.phase == "finished" and one.name == "call"
    }
    assert summaries == {
        "both/branch/call": "A1",
        "both/branch/call#2": "A2",
        "both/branch#2/call": "B1",
        "both/branch#2/call#2": "B2",
    }


async def test_a_step_after_a_fast_step_does_not_wait_for_a_slow_sibling() -> None:
    gates = Sequencer()
    engine = gated(gates, "slow")

    @program
    async def fan() -> list[str]:
        slow = gen("slow")
        fast = gen("fast")
        after = gen(["after", fast])
        return [await after, await slow]

    run = await Run.start(fan, engine=engine)
    await settle()
    assert "user: after\nfast" in engine.prompts
    assert run.status == "running"
    gates.open("slow")
    assert await run.result() == ["after\nfast", "slow"]


@pytest.mark.parametrize("how", ["gather", "edge", "group", "sequence"])
async def test_a_failing_child_cancels_its_siblings_in_the_engine(how: str) -> None:
    gates = Sequencer()
    engine = gated(gates, "slow")

    async def one(text: str) -> str:
        return await gen(text)

    @program
    async def fan() -> object:
        if how == "edge":
            return await gen([gen("slow"), gen("fail")])
        if how == "gather":
            return await asyncio.gather(gen("slow"), gen("fail"))
        if how == "sequence":
            slow, bad = gen("slow"), gen("fail")
            return [await bad, await slow]
        async with asyncio.TaskGroup() as group:
            group.create_task(one("slow"))
            group.create_task(one("fail"))
        return None

    run = await Run.start(fan, engine=engine, run_id="r")
    with pytest.raises((EngineError, ExceptionGroup)):
        await run.result()
    assert [request for request in engine.closed if "gen" in request] == engine.closed
    assert len(engine.closed) == 1
    assert engine.num_active == 0
    assert run.status == "failed"


async def test_an_error_that_the_program_handles_leaves_siblings_alone() -> None:
    gates = Sequencer()
    engine = gated(gates, "slow")

    @program
    async def careful() -> str:
        slow, bad = gen("slow"), gen("fail")
        try:
            return await bad
        except EngineError:
            return await slow

    run = await Run.start(careful, engine=engine)
    await settle()
    gates.open("slow")
    assert await run.result() == "slow"
    assert engine.closed == []


async def test_cancelling_a_run_reaches_every_request() -> None:
    gates = Sequencer()
    engine = gated(gates, "slow")

    @program
    async def inner() -> str:
        return await gen("slow inner")

    @program
    async def outer() -> list[str]:
        return list(await asyncio.gather(inner(), gen("slow outer"), inner()))

    run = await Run.start(outer, engine=engine)
    await settle()
    assert engine.num_active == 3
    await run.cancel()
    assert engine.num_active == 0
    assert len(engine.closed) == 3
    assert run.status == "cancelled"
    with pytest.raises(asyncio.CancelledError):
        await run.result()


async def test_cancelling_at_once_leaves_nothing_behind() -> None:
    engine = ScriptedEngine()

    @program
    async def quick() -> str:
        return await gen("x")

    run = await Run.start(quick, engine=engine)
    await run.cancel()
    assert run.status == "cancelled"
    assert engine.requests == []


async def test_plain_tasks_do_not_outlive_the_scope() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")

    @program
    async def spawner() -> str:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        return "done" if not task.done() else "?"

    before = asyncio.all_tasks()
    run = await Run.start(spawner, engine=ScriptedEngine())
    assert await run.result() == "done"
    assert ended == ["forever"]
    await settle()
    assert asyncio.all_tasks() == before


async def test_a_cancelled_waiter_takes_an_otherwise_unwanted_step_along() -> None:
    gates = Sequencer()
    engine = gated(gates, "slow")

    @program
    async def impatient() -> str:
        waiting = asyncio.ensure_future(_read(gen("slow")))
        await settle()
        waiting.cancel()
        await settle()
        return f"{engine.num_active} active"

    async def _read(one: object) -> object:
        return await one  # type: ignore[misc]  # pyright: ignore

    run = await Run.start(impatient, engine=engine)
    assert await run.result() == "0 active"
    assert len(engine.closed) == 1


async def test_a_step_with_another_waiter_goes_on() -> None:
    gates = Sequencer()
    engine = gated(gates, "slow")

    @program
    async def shared() -> str:
        one = gen("slow")
        joined = gen(["then", one])
        waiting = asyncio.ensure_future(asyncio.wait_for(one, 0.0))
        with pytest.raises(TimeoutError):
            await waiting
        gates.open("slow")
        return await joined

    assert await (await Run.start(shared, engine=engine)).result() == "then\nslow"


async def test_a_scope_that_has_ended_takes_no_orders() -> None:
    leaked: list[asyncio.Task[None]] = []
    errors: list[Exception] = []

    async def late() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                gen("too late")
            except StepOutsideRun as error:
                errors.append(error)
            raise

    @program
    async def leaky() -> str:
        leaked.append(asyncio.create_task(late()))
        await asyncio.sleep(0)
        return "x"

    await (await Run.start(leaky, engine=ScriptedEngine())).result()
    assert len(errors) == 1 and "has ended" in str(errors[0])


async def test_the_task_factory_is_restored_and_composes() -> None:
    loop = asyncio.get_running_loop()
    made: list[str] = []

    def factory(
        loop: asyncio.AbstractEventLoop, coro: object, **kwargs: object
    ) -> asyncio.Task[object]:
        made.append(getattr(coro, "__name__", ""))
        return asyncio.Task(coro, loop=loop, **kwargs)  # type: ignore[arg-type]  # pyright: ignore

    loop.set_task_factory(factory)  # type: ignore[arg-type]  # pyright: ignore
    try:

        async def branch() -> str:
            return await gen("x")

        @program
        async def plain() -> list[str]:
            return list(await asyncio.gather(branch(), branch()))

        run = await Run.start(plain, engine=ScriptedEngine())
        await run.result()
        assert loop.get_task_factory() is factory
        assert made.count("branch") == 2
        assert [one for one in run.graph() if one.endswith("gen")] == [
            "plain/branch/gen",
            "plain/branch#2/gen",
        ]
    finally:
        loop.set_task_factory(None)


async def test_two_runs_share_a_loop_and_the_last_restores_it() -> None:
    loop = asyncio.get_running_loop()
    gates = Sequencer()
    engine = gated(gates, "slow")

    @program
    async def one(text: str) -> str:
        return await gen(text)

    slow = await Run.start(one, "slow", engine=engine)
    quick = await Run.start(one, "quick", engine=engine)
    assert await quick.result() == "quick"
    assert loop.get_task_factory() is not None
    gates.open("slow")
    await slow.result()
    assert loop.get_task_factory() is None


async def test_a_child_program_and_nested_steps_have_nested_lineages() -> None:
    @step
    async def outer(text: str) -> str:
        return await gen(text)

    @program
    async def child(text: str) -> str:
        return await outer(text)

    @program
    async def parent() -> list[str]:
        return [await child("a"), await child("b")]

    run = await Run.start(parent, engine=ScriptedEngine())
    await run.result()
    assert list(run.graph()) == [
        "parent",
        "parent/child",
        "parent/child/outer",
        "parent/child/outer/gen",
        "parent/child#2",
        "parent/child#2/outer",
        "parent/child#2/outer/gen",
    ]


async def test_an_error_beside_exception_ends_the_run() -> None:
    class Outcome(BaseException):
        """As test frameworks raise to end a test."""

    @step
    async def ends() -> None:
        raise Outcome

    @program
    async def one() -> object:
        return await asyncio.gather(gen("slow"), ends())

    engine = gated(Sequencer(), "slow")
    run = await Run.start(one, engine=engine)
    with pytest.raises(Outcome):
        await run.result()
    assert run.status == "failed"
    assert engine.num_active == 0


async def test_a_cancelled_run_context_is_left_cleanly() -> None:
    gates = Sequencer()
    engine = gated(gates, "slow")

    @program
    async def one() -> str:
        return await gen("slow")

    async with await Run.start(one, engine=engine) as run:
        await settle()
    assert run.status == "cancelled"
    assert engine.num_active == 0
