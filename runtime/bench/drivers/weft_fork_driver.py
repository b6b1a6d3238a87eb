"""A fork and its join on weft's embedded engine, in one of three ways: see ``bench_forks``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Literal

from weft.programs.past import Past, Segment
from weft.runtime.bench.drivers.own_engine import OwnEngine
from weft.runtime.engine import EngineConfig

__all__ = ["open_driver"]

Way = Literal["shared", "text", "separate"]
Tokens = Sequence[int]

KV_BYTES = 5 << 28
"""More than 8 contexts of the bench that share nothing, in float32."""


class _Weft:
    """``load`` it before anything else."""

    def __init__(self, way: Way) -> None:
        self._way: Way = way
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
        """Open the engine on the processor. No version: the report's commit says it. Without
        guesses: after random prompts models go round in circles, which would flatter it."""
        config = EngineConfig(
            dtype=dtype,
            device="cpu",
            kv_bytes=KV_BYTES,
            has_prefix_cache=self._way != "separate",
            speculation="off",
        )
        self._own.open(model, config, seed)
        return ""

    def sees_branches(self) -> bool:
        """Whether the model's path can join branches by their keys and values."""
        return self._own.engine.capabilities.sees_branches

    def fork(
        self, *, context: Tokens, heads: Sequence[Tokens], join_head: Tokens, num_tokens: int
    ) -> dict[str, object]:
        """Seconds until the last branch has ended and seconds of the join, ``num_tokens`` greedy
        ones each; what the branches and then the join said."""
        return self._own.run(self._fork(context, heads, join_head, num_tokens))

    async def _fork(
        self, context: Tokens, heads: Sequence[Tokens], join_head: Tokens, num_tokens: int
    ) -> dict[str, object]:
        own, started = self._own, time.perf_counter()
        requests = [own.request((*context, *head), num_tokens) for head in heads]
        said = await asyncio.gather(*map(own.generate, requests))
        branched = time.perf_counter()
        branches = [(*head, *tokens) for head, tokens in zip(heads, said, strict=True)]
        if self._way == "shared":
            request = own.request(join_head, num_tokens, _past(context, branches))
        else:
            prompt = (*context, *chain.from_iterable(branches), *join_head)
            request = own.request(prompt, num_tokens)
        joined = await own.generate(request)
        join_s = time.perf_counter() - branched
        return {"branches_s": branched - started, "join_s": join_s, "tokens": [*said, joined]}

    def close(self) -> None:
        self._own.close()


def _past(context: Tokens, branches: Sequence[Tokens]) -> Past:
    """All branches seen together, at the positions that they were written at."""
    behind = (Segment(tokens=tuple(tokens), parents=(0,)) for tokens in branches)
    return Past(
        segments=(Segment(tokens=tuple(context)), *behind),
        parents=tuple(range(1, 1 + len(branches))),
        placing="shared",
    )


def open_driver(way: Way) -> Mapping[str, Callable[..., object]]:
    weft = _Weft(way)
    return {
        "load": weft.load,
        "sees_branches": weft.sees_branches,
        "fork": weft.fork,
        "close": weft.close,
    }
