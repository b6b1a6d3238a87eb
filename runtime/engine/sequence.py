"""One token stream inside the engine, and the job that its siblings share."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from weft.cache import BlockTable, Lease, Namespace
from weft.programs.lane import Lane
from weft.programs.request import FinishReason, Request, TokenLogprob
from weft.runtime.engine.chains import Chain
from weft.runtime.engine.sampling import SamplingRow
from weft.runtime.engine.speculation import Drafter
from weft.runtime.engine.stream import DeltaStream
from weft.runtime.engine.text_stream import TextStream
from weft.runtime.grammar import CompiledGrammar, Matcher

__all__ = ["Glimpse", "Job", "Sequence"]


class Glimpse(NamedTuple):
    """Part of another sequence's table, seen by all tokens of a sequence."""

    holder: Sequence
    first: int
    end: int
    """Places ``first`` … ``end - 1`` are seen."""
    shift: int
    """A query at position p is turned to p + shift to meet these keys, and by its ``lift``."""


class Job:
    """A Request in service: what its sequences have in common.

    ``score_from`` set makes it a scoring job: nothing is drawn, and the log-probabilities of the
    prompt's tokens from that position on are what is wanted.
    """

    __slots__ = (
        "arrival",
        "compiled",
        "helpers",
        "lane_tokens",
        "max_tokens",
        "namespace",
        "num_behind",
        "num_filled",
        "request",
        "score_from",
        "sequences",
        "stop_ids",
        "stream",
        "unforked",
    )

    def __init__(
        self,
        *,
        request: Request,
        stream: DeltaStream,
        namespace: Namespace,
        max_tokens: int,
        stop_ids: frozenset[int],
        compiled: CompiledGrammar | None = None,
        score_from: int | None = None,
    ) -> None:
        self.request = request
        self.stream = stream
        self.namespace = namespace
        self.max_tokens = max_tokens
        self.stop_ids = stop_ids
        self.compiled = compiled
        self.score_from = score_from
        self.arrival = 0
        self.sequences: list[Sequence] = []
        self.unforked: list[Sequence] = []
        """Sequences that wait for the first one's prefill, to share it."""
        self.helpers: list[Sequence] = []
        """Sequences that compute what the others see, and draw nothing: each after those that it
        sees itself. They hold their blocks until the Job is done."""
        self.num_behind = 0
        """Tokens that are seen in helpers."""
        self.num_filled = 0
        """Tokens that helpers had to compute."""
        self.lane_tokens = 0
        """Of a lane: the room of each lane of its team."""

    @property
    def is_done(self) -> bool:
        return all(sequence.is_done for sequence in self.sequences)


