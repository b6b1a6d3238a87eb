from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.support.echo_model import BAD_TOKEN, echoing
from tests.support.echo_model import BLOCK_BYTES as ECHO_BLOCK_BYTES
from tests.support.engines import opened
from tests.support.grammars import CORPUS
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig

BLOCK_BYTES = 2 * 2 * 2 * 8 * 4 * 16


async def wild_request(engine: Engine, rng: random.Random, name: str) -> None:
    """Run one request and leave it, cancel parts of it, or read it to its end."""
    shared = rng.choice([[], [7] * 40, list(range(10, 60))])
    asked = Request(
        request_id=name,
        prompt=tuple(shared + rng.choices(range(3, 380), k=rng.randint(1, 30))),
        sampling=Sampling(
            max_tokens=rng.randint(1, 40), seed=rng.randrange(100), temperature=rng.choice([0.5, 1])
        ),
        n=rng.choice([1, 1, 2, 5]),
        grammar=rng.choice([None, None, None, rng.choice(CORPUS)]),
        tenant=rng.choice(["", "other"]),
    )
    deltas = engine.submit(asked)
    num_left = rng.choice([0, 1, 5, 1000])
    try:
        async for _ in deltas:
            num_left -= 1
            if num_left < 0:
                break
            if rng.random() < 0.05:
                await engine.cancel(name, rng.choice([None, [0], [rng.randrange(5)]]))
    finally:
        await deltas.aclose()


async def check_waves(engine: Engine, rng: random.Random) -> None:
    """Waves of wild requests, and then the pool as it was."""
    for wave in range(4):
        tasks = [asyncio.create_task(wild_request(engine, rng, f"{wave}.{i}")) for i in range(12)]
        await asyncio.sleep(rng.random() * 0.05)
        for task in rng.sample(tasks, k=5):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    stats = engine.stats()
    for _ in range(3000):
        if stats.num_running == stats.num_waiting == stats.num_blocks_used == 0:
            break
        await asyncio.sleep(0.001)
        stats = engine.stats()
    assert (stats.num_running, stats.num_waiting, stats.num_blocks_used) == (0, 0, 0)
    # Nothing is left that would keep a prompt from having the whole pool.
    whole = Request(
        request_id="whole",
        prompt=tuple(rng.choices(range(10, 380), k=350)),
        sampling=Sampling(
            max_tokens=50, temperature=0.0, ignore_eos=True, logit_bias={BAD_TOKEN: -100.0}
        ),
    )
    deltas = [delta async for delta in engine.submit(whole)]
    assert sum(len(delta.token_ids) for delta in deltas) == 50


@pytest.mark.parametrize("seed", range(4))
async def test_cancelling_at_random_moments_returns_every_gauge(
    tiny_checkpoint: Path, seed: int
) -> None:
    config = EngineConfig(kv_bytes=26 * BLOCK_BYTES, max_running=6, max_batch_tokens=24)
    async with opened(tiny_checkpoint, config) as engine:
        await check_waves(engine, random.Random(seed))


@pytest.mark.parametrize("seed", range(6))
async def test_the_same_with_guesses_and_faults(seed: int) -> None:
    config = EngineConfig(kv_bytes=26 * ECHO_BLOCK_BYTES, max_running=6, max_batch_tokens=40)
    async with echoing(config) as engine:
        await check_waves(engine, random.Random(seed))
        assert engine.stats().num_guessed_tokens > 0
