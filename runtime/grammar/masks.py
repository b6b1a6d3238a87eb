"""Allowed tokens, by one call for a whole batch.

They are filled on the thread that asks, after the forward was started: a device computes on
meanwhile, and on a processor the forward has every core, so that a thread beside it would only
take from it, and hand the interpreter's lock to and fro.

Legend: R rows, W words of 32 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import xgrammar
from torch import Tensor

from weft.runtime.grammar.matcher import Matcher

__all__ = ["BatchMasks"]


class BatchMasks:
    """Fills masks into memory that it reuses. For one thread."""

    def __init__(self, vocab_size: int) -> None:
        self._filler = xgrammar.BatchGrammarMatcher(max_threads=1)
        self._masks_RW = torch.empty((0, (vocab_size + 31) // 32), dtype=torch.int32)
        self._one_1W = torch.empty((1, (vocab_size + 31) // 32), dtype=torch.int32)
        self._words_W: npt.NDArray[np.uint32] = self._one_1W[0].numpy().view(np.uint32)

    def fill(self, matchers: Sequence[Matcher | None]) -> Tensor:
        """What each may be followed by: int32 [R, W] on the host, valid until the next call.

        ``None`` rows allow everything; a row whose matcher has terminated allows nothing.
        """
        masks_RW = self._room(len(matchers))
        masks_RW.fill_(-1)
        rows: list[int] = []
        handles: list[xgrammar.GrammarMatcher] = []
        for row, matcher in enumerate(matchers):
            if matcher is None:
                continue
            if matcher.is_terminated:
                masks_RW[row] = 0
            else:
                rows.append(row)
                handles.append(matcher.handle)
        if rows:
            self._filler.batch_fill_next_token_bitmask(handles, masks_RW, rows)
        return masks_RW

    def fill_one(self, matcher: Matcher) -> Tensor:
        """The same for one matcher: [1, W], valid until the next call of this or ``only_token``."""
        if matcher.is_terminated:
            self._one_1W.zero_()
        else:
            matcher.handle.fill_next_token_bitmask(self._one_1W)
        return self._one_1W

    def only_token(self, matcher: Matcher) -> int | None:
        """The token that must come next; ``None`` when there is a choice, or nothing is allowed.

        Cheap where text says at once that there is a choice. The matcher stays as it is.
        """
        if not matcher.find_jump_forward() and (matcher.is_terminated or not matcher.is_completed):
            return None
        self.fill_one(matcher)
        places: list[int] = np.flatnonzero(self._words_W).tolist()
        if len(places) != 1:
            return None
        word = int(self._words_W[places[0]])
        return places[0] * 32 + word.bit_length() - 1 if word.bit_count() == 1 else None

    def _room(self, num_rows: int) -> Tensor:
        if num_rows > len(self._masks_RW):
            self._masks_RW = torch.empty((num_rows, self._masks_RW.shape[1]), dtype=torch.int32)
        return self._masks_RW[:num_rows]
