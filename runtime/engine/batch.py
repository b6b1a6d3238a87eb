"""The tokens of one Tick, packed into one row for the model.

Shapes: T packed tokens, S sequences, B blocks in the longest block table, R rows of logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PackedBatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """Sequence s owns the next ``query_lens_S[s]`` packed tokens: one when it decodes, a chunk
    when it prefills. Keys and values of packed token t are written to slot ``slots_T[t]`` before
    any query attends; query t of sequence s sees its slots at positions 0 … ``positions_T[t]``.
    """

    token_ids_T: npt.NDArray[np.int64]
    positions_T: npt.NDArray[np.int64]
    slots_T: npt.NDArray[np.int64]
    """Slot = block id * block size + offset in the block."""
    query_lens_S: npt.NDArray[np.int32]
    context_lens_S: npt.NDArray[np.int32]
    """Tokens in the cache of sequence s once this batch's own are written."""
    block_tables_SB: npt.NDArray[np.int32]
    """Row s holds the block ids of sequence s in order, padded with 0."""
    logit_rows_R: npt.NDArray[np.int64]
    """Packed tokens whose next-token logits are wanted, ascending."""
