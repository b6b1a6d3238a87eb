"""Guessing ahead changes nothing but the time: the same engine without it is the oracle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.echo_model import BAD_TOKEN, BLOCK_BYTES, echoing
from tests.support.engines import collect, guessing, opened, request
from tests.support.grammars import TOOLS, choices, regex, schema
from weft.errors import LogitsInvalid
from weft.programs.grammar import GrammarSpec
from weft.programs.request import Completion, Request
from weft.programs.sampling import Sampling
from weft.programs.tool_calls import tool_call_tag
from weft.runtime.engine import Engine, EngineConfig

CONFIG = EngineConfig(kv_bytes=1 << 20, max_running=16, max_batch_tokens=64, is_deterministic=True)
PLAIN = replace(CONFIG, speculation="off")
NEVER_BAD = {BAD_TOKEN: -100.0}
BASE = Sampling(max_tokens=40, seed=5, temperature=0.6, ignore_eos=True, logit_bias=NEVER_BAD)
SAMPLINGS = {
    "greedy": replace(BASE, temperature=0.0),
    "sampled": BASE,
    "hot": replace(BASE, temperature=1.0),
    "filtered": replace(BASE, top_p=0.9, top_k=20, min_p=0.02),
    "penalties": replace(BASE, repetition_penalty=1.1, presence_penalty=0.2, frequency_penalty=0.1),
    "biases": replace(BASE, logit_bias={50: 2.0, 51: -2.0, **NEVER_BAD}),
    "logprobs": replace(BASE, logprobs=2),
    "stop strings": replace(BASE, stop=("e", "a"), max_tokens=200),
    "stop ids": replace(BASE, stop_token_ids=tuple(range(60, 100)), min_tokens=6),
    "one token": replace(BASE, max_tokens=1),
    "two tokens": replace(BASE, max_tokens=2),
}
GRAMMARS: dict[str, GrammarSpec] = {
    "choices": choices("perhaps", "perhaps not", "never"),
    "record": schema(
        {
            "type": "object",
            "properties": {"answer": {"enum": ["yes", "no"]}, "count": {"type": "integer"}},
            "required": ["answer", "count"],
        }
    ),
    "regex": regex("(ab|ba){3,9}"),
    "calls": tool_call_tag(TOOLS, required=True),
}
COSTLY = ("regex", "calls")
"""Compiled in a process of its own, which takes seconds to start."""


def prompts(num_prompts: int = 3) -> list[list[int]]:
    """Prompts in which things were said more than once, and not always the same."""
    rng = random.Random(3)
    runs = [rng.choices(range(40, 70), k=7) for _ in range(4)]
    return [[t for _ in range(6) for t in rng.choice(runs)] for _ in range(num_prompts)]


async def answers(engine: Engine, asked: Sequence[Request]) -> list[list[Completion]]:
    """What each request gets, one after the other."""
    return [await collect(engine, one) for one in asked]


@pytest.mark.parametrize("kind", SAMPLINGS)
async def test_completions_are_those_of_plain_decoding(kind: str) -> None:
    asked = [request(f"{i}", prompt, SAMPLINGS[kind]) for i, prompt in enumerate(prompts())]
    async with echoing(PLAIN) as engine:
        wanted = await answers(engine, asked)
        assert engine.stats().num_guessed_tokens == 0
    async with echoing(CONFIG) as engine:
        assert await answers(engine, asked) == wanted
        stats = engine.stats()
    num_tokens = sum(len(completion.token_ids) for [completion] in wanted)
    assert stats.num_generated_tokens == num_tokens
    if kind not in ("one token", "two tokens"):
        assert 0 < stats.num_accepted_tokens < stats.num_guessed_tokens
        assert stats.num_ticks < num_tokens


@pytest.mark.parametrize(
    "kind",
    ["choices", "record", *(pytest.param(kind, marks=pytest.mark.slow) for kind in COSTLY)],
)
@pytest.mark.parametrize("logprobs", [None, 1])
async def test_grammars_give_the_same_in_fewer_ticks(kind: str, logprobs: int | None) -> None:
    sampling = Sampling(max_tokens=60, seed=2, logprobs=logprobs)
    asked = [
        replace(request(f"{i}", prompt, sampling, n=2), grammar=GRAMMARS[kind])
        for i, prompt in enumerate(prompts())
    ]
    async with echoing(PLAIN) as engine:
        wanted = await answers(engine, asked)
        plain = engine.stats()
    async with echoing(CONFIG) as engine:
        assert await answers(engine, asked) == wanted
        stats = engine.stats()
    assert stats.num_ticks < plain.num_ticks
    assert stats.num_generated_tokens == plain.num_generated_tokens
    assert (plain.num_forced_tokens, plain.num_guessed_tokens) == (0, 0)
    assert (stats.num_forced_tokens > 0) == (logprobs is None)


async def test_neighbours_branches_preemption_and_shared_prefixes() -> None:
    rng = random.Random(7)
    asked = [
        replace(
            request(f"{i}", prompt + rng.choices([40, 41], k=3), BASE),
            n=rng.choice([1, 1, 2, 3]),
            tenant=rng.choice(["", "other"]),
        )
        for i, prompt in enumerate(prompts(10))
    ]
    async with echoing(PLAIN) as engine:
        wanted = await answers(engine, asked)
    small = replace(CONFIG, kv_bytes=16 * BLOCK_BYTES, max_running=6, max_batch_tokens=48)
    async with echoing(small) as engine:
        found = await asyncio.gather(*(collect(engine, one) for one in asked))
        stats = engine.stats()
    assert [[c.token_ids for c in one] for one in found] == [
        [c.token_ids for c in one] for one in wanted
    ]
    assert stats.num_preemptions > 0
    assert stats.num_accepted_tokens > 0


@pytest.mark.parametrize("every", [1, 3])
async def test_deltas_have_at_least_the_tokens_asked_for(every: int) -> None:
    asked = replace(request("d", prompts()[0], BASE), stream_every=every)
    async with echoing(CONFIG) as engine:
        sizes = [len(delta.token_ids) async for delta in engine.submit(asked)]
    assert sum(sizes) == 40
    assert min(sizes[:-1]) == every < max(sizes)


async def tokens_until_fault(engine: Engine, asked: Request) -> list[int]:
    token_ids: list[int] = []
    with pytest.raises(LogitsInvalid):
        async for delta in engine.submit(asked):
            token_ids += delta.token_ids
    return token_ids


async def test_a_fault_comes_where_it_would_and_harms_nobody_else() -> None:
    fine = [request(f"{i}", prompt, BASE) for i, prompt in enumerate(prompts())]
    broken = [60, 61, 62, 63, 64, BAD_TOKEN, 66, 67]
    asked = replace(BASE, logit_bias={})
    bad = [request(f"bad{i}", [*broken * 4, 60 + i], asked) for i in range(4)]
    async with echoing(PLAIN) as engine:
        wanted = await answers(engine, fine)
        wanted_bad = [await tokens_until_fault(engine, one) for one in bad]
    async with echoing(CONFIG) as engine:
        neighbours = [asyncio.create_task(collect(engine, one)) for one in fine]
        assert [await tokens_until_fault(engine, one) for one in bad] == wanted_bad
        assert await asyncio.gather(*neighbours) == wanted
        assert engine.stats().num_accepted_tokens > 0
    assert max(map(len, wanted_bad)) > 3
    assert all(token_ids[-1] == BAD_TOKEN for token_ids in wanted_bad)


async def test_what_one_tenant_wrote_is_not_guessed_for_another() -> None:
    prompt = tuple(random.Random(1).sample(range(60, 380), k=30))
    sampling = replace(BASE, temperature=0.0, max_tokens=12)
    asked = Request(request_id="a", prompt=prompt, sampling=sampling, tenant="ours")
    async with echoing(CONFIG) as engine:
        counts: list[int] = []
        for tenant in ("ours", "theirs", "ours"):
            before = engine.stats().num_accepted_tokens
            await collect(engine, replace(asked, tenant=tenant))
            counts.append(engine.stats().num_accepted_tokens - before)
    assert counts[2] > counts[1]


@pytest.mark.parametrize("kind", ["greedy", "sampled", "logprobs"])
async def test_a_real_models_completions_are_those_of_plain_decoding(
    tiny_checkpoint: Path, kind: str
) -> None:
    few = dict.fromkeys([40, 41, 42, 43], 9.0)
    sampling = replace(SAMPLINGS[kind], logit_bias=few)
    asked = [request(f"{i}", prompt, sampling) for i, prompt in enumerate(prompts())]
    async with opened(tiny_checkpoint, PLAIN) as engine:
        wanted = await answers(engine, asked)
    async with guessing(tiny_checkpoint, CONFIG) as engine:
        assert await answers(engine, asked) == wanted
        assert engine.stats().num_accepted_tokens > 0
