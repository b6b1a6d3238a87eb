"""Queries and the segments they see, as pairs that kernels go through one by one.

Shapes: T queries, H query heads, D head dimension, N pairs of a query and a segment it sees,
R distinct segments, B blocks in the longest.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from weft.runtime.engine.segments.segment import Angles, Queries

__all__ = ["Pairs", "pair", "rotate_for"]

Ints: TypeAlias = npt.NDArray[np.int64]


class Pairs(NamedTuple):
    """A query and a segment it sees, as if the segment were its own sequence."""

    queries_N: Ints
    tables_N: npt.NDArray[np.int32]
    positions_N: Ints
    num_keys_N: Ints
    tables_RB: npt.NDArray[np.int32]


def pair(queries: Queries) -> Pairs:
    """Every query with every segment of its view of which it sees a key, queries ascending."""
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
    return Pairs(queries_N, tables_N.astype(np.int32), positions_N, num_keys_N, tables_RB)


def rotate_for(pairs: Pairs, q_THD: torch.Tensor, angles: Angles) -> torch.Tensor:
    """[N, H, D] in float32: each pair's query, the pairs (d, d + D / 2) of every head turned to
    where it would stand in the segment's own positions."""
    q_NHD = q_THD[pairs.queries_N]
    low, high = q_NHD.chunk(2, -1)
    cos_N1D = angles.cos_PD[pairs.positions_N].unsqueeze(1)
    sin_N1D = angles.sin_PD[pairs.positions_N].unsqueeze(1)
    turned = q_NHD * cos_N1D + torch.cat((-high, low), -1) * sin_N1D
    return turned.float().contiguous()
