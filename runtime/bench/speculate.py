"""``weft bench speculate``: what guessing ahead gains on text that agents write."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from weft.programs.grammar import GrammarSpec
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave, median_ratio
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.recorded import Turn, recorded_turns
from weft.runtime.engine import Engine, EngineConfig, open_engine

__all__ = ["bench_speculate"]

BATCHES = (1, 32)
NUM_WARM = 160
"""Turns served before anything is measured: what was written is what is guessed from."""
MAX_TURNS = 128
"""Per round; no turn is met twice, or guessing it would be too easy."""
MAX_TOKENS = 160
MASK_TOKENS = 65
STRINGS = GrammarSpec(
    kind="json_schema", text='{"type": "array", "items": {"type": "string"}, "minItems": 64}'
)
"""Of these a model writes on and on."""
MINI = Path(__file__).parents[1] / "assets" / "mini"

Mode = Literal["auto", "off"]


class Replay(NamedTuple):
    """What serving some turns took and gave."""

    num_tokens: int
    seconds: float
    num_decoded: int
    """Tokens that came after the first Delta of their turn."""
    decode_s: float
    """From the first Delta of each turn to its last, summed."""


class Bench:
    """Engines on the bundled model, on one event loop."""

    def __init__(self, runner: asyncio.Runner, seed: int) -> None:
        self._runner = runner
        self._seed = seed
        self._num_requests = 0

    @contextmanager
    def engine(self, mode: Mode) -> Generator[Engine]:
        """An engine with or without guesses, closed at the end."""
        config = EngineConfig(speculation=mode)
        engine = self._runner.run(open_engine(str(MINI), config=config, seed=self._seed))
        try:
            yield engine
        finally:
            self._runner.run(engine.close())

    def replay(self, engine: Engine, turns: Sequence[Turn], batch: int) -> Replay:
        """Serve the turns greedily, ``batch`` at a time."""
        sampling = Sampling(temperature=0.0, max_tokens=MAX_TOKENS)
        requests = [
            self._request(engine.render(turn.messages, turn.tools), sampling, turn.grammar)
            for turn in turns
        ]
        return self._runner.run(_serve(engine, requests, batch))

    def seconds(
        self, engine: Engine, turns: Sequence[Turn], num_tokens: int, grammar: GrammarSpec | None
    ) -> float:
        """Time for ``num_tokens`` of every turn at once, whatever they would say."""
        sampling = Sampling(temperature=0.0, max_tokens=num_tokens, ignore_eos=True)
        requests = [
            self._request(engine.render(turn.messages, turn.tools), sampling, grammar)
            for turn in turns
        ]
        return self._runner.run(_serve(engine, requests, len(requests))).seconds

    def _request(
        self, prompt: tuple[int, ...], sampling: Sampling, grammar: GrammarSpec | None
    ) -> Request:
        self._num_requests += 1
        name = f"bench-{self._num_requests}"
        return Request(request_id=name, prompt=prompt, sampling=sampling, grammar=grammar)


def bench_speculate(options: BenchOptions) -> Findings:
    """Tokens per second with guesses and without, on one model, in turns.

    Figures: ``speculate_speedup_bN`` is the rate of decoding, prompts and set-up excluded, with
    guesses over the rate without, N turns at a time; ``speculate_served_speedup_bN`` is the same
    for all that serving a turn takes. ``grammar_tick_cost_b32`` is the time that masks add to a
    Tick of 32 sequences, as a share of it, without guesses.
    """
    findings = Findings()
    turns = recorded_turns(MINI / "heldout", options.seed)
    with asyncio.Runner() as runner:
        bench = Bench(runner, options.seed)
        for batch in BATCHES:
            options.say(f"mini at batch {batch}, with guesses and without")
            _bench_batch(findings, bench, turns, batch, options.rounds)
        options.say("mini at batch 32, with masks and without")
        _bench_masks(findings, bench, turns[:32], options.rounds)
    return findings


def _bench_batch(
    findings: Findings, bench: Bench, turns: Sequence[Turn], batch: int, num_rounds: int
) -> None:
    size = min(MAX_TURNS, (len(turns) - NUM_WARM) // num_rounds)
    with bench.engine("auto") as guessing, bench.engine("off") as plain:
        engines: dict[str, Engine] = {"auto": guessing, "off": plain}
        for engine in engines.values():
            bench.replay(engine, turns[:NUM_WARM], batch)

        served: dict[str, list[float]] = {name: [] for name in engines}

        def measure(name: str, number: int) -> float:
            start = NUM_WARM + number * size
            replay = bench.replay(engines[name], turns[start : start + size], batch)
            served[name].append(replay.num_tokens / replay.seconds)
            return replay.num_decoded / replay.decode_s

        decoded = interleave(list(engines), measure, num_rounds=num_rounds)
        for name, engine in engines.items():
            what = f"batch {batch}, speculation {name}"
            _note(findings, f"{what}, served tokens/s", served[name], _counts(engine))
    findings.figures[f"speculate_speedup_b{batch}"] = median_ratio(decoded, "auto", "off")
    findings.figures[f"speculate_served_speedup_b{batch}"] = median_ratio(served, "auto", "off")


def _bench_masks(findings: Findings, bench: Bench, turns: Sequence[Turn], num_rounds: int) -> None:
    """By difference, so that prompts and set-up do not count."""
    grammars = {"masks": STRINGS, "free": None}
    with bench.engine("off") as engine:

        def measure(name: str, number: int) -> float:
            grammar = grammars[name]
            first = bench.seconds(engine, turns, 1, grammar)
            return bench.seconds(engine, turns, MASK_TOKENS, grammar) - first

        for name in grammars:
            measure(name, -1)
        seconds = interleave(list(grammars), measure, num_rounds=num_rounds)
    for name, values in seconds.items():
        ticks = [value / (MASK_TOKENS - 1) for value in values]
        _note(findings, f"batch 32, {name}, seconds per Tick", ticks, {})
    findings.figures["grammar_tick_cost_b32"] = median_ratio(seconds, "masks", "free") - 1


async def _serve(engine: Engine, requests: Sequence[Request], batch: int) -> Replay:
    gate = asyncio.Semaphore(batch)

    async def one(request: Request) -> Replay:
        async with gate:
            return await _read(engine, request)

    started = time.perf_counter()
    replays = await asyncio.gather(*map(one, requests))
    return Replay(
        num_tokens=sum(replay.num_tokens for replay in replays),
        seconds=time.perf_counter() - started,
        num_decoded=sum(replay.num_decoded for replay in replays),
        decode_s=sum(replay.decode_s for replay in replays),
    )


async def _read(engine: Engine, request: Request) -> Replay:
    """One turn to its end."""
    started = time.perf_counter()
    num_tokens = num_first = 0
    first_s = 0.0
    async for delta in engine.submit(request):
        if num_tokens == 0:
            num_first, first_s = len(delta.token_ids), time.perf_counter()
        num_tokens += len(delta.token_ids)
    ended = time.perf_counter()
    return Replay(num_tokens, ended - started, num_tokens - num_first, ended - first_s)


def _counts(engine: Engine) -> Mapping[str, float]:
    stats = engine.stats()
    return {
        "tokens_per_tick": stats.num_generated_tokens / stats.num_ticks,
        "guessed_per_tick": stats.num_guessed_tokens / stats.num_ticks,
        "accepted_per_tick": stats.num_accepted_tokens / stats.num_ticks,
        "forced_per_tick": stats.num_forced_tokens / stats.num_ticks,
    }


def _note(
    findings: Findings, what: str, values: Sequence[float], counts: Mapping[str, float]
) -> None:
    findings.rows.append(
        {
            "what": what,
            "num_rounds": len(values),
            "median": statistics.median(values),
            "lowest": min(values),
            "highest": max(values),
            **counts,
        }
    )
