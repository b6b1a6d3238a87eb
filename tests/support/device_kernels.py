"""The kernels for CUDA where tests run: on a GPU, or in Triton's interpreter on the processor.

Shapes: T packed tokens, N slots, H query heads, K key-value heads, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch

from tests.support.views import SCALE, Scene
from tests.unit.runtime.engine.model.cases import Packer, random_sequences
from weft.cache.kv_store import KVShape, KVStore, LayerKV
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.cuda import (
    HeadShape,
    KernelPath,
    Planner,
    Tiling,
    attend_segments_on_device,
    load_kernels,
)
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.model.attends import Attends
from weft.runtime.engine.model.attention import PagedAttention
from weft.runtime.engine.model.layout import plan_layout
from weft.runtime.engine.model.scratch import Scratch
from weft.runtime.engine.model.spans import Ruler
from weft.runtime.engine.segments import Angles, Attended

__all__ = ["DEVICE", "TINY", "OneLayer", "on_device", "path_for", "planner_of"]

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TINY = Tiling(rows=16, keys=16, split=32)
"""Splits short enough that the interpreter, which is slow, meets several of them."""


def planner_of(
    heads: HeadShape, tiling: Tiling = TINY, *, max_parts: int = 1000, num_programs: int = 3
) -> Planner:
    return Planner(
        heads=heads,
        low=tiling,
        tall=tiling,
        num_programs=num_programs,
        full_items=100,
        max_parts=max_parts,
    )


def path_for(heads: HeadShape, tiling: Tiling = TINY, *, max_parts: int = 1000) -> KernelPath:
    return KernelPath(load_kernels(), planner_of(heads, tiling, max_parts=max_parts), DEVICE)


def on_device(scene: Scene, window: int | None = None, tiling: Tiling = TINY) -> Attended:
    """A scene through the kernels, as ``fast`` does it on the processor."""
    q_THD = scene.queries.q_THD
    heads = HeadShape(
        num_heads=q_THD.shape[1],
        num_kv_heads=scene.memory.keys_NHD.shape[1],
        head_dim=q_THD.shape[2],
    )
    got = attend_segments_on_device(
        load_kernels(),
        planner_of(heads, tiling),
        replace(scene.queries, q_THD=q_THD.to(DEVICE)),
        LayerKV(
            keys_NHD=scene.memory.keys_NHD.to(DEVICE), values_NHD=scene.memory.values_NHD.to(DEVICE)
        ),
        scene.block_size,
        Angles(scene.angles.cos_PD.to(DEVICE), scene.angles.sin_PD.to(DEVICE)),
        scale=SCALE,
        window=window,
    )
    return Attended(got.out_THD.cpu(), got.lse_TH.cpu())


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLayer:
    """Attention alone where tests expect a model: what a token is decides its query, key and
    value, wherever it stands, so that the same tokens give the same result in any batch."""

    path: KernelPath
    dtype: torch.dtype = torch.float32
    window: int | None = None
    softcap: float | None = None

    @property
    def device(self) -> torch.device:
        return self.path.device

    @property
    def kv_dtype(self) -> torch.dtype:
        return self.dtype

    @property
    def layers(self) -> list[KVShape]:
        heads = self.path.planner.heads
        return [KVShape(num_kv_heads=heads.num_kv_heads, head_dim=heads.head_dim)]

    def packer(self, lens: Sequence[int], rng: np.random.Generator, block_size: int = 4) -> Packer:
        """Sequences of random tokens whose whole memory is random already, too."""
        sequences = random_sequences(rng, lens)
        # It is asked for no more than it has.
        packer = Packer(cast(ModelRunner, self), sequences, rng, block_size=block_size)
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 30)))
        memory = packer.kv.layer(0)
        for tensor_NHD in (memory.keys_NHD, memory.values_NHD):
            tensor_NHD.copy_(torch.randn(tensor_NHD.shape, generator=generator))
        return packer

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        """[T, H, D], through the kernels."""
        return self._attend(self.path.attention(batch, kv), batch)

    def gathered(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        """[T, H, D], as torch computes it from gathered keys."""
        ruler = Ruler(block_size=kv.block_size, dtype=self.dtype, device=self.device)
        layout = plan_layout(batch, [self.window], ruler)
        return self._attend(PagedAttention(kv, layout, Scratch()), batch)

    def _attend(self, attention: Attends, batch: PackedBatch) -> torch.Tensor:
        heads = self.path.planner.heads
        counts = (heads.num_heads, heads.num_kv_heads, heads.num_kv_heads)
        q_THD, k_TKD, v_TKD = (self._draw(batch, count, part) for part, count in enumerate(counts))
        return attention.attend(
            0, q_THD, k_TKD, v_TKD, scale=SCALE, window=self.window, softcap=self.softcap
        ).cpu()

    def _draw(self, batch: PackedBatch, num_heads: int, part: int) -> torch.Tensor:
        size = (num_heads, self.path.planner.heads.head_dim)
        rows = [
            np.random.default_rng([int(token), int(position), part]).normal(size=size)
            for token, position in zip(batch.token_ids_T, batch.positions_T, strict=True)
        ]
        return torch.as_tensor(np.stack(rows)).to(self.device, self.dtype)
