"""Allowed tokens of a whole batch, computed while the model's forward runs.

Legend: R rows, W words of 32 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
import xgrammar
from torch import Tensor

from weft.runtime.grammar.matcher import Matcher

__all__ = ["BatchMasks"]


class BatchMasks:
    """Fills masks on a thread of its own, into memory it reuses. Close it to end the thread."""

    def __init__(self, vocab_size: int, *, max_threads: int = 1) -> None:
        self._filler = xgrammar.BatchGrammarMatcher(max_threads=max_threads)
        self._helper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="weft-masks")
        self._masks_RW = torch.empty((0, (vocab_size + 31) // 32), dtype=torch.int32)
        self._one_1W = torch.empty((1, (vocab_size + 31) // 32), dtype=torch.int32)
        self._words_W: npt.NDArray[np.uint32] = self._one_1W[0].numpy().view(np.uint32)
        self._filling: Future[Tensor] | None = None

    def start(self, matchers: Sequence[Matcher | None]) -> None:
        """Begin the masks of a batch; ``None`` rows allow everything.

        Until ``wait`` returns, the matchers must not be touched.
        """
        assert self._filling is None, "start() was called twice without wait()"
        if any(matcher is not None for matcher in matchers):
            self._filling = self._helper.submit(self.fill, tuple(matchers))

    def wait(self) -> Tensor | None:
        """The masks begun by ``start``: int32 [R, W] on the host, valid until the next ``start``.
        ``None`` when no row has a grammar."""
        filling, self._filling = self._filling, None
        return None if filling is None else filling.result()

    def fill(self, matchers: Sequence[Matcher | None]) -> Tensor:
        """The same at once, on the calling thread.

        A row whose matcher has terminated allows nothing.
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

    def only_token(self, matcher: Matcher) -> int | None:
        """The token that must come next; ``None`` when there is a choice, or nothing is allowed.

        Cheap where text says at once that there is a choice. The matcher stays as it is.
        """
        if matcher.is_terminated or not (matcher.is_completed or matcher.find_jump_forward()):
            return None
        if not matcher.handle.fill_next_token_bitmask(self._one_1W):
            return None
        places: list[int] = np.flatnonzero(self._words_W).tolist()
        if len(places) != 1:
            return None
        word = int(self._words_W[places[0]])
        return places[0] * 32 + word.bit_length() - 1 if word.bit_count() == 1 else None

    def close(self) -> None:
        """Wait for what runs, then end the thread. Idempotent."""
        self._helper.shutdown()

    def _room(self, num_rows: int) -> Tensor:
        if num_rows > len(self._masks_RW):
            self._masks_RW = torch.empty((num_rows, self._masks_RW.shape[1]), dtype=torch.int32)
        return self._masks_RW[:num_rows]
