"""From a plan to the arrays that the model takes."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.planner import Part
from weft.runtime.engine.sequence import Sequence

__all__ = ["pack", "wanted_rows"]


def pack(parts: Seq[Part], block_size: int) -> PackedBatch:
    """Lay the parts' tokens end to end. Their tables must already have room for them.

    A scoring part wants the logits of every token that has a scored successor; any other part
    wants its last token's, once no token is pending after it.
    """
    token_ids: list[int] = []
    query_lens = np.empty(len(parts), np.int32)
    context_lens = np.empty(len(parts), np.int32)
    logit_rows: list[int] = []
    for at, (sequence, num_tokens) in enumerate(parts):
        start, end = sequence.num_computed, sequence.num_computed + num_tokens
        first_row = len(token_ids) - start
        token_ids += sequence.tokens[start:end]
        query_lens[at], context_lens[at] = num_tokens, end
        logit_rows += [first_row + position for position in wanted_rows(sequence, start, end)]
    tables_SB = _block_tables(parts, int(context_lens.max()), block_size)
    positions_T = _positions(query_lens, context_lens)
    return PackedBatch(
        token_ids_T=np.asarray(token_ids, np.int64),
        positions_T=positions_T,
        slots_T=_slots(tables_SB, query_lens, positions_T, block_size),
        query_lens_S=query_lens,
        context_lens_S=context_lens,
        block_tables_SB=tables_SB,
        logit_rows_R=np.asarray(logit_rows, np.int64),
    )


def wanted_rows(sequence: Sequence, start: int, end: int) -> range:
    """Positions in ``start … end - 1`` whose next-token logits are wanted."""
    if sequence.job.score_from is not None:
        return range(max(start, sequence.num_shareable), min(end, len(sequence.tokens) - 1))
    return range(end - 1, end) if end == len(sequence.tokens) else range(0)


def _block_tables(parts: Seq[Part], max_context: int, block_size: int) -> npt.NDArray[np.int32]:
    tables = np.zeros((len(parts), -(-max_context // block_size)), np.int32)
    for row, part in zip(tables, parts, strict=True):
        table = part.sequence.table
        assert table is not None, "a planned sequence holds its blocks"
        table.write_row(row)
    return tables


def _positions(
    query_lens: npt.NDArray[np.int32], context_lens: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    ends = np.cumsum(query_lens, dtype=np.int64)
    shifts = np.repeat(context_lens - ends, query_lens)
    return np.arange(int(ends[-1]), dtype=np.int64) + shifts


def _slots(
    tables_SB: npt.NDArray[np.int32],
    query_lens: npt.NDArray[np.int32],
    positions_T: npt.NDArray[np.int64],
    block_size: int,
) -> npt.NDArray[np.int64]:
    rows_T = np.repeat(np.arange(len(query_lens)), query_lens)
    blocks_T = tables_SB[rows_T, positions_T // block_size].astype(np.int64)
    return blocks_T * block_size + positions_T % block_size
