"""One sequence as the sampler sees it."""

from __future__ import annotations

from collections.abc import Sequence

from weft.programs.sampling import Sampling
from weft.runtime.engine.sampling.counts import TokenCounts

__all__ = ["SamplingRow"]


class SamplingRow:
    """How to draw the next token of one sequence; lives as long as the sequence.

    The sampler only reads it. The owner calls ``record`` with each token that became part of the
    sequence, which need not be every token drawn.
    """

    __slots__ = ("counts", "end_ids", "is_likeliest", "num_drawn", "sampling", "seed")

    def __init__(
        self,
        sampling: Sampling,
        *,
        seed: int,
        prompt: Sequence[int] = (),
        end_ids: Sequence[int] = (),
    ) -> None:
        """``seed`` is already the branch's own. ``end_ids`` are banned until
        ``sampling.min_tokens`` tokens are recorded, unless a grammar allows nothing else."""
        self.sampling = sampling
        self.seed = seed
        self.end_ids = tuple(end_ids)
        self.num_drawn = 0
        """Tokens recorded: the position of the next draw."""
        self.counts = TokenCounts(prompt) if _has_penalty(sampling) else None
        """``None`` when no penalty needs it."""
        self.is_likeliest = self.counts is None and _takes_likeliest(sampling)
        """It takes the likeliest token allowed, whatever was drawn before, and wants no more."""

    @property
    def is_end_banned(self) -> bool:
        return self.num_drawn < self.sampling.min_tokens

    def record(self, token_id: int) -> None:
        """Count ``token_id`` as the sequence's next token."""
        self.num_drawn += 1
        if self.counts is not None:
            self.counts.add(token_id)

    def ahead(self, token_id: int) -> SamplingRow:
        """The row as it will be once ``token_id`` is recorded; this one is not changed."""
        if self.is_likeliest:
            return self
        twin = self.fork(self.seed)
        twin.record(token_id)
        return twin

    def fork(self, seed: int) -> SamplingRow:
        """A row that continues from here with its own seed; the two share nothing mutable."""
        twin = SamplingRow(self.sampling, seed=seed, end_ids=self.end_ids)
        twin.num_drawn = self.num_drawn
        twin.counts = None if self.counts is None else self.counts.copy()
        return twin


def _takes_likeliest(sampling: Sampling) -> bool:
    is_edited = bool(sampling.logit_bias) or sampling.min_tokens > 0
    return sampling.temperature == 0 and sampling.logprobs is None and not is_edited


def _has_penalty(sampling: Sampling) -> bool:
    return (
        sampling.repetition_penalty != 1.0
        or sampling.presence_penalty != 0.0
        or sampling.frequency_penalty != 0.0
    )
