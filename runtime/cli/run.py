"""`weft run`: a program from a file, on an engine, before people's eyes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape

from weft.programs.entry import Program
from weft.programs.signature import Arguments
from weft.runtime.cli.arguments import bind_arguments, read_input, read_settings
from weft.runtime.cli.display import TracePage, only_json_on_stdout, watching
from weft.runtime.cli.engines import opened_engine
from weft.runtime.cli.outcome import Outcome, outcome_of
from weft.runtime.cli.program_file import choose_program, load_module, parse_ref
from weft.runtime.cli.report import print_json, show
from weft.runtime.cli.stores import opened_store
from weft.runtime.engine import Engine
from weft.runtime.engine.config import KVDTypeName, WeightsName
from weft.runtime.executor import Run
from weft.runtime.journal.store import Store
from weft.runtime.observe import Observer

__all__ = ["ProgramCall", "RunOptions", "load_call", "run_program"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What ``weft run`` was asked."""

    program: str
    """``FILE`` or ``FILE:program``."""
    input_text: str | None = None
    settings: tuple[str, ...] = ()
    engine: str = "mini"
    seed: int = 0
    weights: WeightsName = "stored"
    kv_dtype: KVDTypeName = "auto"
    store: str = "weft.db"
    trace: Path | None = None
    as_json: bool = False
    debug: bool = False


class ProgramCall(NamedTuple):
    """A program and what it is given."""

    program: Program[..., Any]
    arguments: Arguments

    async def start(
        self, engine: Engine, store: Store, *, seed: int, observers: Sequence[Observer] = ()
    ) -> Run[Any]:
        return await Run.start(
            self.program,
            *self.arguments.args,
            kwargs=self.arguments.kwargs,
            engine=engine,
            store=store,
            seed=seed,
            observers=observers,
        )


def run_program(options: RunOptions) -> int:
    """Run, show, and return the exit code. Ctrl-C cancels the Run down to the engine.

    Raises CallerError for a file, program, argument, engine, store or trace that cannot be meant.
    """
    with only_json_on_stdout(options.as_json):
        outcome = asyncio.run(_execute(load_call(options), options))
    _present(outcome, options)
    return outcome.problem.exit_code if outcome.problem else 0


def load_call(options: RunOptions) -> ProgramCall:
    """The program that was named, and its arguments. Raises CallerError."""
    ref = parse_ref(options.program)
    module = load_module(ref.path)
    program = choose_program(programs_of(module), ref.program, file=str(ref.path))
    data, texts = read_input(options.input_text), read_settings(options.settings)
    return ProgramCall(program, bind_arguments(program, data, texts))


def programs_of(module: ModuleType) -> dict[str, Program[..., Any]]:
    """The programs that a module defines, by the names it gives them; imported ones are not
    its own."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Program) and value.path.startswith(f"{module.__name__}:")
    }


async def _execute(call: ProgramCall, options: RunOptions) -> Outcome:
    trace = TracePage(options.trace) if options.trace else None
    observers: list[Observer] = [trace] if trace else []
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened_store(options.store))
        opened = opened_engine(
            options.engine, seed=options.seed, weights=options.weights, kv_dtype=options.kv_dtype
        )
        engine = await stack.enter_async_context(opened)
        if not options.as_json:
            observers.append(stack.enter_context(watching()))
        run = await call.start(engine, store, seed=options.seed, observers=observers)
        try:
            outcome = await outcome_of(run, debug=options.debug)
        finally:
            if trace:
                trace.write(await store.steps(run.run_id))
        return outcome


def _present(outcome: Outcome, options: RunOptions) -> None:
    if options.as_json:
        print_json(outcome.as_json())
        return
    if outcome.problem:
        show(outcome.problem, as_json=False)
    else:
        print(outcome.text)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[dim]{_summary(outcome)}[/dim]")
    if options.trace:
        console.print(f"[dim]trace: {escape(str(options.trace))}[/dim]")


def _summary(outcome: Outcome) -> str:
    usage = outcome.usage
    return (
        f"{usage.num_generated_tokens} tokens generated, {usage.num_prompt_tokens} in prompts, "
        f"KV hit rate {usage.hit_rate:.0%}, {usage.num_tool_calls} tool calls, "
        f"{outcome.seconds:.1f} s, run {outcome.run_id}"
    )
