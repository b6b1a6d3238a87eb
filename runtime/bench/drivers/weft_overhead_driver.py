"""What weft's own runtime costs: Steps that do nothing, programs that wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from weft.programs.entry import Program, program
from weft.programs.function import step
from weft.programs.generate import gen
from weft.runtime.executor.run import Run
from weft.runtime.machine import resident_bytes
from weft.runtime.testing import ScriptedEngine

__all__ = ["open_driver"]


@step
async def work(value: int) -> int:
    return value


@program
async def sequence(num_steps: int) -> int:
    for index in range(num_steps):
        await work(index)
    return num_steps


@program
async def fan_out(num_steps: int, width: int) -> int:
    for _ in range(num_steps // width):
        await asyncio.gather(*[work(index) for index in range(width)])
    return num_steps


@program
async def generations(num_steps: int) -> int:
    for _ in range(num_steps):
        await gen("ping", max_tokens=4)
    return num_steps


def _timed(chosen: Program[..., int]) -> Callable[..., object]:
    """Seconds for ``num_programs`` Runs, one after another, of ``num_steps`` Steps each."""

    async def run_all(num_programs: int, arguments: dict[str, int]) -> float:
        engine = ScriptedEngine()
        started = time.perf_counter()
        for _ in range(num_programs):
            run = await Run.start(chosen, engine=engine, kwargs=arguments)
            await run.result()
        return time.perf_counter() - started

    def timed(*, num_programs: int, **arguments: int) -> float:
        return asyncio.run(run_all(num_programs, arguments))

    return timed


def park(*, num_programs: int) -> float:
    """Bytes of resident memory per program that waits inside a Step; once per process."""
    return asyncio.run(_park(num_programs))


async def _park(num_programs: int) -> float:
    gate, parked = asyncio.Event(), asyncio.Semaphore(0)

    @step
    async def wait() -> None:
        parked.release()
        await gate.wait()

    @program
    async def waiting() -> int:
        await wait()
        return 0

    engine = ScriptedEngine()
    before = resident_bytes()
    runs = [await Run.start(waiting, engine=engine) for _ in range(num_programs)]
    for _ in range(num_programs):
        await parked.acquire()
    size = (resident_bytes() - before) / num_programs
    gate.set()
    await asyncio.gather(*[run.result() for run in runs])
    return size


def open_driver() -> Mapping[str, Callable[..., object]]:
    return {
        "sequence": _timed(sequence),
        "fan_out": _timed(fan_out),
        "generations": _timed(generations),
        "park": park,
    }
