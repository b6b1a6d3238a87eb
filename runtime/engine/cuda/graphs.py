"""Decodes recorded once and replayed: one call instead of some hundred launches.

Shapes: T packed tokens, S sequences of one token each, C model width.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import torch

from weft.cache.kv_store import KVStore
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.cuda.attention import KernelAttention
from weft.runtime.engine.cuda.path import KernelPath
from weft.runtime.engine.cuda.planner import Planned

__all__ = ["Body", "Capture", "DecodeGraphs", "Recording", "bucket_of"]

log = logging.getLogger(__name__)

MAX_SEQUENCES = 256
MAX_PLAN = 1 << 20
"""Integers of a plan: 256 sequences of 32,000 tokens in blocks of 16 take 600,000."""

Body: TypeAlias = Callable[[torch.Tensor, torch.Tensor, KernelAttention], torch.Tensor]
"""From token ids and positions, int64 on the device, to hidden states [T, C]."""


class Recording(NamedTuple):
    """What replaying writes, and how to replay."""

    out: torch.Tensor
    replay: Callable[[], None]


class Capture(Protocol):
    """Records what a function does on the device; see ``CudaCapture``."""

    def record(self, compute: Callable[[], torch.Tensor]) -> Recording:
        """``compute`` may run any number of times; it reads and writes the same memory always."""
        ...


def bucket_of(batch: PackedBatch) -> int | None:
    """How many sequences a batch of plain decodes is padded to; None: it is none, or too large.

    Powers of two up to 8, then multiples of 8: at most 7 padded rows, of products whose smallest
    tile has 8 or 16.
    """
    num_sequences = len(batch.query_lens_S)
    is_decode = num_sequences == len(batch.token_ids_T) and not batch.is_tree_S.any()
    if not is_decode or num_sequences > MAX_SEQUENCES:
        return None
    if num_sequences <= 8:
        return 1 << (num_sequences - 1).bit_length()
    return -(-num_sequences // 8) * 8


class Inputs:
    """The memory that recordings read: tokens, positions, slots and the plan of a Tick."""

    def __init__(self, device: torch.device) -> None:
        self._ids_3S = torch.zeros(3, MAX_SEQUENCES, dtype=torch.int64, device=device)
        self.plan = torch.zeros(MAX_PLAN, dtype=torch.int32, device=device)

    def ids(self, num_sequences: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Views of the first token ids, positions and slots."""
        tokens_S, positions_S, slots_S = self._ids_3S[:, :num_sequences]
        return tokens_S, positions_S, slots_S

    def fill(self, batch: PackedBatch, planned: Planned) -> None:
        """Copies from pageable memory: it is free to change as soon as this returns."""
        ids_3S = np.stack((batch.token_ids_T, batch.positions_T, batch.slots_T))
        self._ids_3S[:, : ids_3S.shape[1]].copy_(torch.from_numpy(ids_3S))
        self.plan[: len(planned.ints)].copy_(torch.from_numpy(planned.ints))


class DecodeGraphs:
    """Records a model's decode for a number of sequences at its first use.

    Everything a Tick changes is copied into the same memory before a replay. Recordings belong to
    one KVStore; another one starts them anew. Where recording fails, decodes run as everything
    else does, and a warning says so.
    """

    def __init__(self, body: Body, path: KernelPath, capture: Capture) -> None:
        self._body = body
        self._path = path
        self._capture: Capture | None = capture
        self._inputs = Inputs(path.device)
        self._kv: KVStore | None = None
        self._recordings: dict[tuple[int, int], Recording] = {}

    def run(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor | None:
        """Hidden states [S, C] of decodes padded to a bucket, valid until the next call, after
        writing their keys and values into ``kv``. None: these are not to be had this way."""
        if self._capture is None:
            return None
        planned = self._path.plan(batch, kv)
        if len(planned.ints) > MAX_PLAN:
            return None
        if kv is not self._kv:
            self._recordings.clear()
            self._kv = kv
        self._inputs.fill(batch, planned)
        recording = self._recording(planned, kv, self._capture)
        if recording is None:
            return None
        recording.replay()
        return recording.out

    def _recording(self, planned: Planned, kv: KVStore, capture: Capture) -> Recording | None:
        key = (planned.num_queries, planned.tiling.rows)
        if key not in self._recordings:
            try:
                self._recordings[key] = capture.record(self._compute(planned, kv))
            # What cannot be recorded fails in the driver, in torch or in Triton, each in its way.
            except Exception as error:
                log.warning(
                    "Decodes are not recorded as CUDA graphs, because %s. They run kernel by"
                    " kernel, slower.",
                    error,
                )
                self._capture = None
        return self._recordings.get(key)

    def _compute(self, planned: Planned, kv: KVStore) -> Callable[[], torch.Tensor]:
        tokens_S, positions_S, slots_S = self._inputs.ids(planned.num_queries)
        planner = self._path.planner
        launch = planner.standing_launch(planned, kv.block_size, self._inputs.plan)
        attention = KernelAttention(self._path.kernels, launch, kv, slots_S)
        return lambda: self._body(tokens_S, positions_S, attention)
