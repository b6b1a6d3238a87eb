"""Sampling with guesses: any mixture of requests gets the tokens it would get alone without them,
and they are drawn from the model's own distribution."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.support.echo_model import BLOCK_BYTES, echoing
from tests.support.engines import collect, guessing, request
from tests.support.grammars import CORPUS
from weft.errors import EngineError
from weft.programs.request import Completion, Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig

ROOMY = EngineConfig(kv_bytes=1 << 20, max_running=16, speculation="off")
TIGHT = EngineConfig(kv_bytes=11 * BLOCK_BYTES, max_running=8, max_batch_tokens=40)


def random_request(rng: random.Random, name: str) -> Request:
    """Anything that a Sampling can ask for, on a prompt that repeats itself."""
    runs = [rng.choices(range(40, 60), k=rng.randint(1, 8)) for _ in range(2)]
    prompt = [token for _ in range(rng.randint(1, 5)) for token in rng.choice(runs)]
    sampling = Sampling(
        max_tokens=rng.randint(1, 60),
        min_tokens=rng.choice([0, 0, 5]),
        temperature=rng.choice([0.0, 0.3, 0.7, 1.0]),
        top_p=rng.choice([1.0, 0.9]),
        top_k=rng.choice([0, 5]),
        repetition_penalty=rng.choice([1.0, 1.0, 1.1]),
        frequency_penalty=rng.choice([0.0, 0.0, 0.2]),
        seed=rng.randrange(1000),
        stop=rng.choice([(), (), ("e",)]),
        stop_token_ids=rng.choice([(), (44, 45)]),
        ignore_eos=rng.random() < 0.5,
        logprobs=rng.choice([None, None, 1]),
    )
    return replace(
        request(name, prompt, sampling, n=rng.choice([1, 1, 1, 3])),
        grammar=rng.choice([None, None, rng.choice(CORPUS)]),
        tenant=rng.choice(["", "other"]),
        priority=rng.choice([0, 0, 1]),
        stream_every=rng.choice([0, 1, 4]),
    )


async def outcome(engine: Engine, asked: Request) -> list[Completion] | str:
    """What a request gets, but for how much of it was cached; or its error."""
    try:
        return [replace(one, num_cached_tokens=0) for one in await collect(engine, asked)]
    except EngineError as error:
        return str(error)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_any_mixture_gets_what_each_would_get_alone(seed: int) -> None:
    rng = random.Random(seed)
    asked = [random_request(rng, f"{number}") for number in range(30)]
    async with echoing(ROOMY) as engine:
        wanted = [await outcome(engine, one) for one in asked]
    async with echoing(TIGHT) as engine:
        found = await asyncio.gather(*(outcome(engine, one) for one in asked))
        stats = engine.stats()
    for one, ours, theirs in zip(asked, found, wanted, strict=True):
        assert ours == theirs, one
    assert sum(isinstance(one, list) for one in wanted) > 15
    assert 0 < stats.num_accepted_tokens < stats.num_guessed_tokens
    assert stats.num_preemptions > 0


@pytest.mark.slow
async def test_sampled_tokens_have_the_models_distribution(tiny_checkpoint: Path) -> None:
    """The third token of many branches against the exact distribution, by Pearson's chi-square."""
    allowed, num_branches, num_requests = [40, 41, 42], 256, 12
    prompt = [40, 41, 42, 40, 42, 41] * 4
    sampling = Sampling(
        max_tokens=3, logit_bias=dict.fromkeys(allowed, 100.0), temperature=1.0, ignore_eos=True
    )
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32)
    chances: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(3):
        longer: dict[tuple[int, ...], float] = {}
        for path, chance in chances.items():
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([[*prompt, *path]])).logits[0, -1]
            shares: list[float] = logits[allowed].softmax(-1).tolist()
            for token_id, share in zip(allowed, shares, strict=True):
                longer[*path, token_id] = chance * share
        chances = longer
    config = EngineConfig(kv_bytes=8 << 20, max_running=256, is_deterministic=True)
    counts: Counter[tuple[int, ...]] = Counter()
    async with guessing(tiny_checkpoint, config) as engine:
        for number in range(num_requests):
            asked = request(f"{number}", prompt, replace(sampling, seed=number), n=num_branches)
            counts.update(one.token_ids for one in await collect(engine, asked))
        assert engine.stats().num_accepted_tokens > 500
    num_drawn = num_branches * num_requests
    statistic = sum(
        (counts[path] - num_drawn * chance) ** 2 / (num_drawn * chance)
        for path, chance in chances.items()
    )
    # 26 degrees of freedom: a fair sampler exceeds this once in a thousand seeds.
    assert statistic < 54.1
