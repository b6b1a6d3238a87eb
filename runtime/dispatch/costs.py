"""What work costs on an engine, measured on it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count

from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine.protocol import Engine, KvHolder
from weft.runtime.scheduler import Costs

__all__ = ["measure_costs"]

SHORT, LONG = 256, 1024
NEAR, FAR = 16, 528
NUM_TOGETHER = 8
NUM_DECODED = 32
ROUNDS = 3
COPY_BYTES_PER_S = 1e9
"""A low figure for a processor's memory; devices copy faster."""
NUM_LETTERS = 8
"""Different tokens in a prompt: enough that no two begin alike."""


async def measure_costs(
    engine: Engine, *, seed: int = 0, clock: Callable[[], float] = time.perf_counter
) -> Costs:
    """Time prompts of two lengths, and decodes alone, together, and together behind long prompts;
    the least of three rounds.

    What copying KV out of the pool and back takes follows from its size. The engine should serve
    nothing else meanwhile; a few seconds on a small model.
    """
    probe = _Probe(engine, seed, clock)
    long = min(LONG, engine.capabilities.max_context - NUM_DECODED - 1)
    short = max(1, long * SHORT // LONG)
    await probe.timed(short, 2)  # to warm up
    short_s = await _least(lambda: probe.timed(short, 1))
    long_s = await _least(lambda: probe.timed(long, 1))
    alone_s = await _least(lambda: probe.decode_s(1))
    many_s = await _least(lambda: probe.decode_s(NUM_TOGETHER))
    far = max(NEAR + 1, min(FAR, long))
    far_s = await _least(lambda: probe.decode_s(NUM_TOGETHER, far))
    read_s = max(0.0, far_s - many_s) / (NUM_TOGETHER * (far - NEAR))
    costs = replace(_fitted(short, long, short_s, long_s, alone_s, many_s), read_s=read_s)
    if not isinstance(engine, KvHolder):
        return costs
    copy_s = engine.kv_token_bytes / COPY_BYTES_PER_S
    return replace(costs, load_s=copy_s, spill_s=copy_s)


class _Probe:
    """Requests with prompts that nobody had before, and answers that nobody guesses."""

    def __init__(self, engine: Engine, seed: int, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._rng = random.Random(seed)
        self._ids = count(1)
        self._name = f"costs-{seed}"
        self._letters = sorted(set(engine.encode("abcdefghijklmnopqrstuvwxyz")))[:NUM_LETTERS]

    async def timed(self, num_prompt: int, num_tokens: int, together: int = 1) -> float:
        """Seconds until all have said so much."""
        prompts = [self._prompt(num_prompt) for _ in range(together)]
        started = self._clock()
        await asyncio.gather(*(self._generate(one, num_tokens) for one in prompts))
        return self._clock() - started

    async def decode_s(self, together: int, num_prompt: int = NEAR) -> float:
        """Seconds of a Tick in which so many draw one token behind so long a prompt."""
        many_s = await self.timed(num_prompt, 1 + NUM_DECODED, together)
        return max(0.0, many_s - await self.timed(num_prompt, 1, together)) / NUM_DECODED

    async def _generate(self, prompt: tuple[int, ...], num_tokens: int) -> None:
        seed = self._rng.getrandbits(32)
        sampling = Sampling(max_tokens=num_tokens, ignore_eos=True, seed=seed)
        request = Request(
            request_id=f"{self._name}-{next(self._ids)}",
            prompt=prompt,
            sampling=sampling,
            stream_every=0,
        )
        async for _ in self._engine.submit(request):
            pass

    def _prompt(self, num_tokens: int) -> tuple[int, ...]:
        return tuple(self._rng.choices(self._letters, k=num_tokens))


async def _least(measure: Callable[[], Awaitable[float]]) -> float:
    return min([await measure() for _ in range(ROUNDS)])


def _fitted(
    short: int, long: int, short_s: float, long_s: float, alone_s: float, many_s: float
) -> Costs:
    """Solve for the parts: n tokens of a prompt cost n * prefill + n * n / 2 * context."""
    per_short, per_long = short_s / short, long_s / long
    context_s = max(0.0, 2 * (per_long - per_short) / (long - short))
    prefill_s = max(0.0, per_short - context_s * short / 2)
    decode_s = max(0.0, (many_s - alone_s) / (NUM_TOGETHER - 1))
    return Costs(
        tick_s=max(0.0, alone_s - decode_s),
        decode_s=decode_s,
        prefill_s=prefill_s,
        context_s=context_s,
    )
