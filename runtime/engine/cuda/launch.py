"""Loads the kernels and launches them.

Shapes: T queries, H query heads, D head dimension.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

import torch

from weft.cache.kv_store import LayerKV
from weft.runtime.engine.cuda.tiling import HeadShape, Tiling
from weft.runtime.engine.native import KernelsMissing

__all__ = ["Kernels", "Launch", "Sums", "attend_planned", "load_kernels"]

NO_WINDOW = 1 << 30
MERGE_HEADS = 8
MERGE_UNROLL = 8
"""Parts whose reading overlaps. It has no influence on bits, so the slow interpreter takes 1."""


class _Kernel(Protocol):
    def __getitem__(self, grid: tuple[int, int], /) -> Callable[..., object]: ...


class Kernels(NamedTuple):
    """Two functions of Triton, and whether its interpreter runs them, on the processor."""

    attend: _Kernel
    merge: _Kernel
    is_interpreted: bool


@cache
def load_kernels() -> Kernels:
    """Compiled by Triton at their first launch on a device. Raises: KernelsMissing."""
    try:
        # By name: Triton is not to be had on every platform.
        knobs = importlib.import_module("triton.knobs")
        module = importlib.import_module("weft.runtime.engine.cuda.kernels")
    except ImportError as error:
        raise KernelsMissing(f"Triton does not load: {error}") from None
    return Kernels(module.attend, module.merge, bool(knobs.runtime.interpret))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How one plan is computed, whatever the layer."""

    plan: torch.Tensor
    """``pack_plan``'s integers, on the device."""
    num_queries: int
    num_parts: int
    """At least as many as the plan has."""
    num_programs: int
    """Programs of a key-value head: each takes every so-many-th item."""
    has_paths: bool
    heads: HeadShape
    tiling: Tiling
    block_size: int


class Sums(NamedTuple):
    """Attention, and the natural logarithm of the sum of exp(score) where it was asked for.

    A query that sees nothing has zeros and minus infinity.
    """

    out_THD: torch.Tensor
    lse_TH: torch.Tensor | None


def attend_planned(
    kernels: Kernels,
    launch: Launch,
    q_THD: torch.Tensor,
    memory: LayerKV,
    *,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
    has_lse: bool = False,
) -> Sums:
    """Every query's attention over its views, in the queries' dtype, accumulated in float32.

    ``q_THD``: rotated; it may have any strides but in its last dimension, and is rounded to the
    memory's dtype. Returns before it is computed. Reads ``memory`` and changes nothing.
    """
    parts = _attend(kernels, launch, q_THD, memory, scale, window, softcap)
    return _merge(kernels, launch, parts, q_THD, has_lse=has_lse)


class _Parts(NamedTuple):
    """Of each part and head, flat: weighted values, greatest score, sum of weights; float32."""

    sums: torch.Tensor
    best: torch.Tensor
    total: torch.Tensor


def _attend(
    kernels: Kernels,
    launch: Launch,
    q_THD: torch.Tensor,
    memory: LayerKV,
    scale: float,
    window: int | None,
    softcap: float | None,
) -> _Parts:
    assert q_THD.stride(-1) == 1 and memory.keys_NHD.is_contiguous()
    heads, tiling = launch.heads, launch.tiling
    num_rows = launch.num_parts * heads.num_heads
    parts = _Parts(
        *(
            torch.empty(num_rows * size, dtype=torch.float32, device=q_THD.device)
            for size in (heads.head_dim, 1, 1)
        )
    )
    kernels.attend[launch.num_programs, heads.num_kv_heads](
        q_THD,
        memory.keys_NHD,
        memory.values_NHD,
        *parts,
        launch.plan,
        scale,
        softcap or 1.0,
        window or NO_WINDOW,
        q_THD.stride(0),
        q_THD.stride(1),
        HEADS=heads.num_heads,
        KV_HEADS=heads.num_kv_heads,
        HEAD_DIM=heads.head_dim,
        BLOCK_SIZE=launch.block_size,
        R=tiling.rows,
        N=tiling.keys,
        SPLIT=tiling.split,
        D=heads.padded_dim,
        HAS_CAP=softcap is not None,
        HAS_TREES=launch.has_paths,
        WIDENS=kernels.is_interpreted and memory.keys_NHD.dtype == torch.bfloat16,
        num_warps=tiling.num_warps,
        enable_fp_fusion=False,
    )
    return parts


def _merge(
    kernels: Kernels, launch: Launch, parts: _Parts, q_THD: torch.Tensor, *, has_lse: bool
) -> Sums:
    heads = launch.heads
    size_TH = (launch.num_queries, heads.num_heads)
    out_THD = torch.empty((*size_TH, heads.head_dim), dtype=q_THD.dtype, device=q_THD.device)
    lse_TH = torch.empty(size_TH, dtype=torch.float32, device=q_THD.device)
    kernels.merge[launch.num_queries, -(-heads.num_heads // MERGE_HEADS)](
        *parts,
        out_THD,
        lse_TH,
        launch.plan,
        HEADS=heads.num_heads,
        HEAD_DIM=heads.head_dim,
        R=MERGE_HEADS,
        D=heads.padded_dim,
        HAS_LSE=has_lse,
        UNROLL=1 if kernels.is_interpreted else MERGE_UNROLL,
        enable_fp_fusion=False,
    )
    return Sums(out_THD, lse_TH if has_lse else None)
