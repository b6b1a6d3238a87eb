"""Whether this machine's kernels treat every row of a tile alike.

Shapes: R rows of a tile, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from weft.cache.kv_store import KVShape, KVStore
from weft.errors import UnsupportedFeature
from weft.runtime.engine.batch import PackedBatch

__all__ = ["check_row_invariance"]


def check_row_invariance(
    forward: Callable[[PackedBatch, KVStore], torch.Tensor],
    layers: Sequence[KVShape],
    dtype: torch.dtype,
    device: torch.device,
    *,
    num_rows: int,
    vocab_size: int,
) -> None:
    """Run a tile of one-token sequences several times, each time moved on by some rows.

    A product of fixed shape computes each row in one order on all libraries we know, but none
    promises it; so deterministic mode looks before it promises. Raises: UnsupportedFeature.
    """
    kv = KVStore(1 + num_rows, 1, layers, dtype, device)
    tokens_R = np.arange(num_rows) * 31 % vocab_size
    logits_RV = forward(_tile(tokens_R), kv)
    for shift in (1, num_rows // 2 + 1):
        moved_RV = forward(_tile(np.roll(tokens_R, shift)), kv)
        if not torch.equal(moved_RV, logits_RV.roll(shift, 0)):
            raise UnsupportedFeature(
                f"On {device!s} in {dtype!s} a row's bits depend on its place in the batch.",
                remedy="Load the model without deterministic mode, or in float32 on the CPU.",
            )


def _tile(tokens_R: np.ndarray[tuple[int], np.dtype[np.int64]]) -> PackedBatch:
    num_rows = len(tokens_R)
    own_blocks_R = 1 + np.arange(num_rows)
    return PackedBatch(
        token_ids_T=tokens_R,
        positions_T=np.zeros(num_rows, np.int64),
        slots_T=own_blocks_R,
        query_lens_S=np.ones(num_rows, np.int32),
        context_lens_S=np.ones(num_rows, np.int32),
        block_tables_SB=own_blocks_R[:, None].astype(np.int32),
        logit_rows_R=np.arange(num_rows),
    )
