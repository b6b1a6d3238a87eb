"""Many programs alive at once: nothing is left when they have ended."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
import weakref

import pytest

from weft.programs import gen, program, step
from weft.runtime.executor import Run
from weft.runtime.testing import Prompted, Reply, ScriptedEngine, Sequencer, settle


@step
async def noop(number: int) -> int:
    return number


@program
async def parked(number: int) -> str:
    await noop(number)
    return await gen(f"wait {number}")


async def test_parked_programs_go_without_a_trace() -> None:
    gates = Sequencer()

    def script(prompted: Prompted) -> Reply:
        return Reply(text="x", wait=lambda: gates.wait("go"))

    engine = ScriptedEngine(script)
    before = asyncio.all_tasks()
    runs = [await Run.start(parked, number, engine=engine) for number in range(100)]
    await settle()
    assert engine.num_active == 100
    kept = [weakref.ref(run._state.log) for run in runs]  # pyright: ignore[reportPrivateUsage]
    await asyncio.gather(*(run.cancel() for run in runs[:50]))
    gates.open("go")
    assert [await run.result() for run in runs[50:]] == ["x"] * 50
    await settle()
    assert engine.num_active == 0
    assert asyncio.all_tasks() == before
    assert asyncio.get_running_loop().get_task_factory() is None
    del runs
    gc.collect()
    assert [ref() for ref in kept] == [None] * 100


async def test_a_run_that_nobody_holds_goes_on() -> None:
    ended: list[int] = []

    @program
    async def lonely() -> None:
        await asyncio.shield(waiter)
        ended.append(1)

    waiter = asyncio.get_running_loop().create_future()
    await Run.start(lonely, engine=ScriptedEngine())
    await settle()
    gc.collect()
    waiter.set_result(None)
    await settle()
    assert ended == [1]


@pytest.mark.slow
async def test_a_parked_program_takes_a_few_kilobytes() -> None:
    gate = asyncio.Event()

    @program
    async def idle() -> None:
        await gate.wait()

    engine = ScriptedEngine()
    await (await Run.start(noop_program, engine=engine)).result()
    gc.collect()
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        runs = [await Run.start(idle, engine=engine) for _ in range(500)]
        await settle(4)
        gc.collect()
        size_bytes = (tracemalloc.get_traced_memory()[0] - start) / len(runs)
    finally:
        tracemalloc.stop()
    gate.set()
    for run in runs:
        await run.result()
    assert size_bytes < 8192


@program
async def noop_program() -> None:
    await noop(1)
