"""Recorded turns, served once more and timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from weft.programs.grammar import GrammarSpec
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.bench.recorded import Turn
from weft.runtime.engine import Engine, EngineConfig, open_engine

__all__ = ["Mode", "Replay", "Replayer"]

MAX_TOKENS = 160

Mode = Literal["auto", "off"]


class Replay(NamedTuple):
    """What serving some turns took and gave."""

    num_tokens: int
    seconds: float
    num_decoded: int
    """Tokens that came after the first Delta of their turn."""
    decode_s: float
    """From the first Delta of each turn to its last, summed."""


class Replayer:
    """Opens engines on one model and serves turns greedily, on one event loop."""

    def __init__(self, runner: asyncio.Runner, folder: Path, seed: int) -> None:
        self._runner = runner
        self._folder = folder
        self._seed = seed
        self._num_requests = 0

    @contextmanager
    def engine(self, mode: Mode) -> Generator[Engine]:
        """An engine with or without guesses, closed at the end."""
        config = EngineConfig(speculation=mode)
        engine = self._runner.run(open_engine(str(self._folder), config=config, seed=self._seed))
        try:
            yield engine
        finally:
            self._runner.run(engine.close())

    def replay(self, engine: Engine, turns: Sequence[Turn], batch: int) -> Replay:
        """Serve the turns as their programs would, ``batch`` at a time."""
        sampling = Sampling(temperature=0.0, max_tokens=MAX_TOKENS)
        requests = [self._request(engine, turn, sampling, turn.grammar) for turn in turns]
        return self._runner.run(_serve(engine, requests, batch))

    def seconds(
        self, engine: Engine, turns: Sequence[Turn], num_tokens: int, grammar: GrammarSpec | None
    ) -> float:
        """Time for ``num_tokens`` of every turn at once, whatever they would say."""
        sampling = Sampling(temperature=0.0, max_tokens=num_tokens, ignore_eos=True)
        requests = [self._request(engine, turn, sampling, grammar) for turn in turns]
        return self._runner.run(_serve(engine, requests, len(requests))).seconds

    def _request(
        self, engine: Engine, turn: Turn, sampling: Sampling, grammar: GrammarSpec | None
    ) -> Request:
        self._num_requests += 1
        return Request(
            request_id=f"bench-{self._num_requests}",
            prompt=engine.render(turn.messages, turn.tools),
            sampling=sampling,
            grammar=grammar,
        )


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
