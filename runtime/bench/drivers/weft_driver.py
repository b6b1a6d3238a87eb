"""weft's embedded engine through the public Engine protocol, Deltas consumed as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch

from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig, open_engine
from weft.runtime.engine.config import WeightsName
from weft.runtime.engine.embedded import EmbeddedEngine
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.tokenizer import ChatTokenizer

__all__ = ["open_driver"]

Mode = Literal["default", "torch", "torch-deterministic"]

GPU_KV_BYTES = 8 << 30
"""Of a GPU, more than the benches fill: the peers have theirs beside it."""


class _Weft:
    """One engine on an event loop of its own; ``load`` it before anything else."""

    def __init__(self, weights: WeightsName, mode: Mode) -> None:
        self._weights: WeightsName = weights
        self._mode: Mode = mode
        self._runner = asyncio.Runner()
        self._engine: Engine | None = None
        self._num_requests = 0

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
            self._engine = self._runner.run(open_engine(model, config=config, seed=seed))
        else:
            self._engine = _open_on_torch(model, config, seed)
        return ""

    def generate(self, *, prompts: list[list[int]], num_tokens: int) -> float:
        """Seconds for greedy continuations of ``num_tokens`` each, one Request per prompt."""
        sampling = Sampling(temperature=0.0, max_tokens=num_tokens, ignore_eos=True)
        requests = [self._request(prompt, sampling) for prompt in prompts]
        return self._runner.run(self._serve(requests, num_tokens))

    def _request(self, prompt: list[int], sampling: Sampling) -> Request:
        self._num_requests += 1
        name = f"bench-{self._num_requests}"
        return Request(request_id=name, prompt=tuple(prompt), sampling=sampling)

    async def _serve(self, requests: list[Request], num_tokens: int) -> float:
        started = time.perf_counter()
        lengths = set(await asyncio.gather(*map(self._consume, requests)))
        seconds = time.perf_counter() - started
        if lengths != {num_tokens}:
            raise RuntimeError(f"wanted {num_tokens} tokens, got {sorted(lengths)}")
        return seconds

    async def _consume(self, request: Request) -> int:
        assert self._engine is not None, "load comes first"
        num_tokens = 0
        async for delta in self._engine.submit(request):
            num_tokens += len(delta.token_ids)
        return num_tokens

    def close(self) -> None:
        if self._engine is not None:
            self._runner.run(self._engine.close())
        self._runner.close()


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
