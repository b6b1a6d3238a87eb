"""What a Step asks of an engine, and what comes back: the wire between program and engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from weft.errors import InvalidRequest
from weft.programs.grammar import GrammarSpec
from weft.programs.lane import Lane
from weft.programs.past import Past
from weft.programs.sampling import MAX_BRANCHES, Sampling

__all__ = [
    "Completion",
    "Delta",
    "FinishReason",
    "Request",
    "TokenLogprob",
]

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One generation: a prompt, ``n`` sequences that share its prefill, how to draw, what fits.

    ``request_id`` is unique per engine; the executor uses the Step's lineage id.
    """

    request_id: str
    prompt: tuple[int, ...]
    """Token ids; never empty."""
    past: Past | None = None
    """What the prompt goes on from; None: it is the beginning."""
    lane: Lane | None = None
    """The stream goes on where this lane of a team ends, and sees the other lanes."""
    sampling: Sampling
    n: int = 1
    """Sequences wanted. Sequence ``i`` draws with the seed ``branch_seed(seed, i)``."""
    grammar: GrammarSpec | None = None
    tenant: str = ""
    """KV cache is shared inside one tenant only."""
    run_id: str = ""
    """The Run this belongs to: the unit of admission."""
    priority: int = 0
    """Larger is served first; equal ones by arrival."""
    stream_every: int = 1
    """Fewest tokens per Delta of one sequence, its last one aside; an engine may take more. 0 sends
    one Delta when the sequence ends."""

    @property
    def context(self) -> tuple[int, ...]:
        """All tokens that are seen before the first generated one."""
        if self.lane is not None:
            return (*self.lane.team.shared, *self.prompt)
        if self.past is None:
            return self.prompt
        seen = (token for segment in self.past.segments for token in segment.tokens)
        return (*seen, *self.prompt)

    def __post_init__(self) -> None:
        if not self.prompt:
            raise InvalidRequest("The prompt is empty.", remedy="Give at least one token.")
        if not 1 <= self.n <= MAX_BRANCHES:
            raise InvalidRequest(
                f"n is {self.n!r}.", remedy=f"It must be between 1 and {MAX_BRANCHES}."
            )
        if self.lane is not None:
            self._check_lane(self.lane)
        if self.stream_every < 0:
            raise InvalidRequest(
                f"stream_every is {self.stream_every!r}.", remedy="It must be at least 0."
            )

    def _check_lane(self, lane: Lane) -> None:
        if self.n != 1 or self.past is not None:
            raise InvalidRequest(
                "A lane writes several sequences, or behind branches.",
                remedy="A Request of a lane has n=1 and no past.",
            )
        if lane.team.has_insertions and (self.grammar or self.sampling.logprobs is not None):
            raise InvalidRequest(
                "A lane is given text while it writes, and has a grammar or log-probabilities.",
                remedy="Neither knows that text: leave out step_head and question.",
            )


class TokenLogprob(NamedTuple):
    """Log-probabilities at one generated position, from the raw (unscaled, unmasked) logits."""

    logprob: float
    """Of the chosen token, natural log, full vocabulary."""
    top: Mapping[int, float]
    """The likeliest tokens asked for, by token id."""
    behaviour: float
    """Of the chosen token under the distribution that was really drawn from (temperature,
    filters, penalties, grammar)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What one Tick added to one sequence of a Request. The last one has a finish reason."""

    index: int
    """Which of the ``n`` sequences."""
    token_ids: tuple[int, ...] = ()
    text: str = ""
    """Newly certain text: whole characters, stop strings held back."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """One per token id when asked for, else empty."""
    finish_reason: FinishReason | None = None
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    """Prompt tokens whose KV was already there (a prefix hit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One finished sequence: the sum of its Deltas."""

    index: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: FinishReason
    num_prompt_tokens: int
    num_cached_tokens: int
