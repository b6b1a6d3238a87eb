"""From a plan to the arrays that the model takes.

A token's **place** is its index in its sequence's table; its position is the same, but for the
nodes of a draft tree, where it counts along the path.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.planner import Part
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.sight import block_tables, look_around

__all__ = ["pack", "pack_decodes", "wanted_rows"]


def pack(parts: Seq[Part], block_size: int) -> PackedBatch:
    """Lay the parts' tokens end to end. Their tables must already have room for them.

    A scoring part wants the logits of every token that has a scored successor; any other part
    wants its last token's, once no token is pending after it, and that of every guess.
    """
    token_ids: list[int] = []
    lengths: list[int] = []
    contexts: list[int] = []
    logit_rows: list[int] = []
    for sequence, num_tokens, draft in parts:
        start, end = sequence.num_computed, sequence.num_computed + num_tokens
        first_row = len(token_ids) - start
        token_ids += sequence.tokens[start:end]
        for position in wanted_rows(sequence, start, end):
            logit_rows.append(first_row + position)
        if draft is not None:
            logit_rows += range(len(token_ids), len(token_ids) + len(draft))
            token_ids += [node.token_id for node in draft.nodes]
            end += len(draft)
            num_tokens += len(draft)
        lengths.append(num_tokens)
        contexts.append(end)
    query_lens, context_lens = np.array((lengths, contexts), np.int32)
    places_T = _places(query_lens, context_lens)
    rows_T = np.repeat(np.arange(len(parts)), query_lens)
    trees = _trees(parts, query_lens, places_T)
    sight = look_around(parts, places_T)
    tables_SB = _tables(parts) if sight is None else sight.tables_RB
    return PackedBatch(
        token_ids_T=np.asarray(token_ids, np.int64),
        positions_T=trees.positions_T if sight is None else sight.positions_T,
        slots_T=_slots(tables_SB, rows_T, places_T, block_size),
        query_lens_S=query_lens,
        context_lens_S=context_lens,
        block_tables_SB=tables_SB,
        views=None if sight is None else sight.views,
        logit_rows_R=np.asarray(logit_rows, np.int64),
        tree_bases_T=trees.bases_T,
        tree_masks_T=trees.masks_T,
    )


def pack_decodes(parts: Seq[Part], block_size: int) -> PackedBatch:
    """The same for parts of one token after which the next is drawn, and without drafts."""
    sequences = [sequence for sequence, _, _ in parts]
    contexts = [len(sequence.tokens) for sequence in sequences]
    context_lens = np.array(contexts, np.int32)
    places_T = context_lens.astype(np.int64) - 1
    rows_T = np.arange(len(parts))
    sight = look_around(parts, places_T)
    tables_SB = _tables(parts) if sight is None else sight.tables_RB
    return PackedBatch(
        token_ids_T=np.array([sequence.tokens[-1] for sequence in sequences], np.int64),
        positions_T=places_T if sight is None else sight.positions_T,
        slots_T=_slots(tables_SB, rows_T, places_T, block_size),
        query_lens_S=np.ones(len(parts), np.int32),
        context_lens_S=context_lens,
        block_tables_SB=tables_SB,
        views=None if sight is None else sight.views,
        logit_rows_R=rows_T,
    )


def _tables(parts: Seq[Part]) -> npt.NDArray[np.int32]:
    return block_tables([part.sequence for part in parts])


def wanted_rows(sequence: Sequence, start: int, end: int) -> range:
    """Positions in ``start … end - 1`` whose next-token logits are wanted."""
    if sequence.is_silent:
        return range(0)
    if sequence.is_scored:
        return range(max(start, sequence.num_shareable), min(end, len(sequence.tokens) - 1))
    return range(end - 1, end) if end == len(sequence.tokens) else range(0)


class _Trees(NamedTuple):
    positions_T: npt.NDArray[np.int64]
    bases_T: npt.NDArray[np.int64] | None
    masks_T: npt.NDArray[np.uint64] | None


def _trees(
    parts: Seq[Part], query_lens: npt.NDArray[np.int32], places_T: npt.NDArray[np.int64]
) -> _Trees:
    """Positions and what drafts may see. Without a branch places are positions, and all before
    them is seen."""
    if not any(part.draft is not None and not part.draft.is_chain for part in parts):
        return _Trees(places_T, None, None)
    positions_T, bases_T = places_T.copy(), places_T.copy()
    masks_T = np.ones(len(places_T), np.uint64)
    ends: list[int] = np.cumsum(query_lens).tolist()
    for part, end in zip(parts, ends, strict=True):
        if part.draft is not None:
            nodes = slice(end - len(part.draft), end)
            base = places_T[nodes.start]
            bases_T[nodes] = base
            masks_T[nodes] = part.draft.masks_N()
            positions_T[nodes] = base + part.draft.depths_N() - 1
    return _Trees(positions_T, bases_T, masks_T)


def _places(
    query_lens: npt.NDArray[np.int32], context_lens: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    ends = np.cumsum(query_lens, dtype=np.int64)
    shifts = np.repeat(context_lens - ends, query_lens)
    return np.arange(int(ends[-1]), dtype=np.int64) + shifts


def _slots(
    tables_SB: npt.NDArray[np.int32],
    rows_T: npt.NDArray[np.int64],
    places_T: npt.NDArray[np.int64],
    block_size: int,
) -> npt.NDArray[np.int64]:
    columns_T, offsets_T = np.divmod(places_T, block_size)
    firsts_T = np.multiply(tables_SB[rows_T, columns_T], block_size, dtype=np.int64)
    return firsts_T + offsets_T
