"""Environments in programs: prepared while a model writes, gone when the Run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from weft.programs import Budget, gen, program
from weft.runtime.executor import Run
from weft.runtime.testing import ManualClock, Prompted, Reply, ScriptedEngine, Sequencer, settle
from weft.tools.environment import Environment, Site

DECODE_S, PREPARE_S = 9.0, 10.0


async def sleep(clock: ManualClock, seconds: float) -> None:
    over = asyncio.Event()
    clock.call_later(seconds, over.set)
    await over.wait()


@dataclass(frozen=True)
class SlowNeed:
    """Takes its time on a clock."""

    clock: ManualClock

    @asynccontextmanager
    async def open(self, site: Site) -> AsyncGenerator[str]:
        await sleep(self.clock, PREPARE_S)
        yield "folder"


async def test_nine_tenths_of_a_preparation_are_hidden_behind_a_generation() -> None:
    clock = ManualClock()
    shares: list[float] = []

    @program
    async def main() -> str:
        async with Environment(clock=clock.now) as environment:
            folder = environment.prepare(SlowNeed(clock))
            plan = await gen("plan")
            place = await folder
            shares.append(folder.hidden_share)
            return f"{plan} in {place}"

    def say(prompted: Prompted) -> Reply:
        return Reply(text="dig", wait=lambda: sleep(clock, DECODE_S))

    run = await Run.start(main, engine=ScriptedEngine(say), clock=clock)
    for _ in range(int(PREPARE_S)):
        await settle()
        clock.advance(1.0)
    assert await run.result() == "dig in folder"
    assert clock.now() == PREPARE_S  # not the sum: both went on at the same time
    assert shares == [pytest.approx(0.9)]


class GatedNeed:
    """Stops before and behind each of its phases."""

    def __init__(self, sequencer: Sequencer) -> None:
        self.sequencer = sequencer
        self.log: list[str] = []

    @asynccontextmanager
    async def open(self, site: Site) -> AsyncGenerator[str]:
        try:
            await self.sequencer.wait("preparing")
            self.log.append("made")
            yield "thing"
        finally:
            await asyncio.sleep(0)
            self.log.append("undone")


@pytest.mark.parametrize("ending", ["cancel", "budget"])
@pytest.mark.parametrize("phase", ["preparing", "ready"])
async def test_a_run_that_ends_early_has_collected_all(phase: str, ending: str) -> None:
    clock, sequencer = ManualClock(), Sequencer()
    need = GatedNeed(sequencer)

    @program
    async def main() -> str:
        async with Environment() as environment:
            thing = environment.prepare(need)
            await gen("think")
            return await thing

    def say(prompted: Prompted) -> Reply:
        return Reply(wait=lambda: sequencer.wait("thinking"))

    if phase == "ready":
        sequencer.open("preparing")
    limit = Budget(seconds=5)
    run = await Run.start(main, engine=ScriptedEngine(say), clock=clock, budget=limit)
    await settle()
    assert need.log == (["made"] if phase == "ready" else [])
    if ending == "cancel":
        await run.cancel()
    else:
        clock.advance(6)
        with pytest.raises(Exception, match="seconds"):
            await run.result()
    assert need.log[-1] == "undone"
    assert run.status == ("cancelled" if ending == "cancel" else "failed")
