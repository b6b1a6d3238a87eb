"""`weft run --runs N`: one program many times, under a scheduler, for `weft top` to watch."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple, TextIO

from weft.errors import CallerError
from weft.runtime.cli.display import only_json_on_stdout
from weft.runtime.cli.engines import opened_engine
from weft.runtime.cli.outcome import Outcome, outcome_of
from weft.runtime.cli.problem import FAILED
from weft.runtime.cli.progress import Progress
from weft.runtime.cli.report import show
from weft.runtime.cli.run import ProgramCall, RunOptions, load_call
from weft.runtime.cli.stores import opened_store
from weft.runtime.dispatch import ScheduledEngine, measure_costs
from weft.runtime.engine import Engine
from weft.runtime.journal.store import Store
from weft.runtime.monitor import Monitor
from weft.runtime.observe import Usage
from weft.runtime.scheduler import SchedulingPolicy, make_policy
from weft.runtime.testing import ScriptedEngine

__all__ = ["ManyOptions", "run_many"]


class ManyOptions(NamedTuple):
    """What ``weft run`` was asked beside one Run."""

    num_runs: int = 1
    num_open: int | None = None
    """Runs open at the same time; None: all."""
    policy: str = "weft"


def run_many(options: RunOptions, many: ManyOptions) -> int:
    """Run, show every result as it comes, and return the exit code: 1 if any Run failed.

    The seeds are those from ``options.seed`` on. Ctrl-C cancels all Runs down to the engine.
    Raises CallerError as ``run_program`` does, and for an unknown policy.
    """
    if options.trace:
        raise CallerError("--trace shows one run.", remedy="Leave out --runs, or --trace.")
    policy = make_policy(many.policy)
    results = _Results(sys.stdout, as_json=options.as_json)
    with only_json_on_stdout(options.as_json):
        seconds = asyncio.run(_execute(load_call(options), options, many, policy, results))
    print(f"{results.summary()}, {seconds:.1f} s", file=sys.stderr)
    return FAILED if results.num_failed else 0


class _Results:
    """Shows what Runs gave, and keeps nothing but sums."""

    def __init__(self, out: TextIO, *, as_json: bool) -> None:
        self._out = out
        self._as_json = as_json
        self._usage = Usage()
        self.num_ended = 0
        self.num_failed = 0

    def add(self, outcome: Outcome) -> None:
        self.num_ended += 1
        self.num_failed += outcome.problem is not None
        self._usage += outcome.usage
        if self._as_json:
            line = json.dumps(outcome.as_json(), ensure_ascii=False, default=str)
            print(line, file=self._out, flush=True)
        elif outcome.problem is not None:
            show(outcome.problem, as_json=False)
        else:
            print(outcome.text, file=self._out, flush=True)

    def summary(self) -> str:
        usage = self._usage
        return (
            f"{self.num_ended} ended, {self.num_failed} of them failed; "
            f"{usage.num_generated_tokens} tokens generated, {usage.num_prompt_tokens} in prompts, "
            f"KV hit rate {usage.hit_rate:.0%}, {usage.num_tool_calls} tool calls"
        )


async def _execute(
    call: ProgramCall,
    options: RunOptions,
    many: ManyOptions,
    policy: SchedulingPolicy,
    results: _Results,
) -> float:
    """Seconds from the first Run's start to the last one's end."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened_store(options.store))
        opened = opened_engine(
            options.engine, seed=options.seed, weights=options.weights, kv_dtype=options.kv_dtype
        )
        own = await stack.enter_async_context(opened)
        await _measure(own, policy)
        engine = ScheduledEngine(own, policy=policy)
        stack.push_async_callback(engine.close)
        await _open_monitor(stack, engine)
        progress = Progress(engine, many.num_runs, lambda: results.num_ended)
        await stack.enter_async_context(progress)
        seeds = iter(range(options.seed, options.seed + many.num_runs))

        def ended(outcome: Outcome) -> None:
            progress.clear()
            results.add(outcome)

        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(many.num_open or many.num_runs, many.num_runs)):
                group.create_task(_work(call, engine, store, seeds, options.debug, ended))
        return time.monotonic() - began_s


async def _work(
    call: ProgramCall,
    engine: Engine,
    store: Store,
    seeds: Iterator[int],
    debug: bool,
    ended: Callable[[Outcome], None],
) -> None:
    """One Run after the other, until there are no more seeds."""
    for seed in seeds:
        run = await call.start(engine, store, seed=seed)
        ended(await outcome_of(run, debug=debug))


async def _measure(engine: Engine, policy: SchedulingPolicy) -> None:
    """What work costs on a model; scripts cost nothing."""
    if policy.uses_costs and not isinstance(engine, ScriptedEngine):
        print("measuring what work costs", file=sys.stderr)
        policy.costs = await measure_costs(engine)


async def _open_monitor(stack: AsyncExitStack, engine: ScheduledEngine) -> None:
    """Programs run whether or not they can be watched."""
    try:
        await stack.enter_async_context(Monitor(engine))
    except CallerError as error:
        print(f"weft top cannot watch this: {error}", file=sys.stderr)
