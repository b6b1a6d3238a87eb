"""weft's embedded engine on an event loop of its own, for drivers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from weft.programs.past import Past
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig, open_engine

__all__ = ["OwnEngine"]

T = TypeVar("T")


class OwnEngine:
    """One engine, used through the public protocol, Deltas consumed as they come. ``open`` it, or
    ``take`` one, before anything else; ``close`` it in the end."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._engine: Engine | None = None
        self._num_requests = 0

    def open(self, model: str, config: EngineConfig, seed: int) -> None:
        """Open the engine as programs do."""
        self.take(self._runner.run(open_engine(model, config=config, seed=seed)))

    def take(self, engine: Engine) -> None:
        """Use, and close, an engine that is open."""
        self._engine = engine

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "load comes first"
        return self._engine

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` gives on the engine's loop."""
        return self._runner.run(work)

    def request(self, prompt: Sequence[int], num_tokens: int, past: Past | None = None) -> Request:
        """Exactly so many greedy tokens behind a prompt."""
        self._num_requests += 1
        return Request(
            request_id=f"bench-{self._num_requests}",
            prompt=tuple(prompt),
            past=past,
            sampling=Sampling(temperature=0.0, max_tokens=num_tokens, ignore_eos=True),
        )

    async def generate(self, request: Request) -> list[int]:
        """The tokens of a ``request``. Raises RuntimeError when there are others than asked for."""
        tokens: list[int] = []
        async for delta in self.engine.submit(request):
            tokens += delta.token_ids
        wanted = request.sampling.max_tokens
        if len(tokens) != wanted:
            raise RuntimeError(f"wanted {wanted} tokens, got {len(tokens)}")
        return tokens

    def close(self) -> None:
        if self._engine is not None:
            self._runner.run(self._engine.close())
        self._runner.close()
