"""Tool calls written in one go beside calls whose arguments are decoded in parallel."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from weft.errors import ModelError
from weft.programs.branch import branch_output, branches_of
from weft.programs.entry import program
from weft.programs.generate import GenOptions, gen, order_gen
from weft.programs.grammar import GrammarSpec
from weft.programs.heads import HEADS, SKELETON, HeadForm
from weft.programs.message import ToolCall
from weft.programs.output import Output
from weft.programs.parallel_call import call_tool
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.programs.tool_calls import tool_call_tag
from weft.runtime.bench.bookings import Booking, drawn_bookings, recorded_bookings
from weft.runtime.bench.checkpoint import M197
from weft.runtime.bench.engine import BUNDLED
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave_items, median_ratio
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.widened import widen
from weft.runtime.engine import Engine, EngineConfig, open_engine
from weft.runtime.engine.config import SpeculationMode
from weft.runtime.executor import Run
from weft.tools import ParsedCall, parse_tool_calls

__all__ = ["bench_arguments", "bench_widened_arguments"]

NUM_BOOKINGS, NUM_WARM = 40, 4


class _Way(NamedTuple):
    """How a call is asked for."""

    form: HeadForm | None
    """Of its parts; ``None`` has it written in one go."""
    speculation: SpeculationMode = "off"


WAYS: Mapping[str, _Way] = {
    "sequential": _Way(None),
    "skeleton": _Way(SKELETON),
    "heads": _Way(HEADS),
    "guessed_sequential": _Way(None, "auto"),
    "guessed_skeleton": _Way(SKELETON, "auto"),
    "guessed_heads": _Way(HEADS, "auto"),
}
OPTIONS: GenOptions = {"temperature": 0.0, "max_tokens": 160}
PLAIN: Mapping[str, _Way] = {name: WAYS[name] for name in ("sequential", "skeleton", "heads")}
"""Those that a larger model has time for."""
NUM_WIDENED = 10
GREETING = "Hello."
UNTRAINED = "accuracy: the model has no held-out problems of this kind, so only time is measured"


@dataclass(slots=True)
class _Served:
    """What one contender did in all rounds."""

    right: set[int] = field(default_factory=set[int])
    """Bookings whose call was right: greedy, so the same ones in every round."""
    num_tokens: int = 0
    latencies: list[float] = field(default_factory=list[float])
    """Seconds from the request to the whole call."""

    def note(
        self, item: int, booking: Booking, call: ToolCall | None, seconds: float, num_tokens: int
    ) -> float:
        """Count a call; returns its seconds."""
        self.latencies.append(seconds)
        self.num_tokens += num_tokens
        if call == ToolCall(name=booking.name, arguments=booking.arguments):
            self.right.add(item)
        return seconds


def bench_arguments(
    findings: Findings,
    options: BenchOptions,
    until: float,
    *,
    folder: Path = BUNDLED,
    num: int = NUM_BOOKINGS,
    ways: Mapping[str, _Way] = WAYS,
    name: str = "args4",
) -> None:
    """Latency of calls with four independent arguments, one at a time, greedily, under the same
    schemas.

    Figures: ``args4_speedup`` is the time of calls written in one go over that of heads,
    ``args4_skeleton_speedup`` over that of a skeleton, token by token in both. The figures
    ``args4_guessed_…`` are the same with the engine's guesses in both, which find values in the
    question. ``…_accuracy_delta_points`` is how many calls of a hundred more are right than in one
    go; ``args4_ms_…`` are medians of a call. Another ``name`` stands in the place of ``args4``.

    As for an agent whose tools stay the same, the tools of a call are in the cache and its question
    is not: every way and round is a tenant of its own, which has asked something else before.
    Grammars are compiled. No round but the first begins after ``until``, of ``time.monotonic``.
    """
    recorded = recorded_bookings(folder / "heldout" / "arguments.jsonl", num)
    bookings = recorded or drawn_bookings(options.seed, num)
    served = {way: _Served() for way in ways}
    with asyncio.Runner() as runner:
        modes: set[SpeculationMode] = {way.speculation for way in ways.values()}
        engines = {mode: runner.run(_open(folder, mode, bookings, ways)) for mode in modes}

        def measure(label: str, number: int, item: int) -> float:
            if item == 0:
                options.say(f"parallel: {name}, {label}, round {number + 1}")
            way, tenant = ways[label], f"{label}-{number}"
            call = _measure(engines[way.speculation], bookings[item], tenant, way.form)
            return served[label].note(item, bookings[item], *runner.run(call))

        seconds = interleave_items(
            list(ways),
            measure,
            num_items=len(bookings),
            num_rounds=options.rounds,
            may_go_on=lambda: time.monotonic() < until,
        )
        for engine in engines.values():
            runner.run(engine.close())
    _note(findings, name, seconds, served, options.rounds)
    if recorded:
        _note_accuracy(findings, name, served, len(bookings))
    else:
        findings.missing.append(f"{name}_{UNTRAINED}")


def bench_widened_arguments(findings: Findings, options: BenchOptions, until: float) -> None:
    """``bench_arguments`` on the bundled model widened to 195M parameters, which says what that
    model says at the cost of one that people run: figures ``args4_widened_…``."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        wide = widen(BUNDLED, Path(place) / "mini-195m", M197, seed=options.seed)
        bench_arguments(
            findings,
            options,
            until,
            folder=wide,
            num=NUM_WIDENED,
            ways=PLAIN,
            name="args4_widened",
        )


