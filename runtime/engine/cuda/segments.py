"""Attention over segments through the kernels for CUDA."""

from __future__ import annotations

import numpy as np

from weft.cache.kv_store import LayerKV
from weft.runtime.engine.cuda.launch import Kernels, attend_planned
from weft.runtime.engine.cuda.planner import Planner
from weft.runtime.engine.cuda.views import Views
from weft.runtime.engine.segments.pairs import Pairs, pair, rotate_for
from weft.runtime.engine.segments.segment import Angles, Attended, Queries

__all__ = ["attend_segments_on_device"]


def attend_segments_on_device(
    kernels: Kernels,
    planner: Planner,
    queries: Queries,
    memory: LayerKV,
    block_size: int,
    angles: Angles,
    *,
    scale: float,
    window: int | None = None,
) -> Attended:
    """Every query's attention over its view, float32, as ``attend_explicitly`` defines it.

    All tensors lie on one device; queries are rounded to the memory's dtype once they are turned.
    Queries that see the same blocks at the same distance from their start, whatever the offsets,
    read them together. Changes nothing and keeps nothing.
    """
    pairs = pair(queries)
    planned = planner.plan(_views(pairs, len(queries.q_THD)), block_size)
    sums = attend_planned(
        kernels,
        planner.launch(planned, block_size, queries.q_THD.device),
        rotate_for(pairs, queries.q_THD, angles),
        memory,
        scale=scale,
        window=window,
        has_lse=True,
    )
    assert sums.lse_TH is not None
    return Attended(sums.out_THD, sums.lse_TH)


def _views(pairs: Pairs, num_queries: int) -> Views:
    return Views(
        num_queries=num_queries,
        queries_N=pairs.queries_N,
        rows_N=pairs.tables_N.astype(np.int64),
        positions_N=pairs.positions_N,
        num_keys_N=pairs.num_keys_N,
        tables_SB=pairs.tables_RB,
        bases_N=pairs.num_keys_N,
    )
