"""Attention over segments through the engine's own kernels.

Shapes: T queries, H query heads, D head dimension, N pairs of a query and a segment it sees,
R distinct segments, B blocks in the longest.
"""

from __future__ import annotations

import ctypes
from ctypes import byref
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from weft.cache.kv_store import LayerKV
from weft.runtime.engine.native import Heads, Paging
from weft.runtime.engine.segments.segment import Angles, Attended, Queries

__all__ = ["attend_segments"]

Ints: TypeAlias = npt.NDArray[np.int64]


def attend_segments(
    kernels: ctypes.CDLL,
    queries: Queries,
    memory: LayerKV,
    block_size: int,
    angles: Angles,
    *,
    scale: float,
    window: int | None = None,
) -> Attended:
    """Every query's attention over its view, float32, as ``attend_explicitly`` defines it.

    ``kernels`` are ``load_kernels()``; the memory lies on the processor, in float32, bfloat16 or
    int8, and its heads have a multiple of 16 values. Queries that see the same blocks at the same
    distance from their start, whatever the offsets, read them together. Changes nothing and
    keeps nothing.
    """
    num_queries, num_heads, head_dim = queries.q_THD.shape
    pairs = _pair(queries)
    q_NHD = _rotate(queries.q_THD[pairs.queries_N], pairs.positions_N, angles)
    out_THD = torch.empty(num_queries, num_heads, head_dim)
    lse_TH = torch.empty(num_queries, num_heads)
    kernels.weft_attend(
        byref(
            Heads(
                num_heads=num_heads,
                num_kv_heads=memory.keys_NHD.shape[1],
                head_dim=head_dim,
                scale=scale,
                window=window or 0,
            )
        ),
        byref(pairs.paging(num_queries, block_size)),
        q_NHD.data_ptr(),
        memory.keys_NHD.data_ptr(),
        memory.values_NHD.data_ptr(),
        None if memory.key_scales_NH is None else memory.key_scales_NH.data_ptr(),
        None if memory.value_scales_NH is None else memory.value_scales_NH.data_ptr(),
        out_THD.data_ptr(),
        lse_TH.data_ptr(),
        int(memory.keys_NHD.dtype == torch.bfloat16),
        torch.get_num_threads(),
    )
    return Attended(out_THD, lse_TH)


class _Pairs(NamedTuple):
    """A query and a segment it sees, as if the segment were its own sequence."""

    queries_N: Ints
    tables_N: npt.NDArray[np.int32]
    positions_N: Ints
    num_keys_N: Ints
    tables_RB: npt.NDArray[np.int32]

    def paging(self, num_queries: int, block_size: int) -> Paging:
        """The kernels' form; it points into these arrays."""
        return Paging(
            num_views=len(self.queries_N),
            num_queries=num_queries,
            queries=self.queries_N.ctypes.data,
            tables=self.tables_N.ctypes.data,
            positions=self.positions_N.ctypes.data,
            num_keys=self.num_keys_N.ctypes.data,
            block_tables=self.tables_RB.ctypes.data,
            table_row=self.tables_RB.shape[1],
            block_size=block_size,
            shares=1,
        )


def _pair(queries: Queries) -> _Pairs:
    rows: dict[tuple[int, ...], int] = {}
    pairs: list[tuple[int, int, int, int]] = []
    for t, view in enumerate(queries.views):
        for segment in view:
            num_keys = queries.num_visible(t, segment)
            if num_keys:
                row = rows.setdefault(segment.block_ids, len(rows))
                pairs.append((t, row, int(queries.positions_T[t]) - segment.offset, num_keys))
    queries_N, tables_N, positions_N, num_keys_N = np.array(pairs, np.int64).reshape(-1, 4).T.copy()
    tables_RB = np.zeros((max(1, len(rows)), max(map(len, rows), default=1)), np.int32)
    for blocks, row in rows.items():
        tables_RB[row, : len(blocks)] = blocks
    return _Pairs(queries_N, tables_N.astype(np.int32), positions_N, num_keys_N, tables_RB)


def _rotate(q_NHD: torch.Tensor, positions_N: Ints, angles: Angles) -> torch.Tensor:
    """Turn the pairs (d, d + D / 2) of each head by the angles of each position."""
    low, high = q_NHD.chunk(2, -1)
    cos_N1D = angles.cos_PD[positions_N].unsqueeze(1)
    sin_N1D = angles.sin_PD[positions_N].unsqueeze(1)
    turned = q_NHD * cos_N1D + torch.cat((-high, low), -1) * sin_N1D
    return turned.float().contiguous()