async def _open(
    folder: Path, mode: SpeculationMode, bookings: Sequence[Booking], ways: Mapping[str, _Way]
) -> Engine:
    """An engine with every grammar compiled that ways of the ``mode`` need."""
    engine = await open_engine(str(folder), config=EngineConfig(speculation=mode))
    for way in ways.values():
        if way.speculation == mode:
            await _warm(engine, bookings, way.form)
    return engine


async def _measure(
    engine: Engine, booking: Booking, tenant: str, form: HeadForm | None
) -> tuple[ToolCall | None, float, int]:
    """One call, its seconds, and how many tokens were generated for it."""
    await (await Run.start(greet, booking, engine=engine, tenant=tenant)).result()
    run = await Run.start(ask, booking, form, engine=engine, tenant=tenant)
    started = time.perf_counter()
    call = await run.result()
    return call, time.perf_counter() - started, run.usage.num_generated_tokens


@program
async def ask(booking: Booking, form: HeadForm | None) -> ToolCall | None:
    """The call the model makes; ``None`` where it makes none."""
    try:
        if form is not None:
            return await call_tool(list(booking.messages), booking.tools, form=form, **OPTIONS)
        options: GenOptions = {**OPTIONS, "tool_schemas": booking.tools}
        call: ToolCall = await order_gen(list(booking.messages), _whole(booking), None, options)
        return call
    except ModelError:
        return None


@program
async def greet(booking: Booking) -> None:
    """Have the engine see the booking's tools, before another question."""
    *before, question = booking.messages
    other = replace(question, content=GREETING)
    await gen([*before, other], tool_schemas=booking.tools, temperature=0.0, max_tokens=1)


def _whole(booking: Booking) -> Output[ToolCall]:
    """One call of any of the tools."""

    def parse(text: str) -> ToolCall:
        first = next(iter(parse_tool_calls(text).calls), None)
        if not isinstance(first, ParsedCall):
            raise ValueError("it is no tool call")
        return ToolCall(name=first.name, arguments=first.arguments)

    return Output(name="a tool call", grammar=_whole_grammar(booking), parse=parse)


def _whole_grammar(booking: Booking) -> GrammarSpec:
    return tool_call_tag(booking.tools, required=True)


async def _warm(engine: Engine, bookings: Sequence[Booking], form: HeadForm | None) -> None:
    """Compile every grammar, on a prompt that no booking begins with, then serve a few others."""
    specs = dict.fromkeys(spec for booking in bookings for spec in _grammars(booking, form))
    sampling = Sampling(temperature=0.0, max_tokens=1)
    for number, spec in enumerate(specs):
        request = Request(request_id=f"warm-{number}", prompt=(5,), sampling=sampling, grammar=spec)
        async with aclosing(engine.submit(request)) as deltas:
            async for _ in deltas:
                pass
    for booking in drawn_bookings(-1, NUM_WARM):
        await (await Run.start(ask, booking, form, engine=engine)).result()


def _grammars(booking: Booking, form: HeadForm | None) -> list[GrammarSpec | None]:
    if form is None:
        return [_whole_grammar(booking)]
    outputs = [form.name_output(tool["name"] for tool in booking.tools)]
    outputs += [
        branch_output(branch, form)
        for tool in booking.tools
        for branch in branches_of(tool["parameters"], {})
    ]
    return [output.grammar for output in outputs]


def _note(
    findings: Findings,
    name: str,
    seconds: Mapping[str, Sequence[float]],
    served: Mapping[str, _Served],
    num_asked: int,
) -> None:
    num_rounds = len(seconds["sequential"])

    def note(what: str, value: float) -> None:
        findings.note(f"{name}_{what}", value, num_rounds=num_rounds, num_asked=num_asked)

    for prefix in ("", "guessed_"):
        whole = f"{prefix}sequential"
        if whole in seconds:
            note(f"{prefix}speedup", median_ratio(seconds, whole, f"{prefix}heads"))
            note(f"{prefix}skeleton_speedup", median_ratio(seconds, whole, f"{prefix}skeleton"))
    for way, one in served.items():
        note(f"ms_{way}", 1e3 * statistics.median(one.latencies))
        findings.rows.append(
            {
                "what": f"{name}, {way}",
                "num_rounds": num_rounds,
                "num_calls": len(one.latencies),
                "median_ms": 1e3 * statistics.median(one.latencies),
                "lowest_ms": 1e3 * min(one.latencies),
                "highest_ms": 1e3 * max(one.latencies),
                "tokens_per_call": one.num_tokens / len(one.latencies),
                "num_right": len(one.right),
            }
        )


def _note_accuracy(findings: Findings, name: str, served: Mapping[str, _Served], num: int) -> None:
    points = {way: 100.0 * len(one.right) / num for way, one in served.items()}
    figures = findings.figures
    for what, way in (("accuracy", "heads"), ("skeleton_accuracy", "skeleton")):
        figures[f"{name}_{what}_delta_points"] = points[way] - points["sequential"]
    for way, value in points.items():
        figures[f"{name}_accuracy_points_{way}"] = value
