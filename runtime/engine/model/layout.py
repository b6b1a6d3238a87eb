"""How the queries of a batch are grouped for attention: planned once, used by every layer.

Shapes: T packed tokens, S sequences, Q queries of each, B blocks in a table, N packed rows of a
group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.model.spans import KeySpan, Ruler
from weft.runtime.engine.model.trees import key_slots

__all__ = ["AttentionLayout", "QueryGroup", "plan_fixed", "plan_layout"]

TILE_QUERIES = 256
"""A prefill chunk is attended in tiles of this many queries: each reads only the keys up to its
own end, and masks stay small."""

SHORT_CONTEXT = 256
"""Decodes up to this context share a group; beyond, each doubling of the context has its own, so
that padding at most doubles the keys read."""

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryGroup:
    """Queries attended in one call: one query of each of S sequences, or Q of a single one."""

    rows_N: torch.Tensor | None
    """Packed rows of the group, S * Q of them. None: all rows, in order."""
    num_sequences: int
    num_queries: int
    spans: Mapping[int | None, KeySpan]
    """By window: one for each that occurs among the layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionLayout:
    """Lives for one forward."""

    slots_T: torch.Tensor
    groups: tuple[QueryGroup, ...]


def plan_layout(batch: PackedBatch, windows: Iterable[int | None], ruler: Ruler) -> AttentionLayout:
    """Decodes together by context length, and so the queries of draft trees; prefill chunks one
    by one in tiles."""
    windows = tuple(windows)
    parts = [*_decode_parts(batch), *_tree_parts(batch), *_prefill_parts(batch)]
    groups = tuple(_group(batch, part, windows, ruler) for part in parts)
    return AttentionLayout(slots_T=_slots(batch, ruler), groups=groups)


def plan_fixed(batch: PackedBatch, windows: Iterable[int | None], ruler: Ruler) -> AttentionLayout:
    """Every query on its own, as if it were a decode, grouped by the length of its fixed span.

    A group of one is doubled: a kernel alone in its call may be threaded another way, which
    would show in the last bits.
    """
    windows = tuple(windows)
    groups = tuple(_group(batch, part, windows, ruler) for part in _fixed_parts(batch, ruler))
    return AttentionLayout(slots_T=_slots(batch, ruler), groups=groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    sequences_S: Ints
    rows_SQ: Ints
    is_tree: bool = False
    """Each query has keys of its own: Q is 1."""


def _slots(batch: PackedBatch, ruler: Ruler) -> torch.Tensor:
    return torch.as_tensor(batch.slots_T).to(ruler.device)


def _decode_parts(batch: PackedBatch) -> Iterator[_Part]:
    decodes_S = np.flatnonzero((batch.query_lens_S == 1) & ~batch.is_tree_S)
    first_rows_S = _first_rows(batch)[decodes_S]
    for chosen in _by_length(batch.positions_T[first_rows_S]):
        yield _Part(sequences_S=decodes_S[chosen], rows_SQ=first_rows_S[chosen, None])


def _tree_parts(batch: PackedBatch) -> Iterator[_Part]:
    rows_N = np.flatnonzero(np.repeat(batch.is_tree_S, batch.query_lens_S))
    sequences_N = _sequences(batch)[rows_N]
    for chosen in _by_length(batch.positions_T[rows_N]):
        yield _Part(sequences_S=sequences_N[chosen], rows_SQ=rows_N[chosen, None], is_tree=True)


def _by_length(positions_N: Ints) -> Iterator[npt.NDArray[np.bool_]]:
    contexts_N = np.maximum(positions_N + 1, SHORT_CONTEXT)
    buckets_N = np.ceil(np.log2(contexts_N)).astype(np.int64)
    for bucket in np.unique(buckets_N):
        yield buckets_N == bucket


def _fixed_parts(batch: PackedBatch, ruler: Ruler) -> Iterator[_Part]:
    sequences_T = _sequences(batch)
    is_tree_T = batch.is_tree_S[sequences_T]
    blocks_T = ruler.fixed_blocks(batch.positions_T)
    for num_blocks in np.unique(blocks_T):
        for is_tree in (False, True):
            rows_N = np.flatnonzero((blocks_T == num_blocks) & (is_tree_T == is_tree))
            rows_N = np.repeat(rows_N, 2) if len(rows_N) == 1 else rows_N
            if len(rows_N):
                yield _Part(
                    sequences_S=sequences_T[rows_N], rows_SQ=rows_N[:, None], is_tree=is_tree
                )


def _prefill_parts(batch: PackedBatch) -> Iterator[_Part]:
    first_rows_S = _first_rows(batch)
    for sequence in np.flatnonzero((batch.query_lens_S > 1) & ~batch.is_tree_S):
        start = int(first_rows_S[sequence])
        stop = start + int(batch.query_lens_S[sequence])
        for tile in range(start, stop, TILE_QUERIES):
            rows_Q = np.arange(tile, min(tile + TILE_QUERIES, stop))
            yield _Part(sequences_S=np.array([sequence]), rows_SQ=rows_Q[None])


def _sequences(batch: PackedBatch) -> Ints:
    return np.repeat(np.arange(len(batch.query_lens_S)), batch.query_lens_S)


def _first_rows(batch: PackedBatch) -> Ints:
    ends_S = np.cumsum(batch.query_lens_S, dtype=np.int64)
    return ends_S - batch.query_lens_S


def _group(
    batch: PackedBatch, part: _Part, windows: Sequence[int | None], ruler: Ruler
) -> QueryGroup:
    num_sequences, num_queries = part.rows_SQ.shape
    rows_N = part.rows_SQ.reshape(-1)
    if part.is_tree:
        tables_SB = key_slots(batch, rows_N, part.sequences_S, ruler.block_size)
        ruler = ruler.by_slot()
    else:
        tables_SB = batch.block_tables_SB[part.sequences_S].astype(np.int64)
    positions_SQ = batch.positions_T[part.rows_SQ]
    is_all = len(rows_N) == len(batch.token_ids_T) and bool((np.diff(rows_N) == 1).all())
    return QueryGroup(
        rows_N=None if is_all else torch.as_tensor(rows_N).to(ruler.device),
        num_sequences=num_sequences,
        num_queries=num_queries,
        spans={window: ruler.measure(tables_SB, positions_SQ, window) for window in windows},
    )
