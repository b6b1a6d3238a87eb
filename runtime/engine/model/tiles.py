"""Cuts a packed batch into pieces of one fixed number of rows.

Shapes: T packed tokens, S sequences, B blocks in a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from weft.cache import PADDING_BLOCK
from weft.runtime.engine.batch import PackedBatch

__all__ = ["Tile", "cut_tiles"]


class Tile(NamedTuple):
    """``num_rows`` consecutive rows of a batch, filled up with padding tokens."""

    batch: PackedBatch
    """Its logit rows are all its rows."""
    wanted: slice
    """Which of the whole batch's wanted logit rows lie in this tile."""
    offset: int
    """Row of the whole batch at which the tile starts."""


def cut_tiles(batch: PackedBatch, num_rows: int) -> Iterator[Tile]:
    """Tiles in order, so that a token's predecessors are written before it attends.

    A padding token is a sequence of its own at position 0 in the padding block.
    """
    sequences_T = np.repeat(np.arange(len(batch.query_lens_S)), batch.query_lens_S)
    for offset in range(0, len(batch.token_ids_T), num_rows):
        rows = slice(offset, offset + num_rows)
        bounds = np.searchsorted(batch.logit_rows_R, (rows.start, rows.stop))
        tile = _tile(batch, rows, sequences_T[rows], num_rows)
        yield Tile(batch=tile, wanted=slice(int(bounds[0]), int(bounds[1])), offset=offset)


def _tile(batch: PackedBatch, rows: slice, sequences_T: np.ndarray, num_rows: int) -> PackedBatch:
    padding = num_rows - len(sequences_T)
    tables_SB = batch.block_tables_SB[sequences_T]
    positions_T = np.pad(batch.positions_T[rows], (0, padding))
    bases_T, masks_T = batch.tree_bases_T, batch.tree_masks_T
    return PackedBatch(
        token_ids_T=np.pad(batch.token_ids_T[rows], (0, padding)),
        positions_T=positions_T,
        slots_T=np.pad(batch.slots_T[rows], (0, padding), constant_values=PADDING_BLOCK),
        query_lens_S=np.ones(num_rows, np.int32),
        context_lens_S=np.pad(batch.context_lens_S[sequences_T], (0, padding), constant_values=1),
        block_tables_SB=np.pad(tables_SB, ((0, padding), (0, 0)), constant_values=PADDING_BLOCK),
        logit_rows_R=np.arange(num_rows),
        tree_bases_T=None if bases_T is None else np.pad(bases_T[rows], (0, padding)),
        tree_masks_T=None
        if masks_T is None
        else np.pad(masks_T[rows], (0, padding), constant_values=1),
        shares_prefixes=batch.shares_prefixes,
    )
