"""What the queries of one call may read, before it is planned who reads together.

Shapes: N views, T packed tokens, S rows of tables, B blocks in a row, J nodes of a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.batch import PackedBatch

__all__ = ["Views", "views_of"]

Ints: TypeAlias = npt.NDArray[np.int64]

MASK_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """View n lets query ``queries_N[n]`` see the first ``num_keys_N[n]`` keys of a row of tables,
    as from position ``positions_N[n]`` of that row's sequence: of them the last ``window``
    positions up to its own where the layer has a window.

    Queries ascend; one query may have several views, and attends to all of their keys.
    """

    num_queries: int
    queries_N: Ints
    rows_N: Ints
    positions_N: Ints
    num_keys_N: Ints
    """At least 1: a query that sees nothing has no view."""
    tables_SB: npt.NDArray[np.int32]
    bases_N: Ints
    """Keys whose place in the table is their position. The others, of the path of a draft tree,
    are in places ``bases_N[n] + paths_NJ[n]``."""
    paths_NJ: npt.NDArray[np.int64] | None = None
    """None: no view ends in a path."""


def views_of(batch: PackedBatch) -> Views:
    """One view of every token: its sequence up to itself, along its path where that is a draft."""
    num_tokens = len(batch.token_ids_T)
    num_keys_T = batch.positions_T + 1
    bases_T, paths_TJ = num_keys_T, None
    if batch.is_tree_S.any():
        assert batch.tree_bases_T is not None and batch.tree_masks_T is not None
        masks_T = batch.tree_masks_T
        # A mask of ones up to the own node: places and positions agree.
        is_branch_T = (masks_T & (masks_T + np.uint64(1))) != 0
        bases_T = np.where(is_branch_T, batch.tree_bases_T, num_keys_T)
        paths_TJ = _paths(masks_T)
    return Views(
        num_queries=num_tokens,
        queries_N=np.arange(num_tokens),
        rows_N=np.repeat(np.arange(len(batch.query_lens_S)), batch.query_lens_S),
        positions_N=batch.positions_T,
        num_keys_N=num_keys_T,
        tables_SB=batch.block_tables_SB,
        bases_N=bases_T,
        paths_NJ=paths_TJ,
    )


def _paths(masks_N: npt.NDArray[np.uint64]) -> Ints:
    """[N, J]: the numbers of the set bits, ascending, then those of the others."""
    is_clear_NJ = (masks_N[:, None] >> np.arange(MASK_BITS, dtype=np.uint64)) & np.uint64(1) == 0
    return np.argsort(is_clear_NJ, axis=1, kind="stable")
