"""`weft run`: a program from a file, on an engine, before people's eyes."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.markup import escape

from weft.programs.entry import Program
from weft.programs.signature import Arguments
from weft.runtime.cli.arguments import bind_arguments, read_input, read_settings
from weft.runtime.cli.display import TracePage, only_json_on_stdout, watching
from weft.runtime.cli.engines import opened_engine
from weft.runtime.cli.problem import FAILED, Problem, problem_of
from weft.runtime.cli.program_file import choose_program, load_module, parse_ref
from weft.runtime.cli.report import print_json, show
from weft.runtime.cli.stores import opened_store
from weft.runtime.engine.config import KVDTypeName, WeightsName
from weft.runtime.executor import Run
from weft.runtime.observe import Observer, Usage

__all__ = ["Outcome", "RunOptions", "run_program"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a Run ended."""

    run_id: str
    program: str
    status: str
    seed: int
    engine: str
    value: object
    """JSON-shaped; ``None`` unless finished."""
    problem: Problem | None
    usage: Usage
    seconds: float
    """From submission to end; loading the model comes before."""

    def as_json(self) -> dict[str, object]:
        usage = self.usage
        return {
            "run_id": self.run_id,
            "program": self.program,
            "status": self.status,
            "seed": self.seed,
            "engine": self.engine,
            "result": self.value,
            "num_prompt_tokens": usage.num_prompt_tokens,
            "num_cached_tokens": usage.num_cached_tokens,
            "num_generated_tokens": usage.num_generated_tokens,
            "num_requests": usage.num_requests,
            "num_tool_calls": usage.num_tool_calls,
            "kv_hit_rate": usage.hit_rate,
            "seconds": self.seconds,
            **(self.problem.as_json() if self.problem else {}),
        }


def run_program(options: RunOptions) -> int:
    """Run, show, and return the exit code. Ctrl-C cancels the Run down to the engine.

    Raises CallerError for a file, program, argument, engine, store or trace that cannot be meant.
    """
    with only_json_on_stdout(options.as_json):
        ref = parse_ref(options.program)
        module = load_module(ref.path)
        program = choose_program(programs_of(module), ref.program, file=str(ref.path))
        data, texts = read_input(options.input_text), read_settings(options.settings)
        arguments = bind_arguments(program, data, texts)
        outcome = asyncio.run(_execute(program, arguments, options))
    _present(outcome, options)
    return outcome.problem.exit_code if outcome.problem else 0


def programs_of(module: ModuleType) -> dict[str, Program[..., Any]]:
    """The programs that a module defines, by the names it gives them; imported ones are not
    its own."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Program) and value.path.startswith(f"{module.__name__}:")
    }


async def _execute(
    program: Program[..., Any], arguments: Arguments, options: RunOptions
) -> Outcome:
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
        started_s = time.monotonic()
        run = await Run.start(
            program,
            *arguments.args,
            kwargs=arguments.kwargs,
            engine=engine,
            store=store,
            seed=options.seed,
            observers=observers,
        )
        try:
            value, problem = await _result(run, options)
        finally:
            if trace:
                trace.write(await store.steps(run.run_id))
        return Outcome(
            run_id=run.run_id,
            program=program.path,
            status=run.status,
            seed=options.seed,
            engine=engine.name,
            value=value,
            problem=problem,
            usage=run.usage,
            seconds=time.monotonic() - started_s,
        )


async def _result(run: Run[Any], options: RunOptions) -> tuple[object, Problem | None]:
    """What the Run gave, as data. A Run that failed is data too: only an interrupt is raised."""
    async with run:
        try:
            value = await run.result()
        except Exception as error:
            if options.debug:
                traceback.print_exception(error)
            return None, replace(problem_of(error), exit_code=FAILED)
    return to_jsonable_python(value, fallback=repr), None


def _present(outcome: Outcome, options: RunOptions) -> None:
    if options.as_json:
        print_json(outcome.as_json())
        return
    if outcome.problem:
        show(outcome.problem, as_json=False)
    else:
        value = outcome.value
        print(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
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
