"""Log-probabilities of what was drawn, for the rows that ask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from weft.programs.request import TokenLogprob
from weft.runtime.engine.sampling.logits import Float64s, Int64s, LogitRows, Top
from weft.runtime.engine.sampling.parameters import BatchParameters

__all__ = ["RawLogprobs"]


class RawLogprobs:
    """The raw distribution of the rows that want log-probabilities, kept from before any edit."""

    def __init__(self, logits: LogitRows, batch: BatchParameters) -> None:
        self._batch = batch
        self._raw = logits.select(batch.with_logprobs)
        self._normalisers_S = self._raw.log_normalisers()
        k = batch.num_top_logprobs
        self._top: Top | None = self._raw.top(k) if k else None

    def of(self, ids_R: Int64s, shares_R: Float64s) -> dict[int, TokenLogprob]:
        """By row: what was drawn, the likeliest, and the log of the share really drawn with."""
        rows_S = self._batch.with_logprobs
        chosen_S = self._raw.gather(np.arange(len(rows_S)), ids_R[rows_S]) - self._normalisers_S
        behaviour_S = np.log(shares_R[rows_S])
        rows: list[int] = rows_S.tolist()
        columns = zip(rows, chosen_S.tolist(), behaviour_S.tolist(), strict=True)
        return {
            row: TokenLogprob(logprob=chosen, top=self._likeliest(s, row), behaviour=behaviour)
            for s, (row, chosen, behaviour) in enumerate(columns)
        }

    def _likeliest(self, s: int, row: int) -> Mapping[int, float]:
        wanted = self._batch.rows[row].sampling.logprobs or 0
        if self._top is None or wanted == 0:
            return {}
        ids = self._top.ids_RK[s, :wanted].tolist()
        values = (self._top.values_RK[s, :wanted] - self._normalisers_S[s]).tolist()
        return dict(zip(ids, values, strict=True))
