"""Which tokens a sequence has seen, kept as arrays that grow: the input of the penalties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["TokenCounts"]


class TokenCounts:
    """Every distinct token of prompt and output, and how often it is in the output."""

    def __init__(self, prompt: Sequence[int]) -> None:
        distinct = np.unique(np.asarray(prompt, np.int64))
        self._num = len(distinct)
        self._ids = np.concatenate([distinct, np.zeros(32, np.int64)])
        self._counts = np.zeros(len(self._ids), np.float32)
        self._slot_of = {token_id: slot for slot, token_id in enumerate(distinct.tolist())}

    @property
    def token_ids(self) -> npt.NDArray[np.int64]:
        """Distinct ids, in the order first seen. A view: valid until the next ``add``."""
        return self._ids[: self._num]

    @property
    def output_counts(self) -> npt.NDArray[np.float32]:
        """Occurrences in the output of each of ``token_ids``; 0 for tokens of the prompt only."""
        return self._counts[: self._num]

    def add(self, token_id: int) -> None:
        """Count one more token of output."""
        slot = self._slot_of.get(token_id)
        if slot is None:
            slot = self._append(token_id)
        self._counts[slot] += 1

    def copy(self) -> TokenCounts:
        twin = TokenCounts(())
        twin._num = self._num
        twin._ids = self._ids.copy()
        twin._counts = self._counts.copy()
        twin._slot_of = dict(self._slot_of)
        return twin

    def _append(self, token_id: int) -> int:
        slot = self._num
        if slot == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._ids[slot] = token_id
        self._slot_of[token_id] = slot
        self._num = slot + 1
        return slot
