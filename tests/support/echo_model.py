"""A model made of arithmetic that likes to repeat itself and reads its context from the cache.

What it wants next depends on every token it can see, as the cache holds them: one stale, missing
or misplaced entry and it says something else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast
from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch

from tests.support.tiny import build_tokenizer
from weft.cache.kv_store import KVShape, KVStore
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.embedded import EmbeddedEngine
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.tokenizer import ChatTokenizer

__all__ = ["BAD_TOKEN", "BLOCK_BYTES", "EchoRunner", "echoing"]

BAD_TOKEN = 7
"""After it the model gives no numbers."""
BLOCK_BYTES = 2 * 4 * 16
"""Key and value, float32, tokens of one block."""


class EchoRunner:
    """As much of a ModelRunner as an engine needs."""

    vocab_size = 390
    max_context = 512
    kv_dtype = torch.float32
    device = torch.device("cpu")
    layers = (KVShape(num_kv_heads=1, head_dim=1),)
    is_deterministic = True
    sees_branches = False
    info = SimpleNamespace(eos_ids=(2,))

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        memory = kv.layer(0).keys_NHD.numpy()[:, 0, 0]
        memory[batch.slots_T] = batch.token_ids_T
        seen = list(self._seen(batch, kv.block_size))
        rows = [self._logits(memory[seen[row]].astype(np.int64)) for row in batch.logit_rows_R]
        return torch.from_numpy(np.array(rows, np.float32).reshape(-1, self.vocab_size))

    def _seen(self, batch: PackedBatch, block_size: int) -> Iterator[npt.NDArray[np.int64]]:
        """The slots that each packed token sees, in order."""
        token = 0
        for table, num_tokens in zip(batch.block_tables_SB, batch.query_lens_S, strict=True):
            for _ in range(num_tokens):
                places = np.array(_places(batch, token), np.int64)
                yield (
                    table[places // block_size].astype(np.int64) * block_size + places % block_size
                )
                token += 1

    def _logits(self, context: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Noise that the context decides, and a liking for what followed the last token before."""
        logits = np.random.default_rng(crc32(context.tobytes())).standard_normal(
            self.vocab_size, np.float32
        )
        before = np.flatnonzero(context[:-1] == context[-1])
        for strength, place in zip((5.0, 4.0, 3.0), before[::-1], strict=False):
            logits[context[place + 1]] += strength
        return logits if context[-1] != BAD_TOKEN else np.full_like(logits, np.nan)


def _places(batch: PackedBatch, token: int) -> list[int]:
    """The places in its sequence that a packed token sees."""
    position = int(batch.positions_T[token])
    if batch.tree_bases_T is None or batch.tree_masks_T is None:
        return list(range(position + 1))
    base, mask = int(batch.tree_bases_T[token]), int(batch.tree_masks_T[token])
    places = [*range(base), *(base + bit for bit in range(64) if mask >> bit & 1)]
    assert len(places) == position + 1
    return places


@asynccontextmanager
async def echoing(
    config: EngineConfig, *, clock: Callable[[], float] = lambda: 0.0
) -> AsyncGenerator[Engine]:
    """An engine on the model, closed at the end. Unless speculation is off it guesses wherever it
    can, by a clock that stands still."""
    runner = cast(ModelRunner, EchoRunner())
    tokenizer = ChatTokenizer(build_tokenizer())
    engine = EmbeddedEngine(runner, tokenizer, config, name="echo", clock=clock)
    try:
        yield engine
    finally:
        await engine.close()
