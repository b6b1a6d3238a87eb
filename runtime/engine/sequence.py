"""One token stream inside the engine, and the job that its siblings share."""

from __future__ import annotations

from weft.cache import BlockTable, Lease, Namespace
from weft.programs.request import FinishReason, Request, TokenLogprob
from weft.runtime.engine.sampling import SamplingRow
from weft.runtime.engine.speculation import Drafter
from weft.runtime.engine.stream import DeltaStream
from weft.runtime.engine.text_stream import TextStream
from weft.runtime.grammar import CompiledGrammar, Matcher

__all__ = ["Job", "Sequence"]


class Job:
    """A Request in service: what its sequences have in common.

    ``score_from`` set makes it a scoring job: nothing is drawn, and the log-probabilities of the
    prompt's tokens from that position on are what is wanted.
    """

    __slots__ = (
        "arrival",
        "compiled",
        "max_tokens",
        "namespace",
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
        "index",
        "job",
        "lease",
        "logprobs",
        "matcher",
        "num_cached",
        "num_computed",
        "num_prompt",
        "num_read",
        "num_sent",
        "num_unforced",
        "num_writable",
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

    @property
    def rank(self) -> tuple[int, int, int]:
        """Order of service, smallest first: by priority, then arrival, then index."""
        return (-self.job.request.priority, self.job.arrival, self.index)

    @property
    def num_pending(self) -> int:
        """Tokens whose keys and values are still to be computed."""
        return len(self.tokens) - self.num_computed

    @property
    def num_shareable(self) -> int:
        """Leading tokens whose KV may come from elsewhere: their logits are not wanted."""
        score_from = self.job.score_from
        return (len(self.tokens) if score_from is None else score_from) - 1

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