class Sequence:
    """One of a job's token streams with its KV blocks and everything it needs to draw.

    Mutated by the engine's thread alone. ``table`` and ``lease`` are held only while running.
    """

    __slots__ = (
        "drafter",
        "finish_reason",
        "first_seen",
        "glimpses",
        "index",
        "is_pinned",
        "is_silent",
        "job",
        "lease",
        "lift",
        "logprobs",
        "matcher",
        "namespace",
        "num_cached",
        "num_computed",
        "num_prompt",
        "num_read",
        "num_sent",
        "num_unforced",
        "num_writable",
        "origin",
        "row",
        "table",
        "text",
        "tokens",
        "unsent_text",
    )

    def __init__(
        self,
        *,
        job: Job,
        index: int,
        row: SamplingRow,
        text: TextStream,
        matcher: Matcher | None,
    ) -> None:
        self.job = job
        self.index = index
        self.row = row
        self.text = text
        self.matcher = matcher
        self.namespace = job.namespace
        self.origin = 0
        """The position of the first token: a token stands at this and its place in the table."""
        self.glimpses: tuple[Glimpse, ...] = ()
        """What all of its tokens see beside its own table."""
        self.lift = 0
        """Added to the shift of every glimpse."""
        self.first_seen = 0
        """The first place of its own table that its tokens see, but for glimpses of it."""
        self.is_pinned = False
        """It keeps its blocks whoever needs room."""
        self.is_silent = False
        """It computes its tokens for others to see, and draws none."""
        self.tokens: list[int] = list(job.request.prompt)
        self.num_prompt = len(self.tokens)
        self.num_computed = 0
        """Tokens whose keys and values are in the cache."""
        self.num_writable = 0
        """Tokens that have room, from ``num_computed`` on in blocks that nobody else holds."""
        self.num_cached = 0
        """Prompt tokens that a prefix hit or a sibling's prefill saved."""
        self.drafter: Drafter | None = None
        """Made when tokens are first guessed for it."""
        self.num_unforced = 0
        """Tokens drawn since its grammar last forced one."""
        self.table: BlockTable | None = None
        self.lease: Lease | None = None
        self.finish_reason: FinishReason | None = None
        self.logprobs: list[TokenLogprob] = []
        """One per generated token when asked for; per scored token in a scoring job."""
        self.num_sent = 0
        """Generated tokens already handed over in Deltas."""
        self.num_read = 0
        """Generated tokens already read as text."""
        self.unsent_text = ""

    def stand_behind(self, chain: Chain) -> None:
        """Take the place of a chain among the job's helpers, of which those it sees exist. Only
        before anything is computed."""
        self.tokens = list(chain.tokens)
        self.num_prompt = len(self.tokens)
        self.namespace = replace(self.job.namespace, behind=chain.digest)
        self.origin = chain.origin
        self.glimpses = tuple(
            Glimpse(self.job.helpers[piece.chain], piece.first, piece.end, piece.shift)
            for piece in chain.pieces
        )

    def go_on_from(self, before: Sequence) -> None:
        """Take up a lane where its last Request ended, without the token that ended it. Only before
        anything is computed."""
        written = before.tokens
        if before.finish_reason == "stop" and written[-1] in before.job.stop_ids:
            written = written[:-1]
        self.tokens = [*written, *self.tokens]
        self.num_prompt = len(self.tokens)
        self.num_computed = self.num_cached = before.num_computed

    @property
    def lane(self) -> Lane | None:
        """Its place in a team."""
        return None if self.is_silent else self.job.request.lane

    @property
    def rank(self) -> tuple[int, int, int]:
        """Order of service, smallest first: by priority, then arrival, then index."""
        return (-self.job.request.priority, self.job.arrival, self.index)

    @property
    def num_pending(self) -> int:
        """Tokens whose keys and values are still to be computed."""
        return len(self.tokens) - self.num_computed

    @property
    def is_scored(self) -> bool:
        """The log-probabilities of its tokens are wanted, and none is drawn."""
        return self.job.score_from is not None and not self.is_silent

    @property
    def num_shareable(self) -> int:
        """Leading tokens whose KV may come from elsewhere: their logits are not wanted."""
        if self.is_silent:
            return len(self.tokens)
        score_from = self.job.score_from
        return (len(self.tokens) if score_from is None else score_from) - 1

    @property
    def is_computed(self) -> bool:
        """It holds the keys and values of all its tokens."""
        return self.table is not None and self.num_computed == len(self.tokens)

    @property
    def is_ready(self) -> bool:
        """What it sees in others is there."""
        return all(glimpse.holder.is_computed for glimpse in self.glimpses)

    @property
    def num_seen(self) -> int:
        """Tokens that stand before the first generated one, in helpers too."""
        return self.num_prompt + self.job.num_behind

    @property
    def num_spared(self) -> int:
        """Of these, the ones whose keys and values were there already."""
        return self.num_cached + max(0, self.job.num_behind - self.job.num_filled)

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def num_left(self) -> int:
        """Tokens it may still generate."""
        return self.job.max_tokens - self.num_generated

    @property
    def is_done(self) -> bool:
        return self.finish_reason is not None
