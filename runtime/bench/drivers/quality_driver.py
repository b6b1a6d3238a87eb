"""What 8-bit weights change in a model: its logits, and the memory it takes.

Shapes: T tokens, R positions, V vocabulary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch

from weft.cache.kv_store import KVStore
from weft.programs.message import Message, Role
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.config import WeightsName
from weft.runtime.engine.model import ModelRunner
from weft.runtime.machine import resident_bytes

__all__ = ["open_driver"]

BLOCK_SIZE = 16


def resident(*, model: str, weights: WeightsName) -> float:
    """Bytes that loading the model adds; once per process."""
    # What torch needs for any product at all is none of the model's.
    torch.mm(torch.ones(256, 256), torch.ones(256, 256))
    before = resident_bytes()
    runner = ModelRunner.load(model, device="cpu", weights=weights)
    taken = resident_bytes() - before
    del runner
    return float(taken)


def divergence(
    *, model: str, dialogues: list[list[dict[str, str]]], num_tokens: int, seed: int
) -> dict[str, float]:
    """How far logits with 8-bit weights are from those with stored ones, at the positions where
    the model, as stored, greedily answers ``dialogues`` (messages with role and content).

    ``kl`` is the mean Kullback-Leibler divergence in nats, ``kl_p99`` its 99th percentile,
    ``logit_max_abs`` the largest difference of two logits, ``agreement`` the share of positions
    where both have the same first choice.
    """
    sequences = asyncio.run(_answer(model, dialogues, num_tokens, seed))
    stored_RV, int8_RV = (
        torch.cat([_logits(runner, *sequence) for sequence in sequences])
        for runner in (
            ModelRunner.load(model, device="cpu"),
            ModelRunner.load(model, device="cpu", weights="int8"),
        )
    )
    wanted_RV, got_RV = stored_RV.log_softmax(1), int8_RV.log_softmax(1)
    kl_R = (wanted_RV.exp() * (wanted_RV - got_RV)).sum(1)
    return {
        "kl": float(kl_R.mean()),
        "kl_p99": float(kl_R.quantile(0.99)),
        "logit_max_abs": float((stored_RV - int8_RV).abs().max()),
        "agreement": float((stored_RV.argmax(1) == int8_RV.argmax(1)).float().mean()),
    }


async def _answer(
    model: str, dialogues: Sequence[Sequence[Mapping[str, str]]], num_tokens: int, seed: int
) -> list[tuple[list[int], int]]:
    """The dialogues as tokens, each with its answer, and how long that is."""
    engine = await open_engine(model, config=EngineConfig(device="cpu"), seed=seed)
    sampling = Sampling(temperature=0.0, max_tokens=num_tokens)

    async def one(number: int, dialogue: Sequence[Mapping[str, str]]) -> tuple[list[int], int]:
        messages = [Message(role=cast(Role, m["role"]), content=m["content"]) for m in dialogue]
        prompt = engine.render(messages)
        request = Request(request_id=f"text-{number}", prompt=prompt, sampling=sampling)
        answer = [token async for delta in engine.submit(request) for token in delta.token_ids]
        return [*prompt, *answer], len(answer)

    try:
        return await asyncio.gather(*[one(number, each) for number, each in enumerate(dialogues)])
    finally:
        await engine.close()


def _logits(runner: ModelRunner, tokens: Sequence[int], num_last: int) -> torch.Tensor:
    """[R, V] from which the last ``num_last`` tokens were chosen, computed in one piece."""
    length = len(tokens) - 1
    num_blocks = -(-length // BLOCK_SIZE)
    places = np.arange(length)
    batch = PackedBatch(
        token_ids_T=np.array(tokens[:-1], np.int64),
        positions_T=places,
        slots_T=places + BLOCK_SIZE,
        query_lens_S=np.array([length], np.int32),
        context_lens_S=np.array([length], np.int32),
        block_tables_SB=1 + np.arange(num_blocks, dtype=np.int32)[None],
        logit_rows_R=places[-num_last:],
    )
    kv = KVStore(1 + num_blocks, BLOCK_SIZE, runner.layers, runner.dtype, runner.device)
    return runner.forward(batch, kv)


def open_driver() -> Mapping[str, Callable[..., object]]:
    return {"resident": resident, "divergence": divergence}
