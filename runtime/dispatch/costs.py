"""What work costs on an engine, measured on it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from itertools import count

from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine.protocol import Engine
from weft.runtime.scheduler import Costs

__all__ = ["measure_costs"]

SHORT, LONG = 256, 1024
NUM_TOGETHER = 8
NUM_DECODED = 32
ROUNDS = 3


async def measure_costs(
    engine: Engine, *, seed: int = 0, clock: Callable[[], float] = time.perf_counter
) -> Costs:
    """Time prompts of two lengths, and decodes alone and together; the least of three rounds.

    The engine should serve nothing else meanwhile; a few seconds on a small model.
    """
    rng, ids = random.Random(seed), count(1)
    low = min(engine.encode("abcdefghijklmnopqrstuvwxyz"))

    async def generate(prompt: tuple[int, ...], num_tokens: int) -> None:
        request = Request(
            request_id=f"costs-{seed}-{next(ids)}",
            prompt=prompt,
            sampling=Sampling(temperature=0.0, max_tokens=num_tokens, ignore_eos=True),
            stream_every=0,
        )
        async for _ in engine.submit(request):
            pass

    def prompt(num_tokens: int) -> tuple[int, ...]:
        return tuple(low + rng.randrange(8) for _ in range(num_tokens))

    async def timed(num_prompt: int, num_tokens: int, together: int = 1) -> float:
        prompts = [prompt(num_prompt) for _ in range(together)]
        started = clock()
        await asyncio.gather(*(generate(one, num_tokens) for one in prompts))
        return clock() - started

    long = min(LONG, engine.capabilities.max_context - NUM_DECODED - 1)
    short = max(1, long * SHORT // LONG)
    await timed(short, 2)  # to warm up
    short_s = min([await timed(short, 1) for _ in range(ROUNDS)])
    long_s = min([await timed(long, 1) for _ in range(ROUNDS)])
    alone_s = min([await timed(16, 1 + NUM_DECODED) - await timed(16, 1) for _ in range(ROUNDS)])
    many_s = min(
        [
            await timed(16, 1 + NUM_DECODED, NUM_TOGETHER) - await timed(16, 1, NUM_TOGETHER)
            for _ in range(ROUNDS)
        ]
    )
    return _fitted(short, long, short_s, long_s, alone_s / NUM_DECODED, many_s / NUM_DECODED)


def _fitted(
    short: int, long: int, short_s: float, long_s: float, alone_s: float, many_s: float
) -> Costs:
    """Solve for the parts: n tokens of a prompt cost n * prefill + n * n / 2 * context."""
    per_short, per_long = short_s / short, long_s / long
    context_s = max(0.0, 2 * (per_long - per_short) / (long - short))
    prefill_s = max(1e-9, per_short - context_s * short / 2)
    decode_s = max(0.0, (many_s - alone_s) / (NUM_TOGETHER - 1))
    return Costs(
        tick_s=max(0.0, alone_s - decode_s),
        decode_s=decode_s,
        prefill_s=prefill_s,
        context_s=context_s,
    )
