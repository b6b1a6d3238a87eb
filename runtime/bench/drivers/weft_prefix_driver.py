"""Decode steps of sequences that share a prefix, on weft's native path without the engine around
it: memory holds random keys and values, so that nothing need be prefilled.

Shapes: S sequences, B blocks in a table.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from weft.cache.kv_store import KVStore
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.model import ModelRunner

__all__ = ["open_driver"]

BLOCK_SIZE = 16
OWN_TOKENS = 32
"""What each sequence has of its own after the prefix."""
MATRIX_ROWS, MATRIX_WIDTH = 256, 1024


class _Scene(NamedTuple):
    kv: KVStore
    tables_SB: npt.NDArray[np.int32]


class _Prefix:
    """One model and, by length of the prefix, a memory."""

    def __init__(self) -> None:
        self._runner: ModelRunner | None = None
        self._scenes: dict[int, _Scene] = {}

    def load(self, *, model: str) -> str:
        """Load the model; the name of its path."""
        self._runner = ModelRunner.load(model, device="cpu")
        return self._runner.path

    def prepare(self, *, prefix: int, batch: int, seed: int) -> int:
        """A memory for so many sequences over a prefix; the bytes of one token in it."""
        runner = self._loaded()
        num_shared, num_own = prefix // BLOCK_SIZE, OWN_TOKENS // BLOCK_SIZE
        num_blocks = 1 + num_shared + batch * num_own
        kv = KVStore(num_blocks, BLOCK_SIZE, runner.layers, runner.dtype, runner.device)
        generator = torch.Generator().manual_seed(seed)
        for layer in map(kv.layer, range(kv.num_layers)):
            layer.keys_NHD.normal_(generator=generator)
            layer.values_NHD.normal_(generator=generator)
        shared_SB = np.broadcast_to(1 + np.arange(num_shared), (batch, num_shared))
        own_SB = 1 + num_shared + np.arange(batch * num_own).reshape(batch, num_own)
        tables_SB = np.concatenate([shared_SB, own_SB], axis=1).astype(np.int32)
        self._scenes[prefix] = _Scene(kv, tables_SB)
        return kv.size_bytes // (num_blocks * BLOCK_SIZE)

    def step(self, *, prefix: int, shares: bool, times: int) -> float:
        """Seconds of one forward that decodes a token of every sequence: the median."""
        runner, scene = self._loaded(), self._scenes[prefix]
        batch = _decode(scene.tables_SB, shares)
        return _median_time(lambda: runner.forward(batch, scene.kv), times)

    def matrix_rate(self) -> float:
        """Operations per second of torch's own float32 product of matrices: what the machine
        gives at best."""
        x = torch.ones(MATRIX_ROWS, MATRIX_WIDTH)
        weight = torch.ones(MATRIX_WIDTH, MATRIX_WIDTH)
        seconds = _median_time(lambda: x @ weight, 20)
        return 2 * MATRIX_ROWS * MATRIX_WIDTH**2 / seconds

    def _loaded(self) -> ModelRunner:
        assert self._runner is not None, "load comes first"
        return self._runner


def _decode(tables_SB: npt.NDArray[np.int32], shares: bool) -> PackedBatch:
    num_sequences = len(tables_SB)
    position = len(tables_SB[0]) * BLOCK_SIZE - 1
    return PackedBatch(
        token_ids_T=np.arange(num_sequences),
        positions_T=np.full(num_sequences, position),
        slots_T=tables_SB[:, -1].astype(np.int64) * BLOCK_SIZE + BLOCK_SIZE - 1,
        query_lens_S=np.ones(num_sequences, np.int32),
        context_lens_S=np.full(num_sequences, position + 1, np.int32),
        block_tables_SB=tables_SB,
        logit_rows_R=np.arange(num_sequences),
        shares_prefixes=shares,
    )


def _median_time(work: Callable[[], object], times: int) -> float:
    seconds: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def open_driver() -> Mapping[str, Callable[..., object]]:
    prefix = _Prefix()
    return {
        "load": prefix.load,
        "prepare": prefix.prepare,
        "step": prefix.step,
        "matrix_rate": prefix.matrix_rate,
    }
