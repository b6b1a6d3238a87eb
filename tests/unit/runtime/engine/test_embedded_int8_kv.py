"""The engine over keys and values of 8 bits: nothing that happens to a sequence changes its
tokens. The measure is the same engine serving it alone, with memory to spare."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.engines import collect, greedy, guessing, opened, request
from tests.support.tiny import build_checkpoint
from weft.programs.request import Completion
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig

pytestmark = pytest.mark.slow

LARGE = EngineConfig(
    kv_bytes=1 << 20, max_running=16, kv_dtype="int8", has_prefix_cache=False, speculation="off"
)
BLOCK_BYTES = 2 * 2 * 2 * (16 + 4) * 16
"""Layers, key and value, key-value heads, a row of bytes and its scale, tokens of one block."""
SAMPLING = Sampling(max_tokens=40, seed=11, temperature=1.3, top_p=0.95, ignore_eos=True)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("wide"), head_dim=16)


def prompt(seed: int, length: int) -> list[int]:
    return random.Random(seed).choices(range(3, 380), k=length)


async def answers(
    engine: Engine, prompts: Sequence[Sequence[int]], sampling: Sampling
) -> list[Completion]:
    """All at once."""
    jobs = [collect(engine, request(f"{i}", each, sampling)) for i, each in enumerate(prompts)]
    return [completion for [completion] in await asyncio.gather(*jobs)]


async def alone(
    folder: Path, prompts: Sequence[Sequence[int]], sampling: Sampling
) -> list[tuple[int, ...]]:
    """One after the other."""
    async with opened(folder, LARGE) as engine:
        return [(await answers(engine, [each], sampling))[0].token_ids for each in prompts]


def tokens(completions: Sequence[Completion]) -> list[tuple[int, ...]]:
    return [completion.token_ids for completion in completions]


@pytest.mark.parametrize("sampling", [greedy(40), SAMPLING], ids=["greedy", "sampled"])
async def test_batched_chunked_and_cached_tokens_are_the_same(
    checkpoint: Path, sampling: Sampling
) -> None:
    prompts = [prompt(1, 50)[: 3 + 23 * i] + prompt(i, 9) for i in range(6)]
    wanted = await alone(checkpoint, prompts, sampling)
    config = replace(LARGE, max_running=8, max_batch_tokens=24, has_prefix_cache=True)
    async with opened(checkpoint, config) as engine:
        for _ in range(2):
            assert tokens(await answers(engine, prompts, sampling)) == wanted
        stats = engine.stats()
        assert stats.num_cached_tokens > 0.4 * stats.num_prompt_tokens


async def test_preempted_sequences_end_with_the_same_tokens(checkpoint: Path) -> None:
    prompts = [prompt(seed, 30) for seed in range(6)]
    wanted = await alone(checkpoint, prompts, SAMPLING)
    config = replace(LARGE, kv_bytes=14 * BLOCK_BYTES, max_running=8, max_batch_tokens=32)
    async with opened(checkpoint, config) as engine:
        assert tokens(await answers(engine, prompts, SAMPLING)) == wanted
        assert engine.stats().num_preemptions > 0


async def test_branches_copy_the_block_they_part_in(checkpoint: Path) -> None:
    async with opened(checkpoint, LARGE) as engine:
        together = await collect(engine, request("n", prompt(1, 50), SAMPLING, n=6))
        assert len(set(tokens(together))) == 6
        assert [completion.num_cached_tokens for completion in together[1:]] == [50] * 5
        for branch in (1, 5):
            again = await collect(engine, request("again", prompt(1, 50), SAMPLING, n=branch + 1))
            assert again[branch].token_ids == together[branch].token_ids
    [first] = await alone(checkpoint, [prompt(1, 50)], SAMPLING)
    assert first == together[0].token_ids


async def test_guesses_that_come_true_leave_the_same_memory(checkpoint: Path) -> None:
    runs = [prompt(seed, 7) for seed in range(3)]
    prompts = [[t for i in (0, 1, 0, 2, 0, 1, k) for t in runs[i]] for k in range(3)]
    sampling = replace(SAMPLING, temperature=0.3, max_tokens=60)
    wanted = await alone(checkpoint, prompts, sampling)
    async with guessing(checkpoint, replace(LARGE, speculation="auto")) as engine:
        assert tokens(await answers(engine, prompts, sampling)) == wanted
        assert 0 < engine.stats().num_accepted_tokens < engine.stats().num_guessed_tokens


async def test_the_same_memory_holds_three_times_the_tokens(checkpoint: Path) -> None:
    sizes: list[int] = []
    for kv_dtype in ("int8", "auto"):
        async with opened(checkpoint, replace(LARGE, kv_dtype=kv_dtype)) as engine:
            sizes.append(engine.stats().num_blocks)
    assert sizes[0] == (1 << 20) // BLOCK_BYTES - 1
    assert 3.1 < sizes[0] / sizes[1] < 3.3
