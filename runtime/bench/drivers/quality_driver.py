"""What 8 bits change in a model: its logits, the memory it takes, and how fast it reads a long
context.

Shapes: S sequences, T tokens, R positions, V vocabulary.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch

from weft.cache.kv_store import KVStore
from weft.programs.message import Message, Role
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.config import KVDTypeName, WeightsName
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


class _Scene(NamedTuple):
    runner: ModelRunner
    kv: KVStore
    batch: PackedBatch


class _Decoding:
    """One model over several memories, each full of random keys and values."""

    def __init__(self) -> None:
        self._scenes: dict[KVDTypeName, _Scene] = {}

    def prepare(
        self, *, model: str, kv_dtype: KVDTypeName, context: int, batch: int, seed: int
    ) -> float:
        """Load the model and fill a memory for so many sequences; the bytes of a token in it."""
        runner = ModelRunner.load(model, device="cpu", kv_dtype=kv_dtype)
        num_blocks = 1 + batch * -(-context // BLOCK_SIZE)
        kv = KVStore(num_blocks, BLOCK_SIZE, runner.layers, runner.kv_dtype, runner.device)
        generator = torch.Generator().manual_seed(seed)
        for layer in range(kv.num_layers):
            size = kv.layer(layer).keys_NHD.shape
            k, v = (torch.randn(size, generator=generator) for _ in range(2))
            kv.write(layer, torch.arange(size[0]), k, v)
        self._scenes[kv_dtype] = _Scene(runner, kv, _last_tokens(context, batch))
        return kv.size_bytes / (num_blocks * BLOCK_SIZE)

    def step(self, *, kv_dtype: KVDTypeName, times: int) -> float:
        """Seconds of one forward that decodes a token of every sequence: the median."""
        runner, kv, batch = self._scenes[kv_dtype]
        seconds: list[float] = []
        for _ in range(times):
            started = time.perf_counter()
            runner.forward(batch, kv)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)


def divergence(
    *,
    model: str,
    changes: dict[str, dict[str, str]],
    dialogues: list[list[dict[str, str]]],
    num_tokens: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """How far logits with such weights and such a memory are from those of the model as it is
    stored, at the positions where that one greedily answers ``dialogues`` (messages with role and
    content). By the names of ``changes``, which hold ``weights`` and ``kv_dtype``:

    ``kl`` is the mean Kullback-Leibler divergence in nats, ``kl_p99`` its 99th percentile,
    ``logit_max_abs`` the largest difference of two logits, ``agreement`` the share of positions
    where both have the same first choice.
    """
    sequences = asyncio.run(_answer(model, dialogues, num_tokens, seed))

    def logits(weights: WeightsName, kv_dtype: KVDTypeName) -> torch.Tensor:
        runner = ModelRunner.load(model, device="cpu", weights=weights, kv_dtype=kv_dtype)
        return torch.cat([_logits(runner, *sequence) for sequence in sequences])

    stored_RV = logits("stored", "auto")
    return {
        name: _compare(
            stored_RV,
            logits(cast(WeightsName, each["weights"]), cast(KVDTypeName, each["kv_dtype"])),
        )
        for name, each in changes.items()
    }


def _compare(stored_RV: torch.Tensor, int8_RV: torch.Tensor) -> dict[str, float]:
    # In float64: differences of float32 would hide divergences that are this small.
    wanted_RV, got_RV = stored_RV.double().log_softmax(1), int8_RV.double().log_softmax(1)
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
    kv = KVStore(1 + num_blocks, BLOCK_SIZE, runner.layers, runner.kv_dtype, runner.device)
    return runner.forward(batch, kv)


def _last_tokens(context: int, batch: int) -> PackedBatch:
    """The last token of every sequence; their blocks lie one after the other."""
    num_blocks = -(-context // BLOCK_SIZE)
    tables_SB = 1 + np.arange(batch * num_blocks, dtype=np.int32).reshape(batch, num_blocks)
    return PackedBatch(
        token_ids_T=np.arange(batch),
        positions_T=np.full(batch, context - 1),
        slots_T=tables_SB[:, 0].astype(np.int64) * BLOCK_SIZE + context - 1,
        query_lens_S=np.ones(batch, np.int32),
        context_lens_S=np.full(batch, context, np.int32),
        block_tables_SB=tables_SB,
        logit_rows_R=np.arange(batch),
    )


def open_driver() -> Mapping[str, Callable[..., object]]:
    decoding = _Decoding()
    return {
        "resident": resident,
        "divergence": divergence,
        "prepare": decoding.prepare,
        "step": decoding.step,
    }
