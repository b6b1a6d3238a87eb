"""Attention of one model's forwards through the kernels.

Shapes: H query heads, K key-value heads, D head dimension.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from weft.cache.kv_store import KVShape, KVStore
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.cuda.attention import KernelAttention
from weft.runtime.engine.cuda.launch import Kernels, load_kernels
from weft.runtime.engine.cuda.planner import Planned, Planner, planner_for
from weft.runtime.engine.cuda.tiling import HeadShape
from weft.runtime.engine.cuda.views import views_of
from weft.runtime.engine.native import KernelsMissing

__all__ = ["KernelPath", "open_kernels"]


class KernelPath(NamedTuple):
    """What computes attention for one model on one device."""

    kernels: Kernels
    planner: Planner
    device: torch.device

    def plan(self, batch: PackedBatch, kv: KVStore) -> Planned:
        return self.planner.plan(views_of(batch), kv.block_size, shares=batch.shares_prefixes)

    def attention(self, batch: PackedBatch, kv: KVStore) -> KernelAttention:
        """For one forward of this batch."""
        launch = self.planner.launch(self.plan(batch, kv), kv.block_size, self.device)
        slots_T = torch.from_numpy(batch.slots_T).to(self.device)
        return KernelAttention(self.kernels, launch, kv, slots_T)


def open_kernels(
    heads: HeadShape, dtype: torch.dtype, device: torch.device, *, is_deterministic: bool
) -> KernelPath:
    """Compiles the kernels for the device and tries them. ``dtype``: of the KV memory.

    ``is_deterministic``: one height of tile for everything. Raises: KernelsMissing.
    """
    planner = planner_for(heads, dtype, device, is_deterministic=is_deterministic)
    path = KernelPath(load_kernels(), planner, device)
    try:
        _try_out(path, heads, dtype)
    # Triton raises what its compiler, the C compiler and the driver raise: no common ground.
    except Exception as error:
        raise KernelsMissing(f"Triton cannot compile them here: {error}") from error
    return path


def _try_out(path: KernelPath, heads: HeadShape, dtype: torch.dtype) -> None:
    shape = KVShape(num_kv_heads=heads.num_kv_heads, head_dim=heads.head_dim)
    kv = KVStore(1, 1, [shape], dtype, path.device)
    zero_T = np.zeros(1, np.int64)
    one_S = np.ones(1, np.int32)
    batch = PackedBatch(
        token_ids_T=zero_T,
        positions_T=zero_T,
        slots_T=zero_T,
        query_lens_S=one_S,
        context_lens_S=one_S,
        block_tables_SB=np.zeros((1, 1), np.int32),
        logit_rows_R=zero_T,
    )
    x_TKD = torch.zeros(1, heads.num_kv_heads, heads.head_dim, dtype=dtype, device=path.device)
    q_THD = x_TKD.repeat_interleave(heads.group, 1)
    path.attention(batch, kv).attend(0, q_THD, x_TKD, x_TKD, scale=1.0)
