"""Where the keys of a draft tree's queries lie, in the order of their positions.

Shapes: T packed tokens, S sequences, B blocks in a table, N queries, L keys, J bits of a mask.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.batch import PackedBatch

__all__ = ["key_slots"]

Ints: TypeAlias = npt.NDArray[np.int64]

MASK_BITS = 64


def key_slots(batch: PackedBatch, rows_N: Ints, sequences_N: Ints, block_size: int) -> Ints:
    """[N, L]: the slot of the key at each position for the queries of these packed tokens, up to
    the last position of any; a shorter row repeats its last slot."""
    assert batch.tree_bases_T is not None and batch.tree_masks_T is not None
    positions_N = batch.positions_T[rows_N]
    bases_N1 = batch.tree_bases_T[rows_N][:, None]
    keys_NL = np.minimum(np.arange(int(positions_N.max()) + 1), positions_N[:, None])
    steps_NL = np.maximum(keys_NL - bases_N1, 0)
    nodes_NL = np.take_along_axis(_paths(batch.tree_masks_T[rows_N]), steps_NL, 1)
    places_NL = np.where(keys_NL < bases_N1, keys_NL, bases_N1 + nodes_NL)
    tables_NB = batch.block_tables_SB[sequences_N].astype(np.int64)
    blocks_NL = np.take_along_axis(tables_NB, places_NL // block_size, 1)
    slots_NL: Ints = blocks_NL * block_size + places_NL % block_size
    return slots_NL


def _paths(masks_N: npt.NDArray[np.uint64]) -> Ints:
    """[N, J]: the numbers of the set bits, ascending, then those of the others."""
    is_clear_NJ = (masks_N[:, None] >> np.arange(MASK_BITS, dtype=np.uint64)) & np.uint64(1) == 0
    return np.argsort(is_clear_NJ, axis=1, kind="stable")
