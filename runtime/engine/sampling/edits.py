"""Changes to logits before the temperature: biases, banned ends, penalties.

Each touches a few (row, token) pairs, so they work on the pairs and never on whole rows.
"""

from __future__ import annotations

import numpy as np

from weft.runtime.engine.sampling.logits import Float32s, Int64s, LogitRows
from weft.runtime.engine.sampling.parameters import BatchParameters
from weft.runtime.engine.sampling.row import SamplingRow

__all__ = ["apply_edits"]

_BANNED = -1e30
"""Never drawn while anything else can be, and not -inf: where a complete grammar allows nothing
but the end, the end comes all the same."""


def apply_edits(logits: LogitRows, batch: BatchParameters) -> None:
    """Apply logit biases, then the ban on end tokens, then penalties, in place."""
    if len(batch.bias_rows_P):
        _add_biases(logits, batch)
    if len(batch.with_min_tokens):
        _ban_ends(logits, batch)
    if len(batch.with_counts):
        _penalise(logits, batch)


def _add_biases(logits: LogitRows, batch: BatchParameters) -> None:
    biased_P = logits.gather(batch.bias_rows_P, batch.bias_ids_P) + batch.biases_P
    logits.put(batch.bias_rows_P, batch.bias_ids_P, biased_P)


def _ban_ends(logits: LogitRows, batch: BatchParameters) -> None:
    indices: list[int] = batch.with_min_tokens.tolist()
    pairs = [
        (r, token_id)
        for r, row in zip(indices, batch.picked(batch.with_min_tokens), strict=True)
        if row.is_end_banned
        for token_id in row.end_ids
    ]
    if pairs:
        pairs_P2 = np.array(pairs, np.int64)
        banned_P = np.full(len(pairs), _BANNED, np.float32)
        logits.put(pairs_P2[:, 0], pairs_P2[:, 1], banned_P)


def _penalise(logits: LogitRows, batch: BatchParameters) -> None:
    selected = batch.picked(batch.with_counts)
    counts = [row.counts for row in selected if row.counts is not None]
    lengths_S = np.array([len(one.token_ids) for one in counts], np.int64)
    rows_P = np.repeat(batch.with_counts, lengths_S)
    ids_P = np.concatenate([one.token_ids for one in counts])
    counts_P = np.concatenate([one.output_counts for one in counts])
    values_P = logits.gather(rows_P, ids_P)
    logits.put(rows_P, ids_P, _penalised(values_P, counts_P, selected, lengths_S))


def _penalised(
    values_P: Float32s, counts_P: Float32s, rows: list[SamplingRow], lengths_S: Int64s
) -> Float32s:
    def spread(name: str) -> Float32s:
        per_row = np.array([getattr(row.sampling, name) for row in rows], np.float32)
        return np.repeat(per_row, lengths_S)

    repetition_P = spread("repetition_penalty")
    factor_P = np.where(values_P > 0, np.float32(1) / repetition_P, repetition_P)
    frequency_P = spread("frequency_penalty") * counts_P
    presence_P = spread("presence_penalty") * (counts_P > 0)
    return (values_P * factor_P - frequency_P - presence_P).astype(np.float32)
