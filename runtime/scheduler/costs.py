"""What work costs on one replica, in seconds: the same figures for policies and simulator."""

from __future__ import annotations

from dataclasses import dataclass, fields

from weft.errors import InvalidRequest

__all__ = ["Costs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """A Tick costs a fixed part, and a part for each token it computes and each it looks at.

    The defaults are round figures for a small model on a processor; measure your own.
    """

    tick_s: float = 2e-3
    decode_s: float = 2e-4
    """One sequence's next token."""
    prefill_s: float = 5e-5
    """One token of a prompt."""
    context_s: float = 2e-8
    """One token of context that one token of a prompt looks at: read once for many."""
    read_s: float = 2e-8
    """One token of context that a sequence's next token looks at: read for it alone."""
    spill_s: float = 2e-6
    """Writing one token's KV to what lies outside the KV pool."""
    load_s: float = 2e-6
    """Reading it back."""
    tokens_per_tick: float = 1.0
    """What a sequence that decodes says in one Tick: more than one where guesses come true."""
    start_ticks: float = 0.0
    """Ticks of others that a call sits through before it decodes, beside the time of its prompt."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise InvalidRequest(
                    f"A cost must be a time: {field.name} is {value!r}.",
                    remedy="Give seconds, zero or more.",
                )
        if self.tokens_per_tick < 1:
            raise InvalidRequest(
                f"{self.tokens_per_tick!r} tokens per Tick.",
                remedy="Every Tick gives one at least.",
            )

    def restore_s(self, num_tokens: int, *, shared_tokens: int = 0) -> float:
        """The time to compute a context anew whose first ``shared_tokens`` are still held."""
        new = max(0, num_tokens - shared_tokens)
        looked_at = new * (num_tokens + shared_tokens) / 2
        return self.prefill_s * new + self.context_s * looked_at

    def call_s(self, *, new_tokens: int, context_tokens: int, output_tokens: int) -> float:
        """What a call takes of a replica: its prompt, then its Ticks, unshared."""
        prompt = self.restore_s(context_tokens, shared_tokens=context_tokens - new_tokens)
        per_token = self.tick_s + self.decode_s + self.read_s * context_tokens
        return prompt + output_tokens * per_token / self.tokens_per_tick
