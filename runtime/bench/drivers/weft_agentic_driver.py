"""Agents on weft: scripted programs in a closed loop, under one way of scheduling."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

from weft.programs.context import context
from weft.programs.entry import program
from weft.programs.generate import gen
from weft.programs.toolstep import ToolStep, tool
from weft.runtime.bench.agent_script import LETTERS, AgentScript, text_of
from weft.runtime.dispatch import ScheduledEngine, Work, measure_costs
from weft.runtime.engine import Engine, EngineConfig, open_engine
from weft.runtime.executor.run import Run
from weft.runtime.observe import Event, StepEvent, TokenEvent
from weft.runtime.scheduler import Costs, make_policy

__all__ = ["open_driver"]

LATE_SPANS = 2.0
"""After so many spans a program with a deadline is given up."""
PLAIN = "plain"
"""No scheduler: Requests go to the engine as they come."""
BLOCK_SIZE = 16
SPAN_S = 0.1
"""Of the spans of work that are reported."""


def _waiting(name: str) -> ToolStep[[float], None]:
    """A tool that takes as long as it is told."""

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)

    return tool(name=name, description="Take some time.", timeout_s=None)(wait)


TOOLS = {name: _waiting(name) for name in ("file", "shell", "task", "sql")}


@program
async def agent(script: AgentScript, done: Callable[[float], None]) -> None:
    """Generate, use a tool, write what it said; ``done`` is given the time at each step's end."""
    written = context(text_of(script.prefix), is_raw=True)
    for step in script.steps:
        written = written.write(text_of(step.read))
        said = gen(
            written,
            max_tokens=step.num_output,
            min_tokens=step.num_output,
            ignore_eos=True,
            temperature=0.0,
        )
        await said
        written = written.write(said)
        if step.tool:
            await TOOLS[step.tool](step.tool_s)
        done(time.perf_counter())


class _FirstTokens:
    """Of each generation the seconds from its start to its first token."""

    def __init__(self) -> None:
        self.waits_s: list[tuple[float, float]] = []
        """(when it came, how long it took), both by the clock of the bench."""
        self._asked: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepEvent) and event.kind == "gen" and event.phase == "started":
            self._asked[f"{event.run_id}/{event.lineage}"] = time.perf_counter()
        elif isinstance(event, TokenEvent):
            asked_s = self._asked.pop(f"{event.run_id}/{event.lineage}", None)
            if asked_s is not None:
                now_s = time.perf_counter()
                self.waits_s.append((now_s, now_s - asked_s))


class _Loop:
    """The first programs are open at once, and each is followed by the next of its tenant."""

    def __init__(self, engine: Engine, scripts: Sequence[AgentScript], num_open: int) -> None:
        self._engine = engine
        self._first = scripts[:num_open]
        later: dict[str, list[AgentScript]] = {script.tenant: [] for script in scripts}
        for script in scripts[num_open:]:
            later[script.tenant].append(script)
        self._later = {tenant: iter(some) for tenant, some in later.items()}
        self.steps_s: dict[str, list[float]] = {}
        self.ended: list[str] = []
        self.first_tokens = _FirstTokens()

    def start(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._work(script)) for script in self._first]

    async def _work(self, first: AgentScript) -> None:
        for script in chain((first,), self._later[first.tenant]):
            steps_s = self.steps_s[script.name] = []
            run = await Run.start(
                agent,
                script,
                steps_s.append,
                engine=self._engine,
                tenant=script.tenant,
                observers=[self.first_tokens],
            )
            async with run:
                await run.result()
            self.ended.append(script.name)
        raise RuntimeError("the programs have run out before the time")


async def _watch(engine: Engine, spans: list[Work]) -> None:
    """Note what the engine does, span by span, until cancelled."""
    before = engine.stats()
    while True:
        await asyncio.sleep(SPAN_S)
        after = engine.stats()
        spans.append(Work.between(before, after))
        before = after


