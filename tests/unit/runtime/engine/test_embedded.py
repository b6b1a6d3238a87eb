from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.support.engines import collect, greedy, opened, request
from weft.cache.kv_store import KVStore
from weft.errors import EngineClosed, EngineOverloaded, InvalidRequest
from weft.programs.grammar import GrammarSpec
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig, EngineStats, open_engine

CONFIG = EngineConfig(kv_bytes=1 << 20, max_running=16, max_batch_tokens=64, stream_interval_s=0.0)
BLOCK_BYTES = 2 * 2 * 2 * 8 * 4 * 16
"""Layers, key and value, key-value heads, head dimension, float32, tokens of one block."""


def prompt(seed: int, length: int) -> list[int]:
    return random.Random(seed).choices(range(3, 380), k=length)


@lru_cache(maxsize=64)
def reference(folder: Path, token_ids: tuple[int, ...], num_tokens: int) -> tuple[int, ...]:
    """Greedy tokens by transformers, one full forward per token: the slow path."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = list(token_ids)
    with torch.inference_mode():
        for _ in range(num_tokens):
            logits = model(input_ids=torch.tensor([tokens])).logits
            tokens.append(int(logits[0, -1].argmax()))
    return tuple(tokens[len(token_ids) :])


async def greedy_tokens(
    engine: Engine, name: str, token_ids: Sequence[int], num_tokens: int = 12
) -> tuple[int, ...]:
    [completion] = await collect(engine, request(name, token_ids, greedy(num_tokens)))
    assert completion.finish_reason == "length"
    return completion.token_ids


async def settled(engine: Engine) -> EngineStats:
    """Statistics once the engine's thread has caught up with what was cancelled."""
    for _ in range(2000):
        stats = engine.stats()
        if stats.num_running == stats.num_waiting == stats.num_blocks_used == 0:
            return stats
        await asyncio.sleep(0.001)
    raise AssertionError(f"the engine did not come to rest: {engine.stats()}")


