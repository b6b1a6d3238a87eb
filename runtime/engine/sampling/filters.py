"""Top-k, top-p and min-p as one threshold per row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.sampling.logits import Float32s, Float64s, Int64s, LogitRows
from weft.runtime.engine.sampling.parameters import BatchParameters

__all__ = ["apply_filters"]

_FIRST_LOOK = 256
"""How many of the largest weights top-p looks at first; nearly always enough."""


def apply_filters(weights: LogitRows, batch: BatchParameters, vocab_size: int) -> None:
    """Zero what the filters drop. ``weights`` are relative: each row's largest is 1.

    Top-k keeps the k largest. Top-p keeps, of what top-k left, the fewest largest whose share
    reaches p. Min-p keeps, of those, the ones at least min_p times the largest. Tokens that tie
    with the last one kept are kept too, so that the outcome does not depend on token order.
    """
    if len(batch.filtered_S):
        thresholds_R = batch.min_p_R.copy()
        if len(batch.ranked_S):
            ranked = _ranked_thresholds(weights, batch, vocab_size)
            thresholds_R[batch.ranked_S] = np.maximum(thresholds_R[batch.ranked_S], ranked)
        weights.drop_below(batch.filtered_S, thresholds_R[batch.filtered_S])


def _ranked_thresholds(weights: LogitRows, batch: BatchParameters, vocab_size: int) -> Float32s:
    rows_S = batch.ranked_S
    masses_S = weights.chunk_sums()[rows_S].sum(axis=1)
    thresholds_S = np.zeros(len(rows_S), np.float32)
    pending = np.arange(len(rows_S))
    num_seen = min(_FIRST_LOOK, vocab_size)
    while len(pending):
        rows = rows_S[pending]
        cut = _cut(
            weights.largest(rows, num_seen),
            batch.top_k_R[rows],
            batch.top_p_R[rows],
            masses_S[pending],
            vocab_size,
        )
        thresholds_S[pending] = cut.thresholds_S
        pending = pending[~cut.is_known_S]
        num_seen = min(num_seen * 16, vocab_size)
    return thresholds_S


class _Cut(NamedTuple):
    is_known_S: npt.NDArray[np.bool_]
    """Whether the largest weights looked at sufficed to know the threshold."""
    thresholds_S: Float32s


def _cut(
    largest_SK: Float32s, top_k_S: Int64s, top_p_S: Float64s, masses_S: Float64s, vocab_size: int
) -> _Cut:
    """``masses_S``: the whole rows' weight, which is what top-p shares when there is no top-k."""
    num_seen = largest_SK.shape[1]
    rows_S = np.arange(len(largest_SK))
    floors_S = largest_SK[rows_S, np.minimum(top_k_S, num_seen) - 1]
    kept_SK = np.where(largest_SK >= floors_S[:, None], largest_SK, 0).astype(np.float64)
    cumulative_SK = kept_SK.cumsum(axis=1)
    has_top_k_S = top_k_S < vocab_size
    # Ties with the k-th may go on past the last one seen; then the mass is not known yet.
    is_counted_S = has_top_k_S & (top_k_S <= num_seen) & (largest_SK[:, -1] < floors_S)
    is_counted_S |= num_seen == vocab_size
    wanted_S = top_p_S * np.where(is_counted_S, cumulative_SK[:, -1], masses_S)
    num_kept_S = (cumulative_SK - kept_SK < wanted_S[:, None]).sum(axis=1)
    nucleus_S = largest_SK[rows_S, np.maximum(num_kept_S, 1) - 1]
    has_top_p_S = top_p_S < 1
    is_reached_S = np.where(
        has_top_k_S, ~has_top_p_S & (top_k_S <= num_seen), cumulative_SK[:, -1] >= wanted_S
    )
    thresholds_S = np.where(has_top_p_S, np.maximum(floors_S, nucleus_S), floors_S)
    return _Cut(is_counted_S | is_reached_S, thresholds_S)
