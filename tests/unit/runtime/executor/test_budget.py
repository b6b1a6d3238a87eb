"""Budgets: counted, inherited, enforced, reported."""

from __future__ import annotations

import asyncio

import pytest

from weft.errors import BudgetExceeded, InvalidRequest
from weft.programs import Budget, gen, program, verifier
from weft.runtime.executor import Run
from weft.runtime.testing import ManualClock, Prompted, Reply, ScriptedEngine, Sequencer, settle


@program
async def many(num: int) -> list[str]:
    return [await gen("abcd", is_raw=True) for _ in range(num)]


@pytest.mark.parametrize(
    ("budget", "resource"),
    [(Budget(tokens=10), "tokens"), (Budget(steps=2), "steps"), (Budget(samples=2), "samples")],
)
async def test_a_crossed_limit_is_an_error_that_names_it(budget: Budget, resource: str) -> None:
    run = await Run.start(many, 3, engine=ScriptedEngine(), budget=budget)
    with pytest.raises(BudgetExceeded) as caught:
        await run.result()
    assert caught.value.resource == resource


async def test_a_limit_that_is_met_exactly_is_fine_and_reported() -> None:
    budget = Budget(tokens=12, steps=3, samples=3)
    run = await Run.start(many, 3, engine=ScriptedEngine(), budget=budget)
    await run.result()
    spent = run.budget
    assert (spent.tokens, spent.steps, spent.samples) == (12, 3, 3)
    assert spent.limit == budget


async def test_value_calls_count_verifier_calls() -> None:
    @verifier
    def fine(text: str) -> bool:
        return True

    @program
    async def judge() -> float:
        return sum([(await fine("x")).score for _ in range(3)])

    run = await Run.start(judge, engine=ScriptedEngine(), budget=Budget(value_calls=2))
    with pytest.raises(BudgetExceeded) as caught:
        await run.result()
    assert caught.value.resource == "value_calls"


async def test_crossing_cancels_what_runs_in_the_engine() -> None:
    gates = Sequencer()

    def script(prompted: Prompted) -> Reply:
        if "slow" in prompted.text:
            return Reply(text="slow", wait=lambda: gates.wait("slow"))
        return Reply(text="x" * 50, chunk=5)

    @program
    async def greedy() -> list[str]:
        return list(await asyncio.gather(gen("slow"), gen("long")))

    engine = ScriptedEngine(script)
    run = await Run.start(greedy, engine=engine, budget=Budget(tokens=20))
    with pytest.raises(BudgetExceeded):
        await run.result()
    assert len(engine.closed) == 2
    assert engine.num_active == 0
    assert run.budget.tokens == 25


async def test_a_child_may_narrow_what_it_inherits_and_its_end_can_be_handled() -> None:
    child = many.limit(Budget(steps=1))

    @program
    async def parent() -> str:
        try:
            await child(2)
        except BudgetExceeded as error:
            return f"{error.resource}: {await gen('still fine', is_raw=True)}"
        return "?"

    run = await Run.start(parent, engine=ScriptedEngine(), budget=Budget(steps=10))
    assert await run.result() == "steps: still fine"
    # The child itself, its one Step, and the last generation: what was refused costs nothing.
    assert run.budget.steps == 3


async def test_a_child_cannot_widen_what_it_inherits() -> None:
    child = many.limit(Budget(tokens=1000))

    @program
    async def parent() -> list[str]:
        return await child(3)

    run = await Run.start(parent, engine=ScriptedEngine(), budget=Budget(tokens=10))
    with pytest.raises(BudgetExceeded, match="'parent'"):
        await run.result()


async def test_seconds_interrupt_code_that_waits_for_no_step() -> None:
    clock = ManualClock()

    @program
    async def sleepy() -> None:
        await asyncio.Event().wait()

    run = await Run.start(sleepy, engine=ScriptedEngine(), clock=clock, budget=Budget(seconds=3))
    await settle()
    clock.advance(3.0)
    with pytest.raises(BudgetExceeded) as caught:
        await run.result()
    assert caught.value.resource == "seconds"


async def test_after_the_end_no_step_is_taken() -> None:
    @program
    async def stubborn() -> int:
        num_refused = 0
        for _ in range(4):
            try:
                await gen("x")
            except BudgetExceeded:
                num_refused += 1
        return num_refused

    run = await Run.start(stubborn, engine=ScriptedEngine(), budget=Budget(steps=1))
    assert await run.result() == 3


@pytest.mark.parametrize("name", ["tokens", "steps", "value_calls", "seconds", "samples"])
def test_negative_limits_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        Budget(**{name: -1})
