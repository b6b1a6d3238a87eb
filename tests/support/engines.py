"""Opening tiny engines and reading what they answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from weft.programs.request import Completion, Delta, FinishReason, Request, TokenLogprob
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig, open_engine
from weft.runtime.engine.embedded import EmbeddedEngine
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.tokenizer import ChatTokenizer

__all__ = ["collect", "greedy", "guessing", "opened", "request"]


@asynccontextmanager
async def opened(folder: Path, config: EngineConfig | None = None) -> AsyncGenerator[Engine]:
    """An engine on a checkpoint, closed at the end."""
    engine = await open_engine(str(folder), config=config)
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def guessing(folder: Path, config: EngineConfig) -> AsyncGenerator[Engine]:
    """An engine that guesses ahead wherever it can: by its clock that never takes time."""
    runner = ModelRunner.load(
        folder,
        dtype=config.dtype,
        deterministic=config.is_deterministic,
        kv_dtype=config.kv_dtype,
    )
    tokenizer = ChatTokenizer.load(folder)
    engine = EmbeddedEngine(runner, tokenizer, config, name="guessing", clock=lambda: 0.0)
    try:
        yield engine
    finally:
        await engine.close()


def greedy(max_tokens: int) -> Sampling:
    return Sampling(temperature=0.0, max_tokens=max_tokens, ignore_eos=True)


def request(name: str, prompt: Sequence[int], sampling: Sampling, *, n: int = 1) -> Request:
    return Request(request_id=name, prompt=tuple(prompt), sampling=sampling, n=n)


async def collect(engine: Engine, asked: Request) -> list[Completion]:
    """Everything the engine streams for one Request, summed per sequence."""
    parts: dict[int, list[Delta]] = {index: [] for index in range(asked.n)}
    async for delta in engine.submit(asked):
        parts[delta.index].append(delta)
    return [_sum(index, deltas) for index, deltas in parts.items()]


def _sum(index: int, deltas: Sequence[Delta]) -> Completion:
    reason: FinishReason | None = deltas[-1].finish_reason
    assert reason is not None
    assert all(delta.finish_reason is None for delta in deltas[:-1])
    token_ids: list[int] = []
    logprobs: list[TokenLogprob] = []
    for delta in deltas:
        token_ids += delta.token_ids
        logprobs += delta.logprobs
    return Completion(
        index=index,
        text="".join(delta.text for delta in deltas),
        token_ids=tuple(token_ids),
        logprobs=tuple(logprobs),
        finish_reason=reason,
        num_prompt_tokens=deltas[-1].num_prompt_tokens,
        num_cached_tokens=deltas[-1].num_cached_tokens,
    )
