"""Attention over segments through the engine's own kernels.

Shapes: T queries, H query heads, D head dimension, N pairs of a query and a segment it sees.
"""

from __future__ import annotations

import ctypes
from ctypes import byref

import torch

from weft.cache.kv_store import LayerKV
from weft.runtime.engine.native import Heads, Paging
from weft.runtime.engine.segments.pairs import Pairs, pair, rotate_for
from weft.runtime.engine.segments.segment import Angles, Attended, Queries

__all__ = ["attend_segments"]


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
    pairs = pair(queries)
    q_NHD = rotate_for(pairs, queries.q_THD, angles)
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
        byref(_paging(pairs, num_queries, block_size)),
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


def _paging(pairs: Pairs, num_queries: int, block_size: int) -> Paging:
    """The kernels' form; it points into the pairs' arrays."""
    return Paging(
        num_views=len(pairs.queries_N),
        num_queries=num_queries,
        queries=pairs.queries_N.ctypes.data,
        tables=pairs.tables_N.ctypes.data,
        positions=pairs.positions_N.ctypes.data,
        num_keys=pairs.num_keys_N.ctypes.data,
        block_tables=pairs.tables_RB.ctypes.data,
        table_row=pairs.tables_RB.shape[1],
        block_size=block_size,
        shares=1,
    )
