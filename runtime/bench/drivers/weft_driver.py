"""weft's embedded engine through the public Engine protocol, Deltas consumed as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch

from weft.programs.request import Request
from weft.runtime.bench.drivers.own_engine import OwnEngine
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.engine.config import WeightsName
from weft.runtime.engine.embedded import EmbeddedEngine
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.tokenizer import ChatTokenizer

__all__ = ["open_driver"]

Mode = Literal["default", "torch", "torch-deterministic"]

GPU_KV_BYTES = 8 << 30
"""Of a GPU, more than the benches fill: the peers have theirs beside it."""


class _Weft:
    """``load`` it before anything else."""

    def __init__(self, weights: WeightsName, mode: Mode) -> None:
        self._weights: WeightsName = weights
        self._mode: Mode = mode
        self._own = OwnEngine()

    def load(
        self,
        *,
        model: str,
        dtype: Literal["auto", "float32", "bfloat16"],
        max_context: int,
        max_batch: int,
        seed: int,
    ) -> str:
        """Open the engine as it comes; the bench's limits need no setting. No version: the
        report's commit says it. Without guesses: after random prompts models go round in
        circles, which would flatter them."""
        config = EngineConfig(
            dtype=dtype,
            weights=self._weights,
            is_deterministic=self._mode == "torch-deterministic",
            speculation="off",
            kv_bytes=GPU_KV_BYTES if torch.cuda.is_available() else None,
        )
        if self._mode == "default":
            self._own.open(model, config, seed)
        else:
            self._own.take(_open_on_torch(model, config, seed))
        return ""

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds for greedy continuations of ``num_tokens`` each, one Request per prompt."""
        requests = [self._own.request(prompt, num_tokens) for prompt in prompts]
        return self._own.run(self._serve(requests))

    async def _serve(self, requests: list[Request]) -> float:
        started = time.perf_counter()
        await asyncio.gather(*map(self._own.generate, requests))
        return time.perf_counter() - started

    def close(self) -> None:
        self._own.close()


def _open_on_torch(model: str, config: EngineConfig, seed: int) -> Engine:
    """As ``open_engine`` does where weft's own kernels do not serve a model."""
    runner = ModelRunner.load(
        model,
        dtype=config.dtype,
        device=config.device,
        deterministic=config.is_deterministic,
        path="fused",
    )
    return EmbeddedEngine(runner, ChatTokenizer.load(Path(model)), config, name=model, seed=seed)


def open_driver(
    weights: WeightsName = "stored", mode: Mode = "default"
) -> Mapping[str, Callable[..., object]]:
    """``mode``: the engine as it comes, or on torch even where weft's own kernels would serve."""
    engine = _Weft(weights, mode)
    return {"load": engine.load, "generate": engine.generate, "close": engine.close}
