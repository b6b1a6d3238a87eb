"""The tokens of one Tick, packed into one row for the model.

Shapes: T packed tokens, S sequences, B blocks in the longest block table, R rows of logits, N
views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["PackedBatch", "Views"]


class Views(NamedTuple):
    """What each query sees, where that is more than the past of its own sequence: keys of several
    block tables, each view a run of them. A query attends to the keys of all its views."""

    queries_N: npt.NDArray[np.int64]
    """The packed token whose view it is; ascending, none left out."""
    tables_N: npt.NDArray[np.int32]
    """The row of the batch's block tables."""
    first_keys_N: npt.NDArray[np.int64]
    """Logical slots ``first_keys_N[n]`` … ``num_keys_N[n]`` - 1 of that row are seen."""
    num_keys_N: npt.NDArray[np.int64]
    positions_N: npt.NDArray[np.int64]
    """Where the query stands in the row, counted in its logical slots: what windows count from."""
    turns_N: npt.NDArray[np.int64]
    """The position that the query is rotated to. A key meets it at the distance between this and
    the position that the key was rotated to when it was written: keys are never turned again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """Sequence s owns the next ``query_lens_S[s]`` packed tokens: one when it decodes, a chunk
    when it prefills. Keys and values of packed token t are written to slot ``slots_T[t]`` before
    any query attends; query t of sequence s sees its slots at positions 0 … ``positions_T[t]``.

    A sequence may end in a **draft tree**: several continuations, one token per node, of which
    at most one path will be kept. Its nodes lie in the logical slots (places in the block table)
    after its last certain token, in any order that puts parents first, while positions count
    along a path. So a query of a node sees the slots before the tree and those of its own path,
    as ``tree_bases_T`` and ``tree_masks_T`` say, and a window counts positions along the path:
    the query computes what it would if its path were the sequence.
    """

    token_ids_T: npt.NDArray[np.int64]
    positions_T: npt.NDArray[np.int64]
    slots_T: npt.NDArray[np.int64]
    """Slot = block id * block size + offset in the block."""
    query_lens_S: npt.NDArray[np.int32]
    context_lens_S: npt.NDArray[np.int32]
    """Logical slots of sequence s in use once this batch's own are written."""
    block_tables_SB: npt.NDArray[np.int32]
    """Row s holds the block ids of sequence s in order, padded with 0. With ``views`` more rows may
    follow, of what no sequence of the batch owns."""
    logit_rows_R: npt.NDArray[np.int64]
    """Packed tokens whose next-token logits are wanted, ascending."""
    views: Views | None = None
    """None: every query sees its own sequence up to itself, and nothing else. Given, they say all
    that is seen, and ``positions_T`` only where keys are rotated to; there are no draft trees."""
    tree_bases_T: npt.NDArray[np.int64] | None = None
    """Logical slots before the tree of token t, all seen by it. None, like ``tree_masks_T``: no
    token is a draft. A token outside a tree has its position here and 1 as its mask."""
    tree_masks_T: npt.NDArray[np.uint64] | None = None
    """Bit j: token t sees logical slot ``tree_bases_T[t] + j``. The bits are the path from the
    tree's root to t, own node included: ``positions_T[t]`` is the base plus their number less 1.
    """
    shares_prefixes: bool = True
    """Sequences whose tables hold the same blocks may read them together. It changes the speed of
    the native path and nothing else; False serves to measure what it brings."""

    @property
    def is_tree_S(self) -> npt.NDArray[np.bool_]:
        """Whether sequence s has a token whose slot is not its position: a draft beside others."""
        if self.tree_bases_T is None:
            return np.zeros(len(self.query_lens_S), np.bool_)
        starts_S = np.cumsum(self.query_lens_S) - self.query_lens_S
        assert self.tree_masks_T is not None, "bases and masks come together"
        # A chain's masks are all ones up to its own node: slots and positions agree on it.
        is_branch_T = (self.tree_masks_T & (self.tree_masks_T + np.uint64(1))) != 0
        return np.logical_or.reduceat(is_branch_T, starts_S)
