"""KV that open Runs lost: read back where it is wanted, the same tokens wherever it was."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.engines import collect, greedy, opened
from weft.errors import InvalidRequest
from weft.programs.request import Completion, Request
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.engine.embedded import EmbeddedEngine

BLOCK_BYTES = 2 * 2 * 2 * 8 * 4 * 16
"""Layers, key and value, key-value heads, head dimension, float32, tokens of one block."""


def config(num_blocks: int, num_spilled: int) -> EngineConfig:
    return EngineConfig(
        kv_bytes=(num_blocks + 1) * BLOCK_BYTES,
        spill_bytes=num_spilled * BLOCK_BYTES,
        max_running=8,
        max_batch_tokens=64,
        stream_interval_s=0.0,
    )


def prompt(seed: int, length: int) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(3, 380), k=length))


async def ask(
    engine: Engine, name: str, tokens: Sequence[int], *, run: str, num_tokens: int = 8
) -> Completion:
    wanted = Request(request_id=name, prompt=tuple(tokens), sampling=greedy(num_tokens), run_id=run)
    [completion] = await collect(engine, wanted)
    return completion


@pytest.mark.parametrize("fate", ["demote", "give up", "keep"])
async def test_all_but_what_was_given_up_is_read_back(tiny_checkpoint: Path, fate: str) -> None:
    async with opened(tiny_checkpoint, config(8, 8)) as engine:
        assert isinstance(engine, EmbeddedEngine)
        assert (engine.kv_tokens, engine.spill_tokens) == (128, 128)
        first = await ask(engine, "a1", prompt(1, 80), run="a")
        if fate == "demote":
            engine.demote_kv("a")
        elif fate == "give up":
            engine.give_up_kv("a")
        await ask(engine, "b", prompt(2, 112), run="b")  # takes all blocks
        again = await ask(engine, "a2", prompt(1, 80), run="a")
        assert again.token_ids == first.token_ids
        assert again.num_cached_tokens == (0 if fate == "give up" else 64)


async def test_what_running_ones_lose_to_each_other_is_read_back(tiny_checkpoint: Path) -> None:
    """A pool that holds two of four; those who rank last are preempted over and over."""
    num_prefilled: list[int] = []
    answers: list[list[tuple[int, ...]]] = []
    for num_blocks, num_spilled in ((14, 0), (14, 40), (60, 0)):
        async with opened(tiny_checkpoint, config(num_blocks, num_spilled)) as engine:
            asked = (
                ask(engine, f"{n}", prompt(n, 30), run=f"{n}", num_tokens=60) for n in range(4)
            )
            answers.append([one.token_ids for one in await asyncio.gather(*asked)])
            num_prefilled.append(engine.stats().num_prefilled_tokens)
            assert (engine.stats().num_preemptions > 0) == (num_blocks == 14)
    assert answers[0] == answers[1] == answers[2]
    needed = num_prefilled[2]
    assert num_prefilled[0] - needed > 3 * (num_prefilled[1] - needed)


async def test_the_unwanted_goes_before_what_was_used_longer_ago(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, config(12, 0)) as engine:
        assert isinstance(engine, EmbeddedEngine)
        await ask(engine, "a1", prompt(1, 48), run="a")
        await ask(engine, "b1", prompt(2, 48), run="b")
        engine.give_up_kv("b")
        await ask(engine, "c1", prompt(3, 130), run="c")  # needs three blocks of others
        kept = await ask(engine, "a2", prompt(1, 48), run="a", num_tokens=1)
        gone = await ask(engine, "b2", prompt(2, 48), run="b", num_tokens=1)
        assert (kept.num_cached_tokens, gone.num_cached_tokens) == (32, 0)


async def test_what_caches_again_is_kept_again(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, config(12, 0)) as engine:
        assert isinstance(engine, EmbeddedEngine)
        await ask(engine, "a1", prompt(1, 48), run="a")
        engine.give_up_kv("a")
        await ask(engine, "a2", prompt(1, 48), run="a")
        await ask(engine, "b1", prompt(2, 48), run="b")
        engine.give_up_kv("b")
        await ask(engine, "c1", prompt(3, 130), run="c")
        kept = await ask(engine, "a3", prompt(1, 48), run="a", num_tokens=1)
        assert kept.num_cached_tokens == 32


@pytest.mark.parametrize("num_spilled", [1, 3, 20])
async def test_any_demoting_leaves_the_tokens_as_they_are(
    tiny_checkpoint: Path, num_spilled: int
) -> None:
    """Programs whose contexts grow, on a pool that holds two of five; the oracle has room."""
    rng = random.Random(num_spilled)
    contexts = {name: list(prompt(seed, 40)) for seed, name in enumerate("vwxyz")}
    async with (
        opened(tiny_checkpoint, config(14, num_spilled)) as tight,
        opened(tiny_checkpoint, config(200, 0)) as roomy,
    ):
        assert isinstance(tight, EmbeddedEngine)
        for number in range(40):
            name = rng.choice("vwxyz")
            context = contexts[name] = contexts[name][:150]
            found, wanted = await asyncio.gather(
                *(ask(one, f"{number}", context, run=name) for one in (tight, roomy))
            )
            assert found.token_ids == wanted.token_ids
            context += [*found.token_ids, *prompt(1000 + number, rng.randrange(1, 20))]
            rng.choice((tight.demote_kv, tight.demote_kv, tight.give_up_kv))(rng.choice("vwxyz"))
        while tight.stats().num_blocks_used:
            await asyncio.sleep(0.001)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="spill_bytes is -1"):
        EngineConfig(spill_bytes=-1)
