"""Timing never decides whose result is whose."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.programs import gen, pmap, program, race, step
from weft.runtime.executor import Run
from weft.runtime.observe.event import StepEvent
from weft.runtime.testing import ManualClock, Prompted, Reply, ScriptedEngine


@step
async def shout(text: str, *, delay: int) -> str:
    for _ in range(delay):
        await asyncio.sleep(0)
    return text.upper()


@program
async def child(label: str, delays: list[int]) -> str:
    first = gen(f"child {label}")
    second = await gen(["then", first])
    return await shout(second, delay=delays[len(label) % len(delays)])


async def wobble(random_delays: random.Random) -> None:
    """Stands for a library that creates tasks now and then."""
    for _ in range(random_delays.randrange(3)):
        await asyncio.create_task(asyncio.sleep(0))


async def branch(label: str, delays: list[int], noise: random.Random) -> list[str]:
    await wobble(noise)
    texts = [await gen(f"branch {label} {number}") for number in range(2)]
    await wobble(noise)
    texts += await asyncio.gather(gen(f"inner {label}"), child(label, delays))
    return texts


@program
async def tangle(delays: list[int], noise_seed: int) -> list[object]:
    noise = random.Random(noise_seed)
    gathered = await asyncio.gather(*(branch(label, delays, noise) for label in "abc"))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(branch(label, delays, noise)) for label in ("dd", "ee")]
    mapped = await pmap(lambda label: child(label, delays), ["p", "qq", "rrr"], limit=2)
    raced = await race(gen("same"), gen("same"))
    return [gathered, [task.result() for task in tasks], mapped, len(raced)]


async def results_of(delays: list[int], noise_seed: int) -> dict[str, tuple[str, int | None]]:
    """What each lineage was asked, with which seed, in a run with these timings."""
    turns = random.Random(noise_seed)
    clock = ManualClock()

    async def wait() -> None:
        for _ in range(delays[turns.randrange(len(delays))]):
            await asyncio.sleep(0)

    def script(prompted: Prompted) -> Reply:
        return Reply(text=f"<{prompted.text}|{prompted.seed}>", wait=wait)

    engine = ScriptedEngine(script)
    run = await Run.start(tangle, delays, noise_seed, engine=engine, clock=clock, run_id="r")
    await run.result()
    asked = {
        request.request_id: (engine.decode(request.prompt), request.sampling.seed)
        for request in engine.requests
        if not request.request_id.startswith("r/tangle/gen")  # the losers of the race
    }
    given = {
        one.lineage: (one.summary, None)
        async for one in run.events()
        if isinstance(one, StepEvent) and one.phase == "finished" and one.kind != "program"
        if one.parent not in ("", "tangle") or "branch" in one.lineage
    }
    return {**asked, **given}


EXPECTED_TIMING = ([0], 0)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(delays=st.lists(st.integers(0, 12), min_size=1, max_size=8), noise_seed=st.integers(0, 999))
def test_any_timing_gives_the_same_results_by_lineage(delays: list[int], noise_seed: int) -> None:
    calm = asyncio.run(results_of(*EXPECTED_TIMING))
    assert len(calm) > 60
    assert asyncio.run(results_of(delays, noise_seed)) == calm
