"""What every engine offers: embedded, remote or scripted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from weft.programs.message import Message
from weft.programs.past import Past
from weft.programs.request import Delta, Request

__all__ = ["Capabilities", "Engine", "EngineStats", "KvHolder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do. A program that needs more fails before it starts."""

    grammars: frozenset[str] = frozenset()
    """The GrammarSpec kinds it enforces."""
    can_score: bool = False
    has_logprobs: bool = False
    has_seeds: bool = False
    is_deterministic: bool = False
    """The same seed gives the same tokens whatever else is in the batch."""
    sees_branches: bool = False
    """Requests may have a past of joined branches, or a lane."""
    max_context: int = 0
    """Most tokens of prompt and output together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """A snapshot of counters (since start) and gauges (now)."""

    num_running: int = 0
    """Gauge: sequences being decoded or prefilled."""
    num_waiting: int = 0
    """Gauge: sequences that wait for room."""
    num_blocks: int = 0
    """Size of the KV pool in blocks."""
    num_blocks_used: int = 0
    """Gauge: blocks that a sequence holds."""
    num_blocks_cached: int = 0
    """Gauge: blocks only the prefix index holds; they can be evicted."""
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    """Prompt tokens served from the prefix index."""
    num_generated_tokens: int = 0
    num_preemptions: int = 0
    num_ticks: int = 0
    num_guessed_tokens: int = 0
    """Tokens computed before they were known to come next."""
    num_accepted_tokens: int = 0
    """Of these, the ones that did."""
    num_forced_tokens: int = 0
    """Generated tokens that a grammar left no choice about: they cost no forward."""
    busy_s: float = 0.0
    """Time spent on Ticks, and on handing over what they gave."""
    num_prefilled_tokens: int = 0
    """Computed for prompts, also again."""
    num_decoded_tokens: int = 0
    """Computed one a Tick and sequence."""
    num_read_tokens: int = 0
    """Of context, that these looked at."""


class Engine(Protocol):
    """Serves Requests. All coroutines run on the caller's loop and never block it.

    Cancellation: closing the generator of ``submit`` (or cancelling the task that iterates it)
    cancels every sequence of that Request inside the engine and frees what it held.
    """

    @property
    def name(self) -> str:
        """The model or endpoint served, for people."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def encode(self, text: str, *, has_controls: bool = False) -> tuple[int, ...]:
        """Tokens of plain text: control tokens in it are encoded as text, never as control,
        unless ``has_controls`` says that it comes from a template and means them."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str: ...

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, object]] = ()
    ) -> tuple[int, ...]:
        """The chat template applied, ending where the assistant speaks.

        ``tools`` are JSON Schemas of the form ``{"name", "description", "parameters"}``.
        Content is encoded as plain text: a message cannot forge control tokens.
        """
        ...

    def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Stream the Request's Deltas, all sequences interleaved, each ending in a Delta with
        a finish reason.

        Raises: InvalidRequest, GrammarRejected, UnsupportedFeature before the first Delta;
        EngineClosed, EngineOverloaded, EngineDied at any time.
        """
        ...

    async def cancel(self, request_id: str, indices: Sequence[int] | None = None) -> None:
        """End some (or all) sequences of a Request; their last Delta says ``cancelled``. The id of
        a team, without indices, ends the team.

        Unknown ids are ignored: the Request may just have finished.
        """
        ...

    async def score(
        self, prompt: Sequence[int], target: Sequence[int], *, past: Past | None = None
    ) -> tuple[float, ...]:
        """Log-probability (natural log) of each target token after the prompt, teacher-forced.
        ``past``: what the prompt goes on from."""
        ...

    def stats(self) -> EngineStats: ...

    async def close(self) -> None:
        """Cancel what runs, stop the loop, free memory. Idempotent."""
        ...


@runtime_checkable
class KvHolder(Protocol):
    """An engine whose KV memory a scheduler may plan with."""

    @property
    def kv_tokens(self) -> int:
        """How many tokens fit, in blocks that are full."""
        ...

    @property
    def kv_token_bytes(self) -> int:
        """Memory of one token in all layers."""
        ...

    @property
    def spill_tokens(self) -> int:
        """How many more fit outside the KV pool; 0: there is no such place."""
        ...

    @property
    def max_running(self) -> int:
        """Most sequences in one batch."""
        ...

    def demote_kv(self, run_id: str) -> None:
        """Move what the Run alone has cached, and nobody uses now, out of the KV pool: a Request
        that begins alike reads it back. What finds no place there is given up."""
        ...

    def give_up_kv(self, run_id: str) -> None:
        """What the Run alone has cached goes before all else when room is needed, until one of
        its Requests caches more. Unknown ids are ignored."""
        ...
