"""The parameters of every row of a batch as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weft.programs.sampling import Sampling
from weft.runtime.engine.sampling.logits import Float32s, Float64s, Int64s
from weft.runtime.engine.sampling.row import SamplingRow

__all__ = ["BatchParameters"]

_LARGEST_BIAS = 1e30
"""Beyond any logit, yet far from where float32 would overflow to infinity."""


class BatchParameters:
    """Everything about a list of rows that does not change from token to token.

    Built once and reused for as long as the same rows come in the same order.
    """

    def __init__(self, rows: Sequence[SamplingRow], vocab_size: int) -> None:
        self.rows = tuple(rows)
        """Held, so that comparing by identity is sound."""
        self.seeds_R = np.array([row.seed for row in rows], np.uint64)
        temperature_R = self._column(lambda s: s.temperature, np.float32)
        self.is_greedy_R = temperature_R == 0
        self.temperature_R: Float32s = np.where(self.is_greedy_R, np.float32(1), temperature_R)
        self.has_temperature = bool((self.temperature_R != 1).any())
        self._read_filters(vocab_size)
        self._read_biases()
        self.with_min_tokens = self._select(
            lambda row: row.sampling.min_tokens > 0 and len(row.end_ids) > 0
        )
        self.with_counts = self._select(lambda row: row.counts is not None)
        self.with_logprobs = self._select(lambda row: row.sampling.logprobs is not None)
        self.has_edits = bool(
            len(self.bias_rows_P) or len(self.with_min_tokens) or len(self.with_counts)
        )
        wanted = [row.sampling.logprobs or 0 for row in self.picked(self.with_logprobs)]
        self.num_top_logprobs = min(max(wanted, default=0), vocab_size)

    def fits(self, rows: Sequence[SamplingRow]) -> bool:
        """Whether these are the very rows it was built from."""
        return len(rows) == len(self.rows) and all(map(_is_same, rows, self.rows))

    def picked(self, rows_S: Int64s) -> list[SamplingRow]:
        """The rows of a selection."""
        indices: list[int] = rows_S.tolist()
        return [self.rows[index] for index in indices]

    @property
    def positions_R(self) -> npt.NDArray[np.uint64]:
        """The position of each row's next draw: read anew each time."""
        return np.array([row.num_drawn for row in self.rows], np.uint64)

    def _read_filters(self, vocab_size: int) -> None:
        top_k_R = self._column(lambda s: min(s.top_k, vocab_size), np.int64)
        is_drawn_R = ~self.is_greedy_R
        self.top_k_R: Int64s = np.where(is_drawn_R & (top_k_R > 0), top_k_R, vocab_size)
        self.top_p_R: Float64s = np.where(
            is_drawn_R, self._column(lambda s: s.top_p, np.float64), 1.0
        )
        self.min_p_R: Float32s = np.where(
            is_drawn_R, self._column(lambda s: s.min_p, np.float32), np.float32(0)
        )
        is_ranked_R = (self.top_k_R < vocab_size) | (self.top_p_R < 1)
        self.ranked_S: Int64s = np.flatnonzero(is_ranked_R)
        """Rows with top-k or top-p: those that need their largest weights in order."""
        self.filtered_S: Int64s = np.flatnonzero(is_ranked_R | (self.min_p_R > 0))

    def _read_biases(self) -> None:
        pairs = [
            (r, token_id, bias)
            for r, row in enumerate(self.rows)
            for token_id, bias in row.sampling.logit_bias.items()
        ]
        self.bias_rows_P = np.array([r for r, _, _ in pairs], np.int64)
        self.bias_ids_P = np.array([token_id for _, token_id, _ in pairs], np.int64)
        values_P = np.array([bias for _, _, bias in pairs], np.float64)
        self.biases_P = values_P.clip(-_LARGEST_BIAS, _LARGEST_BIAS).astype(np.float32)

    def _select(self, has: Callable[[SamplingRow], bool]) -> Int64s:
        return np.array([r for r, row in enumerate(self.rows) if has(row)], np.int64)

    def _column(self, read: Callable[[Sampling], float], dtype: Any) -> npt.NDArray[Any]:
        return np.array([read(row.sampling) for row in self.rows], dtype)


def _is_same(one: SamplingRow, other: SamplingRow) -> bool:
    return one is other