@contextmanager
def _settled() -> Iterator[None]:
    """Thousands of scripts that lie there are not looked through for garbage again and again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Weft:
    def __init__(self) -> None:
        self._model = ""
        self._config = EngineConfig()
        self._costs = Costs()

    def load(self, *, model: str, kv_bytes: int, max_running: int) -> dict[str, Any]:
        """Measure what the model's work costs; how many tokens fit, and what letters are."""
        self._model = model
        self._config = EngineConfig(
            kv_bytes=kv_bytes, max_running=max_running, block_size=BLOCK_SIZE
        )
        return asyncio.run(self._measure())

    def costs(self) -> dict[str, float]:
        """Measure them again: policies go by the newest."""
        costs: dict[str, float] = asyncio.run(self._measure())["costs"]
        return costs

    async def _measure(self) -> dict[str, Any]:
        engine: Any = await open_engine(self._model, config=self._config)
        try:
            self._costs = await measure_costs(engine)
            letters = {letter: engine.encode(letter)[0] for letter in LETTERS}
            return {"kv_tokens": engine.kv_tokens, "letters": letters, "costs": asdict(self._costs)}
        finally:
            await engine.close()

    def run(
        self,
        *,
        policy: str,
        options: Mapping[str, float],
        scripts: Sequence[Mapping[str, Any]],
        num_open: int,
        warm_s: float,
        seconds: float,
        spill_bytes: int = 0,
        pools: int = 1,
    ) -> dict[str, Any]:
        """Serve for so many seconds behind the warm-up, then drop what is open. ``pools``: how
        many times the KV memory that was loaded with."""
        made = [AgentScript.from_json(script) for script in scripts]
        kv_bytes = pools * (self._config.kv_bytes or 0)
        config = replace(self._config, kv_bytes=kv_bytes, spill_bytes=spill_bytes)
        with _settled():
            return asyncio.run(self._run(config, policy, options, made, num_open, warm_s, seconds))

    def hurry(
        self,
        *,
        policy: str,
        options: Mapping[str, float],
        scripts: Sequence[Mapping[str, Any]],
        arrives_s: Sequence[float],
        spans_s: Sequence[float],
        max_running: int,
    ) -> dict[str, Any]:
        """Serve programs that arrive at their times, and give up who is far too late; how many
        ended within their spans."""
        made = [AgentScript.from_json(script) for script in scripts]
        config = replace(self._config, max_running=max_running)
        times = list(zip(made, arrives_s, spans_s, strict=True))
        with _settled():
            return asyncio.run(self._hurry(config, policy, options, times))

    async def _hurry(
        self,
        config: EngineConfig,
        policy: str,
        options: Mapping[str, float],
        times: Sequence[tuple[AgentScript, float, float]],
    ) -> dict[str, Any]:
        own = await open_engine(self._model, config=config)
        engine = ScheduledEngine(own, policy=make_policy(policy, self._costs, **options))
        began_s = time.perf_counter()

        async def serve(script: AgentScript, arrives_s: float, span_s: float) -> bool:
            await asyncio.sleep(max(0.0, began_s + arrives_s - time.perf_counter()))
            until_s = time.perf_counter() + span_s
            run = await Run.start(
                agent,
                script,
                list[float]().append,
                engine=engine,
                tenant=script.tenant,
                deadline_s=span_s,
            )
            with suppress(TimeoutError):
                async with run, asyncio.timeout(LATE_SPANS * span_s):
                    await run.result()
            return run.status == "finished" and time.perf_counter() <= until_s

        try:
            in_time = await asyncio.gather(*(serve(*one) for one in times))
        finally:
            await engine.close()
        return {"num_in_time": sum(in_time), "seconds": time.perf_counter() - began_s}

    async def _run(
        self,
        config: EngineConfig,
        policy: str,
        options: Mapping[str, float],
        scripts: Sequence[AgentScript],
        num_open: int,
        warm_s: float,
        seconds: float,
    ) -> dict[str, Any]:
        own = await open_engine(self._model, config=config)
        engine = own
        if policy != PLAIN:
            engine = ScheduledEngine(own, policy=make_policy(policy, self._costs, **options))
        loop = _Loop(engine, scripts, num_open)
        started = time.perf_counter()
        workers = loop.start()
        try:
            await asyncio.wait(workers, timeout=warm_s, return_when=asyncio.FIRST_EXCEPTION)
            before = engine.stats()
            begins_s = time.perf_counter()
            spans: list[Work] = []
            watcher = asyncio.create_task(_watch(engine, spans))
            workers.append(watcher)
            await asyncio.wait(workers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            ends_s = time.perf_counter()
            after = engine.stats()
            for worker in workers:
                if worker.done():
                    worker.result()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await engine.close()
        counted = {
            name: sum(begins_s <= at_s < ends_s for at_s in steps_s)
            for name, steps_s in loop.steps_s.items()
        }
        num_new = sum(
            step.read.num_tokens
            for script in scripts
            for step, at_s in zip(script.steps, loop.steps_s.get(script.name, ()), strict=False)
            if begins_s <= at_s < ends_s
        )
        first_s = [took for at_s, took in loop.first_tokens.waits_s if begins_s <= at_s < ends_s]
        return {
            "seconds": ends_s - begins_s,
            "steps": counted,
            "ended": loop.ended,
            "first_token_s": first_s,
            "work": spans,
            "num_new_tokens": num_new,
            "num_prompt_tokens": after.num_prompt_tokens - before.num_prompt_tokens,
            "num_cached_tokens": after.num_cached_tokens - before.num_cached_tokens,
            "num_generated_tokens": after.num_generated_tokens - before.num_generated_tokens,
            "num_preemptions": after.num_preemptions - before.num_preemptions,
            "num_ticks": after.num_ticks - before.num_ticks,
            "whole_s": ends_s - started,
        }


def open_driver() -> Mapping[str, Callable[..., object]]:
    weft = _Weft()
    return {"load": weft.load, "costs": weft.costs, "run": weft.run, "hurry": weft.hurry}