async def test_greedy_tokens_equal_transformers(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        for seed, length in [(1, 1), (2, 15), (3, 16), (4, 17), (5, 100)]:
            token_ids = prompt(seed, length)
            got = await greedy_tokens(engine, f"r{seed}", token_ids)
            assert got == reference(tiny_checkpoint, tuple(token_ids), 12)


async def test_batched_chunked_and_cached_tokens_are_the_same(tiny_checkpoint: Path) -> None:
    prompts = [prompt(seed, 3 + 23 * seed) for seed in range(8)]
    wanted = [reference(tiny_checkpoint, tuple(p), 12) for p in prompts]
    config = EngineConfig(kv_bytes=1 << 20, max_running=8, max_batch_tokens=24)
    async with opened(tiny_checkpoint, config) as engine:
        for attempt in range(2):
            jobs = [greedy_tokens(engine, f"{attempt}.{i}", p) for i, p in enumerate(prompts)]
            assert await asyncio.gather(*jobs) == wanted
        stats = engine.stats()
        assert stats.num_cached_tokens > 0.4 * stats.num_prompt_tokens


async def test_preempted_sequences_end_with_the_same_tokens(tiny_checkpoint: Path) -> None:
    prompts = [prompt(seed, 30) for seed in range(6)]
    config = EngineConfig(kv_bytes=14 * BLOCK_BYTES, max_running=8, max_batch_tokens=32)
    async with opened(tiny_checkpoint, config) as engine:
        jobs = [greedy_tokens(engine, f"{i}", p, 60) for i, p in enumerate(prompts)]
        got = await asyncio.gather(*jobs)
        assert engine.stats().num_preemptions > 0
        await settled(engine)
    for token_ids, tokens in zip(prompts, got, strict=True):
        assert tokens == reference(tiny_checkpoint, tuple(token_ids), 60)


async def test_branches_share_their_prefill_and_draw_their_own(tiny_checkpoint: Path) -> None:
    sampling = Sampling(max_tokens=20, seed=7, ignore_eos=True)
    async with opened(tiny_checkpoint, CONFIG) as engine:
        together = await collect(engine, request("n", prompt(1, 50), sampling, n=24))
        assert len({completion.token_ids for completion in together}) > 12
        assert [c.num_cached_tokens for c in together[1:15]] == [50] * 14
        alone = await collect(engine, request("one", prompt(1, 50), sampling))
        assert alone[0].token_ids == together[0].token_ids
        await settled(engine)


async def test_deterministic_draws_do_not_depend_on_the_batch(tiny_checkpoint: Path) -> None:
    sampling = Sampling(max_tokens=25, seed=11, temperature=1.3, top_p=0.95, ignore_eos=True)
    asked = request("it", prompt(1, 45), sampling, n=2)
    small = EngineConfig(
        kv_bytes=20 * BLOCK_BYTES, max_running=6, max_batch_tokens=16, is_deterministic=True
    )
    large = EngineConfig(
        kv_bytes=1 << 20, max_running=16, is_deterministic=True, has_prefix_cache=False
    )
    async with opened(tiny_checkpoint, large) as engine:
        assert engine.capabilities.is_deterministic
        alone = [completion.token_ids for completion in await collect(engine, asked)]
    for config in (small, large):
        async with opened(tiny_checkpoint, config) as engine:
            crowd = [
                collect(engine, request(f"{i}", prompt(i, 7 * i + 1), sampling)) for i in range(9)
            ]
            got, *_ = await asyncio.gather(collect(engine, asked), *crowd)
            assert [completion.token_ids for completion in got] == alone
            again = await collect(engine, asked)
            assert [completion.token_ids for completion in again] == alone


async def test_priority_goes_first(tiny_checkpoint: Path) -> None:
    config = EngineConfig(kv_bytes=1 << 20, max_running=1, max_batch_tokens=64)
    order: list[str] = []

    async def run(engine: Engine, name: str, priority: int) -> None:
        asked = Request(
            request_id=name, prompt=(5, 6), sampling=greedy(30), priority=priority, stream_every=0
        )
        await collect(engine, asked)
        order.append(name)

    async with opened(tiny_checkpoint, config) as engine:
        async with aclosing(engine.submit(request("first", [5], greedy(400)))) as first:
            await anext(first)
            names = [("low", -1), ("normal", 0), ("high", 1)]
            others = [asyncio.create_task(run(engine, *name)) for name in names]
            await asyncio.sleep(0)
        await asyncio.gather(*others)
    assert order == ["high", "normal", "low"]


async def test_streamed_text_is_the_decoded_text(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        asked = request("s", prompt(9, 5), Sampling(max_tokens=40, seed=3, ignore_eos=True))
        [completion] = await collect(engine, asked)
        text = engine.decode(completion.token_ids)
        assert completion.text.replace("\ufffd", "") == text.replace("\ufffd", "")


async def test_deltas_gather_as_asked(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, replace(CONFIG, speculation="off")) as engine:
        for every, sizes in [(1, [1] * 7), (3, [3, 3, 1]), (0, [7])]:
            asked = Request(request_id="d", prompt=(4, 5), sampling=greedy(7), stream_every=every)
            got = [len(delta.token_ids) async for delta in engine.submit(asked)]
            assert got == sizes


async def test_stop_ids_and_strings_end_the_output(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        tokens = await greedy_tokens(engine, "all", prompt(5, 9))
        sampling = Sampling(temperature=0.0, max_tokens=12, stop_token_ids=(tokens[4],))
        [stopped] = await collect(engine, request("id", prompt(5, 9), sampling))
        cut = tokens.index(tokens[4]) + 1
        assert (stopped.token_ids, stopped.finish_reason) == (tokens[:cut], "stop")
        text = engine.decode(tokens)
        stop = text[len(text) // 2 : len(text) // 2 + 2]
        sampling = Sampling(temperature=0.0, max_tokens=12, stop=(stop,), ignore_eos=True)
        [stopped] = await collect(engine, request("text", prompt(5, 9), sampling))
        assert stopped.text == text[: text.index(stop)]
        late = Sampling(temperature=0.0, max_tokens=12, stop_token_ids=(tokens[4],), min_tokens=12)
        [ran] = await collect(engine, request("late", prompt(5, 9), late))
        assert len(ran.token_ids) == 12


async def test_scores_equal_a_dense_forward(tiny_checkpoint: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32)
    before, target = prompt(1, 40), prompt(2, 90)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([before + target])).logits[0].log_softmax(-1)
    wanted = [float(logits[39 + i, token]) for i, token in enumerate(target)]
    async with opened(tiny_checkpoint, CONFIG) as engine:
        for _ in range(2):
            got = await engine.score(before, target)
            assert got == pytest.approx(wanted, abs=1e-4)
        assert await engine.score(before, []) == ()
        await settled(engine)


async def test_logprobs_are_those_of_a_dense_forward(tiny_checkpoint: Path) -> None:
    sampling = Sampling(max_tokens=6, seed=1, logprobs=3, ignore_eos=True, temperature=0.7)
    async with opened(tiny_checkpoint, CONFIG) as engine:
        [completion] = await collect(engine, request("l", prompt(3, 20), sampling))
        scores = await engine.score(prompt(3, 20), completion.token_ids)
    assert [entry.logprob for entry in completion.logprobs] == pytest.approx(scores, abs=1e-4)
    assert all(len(entry.top) == 3 for entry in completion.logprobs)


async def test_leaving_a_stream_frees_everything(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        for num_read in (1, 5, 20):
            asked = request(f"r{num_read}", prompt(1, 40), Sampling(seed=1), n=4)
            async with aclosing(engine.submit(asked)) as deltas:
                for _ in range(num_read):
                    await anext(deltas)
            await settled(engine)


async def test_cancelling_one_branch_leaves_the_others(tiny_checkpoint: Path) -> None:
    sampling = Sampling(max_tokens=30, seed=2, ignore_eos=True)
    async with opened(tiny_checkpoint, replace(CONFIG, speculation="off")) as engine:
        wanted = await collect(engine, request("whole", prompt(1, 20), sampling, n=3))
        tokens: dict[int, list[int]] = {0: [], 1: [], 2: []}
        reasons: dict[int, str | None] = {}
        async for delta in engine.submit(request("part", prompt(1, 20), sampling, n=3)):
            tokens[delta.index] += delta.token_ids
            if delta.finish_reason is not None:
                reasons[delta.index] = delta.finish_reason
            if delta.index == 0 and len(tokens[0]) == 3:
                await engine.cancel("part", [0])
        assert reasons == {0: "cancelled", 1: "length", 2: "length"}
        assert len(tokens[0]) < 30
        assert [tuple(tokens[i]) for i in (1, 2)] == [c.token_ids for c in wanted[1:]]
        await engine.cancel("nobody")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Request(request_id="a", prompt=(4000,), sampling=Sampling()), "token id 4000"),
        (Request(request_id="a", prompt=(-1,), sampling=Sampling()), "token id -1"),
        (Request(request_id="a", prompt=(5,) * 512, sampling=Sampling()), "512 tokens"),
        (
            Request(request_id="a", prompt=(5,) * 500, sampling=Sampling(max_tokens=13)),
            "at most 12 tokens",
        ),
        (
            Request(request_id="a", prompt=(5,), sampling=Sampling(logit_bias={5000: 1.0})),
            "5000",
        ),
        (
            Request(request_id="a", prompt=(5,), sampling=Sampling(stop_token_ids=(5000,))),
            "5000",
        ),
    ],
)
async def test_bad_requests_are_refused_and_neighbours_unharmed(
    tiny_checkpoint: Path, asked: Request, words: str
) -> None:
    wanted = reference(tiny_checkpoint, tuple(prompt(1, 20)), 12)
    async with opened(tiny_checkpoint, CONFIG) as engine:
        neighbour = asyncio.create_task(greedy_tokens(engine, "fine", prompt(1, 20)))
        with pytest.raises(InvalidRequest, match=words):
            await collect(engine, asked)
        assert await neighbour == wanted


async def test_a_request_id_in_use_is_refused(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        async with aclosing(engine.submit(request("twin", [5], greedy(50)))) as first:
            await anext(first)
            with pytest.raises(InvalidRequest, match="'twin' is in use"):
                await collect(engine, request("twin", [5], greedy(50)))


async def test_a_full_queue_refuses(tiny_checkpoint: Path) -> None:
    config = EngineConfig(kv_bytes=1 << 20, max_running=1, max_batch_tokens=8, max_waiting=2)
    async with opened(tiny_checkpoint, config) as engine:
        jobs = [collect(engine, request(f"{i}", [5 + i], greedy(40))) for i in range(12)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        refused = [result for result in results if isinstance(result, EngineOverloaded)]
        assert 0 < len(refused) < 12
        assert len(refused) + sum(isinstance(r, list) for r in results) == 12
        await settled(engine)


async def test_closing_ends_what_runs_and_refuses_what_comes(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        running = asyncio.create_task(collect(engine, request("long", [5], greedy(400))))
        await asyncio.sleep(0)
        await engine.close()
        with pytest.raises(EngineClosed):
            await running
        with pytest.raises(EngineClosed):
            await collect(engine, request("late", [5], greedy(4)))
        await engine.close()


async def test_choices_are_enforced(tiny_checkpoint: Path) -> None:
    spec = GrammarSpec(kind="choices", text='["yes", "no", "perhaps"]')
    async with opened(tiny_checkpoint, CONFIG) as engine:
        asked = Request(
            request_id="g",
            prompt=tuple(prompt(1, 20)),
            sampling=Sampling(seed=3, max_tokens=20),
            grammar=spec,
            n=12,
        )
        completions = await collect(engine, asked)
        assert {completion.text for completion in completions} <= {"yes", "no", "perhaps"}
        assert {completion.finish_reason for completion in completions} == {"stop"}
        await settled(engine)


async def test_closing_gives_the_memory_back_at_once(tiny_checkpoint: Path) -> None:
    """Whatever still refers to the engine."""
    engine = await open_engine(str(tiny_checkpoint))
    await collect(engine, request("one", (5, 6, 7), greedy(3)))
    stores = [each for each in gc.get_objects() if type(each) is KVStore]
    before = sum(store.size_bytes for store in stores)
    await engine.close()
    assert before - sum(store.size_bytes for store in stores) > 0
    assert engine.stats().num_running == 0
