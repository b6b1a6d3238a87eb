"""Attention over segments written out as its definition: slow, in float64, and the measure of
every fast version.

Shapes: T queries, H query heads, K key-value heads, D head dimension, L keys, N segments.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from weft.cache.kv_store import LayerKV
from weft.runtime.engine.segments.segment import Angles, Attended, Queries, Segment

__all__ = ["attend_explicitly", "merge"]


def attend_explicitly(
    queries: Queries,
    memory: LayerKV,
    block_size: int,
    angles: Angles,
    *,
    scale: float,
    window: int | None = None,
) -> Attended:
    """Every query's attention over its view: each segment by itself, then merged.

    Keys stay as they are stored; the query turns to where it would stand in the segment's own
    positions, which leaves every product as if the segment had been computed in place.
    ``window``: how many last positions are seen, own included.
    """
    results = [
        merge(
            [
                _attend_segment(queries, t, segment, memory, block_size, angles, scale, window)
                for segment in queries.views[t]
            ],
            queries.q_THD[t].shape,
        )
        for t in range(len(queries.q_THD))
    ]
    return Attended(
        torch.stack([r.out_THD for r in results]), torch.stack([r.lse_TH for r in results])
    )


def merge(parts: Sequence[Attended], shape: Sequence[int]) -> Attended:
    """Attention over disjoint sets of keys as attention over all of them (arXiv:2402.05099): the
    mean of the results, each weighted by its share of the sum of exp(score)."""
    if not parts:
        return Attended(
            torch.zeros(tuple(shape), dtype=torch.float64),
            torch.full(tuple(shape[:-1]), -torch.inf, dtype=torch.float64),
        )
    lse_NH = torch.stack([part.lse_TH for part in parts])
    lse_H = torch.logsumexp(lse_NH, 0)
    weights_NH = torch.where(lse_NH == -torch.inf, 0.0, (lse_NH - lse_H).exp())
    out_NHD = torch.stack([part.out_THD for part in parts])
    return Attended((weights_NH[..., None] * out_NHD).sum(0), lse_H)


def _attend_segment(
    queries: Queries,
    query: int,
    segment: Segment,
    memory: LayerKV,
    block_size: int,
    angles: Angles,
    scale: float,
    window: int | None,
) -> Attended:
    q_HD = queries.q_THD[query].double()
    distance = int(queries.positions_T[query]) - segment.offset
    first = 0 if window is None else max(distance - window + 1, 0)
    places = range(first, queries.num_visible(query, segment))
    if not len(places):
        return merge([], q_HD.shape)
    q_HD = rotate(q_HD, angles.cos_PD[distance].double(), angles.sin_PD[distance].double())
    slots = [segment.block_ids[p // block_size] * block_size + p % block_size for p in places]
    group = q_HD.shape[0] // memory.keys_NHD.shape[1]
    k_LHD, v_LHD = (
        x_LKD.double().repeat_interleave(group, 1)
        for x_LKD in memory.gather(torch.tensor(slots, device=memory.keys_NHD.device))
    )
    scores_LH = (q_HD * k_LHD).sum(-1) * scale
    out_HD = (torch.softmax(scores_LH, 0)[..., None] * v_LHD).sum(0)
    return Attended(out_HD, torch.logsumexp(scores_LH, 0))


def rotate(x_HD: torch.Tensor, cos_D: torch.Tensor, sin_D: torch.Tensor) -> torch.Tensor:
    """Turn the pairs (d, d + D / 2) by the angles of one position."""
    low, high = x_HD.chunk(2, -1)
    return x_HD * cos_D + torch.cat((-high, low), -1) * sin_D
